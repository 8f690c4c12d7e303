package manifest

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// references checks every src of a trigger, wherever it stands in its
// template, against the sensor's dependencies. Paths are from the trigger.
func references(t *v1alpha1.Trigger, deps map[string]*dep) []*v1alpha1.Problem {
	r := &referrer{deps: deps, names: slices.Sorted(maps.Keys(deps))}
	for i, p := range t.Parameters {
		if p.Src != nil {
			r.source("parameters"+v1alpha1.Index(i)+".src", p.Src.DependencyName, p.Src.DataKey, p.Src.DataTemplate)
		}
	}
	if t.Template != nil {
		r.walking, r.written = true, overwritesOf(t.Parameters)
		for _, name := range slices.Sorted(maps.Keys(t.Template.Kinds)) {
			var v any
			if json.Unmarshal(t.Template.Kinds[name].Raw, &v) == nil {
				r.walk(v1alpha1.Key(name), v, 0)
			}
		}
		for _, p := range r.inTemplate {
			p.Path = v1alpha1.Join("template", p.Path)
		}
	}
	found := append(r.found, r.inTemplate...)
	if t.DLQTrigger != nil {
		for _, p := range references(t.DLQTrigger, deps) {
			p.Path = v1alpha1.Join("dlqTrigger", p.Path)
			found = append(found, p)
		}
	}
	return found
}

type referrer struct {
	deps  map[string]*dep
	names []string
	// walking the template, in which triggers[].parameters have written.
	walking           bool
	written           overwrites
	found, inTemplate []*v1alpha1.Problem
}

// walk looks for parameters: objects with a src that names a dependency. What
// is inside a Kubernetes object is that object's own.
func (r *referrer) walk(path string, v any, depth int) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			r.walk(path+v1alpha1.Index(i), e, depth+1)
		}
	case map[string]any:
		if v["apiVersion"] != nil && v["kind"] != nil {
			return
		}
		if src, ok := v["src"].(map[string]any); ok {
			text := func(key string) string { s, _ := src[key].(string); return s }
			r.source(v1alpha1.Join(path, "src"), text("dependencyName"), text("dataKey"), text("dataTemplate"))
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			r.walk(v1alpha1.Join(path, v1alpha1.Key(key)), v[key], depth+1)
		}
	}
}

func (r *referrer) source(path, name, dataKey, dataTemplate string) {
	add := func(p *v1alpha1.Problem) {
		switch {
		case p == nil:
		case !r.walking:
			r.found = append(r.found, p)
		case !r.written.cover(segments(p.Path)):
			r.inTemplate = append(r.inTemplate, p)
		}
	}
	if name == "" { // the check of the parameter says so
		return
	}
	at := v1alpha1.Join(path, "dependencyName")
	d, ok := r.deps[name]
	if !ok {
		p := v1alpha1.Warn(at, "there is no dependency %q, so the parameter is left out each time", name)
		if len(r.names) > 0 {
			p.Hinted("there are %s", some(r.names))
		}
		add(hintNearest(p, name, r.names))
		return
	}
	if dataTemplate == "" || dataKey != "" {
		add(d.deadPath(v1alpha1.Join(path, "dataKey"), dataKey))
	}
}
