package param

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/tidwall/gjson"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/template"
)

// views are the events of one call, each looked into at most once.
type views struct {
	events map[string]*event.Event
	// last is the view that was asked for last: mostly there is one dependency.
	last *view
	all  map[string]*view
}

func newViews(events map[string]*event.Event) *views { return &views{events: events} }

// of is nil if the dependency has no event.
func (vs *views) of(dependency string) *view {
	if vs.last != nil && vs.last.dependency == dependency {
		return vs.last
	}
	if v, ok := vs.all[dependency]; ok {
		vs.last = v
		return v
	}
	e := vs.events[dependency]
	if e == nil {
		return nil
	}
	v := &view{dependency: dependency, event: e}
	if len(vs.events) > 1 {
		if vs.all == nil {
			vs.all = map[string]*view{}
		}
		vs.all[dependency] = v
	}
	vs.last = v
	return v
}

// view is an event as parameters see it. Its parts are made when first asked for.
type view struct {
	dependency    string
	event         *event.Event
	context, data []byte
}

// json is the group as JSON.
func (v *view) json(g group) ([]byte, error) {
	part, read := &v.context, v.contextJSON
	if g == eventData {
		part, read = &v.data, func() ([]byte, error) { return Data(v.event) }
	}
	if *part != nil {
		return *part, nil
	}
	var err error
	*part, err = read()
	return *part, err
}

// decoded is the group as templates see it, made anew each time because a
// template can change its input.
func (v *view) decoded(g group) (any, error) {
	b, err := v.json(g)
	if err != nil {
		return nil, err
	}
	return template.Decode(b)
}

// Data is the data of an event as JSON: its own, or YAML turned into it. No
// data is null. Another content type, or data that is not what its content
// type says, is an error.
func Data(e *event.Event) ([]byte, error) {
	b := e.Data()
	switch contentType(e.DataContentType()) {
	case asJSON:
		if len(b) == 0 {
			return []byte("null"), nil
		}
		if !gjson.ValidBytes(b) {
			return nil, errors.New("the data is no JSON")
		}
		return b, nil
	case asYAML:
		j, err := yaml.YAMLToJSON(b)
		if err != nil {
			return nil, fmt.Errorf("the data is no YAML: %w", err)
		}
		return j, nil
	default:
		return nil, fmt.Errorf("the data is %q, neither JSON nor YAML", e.DataContentType())
	}
}

type encoding int

const (
	asOther encoding = iota
	asJSON
	asYAML
)

func contentType(s string) encoding {
	if s == "" || s == event.ApplicationJSON {
		return asJSON
	}
	t, _, err := mime.ParseMediaType(s)
	switch {
	case err != nil:
		return asOther
	case t == "application/json" || t == "text/json" || strings.HasSuffix(t, "+json"):
		return asJSON
	case t == "application/yaml" || t == "application/x-yaml" || t == "text/yaml" || strings.HasSuffix(t, "+yaml"):
		return asYAML
	default:
		return asOther
	}
}

// attributes are what Argo Events calls the context of an event.
type attributes struct {
	ID              string  `json:"id"`
	Source          string  `json:"source"`
	SpecVersion     string  `json:"specversion"`
	Type            string  `json:"type"`
	DataContentType string  `json:"datacontenttype"`
	Subject         string  `json:"subject"`
	Time            *string `json:"time"`
	// Extensions are ours, and only there for keys and templates.
	Extensions map[string]any `json:"extensions,omitempty"`
}

func attributesOf(e *event.Event) attributes {
	a := attributes{
		ID: e.ID(), Source: e.Source(), SpecVersion: e.SpecVersion(),
		Type: e.Type(), DataContentType: e.DataContentType(), Subject: e.Subject(),
	}
	if t := e.Time(); !t.IsZero() {
		s := t.UTC().Format(time.RFC3339)
		a.Time = &s
	}
	return a
}

func (v *view) contextJSON() ([]byte, error) {
	a := attributesOf(v.event)
	a.Extensions = v.event.Extensions()
	return json.Marshal(a)
}

// whole is the event as Argo Events writes it: the context, and the data in base64.
func (v *view) whole() ([]byte, error) {
	return json.Marshal(struct {
		Context attributes `json:"context"`
		Data    []byte     `json:"data"`
	}{attributesOf(v.event), v.event.Data()})
}
