package k8s

import (
	"errors"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/artifact"
	"github.com/signalbox-events/signalbox/sensor/param"
)

// Config says which Kubernetes object to create, change or delete.
type Config struct {
	// Source says where the object is. It needs apiVersion, kind and a name; to
	// create one, generateName will do.
	Source *artifact.Location `json:"source"`
	// Operation is create (default), update, patch or delete.
	// +optional
	Operation string `json:"operation,omitempty"`
	// Parameters are put into the object before it is used; the root of dest is
	// the object, for example metadata.name or spec.replicas.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// PatchStrategy is application/merge-patch+json (default),
	// application/strategic-merge-patch+json, application/json-patch+json or
	// application/apply-patch+yaml. A JSON patch is the list patch of the object.
	// +optional
	PatchStrategy string `json:"patchStrategy,omitempty"`
	// LiveObject makes update put the parameters into the object as it is in the
	// cluster, instead of that of source, which only names it.
	// +optional
	LiveObject bool `json:"liveObject,omitempty"`
}

// The operations.
const (
	opCreate = "create"
	opUpdate = "update"
	opPatch  = "patch"
	opDelete = "delete"
)

var (
	operations = []string{opCreate, opUpdate, opPatch, opDelete}
	strategies = []string{
		string(types.MergePatchType), string(types.StrategicMergePatchType), string(types.JSONPatchType), string(types.ApplyPatchType),
	}
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Operation == "" {
		c.Operation = opCreate
	}
	if c.Operation == opPatch && c.PatchStrategy == "" {
		c.PatchStrategy = string(types.MergePatchType)
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	if !slices.Contains(operations, c.Operation) {
		errs = append(errs, oneOf("operation", c.Operation, operations))
	}
	if c.PatchStrategy != "" && !slices.Contains(strategies, c.PatchStrategy) {
		errs = append(errs, oneOf("patchStrategy", c.PatchStrategy, strategies))
	} else if c.PatchStrategy != "" && c.Operation != opPatch {
		errs = append(errs, v1alpha1.Warn("patchStrategy", "has no effect on %s", c.Operation))
	}
	if c.LiveObject && c.Operation != opUpdate {
		errs = append(errs, v1alpha1.Warn("liveObject", "has no effect on %s", c.Operation))
	}
	errs = append(errs, v1alpha1.At("source", c.Source.Validate()))
	_, err := param.Compile(c.Parameters)
	errs = append(errs, v1alpha1.At("parameters", err))
	if c.Source.Fixed() {
		errs = append(errs, c.validateObject())
	}
	return errors.Join(errs...)
}

func oneOf(path, word string, known []string) error {
	bad := v1alpha1.Invalid(path, "%q is not known", word)
	if near := kind.Nearest(word, known); near != "" {
		return bad.Hinted("did you mean %s?", near)
	}
	return bad.Hinted("use one of %s", strings.Join(known, ", "))
}

// validateObject looks at an object that stands in the manifest. What a
// parameter may yet write is not missing.
func (c *Config) validateObject() error {
	path, text := "source.inline", []byte(c.Source.Inline)
	if len(text) == 0 {
		path, text = "source.resource", c.Source.Resource.Raw
	}
	raw, err := toJSON(text)
	if err != nil {
		return v1alpha1.Invalid(path, "%v", err)
	}
	o, err := decode(raw)
	if err != nil {
		return v1alpha1.Invalid(path, "%v", err)
	}
	var errs []error
	for _, p := range missing(o, c.Operation, c.PatchStrategy, c.LiveObject) {
		written := slices.ContainsFunc(c.Parameters, func(w v1alpha1.TriggerParameter) bool {
			return w.Dest == p || p == pathName && c.Operation == opCreate && w.Dest == "metadata.generateName" ||
				strings.HasPrefix(p, w.Dest+".") || strings.HasPrefix(w.Dest, p+".")
		})
		if !written {
			errs = append(errs, v1alpha1.Invalid(v1alpha1.Join(path, p), "is required"))
		}
	}
	return errors.Join(errs...)
}
