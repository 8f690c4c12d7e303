package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/signalbox-events/signalbox/internal/cluster"
)

const (
	// pageSize is how many objects are held in memory when all are listed.
	pageSize = 200
	// frameBuffer is how many changes wait for those before them to be stored.
	frameBuffer = 32
	// A watch ends after 5 to 10 minutes, and the next one begins.
	watchSeconds = 300
)

// errGone is wrapped by the error of a watch from a version that the API
// server does not know any more: what happened since can only be found out by
// comparing.
var errGone = errors.New("the history is gone")

// api is one resource of a Kubernetes API. Objects are kept as the JSON that
// the server sends, because an event is just that.
type api struct {
	client   rest.Interface
	config   *Config
	host     string
	selector string
}

func connect(c *cluster.Cluster, config *Config, selector string) (*api, error) {
	rc, err := c.Config()
	if err != nil {
		return nil, err
	}
	http, err := c.HTTP()
	if err != nil {
		return nil, err
	}
	rc = dynamic.ConfigFor(rc)
	rc.AcceptContentTypes, rc.ContentType = "application/json", "application/json"
	client, err := rest.UnversionedRESTClientForConfigAndClient(rc, http)
	if err != nil {
		return nil, fmt.Errorf("make a Kubernetes client: %w", err)
	}
	return &api{client: client, config: config, host: rc.Host, selector: selector}, nil
}

func (a *api) get(namespace string) *rest.Request {
	root := path.Join("/apis", a.config.Group, a.config.Version)
	if a.config.Group == "" {
		root = path.Join("/api", a.config.Version)
	}
	if namespace != "" {
		root = path.Join(root, "namespaces", namespace)
	}
	return a.client.Get().AbsPath(root, a.config.Resource)
}

func (a *api) all() *rest.Request {
	r := a.get(a.config.Namespace)
	if a.selector != "" {
		r.Param("labelSelector", a.selector)
	}
	return r
}

// page is a part of a list.
type page struct {
	apiVersion, kind string
	version          string
	objects          []object
	// next is where the list goes on; empty at its end.
	next string
}

// list returns at most limit objects, from the place that the page before gave.
func (a *api) list(ctx context.Context, limit int, from string) (*page, error) {
	r := a.all().Param("limit", strconv.Itoa(limit))
	if from != "" {
		r.Param("continue", from)
	}
	p, err := read(ctx, r)
	if err != nil {
		return nil, a.failed("list", err)
	}
	return p, nil
}

func read(ctx context.Context, r *rest.Request) (*page, error) {
	result := r.Do(ctx)
	if err := result.Error(); err != nil { // Raw's does not say what the server said
		return nil, err
	}
	raw, err := result.Raw()
	if err != nil {
		return nil, err
	}
	top := gjson.ParseBytes(raw)
	p := &page{
		apiVersion: top.Get("apiVersion").String(), kind: strings.TrimSuffix(top.Get("kind").String(), "List"),
		version: top.Get("metadata.resourceVersion").String(), next: top.Get("metadata.continue").String(),
	}
	if p.version == "" {
		return nil, errors.New("the answer has no resource version")
	}
	top.Get("items").ForEach(func(_, item gjson.Result) bool {
		p.objects = append(p.objects, parse(item.Raw, p.apiVersion, p.kind))
		return true
	})
	return p, nil
}

// was is the object with the identity of o as it was at a version; ok is false
// if it was not there, or the server does not know any more.
func (a *api) was(ctx context.Context, o object, version string) (old object, ok bool, err error) {
	if !number(version) || version == "0" {
		return object{}, false, nil
	}
	p, err := read(ctx, a.get(o.namespace).Param("fieldSelector", "metadata.name="+o.name).
		Param("resourceVersion", version).Param("resourceVersionMatch", "Exact").Param("limit", "1"))
	switch {
	case err == nil && len(p.objects) == 1 && p.objects[0].uid == o.uid:
		return p.objects[0], true, nil
	case err == nil, answered(err):
		return object{}, false, nil
	default:
		return object{}, false, a.failed("get an earlier version of", err)
	}
}

// answered tells whether err is the server's last word, so that asking once
// more gives the same.
func answered(err error) bool {
	var s apierrors.APIStatus
	return errors.As(err, &s) && !apierrors.IsTooManyRequests(err) && !apierrors.IsServerTimeout(err) &&
		!apierrors.IsServiceUnavailable(err) && !apierrors.IsTimeout(err)
}

// frame is one message of a watch.
type frame struct {
	kind   string
	object object
}

const (
	frameAdded    = "ADDED"
	frameModified = "MODIFIED"
	frameDeleted  = "DELETED"
	frameBookmark = "BOOKMARK"
	frameError    = "ERROR"
)

// watcher receives changes.
type watcher struct {
	frames chan frame
	// err is why it ended, nil if it was its time. It may be read once frames
	// is closed.
	err    error
	cancel context.CancelFunc
}

// watch asks for all changes after a version.
func (a *api) watch(ctx context.Context, version string) (*watcher, error) {
	ctx, cancel := context.WithCancel(ctx)
	seconds := watchSeconds + rand.IntN(watchSeconds)
	stream, err := a.all().Param("watch", "true").Param("resourceVersion", version).
		Param("allowWatchBookmarks", "true").Param("timeoutSeconds", strconv.Itoa(seconds)).Stream(ctx)
	if err != nil {
		cancel()
		return nil, a.failed("watch", err)
	}
	w := &watcher{frames: make(chan frame, frameBuffer), cancel: cancel}
	go func() {
		defer close(w.frames)
		defer stream.Close() //nolint:errcheck // it was for reading
		w.err = a.receive(ctx, stream, w.frames)
	}()
	return w, nil
}

// stop ends the watch and waits for it.
func (w *watcher) stop() {
	w.cancel()
	for range w.frames { //nolint:revive // until it is closed
	}
}

func (a *api) receive(ctx context.Context, stream io.Reader, to chan<- frame) error {
	for d := json.NewDecoder(stream); ; {
		var f struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		switch err := d.Decode(&f); {
		case ctx.Err() != nil, errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("watch %s: %w", a.config.what(), err)
		}
		if f.Type == frameError {
			var s metav1.Status
			if err := json.Unmarshal(f.Object, &s); err != nil {
				return fmt.Errorf("watch %s: %s", a.config.what(), f.Object)
			}
			return a.failed("watch", apierrors.FromObject(&s))
		}
		select {
		case to <- frame{f.Type, parse(string(f.Object), "", "")}:
		case <-ctx.Done():
			return nil
		}
	}
}

// failed says what an error of the API server means to the user.
func (a *api) failed(verb string, err error) error {
	what := verb + " " + a.config.what()
	switch {
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err),
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge):
		return fmt.Errorf("%s: %w: %w", what, errGone, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w (the service account needs list and watch)", what, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: the Kubernetes API does not have it in %s (is its CustomResourceDefinition installed, and the name plural?)",
			what, strings.TrimPrefix(path.Join(a.config.Group, a.config.Version), "/"))
	case apierrors.IsMethodNotSupported(err):
		return fmt.Errorf("%s: the Kubernetes API cannot do that with this resource: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
