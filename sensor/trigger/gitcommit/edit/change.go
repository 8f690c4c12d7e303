// Package edit changes values in the files of a repository: images, Helm values,
// YAML and JSON paths, whole files. Of a YAML or JSON file nothing but the
// characters of the value change: comments, order, quotes and line ends stay.
package edit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
)

// Files are those of a repository. Paths have slashes and begin at its root.
type Files interface {
	// Read returns a file's content; the error wraps fs.ErrNotExist if there is none.
	Read(path string) ([]byte, error)
	// Write makes or replaces a file.
	Write(path string, data []byte) error
	// Remove deletes a file.
	Remove(path string) error
	// List returns the paths that a pattern of internal/glob matches, sorted.
	List(pattern string) ([]string, error)
}

// Edit is one value that was changed.
type Edit struct {
	// Path of the file.
	Path string `json:"path"`
	// What in it, such as spec.template.spec.containers[0].image; empty for a whole file.
	What string `json:"what,omitempty"`
	// Old and New values as text; Old is empty if there was none, New if it was
	// removed. Long ones are cut. Of whole files they are sizes.
	Old string `json:"old"`
	New string `json:"new"`
}

// Change says what to change in the repository: one of its fields. All texts in
// it may be Go templates over the events, such as
// {{ .Input.push.data.image.tag }}, with the functions of dataTemplate. Signalbox.
type Change struct {
	// Image sets tag or digest of an image wherever manifests use it. Signalbox.
	// +optional
	Image *Image `json:"image,omitempty"`
	// Kustomization sets the entry of an image in a kustomization file. Signalbox.
	// +optional
	Kustomization *Kustomization `json:"kustomization,omitempty"`
	// Helm sets image values in a Helm chart's values file. Signalbox.
	// +optional
	Helm *Helm `json:"helm,omitempty"`
	// YAML sets one value in YAML files. Signalbox.
	// +optional
	YAML *YAML `json:"yaml,omitempty"`
	// JSON sets one value in JSON files. Signalbox.
	// +optional
	JSON *JSON `json:"json,omitempty"`
	// File writes or removes a whole file. Signalbox.
	// +optional
	File *File `json:"file,omitempty"`
}

// Image is an image in plain manifests: wherever a key image (or, for image
// volumes, image.reference) has it. Signalbox.
type Image struct {
	// Files to look at: paths from the repository's root, or patterns (* is any
	// characters but /, ** any characters, ? one; **/ any number of folders).
	// Those that begin with ! are left out.
	Files []string `json:"files"`
	// Name of the image, without tag and digest, such as ghcr.io/acme/api.
	// nginx and docker.io/library/nginx are the same.
	Name string `json:"name"`
	// Tag to set. An image that had a digest loses it, unless digest is given too.
	// +optional
	Tag string `json:"tag,omitempty"`
	// Digest to set, sha256:... . An image that had a tag loses it, unless tag is
	// given too.
	// +optional
	Digest string `json:"digest,omitempty"`
	// NewName replaces the name; images that have it already are meant, too. Without
	// tag and digest, those that are there stay.
	// +optional
	NewName string `json:"newName,omitempty"`
}

// Kustomization is an entry of images in a kustomization file. Signalbox.
type Kustomization struct {
	// Path of the file, or of the folder that has it.
	Path string `json:"path"`
	// Name of the image as the manifests have it. The entry is added if there is none.
	Name string `json:"name"`
	// NewName to set.
	// +optional
	NewName string `json:"newName,omitempty"`
	// NewTag to set. The entry loses its digest, unless digest is given too.
	// +optional
	NewTag string `json:"newTag,omitempty"`
	// Digest to set. The entry loses its newTag, unless that is given too.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// Helm sets values of an image in a values file. Signalbox.
type Helm struct {
	// File is the path of the values file, such as charts/api/values.yaml.
	File string `json:"file"`
	// Image is the path of the block that has repository, tag and digest, or of
	// the text REPOSITORY:TAG. Paths are those of yaml.path.
	// +optional
	Image string `json:"image,omitempty"`
	// Repository to set.
	// +optional
	Repository string `json:"repository,omitempty"`
	// Tag to set.
	// +optional
	Tag string `json:"tag,omitempty"`
	// Digest to set.
	// +optional
	Digest string `json:"digest,omitempty"`
	// RepositoryPath is where repository goes. Defaults to image.repository with
	// image as given above.
	// +optional
	RepositoryPath string `json:"repositoryPath,omitempty"`
	// TagPath is where tag goes. Defaults to image.tag with image as given above.
	// +optional
	TagPath string `json:"tagPath,omitempty"`
	// DigestPath is where digest goes. Defaults to image.digest with image as
	// given above.
	// +optional
	DigestPath string `json:"digestPath,omitempty"`
	// Create adds keys that are missing.
	// +optional
	Create bool `json:"create,omitempty"`
}

// YAML is one value in YAML files. Signalbox.
type YAML struct {
	// Files to change: paths from the repository's root, or patterns (* is any
	// characters but /, ** any characters, ? one; **/ any number of folders).
	// Those that begin with ! are left out. Of the files that a pattern finds, only
	// those are changed that have the document and, without create, the path.
	Files []string `json:"files"`
	// Document says which of a file's documents is meant. Without it, the one that
	// has the path.
	// +optional
	Document *Document `json:"document,omitempty"`
	// Path of the value: keys with dots between, [2] for an element by its
	// position, [name=web] for the one whose name is web. Keys with dots,
	// brackets or spaces are quoted: metadata.annotations["example.com/x"]; or a
	// backslash stands before the character: example\.com/x.
	Path string `json:"path"`
	// Value to set; leave it out for type null.
	// +optional
	Value string `json:"value,omitempty"`
	// Type of the value: string, number, bool or null. Defaults to the type of
	// what is there if value can be one and reads the same afterwards (not 1.10,
	// which is the number 1.1), or else to string.
	// +kubebuilder:validation:Enum=string;number;bool;null;""
	// +optional
	Type string `json:"type,omitempty"`
	// Create adds the keys of path that are missing; and for a missing [name=web]
	// an element with that name.
	// +optional
	Create bool `json:"create,omitempty"`
}

// Document selects documents of a YAML file. All that is given must fit. Signalbox.
type Document struct {
	// APIVersion of the object.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the object.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name of the object, metadata.name.
	// +optional
	Name string `json:"name,omitempty"`
	// Namespace of the object, metadata.namespace.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Index of the document in its file, from 0.
	// +optional
	Index *int32 `json:"index,omitempty"`
}

// JSON is one value in JSON files. Signalbox.
type JSON struct {
	// Files to change, as in yaml.
	Files []string `json:"files"`
	// Path of the value, as in yaml.
	Path string `json:"path"`
	// Value to set; leave it out for type null.
	// +optional
	Value string `json:"value,omitempty"`
	// Type of the value, as in yaml.
	// +kubebuilder:validation:Enum=string;number;bool;null;""
	// +optional
	Type string `json:"type,omitempty"`
	// Create adds what is missing, as in yaml.
	// +optional
	Create bool `json:"create,omitempty"`
}

// File is a whole file. Signalbox.
type File struct {
	// Path of the file from the repository's root.
	Path string `json:"path"`
	// Content to write.
	// +optional
	Content string `json:"content,omitempty"`
	// Remove the file instead. It is no error if it is gone.
	// +optional
	Remove bool `json:"remove,omitempty"`
}

// action is what each kind of change can do.
type action interface {
	// texts are all texts that may be templates, by their path.
	texts() []text
	// check says what is wrong; texts that are templates have not been filled in
	// yet unless final.
	check(final bool) error
	targets() []string
	apply(files Files) ([]Edit, error)
}

type text struct {
	path string
	at   *string
}

// Validate reports all that is wrong, with paths from the change.
func (c *Change) Validate() error {
	a, name, err := c.only()
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range a.texts() {
		if _, err := param.CompileText(*t.at); err != nil {
			errs = append(errs, v1alpha1.At(t.path, err))
		}
	}
	return v1alpha1.At(name, errors.Join(append(errs, a.check(false))...))
}

// only is the one kind of change that is given.
func (c *Change) only() (a action, name string, err error) {
	given := c.given()
	if len(given) != 1 {
		return nil, "", v1alpha1.Invalid("", "names %d kinds of change", len(given)).
			Hinted("give one of image, kustomization, helm, yaml, json and file")
	}
	for name, a = range given {
	}
	return a, name, nil
}

// given are copies, so that templates can be filled in.
func (c *Change) given() map[string]action {
	m := map[string]action{}
	if c.Image != nil {
		v := *c.Image
		v.Files = append([]string(nil), v.Files...)
		m["image"] = &v
	}
	if c.Kustomization != nil {
		v := *c.Kustomization
		m["kustomization"] = &v
	}
	if c.Helm != nil {
		v := *c.Helm
		m["helm"] = &v
	}
	if c.YAML != nil {
		v := *c.YAML
		v.Files = append([]string(nil), v.Files...)
		if v.Document != nil {
			d := *v.Document
			v.Document = &d
		}
		m["yaml"] = &v
	}
	if c.JSON != nil {
		v := *c.JSON
		v.Files = append([]string(nil), v.Files...)
		m["json"] = &v
	}
	if c.File != nil {
		v := *c.File
		m["file"] = &v
	}
	return m
}

// Resolved is a Change whose templates are filled in. As JSON it looks like the
// Change.
type Resolved struct {
	name string
	action
}

// MarshalJSON implements json.Marshaler.
func (r Resolved) MarshalJSON() ([]byte, error) {
	if r.action == nil {
		return []byte("null"), nil
	}
	return encode(map[string]action{r.name: r.action})
}

// Resolve fills in the templates. The same events always give the same result or
// error.
func (c *Change) Resolve(events map[string]*event.Event) (Resolved, error) {
	a, name, err := c.only()
	if err != nil {
		return Resolved{}, err
	}
	for _, t := range a.texts() {
		compiled, err := param.CompileText(*t.at)
		if err == nil {
			*t.at, err = compiled.Of(events)
		}
		if err != nil {
			return Resolved{}, fmt.Errorf("%s.%s: %w", name, t.path, err)
		}
	}
	if err := v1alpha1.Fatal(v1alpha1.At(name, a.check(true))); err != nil {
		return Resolved{}, err
	}
	return Resolved{name: name, action: a}, nil
}

// Targets are names for all that the change sets, such as
// "deploy/values.yaml image.tag". Of two changes with a target in common the
// later one wins.
func (r Resolved) Targets() []string {
	if r.action == nil {
		return nil
	}
	return r.targets()
}

// Apply changes the files and returns what has really changed; none if all is so
// already. After an error no file has been written, unless writing itself failed.
// Errors name file and, if there is one, line.
func (r Resolved) Apply(files Files) ([]Edit, error) {
	if r.action == nil {
		return nil, errors.New("there is no change")
	}
	return r.apply(files)
}

// fixed tells whether a text is no template.
func fixed(s string) bool { return !strings.Contains(s, "{{") }

// decided tells whether a text can be judged.
func decided(s string, final bool) bool { return final || fixed(s) }
