package notify

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// The sizes of what a group keeps.
const (
	mostText   = 16 << 10
	sampleSize = 300
	mostEvents = 256 << 10
	mostKey    = 512
)

// dest is a Destination with its templates.
type dest struct {
	Destination
	// id in states: the same as long as it leads to the same place.
	id     string
	params map[string]param.Text
	json   param.Text
}

// label is what people see of it before a secret is read.
func (d *dest) label() string {
	if d.URLSecret != nil {
		return "secret " + d.URLSecret.Name + "/" + d.URLSecret.Key
	}
	return label(d.URL)
}

// plan is a configuration with its templates.
type plan struct {
	conf                                             Config
	title, message, severity, key, summary, resolved param.Text
	params                                           map[string]param.Text
	dests                                            []*dest
	// group is nil if there is none.
	group *grouping
	// events says that a text that is made later than at the firing needs its events.
	events bool
}

func newPlan(c Config) (*plan, error) {
	p := &plan{conf: c}
	var err error
	compile := func(path, text string) (t param.Text) {
		if err == nil {
			t, err = param.CompileText(text)
			err = v1alpha1.At(path, err)
		}
		return t
	}
	all := func(path string, texts map[string]string) map[string]param.Text {
		out := map[string]param.Text{}
		for name, text := range texts {
			out[name] = compile(v1alpha1.Join(path, v1alpha1.Key(name)), text)
		}
		return out
	}
	p.title, p.message, p.severity = compile("title", c.Title), compile("message", c.Message), compile("severity", c.Severity)
	p.params = all("params", c.Params)
	var late []string
	seen := map[string]int{}
	for i, d := range c.To {
		path := "to" + v1alpha1.Index(i)
		target := d.URL
		if d.URLSecret != nil {
			target = "secret/" + d.URLSecret.Name + "/" + d.URLSecret.Key
		}
		id := short(target)
		if seen[id]++; seen[id] > 1 {
			id = fmt.Sprintf("%s-%d", id, seen[id])
		}
		p.dests = append(p.dests, &dest{Destination: d, id: id, params: all(path+".params", d.Params), json: compile(path+".json", d.JSON)})
		late = append(append(late, d.JSON), slices.Collect(maps.Values(d.Params))...)
	}
	if c.Group != nil {
		p.key, p.summary, p.resolved = compile("group.key", c.Group.Key), compile("group.summary", c.Group.Summary), compile("group.resolved", c.Group.Resolved)
		late = append(late, c.Group.Summary, c.Group.Resolved)
		g, bad := c.Group.grouping()
		if err == nil {
			err = v1alpha1.At("group.threshold", bad)
		}
		p.group = &g
	}
	p.events = slices.ContainsFunc(late, func(s string) bool { return strings.Contains(s, ".Input") || strings.Contains(s, ".Event") })
	return p, err
}

// ids of the destinations.
func (p *plan) ids() []string {
	ids := make([]string, len(p.dests))
	for i, d := range p.dests {
		ids[i] = d.id
	}
	return ids
}

// resolves tells whether a firing resolves its group rather than count.
func (p *plan) resolves(events map[string]*event.Event) bool {
	return p.group != nil && slices.ContainsFunc(p.conf.Group.ResolvedBy, func(name string) bool { return events[name] != nil })
}

// root is the dot of templates over the events of one firing.
func (p *plan) root(events map[string]*event.Event) (map[string]any, error) {
	input, err := param.Input(events)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(input))
	if p.resolves(events) {
		names = slices.DeleteFunc(slices.Clone(p.conf.Group.ResolvedBy), func(name string) bool { return input[name] == nil })
	}
	root := map[string]any{"Input": input}
	if len(names) > 0 {
		root["Event"] = input[names[0]]
	}
	return root, nil
}

// of makes the text with a dot of its own.
func (p *plan) of(t param.Text, name string, events map[string]*event.Event) (string, error) {
	if t.Fixed() {
		return t.With(nil)
	}
	root, err := p.root(events)
	if err == nil {
		var s string
		if s, err = t.With(root); err == nil {
			return s, nil
		}
	}
	return "", trigger.Permanent(fmt.Errorf("%s: %w", name, err))
}

// groupKey of a firing.
func (p *plan) groupKey(events map[string]*event.Event) (string, error) {
	key, err := p.of(p.key, "group.key", events)
	return cut(strings.TrimSpace(key), mostKey), err
}

// say makes the message of a firing. Params are those of all destinations.
func (p *plan) say(events map[string]*event.Event) (m message, err error) {
	if m.Title, err = p.of(p.title, "title", events); err != nil {
		return m, err
	}
	m.Title = line(m.Title)
	if m.Text, err = p.of(p.message, "message", events); err != nil {
		return m, err
	}
	if m.Severity, err = p.of(p.severity, "severity", events); err != nil {
		return m, err
	}
	m.Severity = strings.ToLower(strings.TrimSpace(m.Severity))
	if m.Severity != "" {
		if err := checkSeverity(m.Severity); err != nil {
			return m, trigger.Permanent(fmt.Errorf("severity: %w", err))
		}
	}
	m.Params, err = p.paramsOf(p.params, "params", events)
	return m, err
}

func (p *plan) paramsOf(texts map[string]param.Text, path string, events map[string]*event.Event) (map[string]string, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(texts))
	for name, t := range texts {
		s, err := p.of(t, path+"."+name, events)
		if err != nil {
			return nil, err
		}
		out[name] = line(s)
	}
	return out, nil
}

// address makes a message one to a destination. facts are nil without a group.
func (p *plan) address(d *dest, m message, kind sort, facts map[string]any, events map[string]*event.Event) (outgoing, error) {
	o := outgoing{message: m, Kind: kind}
	own, err := p.paramsOf(d.params, "params", events)
	if err != nil {
		return o, err
	}
	if len(own) > 0 {
		o.Params = maps.Clone(m.Params)
		if o.Params == nil {
			o.Params = map[string]string{}
		}
		maps.Copy(o.Params, own)
	}
	if d.JSON == "" {
		return o, nil
	}
	root, err := p.root(events)
	if err != nil {
		return o, trigger.Permanent(err)
	}
	root["Message"] = map[string]any{"title": m.Title, "text": m.Text, "severity": m.Severity, "kind": string(kind)}
	root["Group"] = facts
	text, err := d.json.With(root)
	if err != nil {
		return o, trigger.Permanent(fmt.Errorf("json: %w", err))
	}
	body, err := compact(text)
	if err != nil {
		return o, trigger.Permanent(fmt.Errorf("json makes no JSON (quote values with toJson): %w", err))
	}
	o.body = string(body)
	return o, nil
}

// keep makes events small enough for a state; nil if no text needs them.
func (p *plan) keep(events map[string]*event.Event) (json.RawMessage, error) {
	if !p.events {
		return nil, nil
	}
	b, err := json.Marshal(events)
	if err == nil && len(b) > mostEvents {
		return nil, nil // the texts that need them fall back to ours
	}
	return b, err
}
