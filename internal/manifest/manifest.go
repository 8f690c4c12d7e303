// Package manifest reads files and folders of manifests, decodes the objects in
// them and finds everything that is wrong, each problem with file and line.
//
// run, lint and test go through Load; what checks a single object without a
// file, such as an admission webhook, calls Check.
package manifest

import (
	"cmp"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// DefaultNamespace is the namespace of objects that name none.
const DefaultNamespace = "default"

// Options say what manifests are read for.
type Options struct {
	// Sources and Triggers are the kinds that there are.
	Sources  eventsource.Kinds
	Triggers trigger.Kinds
	// Namespace of objects that name none. Defaults to DefaultNamespace.
	Namespace string
	// OneProcess says that all objects run in one process, so that two
	// EventSources cannot receive requests at one place. Otherwise that is a warning.
	OneProcess bool
	// BaseURL is the address under which the outside reaches the endpoints of
	// EventSources that do not say; empty if it is not known.
	BaseURL string
}

// ID names an object.
type ID struct{ Kind, Namespace, Name string }

// String is "Sensor/name", or "Sensor/namespace/name" outside the default namespace.
func (id ID) String() string {
	if id.Namespace == "" || id.Namespace == DefaultNamespace {
		return id.Kind + "/" + id.Name
	}
	return id.Kind + "/" + id.Namespace + "/" + id.Name
}

// Object is one object of a manifest. Exactly one of the typed fields is set.
type Object struct {
	ID
	// File and Line of the object's beginning.
	File string
	Line int
	// Hash of what the user wrote, status and server-made metadata left out.
	Hash string
	// Broken means that the object has errors and must not run.
	Broken bool
	// Raw is the object as JSON.
	Raw json.RawMessage

	EventBus    *v1alpha1.EventBus
	EventSource *v1alpha1.EventSource
	Sensor      *v1alpha1.Sensor
	Secret      *corev1.Secret
	ConfigMap   *corev1.ConfigMap

	// Entries of an EventSource that are of a kind that there is and have no
	// errors, by kind and event name.
	Entries []Entry

	place    place
	problems []*v1alpha1.Problem
}

// Entry is one event of an EventSource.
type Entry struct {
	Kind  eventsource.Kind
	Event string
	// Path of the entry in the object, such as spec.webhook.push.
	Path string
	// Config is defaulted and valid.
	Config kind.Config
	// Routes at which the entry receives HTTP requests.
	Routes []eventsource.Route
}

// Problem is one thing wrong, with its place.
type Problem struct {
	// File is empty and Line 0 where the problem is in no file.
	File string
	Line int
	// Object such as "Sensor/name"; empty if the problem is no object's.
	Object string
	*v1alpha1.Problem
}

// Set is everything that was read.
type Set struct {
	// Objects by kind, namespace and name. Of objects that are there twice it
	// has the first.
	Objects []*Object
	// Problems by file and line.
	Problems []Problem

	// unreadable are files and folders of which a part could not be read, so
	// that objects may be in them that the Set does not have.
	unreadable map[string]bool
	others     []Other
}

// Find returns the object, or nil.
func (s *Set) Find(id ID) *Object {
	i, ok := slices.BinarySearchFunc(s.Objects, id, func(o *Object, id ID) int { return compareIDs(o.ID, id) })
	if !ok {
		return nil
	}
	return s.Objects[i]
}

// OfKind returns the objects of a kind, broken ones included.
func (s *Set) OfKind(kind string) []*Object {
	var of []*Object
	for _, o := range s.Objects {
		if o.Kind == kind {
			of = append(of, o)
		}
	}
	return of
}

// Secrets returns the Secrets and ConfigMaps of a namespace.
func (s *Set) Secrets(namespace string) secret.Objects {
	objects := secret.Objects{Secrets: map[string]map[string][]byte{}, ConfigMaps: map[string]map[string][]byte{}}
	for _, o := range s.Objects {
		switch {
		case o.Namespace != namespace:
		case o.Secret != nil:
			objects.Secrets[o.Name] = secretData(o.Secret)
		case o.ConfigMap != nil:
			objects.ConfigMaps[o.Name] = configMapData(o.ConfigMap)
		}
	}
	return objects
}

// Count returns the number of problems of a severity.
func (s *Set) Count(severity v1alpha1.Severity) int {
	n := 0
	for _, p := range s.Problems {
		if p.Severity == severity {
			n++
		}
	}
	return n
}

func compareIDs(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func secretData(s *corev1.Secret) map[string][]byte {
	data := map[string][]byte{}
	for k, v := range s.Data {
		data[k] = v
	}
	for k, v := range s.StringData {
		data[k] = []byte(v)
	}
	return data
}

func configMapData(c *corev1.ConfigMap) map[string][]byte {
	data := map[string][]byte{}
	for k, v := range c.BinaryData {
		data[k] = v
	}
	for k, v := range c.Data {
		data[k] = []byte(v)
	}
	return data
}
