package manifest

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/condition"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// references checks every src of a trigger, wherever it stands in its
// template, against the sensor's dependencies. Paths are from the trigger.
func references(t *v1alpha1.Trigger, deps map[string]*dep, kinds trigger.Kinds) []*v1alpha1.Problem {
	r := &referrer{deps: deps, names: slices.Sorted(maps.Keys(deps))}
	for i, p := range t.Parameters {
		if p.Src != nil {
			r.source("parameters"+v1alpha1.Index(i)+".src", p.Src.DependencyName, p.Src.DataKey, p.Src.DataTemplate)
		}
	}
	if t.Template != nil {
		r.walking, r.written = true, overwritesOf(t.Parameters)
		for _, name := range slices.Sorted(maps.Keys(t.Template.Kinds)) {
			k, _ := kinds.Named(name)
			r.texts = k.Texts
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
		for _, p := range references(t.DLQTrigger, deps, kinds) {
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
	walking bool
	// texts may be templates over all events.
	texts             bool
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
	case string:
		if r.texts && strings.Contains(v, "{{") {
			r.text(path, v)
		}
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
			return // its templates are over one event
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			r.walk(v1alpha1.Join(path, v1alpha1.Key(key)), v[key], depth+1)
		}
	}
}

func (r *referrer) add(p *v1alpha1.Problem) {
	switch {
	case p == nil:
	case !r.walking:
		r.found = append(r.found, p)
	case !r.written.cover(segments(p.Path)):
		r.inTemplate = append(r.inTemplate, p)
	}
}

// inputPath is what a template names of the events: the dependency, data or
// context, and a key.
var inputPath = regexp.MustCompile(`\.Input\.([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?(?:\.([A-Za-z_]\w*))?`)

// text checks what a template over all events names.
func (r *referrer) text(path, text string) {
	said := map[string]bool{}
	for _, m := range inputPath.FindAllStringSubmatch(text, -1) {
		if name, part, key := m[1], m[2], m[3]; !said[m[0]] {
			said[m[0]] = true
			r.named(path, name, part, key)
		}
	}
}

func (r *referrer) named(path, name, part, key string) {
	d, ok := r.deps[name]
	switch {
	case !ok:
		p := v1alpha1.Warn(path, "there is no dependency %q for .Input.%s", name, name)
		if len(r.names) > 0 {
			p.Hinted("there are %s", some(r.names))
		}
		r.add(hintNearest(p, name, r.names))
	case part != "" && part != "data" && part != "context":
		r.add(v1alpha1.Warn(path, ".Input.%s has data and context, and no %s", name, part).Hinted("did you mean .Input.%s.data.%s?", name, part))
	case part == "data" && key != "":
		r.add(d.deadPath(path, key))
	}
}

func (r *referrer) source(path, name, dataKey, dataTemplate string) {
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
		r.add(hintNearest(p, name, r.names))
		return
	}
	if dataTemplate == "" || dataKey != "" {
		r.add(d.deadPath(v1alpha1.Join(path, "dataKey"), dataKey))
	}
}

// unused are the dependencies that no trigger waits for.
func unused(s *v1alpha1.SensorSpec) []*v1alpha1.Problem {
	names := make([]string, 0, len(s.Dependencies))
	for i := range s.Dependencies {
		names = append(names, s.Dependencies[i].Name)
	}
	used := map[string]bool{}
	for i := range s.Triggers {
		t := s.Triggers[i].Template
		if t == nil || t.Conditions == "" {
			return nil // it waits for all, or its own check has something to say
		}
		e, err := condition.Parse(t.Conditions, names)
		if err != nil {
			return nil
		}
		for _, name := range e.Names() {
			used[name] = true
		}
	}
	var found []*v1alpha1.Problem
	for i, name := range names {
		if !used[name] && name != "" && len(s.Triggers) > 0 {
			found = append(found, v1alpha1.Warn("spec.dependencies"+v1alpha1.Index(i)+".name", "no trigger's condition has %q, so its events do nothing", name))
		}
	}
	return found
}
