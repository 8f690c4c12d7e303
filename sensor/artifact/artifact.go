// Package artifact gets the objects that triggers create and change from where
// they are kept: the manifest, a ConfigMap, a file, a web server, Git or S3.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// MaxSize is the largest artifact, in bytes. The Kubernetes API takes no larger
// object.
const MaxSize = 3 << 20

// Location says where an object is kept, as YAML or JSON. It is read anew for
// each event. Exactly one field should be set; of several the first of s3,
// inline, file, url, git, configmap and resource is used.
type Location struct {
	// S3 is an object in an S3 bucket.
	// +optional
	S3 *S3 `json:"s3,omitempty"`
	// Inline is the text itself.
	// +optional
	Inline string `json:"inline,omitempty"`
	// File is a file that the process can read.
	// +optional
	File *File `json:"file,omitempty"`
	// URL is what a web server answers a GET request.
	// +optional
	URL *URL `json:"url,omitempty"`
	// ConfigMap is a key of a ConfigMap in the sensor's namespace.
	// +optional
	ConfigMap *corev1.ConfigMapKeySelector `json:"configmap,omitempty"`
	// Git is a file in a Git repository.
	// +optional
	Git *Git `json:"git,omitempty"`
	// Resource is the object itself, as YAML in the manifest.
	// +optional
	Resource *apiextv1.JSON `json:"resource,omitempty"`
}

// File is a file that the process can read.
type File struct {
	// Path of the file.
	Path string `json:"path"`
}

// source is one way to get an artifact.
type source interface {
	// validate has paths from the source's own block.
	validate() error
	// fetch reads the artifact, at most MaxSize bytes. Errors do not name the
	// source, and show no secret.
	fetch(ctx context.Context, env trigger.Env) ([]byte, error)
	// String names the source for people, without secrets.
	String() string
	// remote tells that fetch speaks to somebody over the network.
	remote() bool
}

type named struct {
	name string
	source
}

// sources are those that are set, the one to use first.
func (l *Location) sources() []named {
	var set []named
	if l == nil {
		return nil
	}
	if l.S3 != nil {
		set = append(set, named{"s3", l.S3})
	}
	if l.Inline != "" {
		set = append(set, named{"inline", inline(l.Inline)})
	}
	if l.File != nil {
		set = append(set, named{"file", l.File})
	}
	if l.URL != nil {
		set = append(set, named{"url", l.URL})
	}
	if l.Git != nil {
		set = append(set, named{"git", l.Git})
	}
	if l.ConfigMap != nil {
		set = append(set, named{"configmap", (*configMap)(l.ConfigMap)})
	}
	if l.Resource != nil {
		set = append(set, named{"resource", resource(l.Resource.Raw)})
	}
	return set
}

// Validate reports all that is wrong, with paths from the block. A nil Location
// is one that says nothing.
func (l *Location) Validate() error {
	set := l.sources()
	if len(set) == 0 {
		return v1alpha1.Invalid("", "is required").Hinted("give one of resource, inline, configmap, file, url, git, s3")
	}
	errs := []error{v1alpha1.At(set[0].name, set[0].validate())}
	for _, s := range set[1:] {
		errs = append(errs, v1alpha1.Warn(s.name, "is not used, because there is %s", set[0].name).Hinted("remove one"))
	}
	return errors.Join(errs...)
}

// Fixed tells whether the artifact stands in the manifest.
func (l *Location) Fixed() bool {
	set := l.sources()
	return len(set) > 0 && (set[0].name == "inline" || set[0].name == "resource")
}

// Remote tells whether Fetch speaks to somebody over the network.
func (l *Location) Remote() bool {
	set := l.sources()
	return len(set) > 0 && set[0].remote()
}

// String names the place for people, such as "url https://example.com/job.yaml".
// It shows no secrets.
func (l *Location) String() string {
	set := l.sources()
	if len(set) == 0 {
		return "no source"
	}
	return strings.TrimSpace(set[0].name + " " + set[0].String())
}

const (
	// attempts at a source in the network.
	attempts = 5
	// fetchTimeout bounds all attempts together.
	fetchTimeout = 3 * time.Minute
	// firstWait is the wait after the first; each further one is twice as long.
	firstWait = 500 * time.Millisecond
)

// Fetch reads the artifact. A failure of the network or of a server is tried
// again a few times, within some seconds. Errors name the place.
func (l *Location) Fetch(ctx context.Context, env trigger.Env) ([]byte, error) {
	set := l.sources()
	if len(set) == 0 {
		return nil, errors.New("there is no source")
	}
	s, wait := set[0], firstWait
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		b, err := s.fetch(ctx, env)
		switch {
		case err == nil:
			return b, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s: %w", l, ctx.Err())
		case !s.remote() || attempt == attempts || errors.As(err, new(lasting)):
			return nil, fmt.Errorf("%s: %w", l, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait + time.Duration(rand.Int64N(int64(wait/2)))):
		}
		wait *= 2
	}
}

// lasting marks an error that the same request would give again.
type lasting struct{ error }

func (l lasting) Unwrap() error { return l.error }

func last(format string, args ...any) error { return lasting{fmt.Errorf(format, args...)} }

// read reads all of r, and fails if that is too much.
func read(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxSize {
		return nil, tooLarge()
	}
	return b, nil
}

func tooLarge() error { return last("is larger than %d MiB", MaxSize>>20) }

type (
	inline    string
	resource  []byte
	configMap corev1.ConfigMapKeySelector
)

func (inline) validate() error { return nil }
func (inline) remote() bool    { return false }
func (inline) String() string  { return "" }

func (i inline) fetch(context.Context, trigger.Env) ([]byte, error) { return []byte(i), nil }

func (resource) validate() error { return nil }
func (resource) remote() bool    { return false }
func (resource) String() string  { return "" }

func (r resource) fetch(context.Context, trigger.Env) ([]byte, error) { return r, nil }

func (c *configMap) validate() error { return nameAndKey(c.Name, c.Key) }
func (*configMap) remote() bool      { return false }
func (c *configMap) String() string  { return c.Name + "/" + c.Key }

func (c *configMap) fetch(ctx context.Context, env trigger.Env) ([]byte, error) {
	b, err := env.Secrets.ConfigMap(ctx, (*corev1.ConfigMapKeySelector)(c))
	if err == nil && len(b) == 0 {
		err = errors.New("is empty")
	}
	return b, err
}

func (f *File) validate() error {
	if f.Path == "" {
		return v1alpha1.Invalid("path", "is required")
	}
	return nil
}

func (*File) remote() bool     { return false }
func (f *File) String() string { return f.Path }

func (f *File) fetch(context.Context, trigger.Env) ([]byte, error) {
	switch info, err := os.Stat(f.Path); { // opening a pipe would wait for a writer
	case err != nil:
		return nil, withoutPath(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("is no regular file")
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer file.Close()
	return read(file)
}

// withoutPath takes the path out of an error that stands beside the path.
func withoutPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func selector(path string, s *corev1.SecretKeySelector) error {
	if s == nil {
		return nil
	}
	return v1alpha1.At(path, nameAndKey(s.Name, s.Key))
}

func nameAndKey(name, key string) error {
	var errs []error
	if name == "" {
		errs = append(errs, v1alpha1.Invalid("name", "is required"))
	}
	if key == "" {
		errs = append(errs, v1alpha1.Invalid("key", "is required"))
	}
	return errors.Join(errs...)
}
