// Package resource emits an event when an object of Kubernetes is added,
// changed or deleted.
package resource

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// Kind is spec.resource.
var Kind = eventsource.Kind{
	Kind:            kind.Of("resource", New),
	DataKeys:        []string{"type", "body", "oldBody", "group", "version", "resource", "metadata"},
	NeedsKubernetes: func(kind.Config) bool { return true },
}

// Config says which objects are watched and what is told of them.
type Config struct {
	// Namespace of the objects. Empty means all namespaces, and objects that
	// have none.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Filter drops events of objects for which not all of it holds.
	// +optional
	Filter *Filter `json:"filter,omitempty"`
	// Group of the resource, for example apps. Empty is the core group.
	// +optional
	Group string `json:"group,omitempty"`
	// Version of the resource, for example v1.
	Version string `json:"version"`
	// Resource is the plural, lower-case name, for example pods.
	Resource string `json:"resource"`
	// EventTypes to emit: ADD, UPDATE, DELETE.
	EventTypes []string `json:"eventTypes"`
	// Metadata is put into every event's data, under the key metadata.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// Changed drops updates after which none of these paths has another value
	// than before, for example status.phase or
	// status.conditions.#(type=="Ready").status. The paths are those of
	// filter.fields. This field is Signalbox's own.
	// +optional
	Changed []string `json:"changed,omitempty"`
}

// Filter says which objects' events are emitted. All that is set has to hold.
type Filter struct {
	// Prefix of the object's name.
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// Labels of the object; all have to hold. They are compared by the API
	// server: an object that gets the labels counts as added, and one that
	// loses them as deleted.
	// +optional
	Labels []Selector `json:"labels,omitempty"`
	// Fields of the object; all have to hold. A key is a path such as
	// status.phase in the syntax of gjson, and the value a regular expression
	// that is found anywhere in the field's text. An object without the field
	// does not pass.
	// +optional
	Fields []Selector `json:"fields,omitempty"`
	// CreatedBy lets only objects pass that were created at this time or before.
	// +optional
	CreatedBy *metav1.Time `json:"createdBy,omitempty"`
	// AfterStart emits nothing for the objects that are there when the source
	// runs for the first time. Without it each of them is added then.
	// +optional
	AfterStart bool `json:"afterStart,omitempty"`
}

// Selector compares one label or field.
type Selector struct {
	// Key is the label's name or the field's path.
	Key string `json:"key"`
	// Operation is one of = == != in notin exists ! gt lt for labels, and
	// one of = == != for fields. Defaults to ==.
	// +optional
	Operation string `json:"operation,omitempty"`
	// Value to compare with; several, separated by commas, for in and notin.
	// +optional
	Value string `json:"value,omitempty"`
}

// The types of events, as users write them.
const (
	added   = "ADD"
	updated = "UPDATE"
	deleted = "DELETE"
)

var eventTypes = []string{added, updated, deleted}

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Filter == nil {
		return
	}
	for _, list := range [][]Selector{c.Filter.Labels, c.Filter.Fields} {
		for i := range list {
			if list[i].Operation == "" {
				list[i].Operation = "=="
			}
		}
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	if c.Version == "" {
		errs = append(errs, v1alpha1.Invalid("version", "is missing").Hinted("v1, for example"))
	}
	switch {
	case c.Resource == "":
		errs = append(errs, v1alpha1.Invalid("resource", "is missing").Hinted("the plural, lower-case name: pods, for example"))
	case c.Resource != strings.ToLower(c.Resource):
		errs = append(errs, v1alpha1.Invalid("resource", "%q has upper-case letters", c.Resource).Hinted("the plural, lower-case name: pods, for example"))
	}
	for _, part := range [][2]string{{"group", c.Group}, {"version", c.Version}, {"resource", c.Resource}, {"namespace", c.Namespace}} {
		if strings.ContainsAny(part[1], "/?#% ") {
			errs = append(errs, v1alpha1.Invalid(part[0], "%q is no name", part[1]))
		}
	}
	if len(c.EventTypes) == 0 {
		errs = append(errs, v1alpha1.Invalid("eventTypes", "is empty").Hinted("%s", strings.Join(eventTypes, ", ")))
	}
	for i, t := range c.EventTypes {
		if !slices.Contains(eventTypes, t) {
			errs = append(errs, v1alpha1.Invalid("eventTypes"+v1alpha1.Index(i), "%q is unknown", t).Hinted("%s", strings.Join(eventTypes, ", ")))
		}
	}
	if len(c.Changed) > 0 && !slices.Contains(c.EventTypes, updated) {
		errs = append(errs, v1alpha1.Warn("changed", "has no effect without UPDATE among eventTypes"))
	}
	for i, path := range c.Changed {
		if strings.TrimSpace(path) == "" {
			errs = append(errs, v1alpha1.Invalid("changed"+v1alpha1.Index(i), "is empty"))
		}
	}
	_, err := c.Filter.labels()
	errs = append(errs, err)
	_, err = c.Filter.fields()
	return errors.Join(append(errs, err)...)
}

// labels is the selector of the API server; it is empty if there are none.
func (f *Filter) labels() (labels.Selector, error) {
	all := labels.NewSelector()
	if f == nil {
		return all, nil
	}
	var errs []error
	for i, s := range f.Labels {
		var values []string
		switch op := selection.Operator(s.Operation); op {
		case selection.Exists, selection.DoesNotExist:
		case selection.In, selection.NotIn:
			for v := range strings.SplitSeq(s.Value, ",") {
				values = append(values, strings.TrimSpace(v))
			}
		default:
			values = []string{s.Value}
		}
		r, err := labels.NewRequirement(s.Key, selection.Operator(s.Operation), values)
		if err != nil {
			errs = append(errs, v1alpha1.Invalid("filter.labels"+v1alpha1.Index(i), "%s", oneLine(err)))
			continue
		}
		all = all.Add(*r)
	}
	return all, errors.Join(errs...)
}

// oneLine is an error of several lines, or several errors, on one.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// field is a compiled Selector of a field.
type field struct {
	path  string
	value *regexp.Regexp
	not   bool
}

func (f *Filter) fields() ([]field, error) {
	if f == nil {
		return nil, nil
	}
	var all []field
	var errs []error
	for i, s := range f.Fields {
		at := "filter.fields" + v1alpha1.Index(i)
		if s.Key == "" {
			errs = append(errs, v1alpha1.Invalid(at+".key", "is missing"))
		}
		if !slices.Contains([]string{"=", "==", "!="}, s.Operation) {
			errs = append(errs, v1alpha1.Invalid(at+".operation", "%q is unknown", s.Operation).Hinted("=, ==, !="))
		}
		re, err := regexp.Compile(s.Value)
		if err != nil {
			errs = append(errs, v1alpha1.Invalid(at+".value", "%v", err))
		}
		all = append(all, field{path: s.Key, value: re, not: s.Operation == "!="})
	}
	return all, errors.Join(errs...)
}

// what names the resource for people: pods, deployments.apps.
func (c *Config) what() string {
	name := c.Resource
	if c.Group != "" {
		name += "." + c.Group
	}
	if c.Namespace == "" {
		return name
	}
	return fmt.Sprintf("%s in namespace %s", name, c.Namespace)
}
