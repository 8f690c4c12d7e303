package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// together checks objects against each other. all are in the order in which
// they were read, those that are not in the set because their name is taken too.
func (c *checker) together(s *Set, all []*Object) {
	c.routes(s, all)
	w := &world{checker: c, sources: map[string]map[string]*v1alpha1.EventSource{}, emitted: emitted{}}
	for _, o := range s.Objects {
		if es := o.EventSource; es != nil {
			if w.sources[o.Namespace] == nil {
				w.sources[o.Namespace] = map[string]*v1alpha1.EventSource{}
			}
			w.sources[o.Namespace][o.Name] = es
		}
		if o.Sensor != nil {
			w.emitted.add(o.Namespace, o.Sensor, c.Triggers)
		}
	}
	for _, o := range all {
		if o.Sensor != nil {
			o.problems = append(o.problems, w.sensor(o)...)
		}
	}
}

// routes reports EventSources that get in each other's way: the one that was
// read first keeps the place.
func (c *checker) routes(s *Set, all []*Object) {
	type owned struct {
		Entry
		of *Object
	}
	var before []owned
	for _, o := range all {
		if s.Find(o.ID) != o {
			continue
		}
		var kept []Entry
		for _, e := range o.Entries {
			free := true
			for _, other := range before {
				if other.of == o {
					continue
				}
				if p := clash(e, other.Entry); p != nil {
					if free = !c.OneProcess; free { // in a cluster each has pods of its own
						p.Severity = v1alpha1.Warning
					}
					p.Message = strings.Replace(p.Message, other.Path, fmt.Sprintf("%s of %s", other.Path, other.of.ID), 1)
					o.problems = append(o.problems, p)
				}
			}
			if free {
				before, kept = append(before, owned{e, o}), append(kept, e)
			}
		}
		o.Entries = kept
	}
}

// world is what a Sensor's names can refer to.
type world struct {
	*checker
	// sources by namespace and name.
	sources map[string]map[string]*v1alpha1.EventSource
	// emitted are the addresses that sensors put events at themselves.
	emitted emitted
}

// facts are what is known of the events of a dependency.
type facts struct {
	// kind of the source; empty if unknown.
	kind string
	// eventType is their CloudEvents type.
	eventType string
	// keys at the top of their data; empty if it can have any.
	keys []string
	// foreign events bring their own attributes.
	foreign bool
	// assumed tells that the kind was taken from the EventSource's name.
	assumed bool
}

func (w *world) facts(name string) (facts, bool) {
	if k, ok := w.Sources.Named(name); ok {
		f := facts{kind: k.Name, eventType: k.EventType, keys: k.DataKeys, foreign: k.ForeignContext}
		if f.eventType == "" {
			f.eventType = k.Name
		}
		return f, true
	}
	if k, ok := w.later.sources[name]; ok {
		return facts{kind: name, eventType: strings.ToLower(name), keys: k.dataKeys}, true
	}
	return facts{}, false
}

// find looks up what a dependency listens to.
func (w *world) find(namespace string, d *v1alpha1.EventDependency) (facts, *v1alpha1.Problem) {
	if d.EventSourceName == "" { // the check of the sensor says so
		return facts{}, nil
	}
	told := facts{kind: "outcome", eventType: "outcome", keys: outcomeKeys}
	switch w.emitted.at(namespace, d.EventSourceName, d.EventName) {
	case byEmit:
		return facts{foreign: true}, nil
	case byOutcome:
		return told, nil
	case byMute:
		return told, v1alpha1.Warn("eventName", "the trigger of Sensor %q does not tell its outcome", d.EventSourceName).Hinted("give it follow: {emit: true}")
	case byShort:
		return facts{}, v1alpha1.Warn("eventName", "triggers of the kind that Sensor %q has there do not tell an outcome", d.EventSourceName)
	}
	sources := w.sources[namespace]
	es := sources[d.EventSourceName]
	if es == nil {
		if told := w.emitted.of(namespace, d.EventSourceName); len(told) > 0 {
			p := v1alpha1.Warn("eventName", "Sensor %q puts no event %q on the bus", d.EventSourceName, d.EventName)
			return facts{}, hintNearest(p, d.EventName, told)
		}
		f := w.assume(d.EventSourceName)
		if len(sources) == 0 {
			return f, nil
		}
		p := v1alpha1.Warn("eventSourceName", "there is no EventSource %q among the manifests", d.EventSourceName)
		return f, hintNearest(p, d.EventSourceName, slices.Concat(slices.Sorted(maps.Keys(sources)), w.emitted.sources(namespace)))
	}
	var events []string
	for name, entries := range es.Spec.Sources {
		for event := range entries {
			if event == d.EventName {
				f, _ := w.facts(name)
				return f, nil
			}
			events = append(events, event)
		}
	}
	slices.Sort(events)
	f := facts{}
	if kinds := slices.Sorted(maps.Keys(es.Spec.Sources)); len(kinds) == 1 {
		f, _ = w.facts(kinds[0])
	}
	if d.EventName == "" {
		return f, nil
	}
	p := v1alpha1.Warn("eventName", "EventSource %q has no event %q", d.EventSourceName, d.EventName)
	if len(events) > 0 {
		p.Hinted("it has %s", some(events))
	}
	return f, hintNearest(p, d.EventName, events)
}

// assume takes the kind of an EventSource that is not there from its name.
func (w *world) assume(source string) facts {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }
	var kinds []string
	for _, k := range w.Sources {
		kinds = append(kinds, k.Name)
	}
	for _, name := range slices.Concat(kinds, slices.Sorted(maps.Keys(w.later.sources))) {
		if plain(name) == plain(source) {
			f, _ := w.facts(name)
			f.assumed = true
			return f
		}
	}
	return facts{}
}

func hintNearest(p *v1alpha1.Problem, word string, known []string) *v1alpha1.Problem {
	if near := kind.Nearest(word, known); near != "" {
		p.Hinted("did you mean %q?", near)
	}
	return p
}

// sensor checks what a Sensor refers to.
func (w *world) sensor(o *Object) []*v1alpha1.Problem {
	var found []*v1alpha1.Problem
	deps := map[string]*dep{}
	for i := range o.Sensor.Spec.Dependencies {
		d := &o.Sensor.Spec.Dependencies[i]
		at := "spec.dependencies" + v1alpha1.Index(i)
		f, p := w.find(o.Namespace, d)
		if p != nil {
			p.Path = v1alpha1.Join(at, p.Path)
			found = append(found, p)
		}
		known := &dep{facts: f, source: d.EventSourceName, transformed: d.Transform != nil}
		deps[d.Name] = known
		for _, p := range filterPaths(d, known) {
			p.Path = v1alpha1.Join(at, p.Path)
			found = append(found, p)
		}
	}
	found = append(found, unused(&o.Sensor.Spec)...)
	for i := range o.Sensor.Spec.Triggers {
		for _, p := range references(&o.Sensor.Spec.Triggers[i], deps, w.Triggers) {
			p.Path = v1alpha1.Join("spec.triggers"+v1alpha1.Index(i), p.Path)
			found = append(found, p)
		}
	}
	return found
}

// dep is a dependency as far as paths into its events are concerned.
type dep struct {
	facts
	source      string
	transformed bool
}

// filterPaths checks what the filters of a dependency look at.
func filterPaths(d *v1alpha1.EventDependency, known *dep) []*v1alpha1.Problem {
	f := d.Filters
	if f == nil {
		return nil
	}
	var found []*v1alpha1.Problem
	add := func(p *v1alpha1.Problem) {
		if p != nil {
			found = append(found, p)
		}
	}
	for i, data := range f.Data {
		add(known.deadPath("filters.data"+v1alpha1.Index(i)+".path", data.Path))
	}
	for i, e := range f.Exprs {
		for j, field := range e.Fields {
			add(known.deadPath("filters.exprs"+v1alpha1.Index(i)+".fields"+v1alpha1.Index(j)+".path", field.Path))
		}
	}
	if c := f.Context; c != nil && !known.foreign {
		never := func(key, want, is string) {
			if want != "" && is != "" && want != is {
				add(v1alpha1.Warn("filters.context."+key, "no event can match: %q is not the %s of these events, %q is", want, key, is))
			}
		}
		never("source", c.Source, d.EventSourceName)
		never("subject", c.Subject, d.EventName)
		if !known.assumed {
			never("type", c.Type, known.eventType)
		}
	}
	return found
}

// deadPath is the warning for a gjson path that no event of the dependency can
// have; nil if it may exist.
func (d *dep) deadPath(at, path string) *v1alpha1.Problem {
	if d == nil || d.transformed || len(d.keys) == 0 {
		return nil
	}
	first, ok := firstPart(path)
	if !ok || first == "metadata" || slices.Contains(d.keys, first) {
		return nil
	}
	p := v1alpha1.Warn(at, "%q never exists: the data of %s events has only %s", path, d.kind, some(d.keys))
	if slices.Contains(d.keys, "body") {
		p.Hinted("did you mean %q?", "body."+path)
	} else {
		_ = hintNearest(p, first, d.keys)
	}
	if d.assumed {
		hint := fmt.Sprintf("taking EventSource %q to be of kind %s by its name", d.source, d.kind)
		p.Hint = strings.TrimPrefix(p.Hint+" "+hint, " ")
	}
	return p
}

// firstPart is the key that a gjson path begins with. It is false if the path
// does not begin with a plain key.
func firstPart(path string) (string, bool) {
	var part strings.Builder
	for i := 0; i < len(path); i++ {
		switch b := path[i]; b {
		case '\\':
			if i++; i < len(path) {
				part.WriteByte(path[i])
			}
		case '.', '|':
			return part.String(), part.Len() > 0
		case '#', '*', '?', '@', '{', '[', '!', '(':
			return "", false
		default:
			part.WriteByte(b)
		}
	}
	return part.String(), part.Len() > 0
}
