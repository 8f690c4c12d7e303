package argocd

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
)

// checkValues looks at set.helm.valuesObject.
func checkValues(raw *apiextv1.JSON) error {
	if raw == nil {
		return nil
	}
	var values map[string]any
	if err := json.Unmarshal(raw.Raw, &values); err != nil || values == nil {
		return v1alpha1.Invalid("", "is no object")
	}
	var errs []error
	eachString(values, func(s string) string {
		if _, err := param.CompileText(s); err != nil {
			errs = append(errs, v1alpha1.Invalid("", "%v", err))
		}
		return s
	})
	return errors.Join(errs...)
}

// imageName is the part of a kustomize image by which Argo CD knows it.
func imageName(image string) string {
	for _, sep := range []string{"=", ":", "@"} {
		if i := strings.Index(image, sep); i >= 0 {
			return image[:i]
		}
	}
	return image
}

func imageRest(image string) string { return strings.TrimPrefix(image, imageName(image)) }

// specPatch is the merge patch, below spec, that makes the application's source
// what the request wants; nil if it is so already.
func (r *request) specPatch(app *application) (map[string]any, error) {
	all := app.sources()
	at, err := r.position(app, all)
	if err != nil {
		return nil, err
	}
	old := all[at]
	next, err := r.changed(old)
	if err != nil {
		return nil, err
	}
	if reflect.DeepEqual(old, next) {
		return nil, nil
	}
	if app.multiSource() { // a merge patch replaces the whole list
		sources := make([]any, len(all))
		for i, s := range all {
			sources[i] = s
		}
		sources[at] = next
		return map[string]any{"sources": sources}, nil
	}
	patch := map[string]any{}
	for key, v := range next {
		if !reflect.DeepEqual(old[key], v) {
			patch[key] = v
		}
	}
	if helm, ok := patch["helm"].(map[string]any); ok {
		patch["helm"] = mergePatch(old["helm"], helm)
	}
	return map[string]any{"source": patch}, nil
}

// mergePatch is next as a merge patch on old: what is gone becomes null.
func mergePatch(old any, next map[string]any) map[string]any {
	was, _ := old.(map[string]any)
	patch := map[string]any{}
	for key, v := range next {
		if m, ok := v.(map[string]any); ok {
			v = any(mergePatch(was[key], m))
		}
		patch[key] = v
	}
	for key := range was {
		if _, ok := next[key]; !ok {
			patch[key] = nil
		}
	}
	return patch
}

// position of the source that is to be changed.
func (r *request) position(app *application, all []map[string]any) (int, error) {
	s := r.conf.Set
	switch {
	case len(all) == 0 && app.part("spec", "sourceHydrator") != nil:
		return 0, errors.New("its source is hydrated: change it in Git")
	case len(all) == 0:
		return 0, errors.New("it has no source")
	case s.SourceName != "":
		i := slices.IndexFunc(all, func(m map[string]any) bool { return text(m, "name") == s.SourceName })
		if i < 0 {
			return 0, fmt.Errorf("it has no source %q", s.SourceName)
		}
		return i, nil
	case s.SourcePosition > 0:
		if int(s.SourcePosition) > len(all) {
			return 0, fmt.Errorf("it has %d sources, and none at position %d", len(all), s.SourcePosition)
		}
		return int(s.SourcePosition) - 1, nil
	case len(all) > 1:
		return 0, fmt.Errorf("it has %d sources: give set.sourceName or set.sourcePosition", len(all))
	}
	return 0, nil
}

// changed is the source as it is to be.
func (r *request) changed(old map[string]any) (map[string]any, error) {
	s := r.conf.Set
	next := runtime.DeepCopyJSON(old)
	if next == nil {
		next = map[string]any{}
	}
	if s.TargetRevision != "" {
		next["targetRevision"] = s.TargetRevision
	}
	kustomize := len(s.Images) > 0 || len(s.Replicas) > 0
	switch {
	case kustomize && (text(next, "chart") != "" || len(block(next, "helm")) > 0):
		return nil, errors.New("its source is a chart: set.images and set.replicas are for kustomize")
	case s.Helm != nil && len(block(next, "kustomize")) > 0:
		return nil, errors.New("its source is for kustomize: set.helm is for charts")
	case kustomize:
		k := block(next, "kustomize")
		if err := s.kustomize(k); err != nil {
			return nil, err
		}
		next["kustomize"] = k
	case s.Helm != nil:
		h := block(next, "helm")
		if err := s.Helm.into(h, r.values); err != nil {
			return nil, err
		}
		next["helm"] = h
	}
	return next, nil
}

func block(source map[string]any, key string) map[string]any {
	m, _ := source[key].(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	return m
}

func (s *Set) kustomize(k map[string]any) error {
	images := list(k, "images")
	for _, image := range s.Images {
		images = put(images, image, func(v any) bool {
			old, _ := v.(string)
			return imageName(old) == imageName(image)
		})
	}
	if len(images) > 0 {
		k["images"] = images
	}
	replicas := list(k, "replicas")
	for _, r := range s.Replicas {
		count, err := strconv.ParseInt(r.Count, 10, 32)
		if err != nil || count < 0 {
			return fmt.Errorf("set.replicas: %q is no number of replicas", r.Count)
		}
		replicas = put(replicas, map[string]any{"name": r.Name, "count": count}, named(r.Name))
	}
	if len(replicas) > 0 {
		k["replicas"] = replicas
	}
	return nil
}

// put replaces the first item that is the same, or adds one.
func put(items []any, item any, same func(any) bool) []any {
	if i := slices.IndexFunc(items, same); i >= 0 {
		items[i] = item
		return items
	}
	return append(items, item)
}

func named(name string) func(any) bool {
	return func(v any) bool {
		m, _ := v.(map[string]any)
		return text(m, "name") == name
	}
}

func (h *Helm) into(to, values map[string]any) error {
	params := list(to, "parameters")
	for _, p := range h.Parameters {
		item := map[string]any{"name": p.Name, "value": p.Value}
		if p.ForceString {
			item["forceString"] = true
		}
		params = put(params, item, named(p.Name))
	}
	if len(params) > 0 {
		to["parameters"] = params
	}
	if h.Values != "" {
		to["values"] = h.Values
	}
	if values == nil {
		return nil
	}
	have, _ := to["valuesObject"].(map[string]any)
	if have == nil { // an object would hide the text
		have = map[string]any{}
		if text := text(to, "values"); text != "" {
			raw, err := yaml.YAMLToJSON([]byte(text))
			if err == nil {
				err = kjson.UnmarshalCaseSensitivePreserveInts(raw, &have)
			}
			if err != nil {
				return fmt.Errorf("the values that are there are no YAML object, so nothing can be merged into them: %w", err)
			}
		}
	}
	if have == nil {
		have = map[string]any{}
	}
	merge(have, values)
	to["valuesObject"] = have
	return nil
}

// merge applies a merge patch.
func merge(to, patch map[string]any) {
	for key, v := range patch {
		m, isMap := v.(map[string]any)
		old, wasMap := to[key].(map[string]any)
		switch {
		case v == nil:
			delete(to, key)
		case isMap && wasMap:
			merge(old, m)
		case isMap:
			fresh := map[string]any{}
			merge(fresh, m)
			to[key] = fresh
		default:
			to[key] = v
		}
	}
}
