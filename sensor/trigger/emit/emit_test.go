package emit_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/emit"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// bus keeps what is published.
type bus struct {
	mu     sync.Mutex
	got    []published
	answer func(context.Context) error
}

type published struct {
	source, name, id string
	event            *event.Event
}

func (b *bus) publish(ctx context.Context, source, name, id string, e *event.Event) error {
	b.mu.Lock()
	b.got = append(b.got, published{source, name, id, e})
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		return answer(ctx)
	}
	return nil
}

// effects are the events as Render writes them; their times are checked here.
func (b *bus) effects(t *testing.T) (all []json.RawMessage) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.got {
		if age := time.Since(p.event.Time()); age < 0 || age > time.Hour {
			t.Errorf("the event is from %v", p.event.Time())
		}
		if p.id != p.event.ID() {
			t.Errorf("published as %s, but the event is %s", p.id, p.event.ID())
		}
		e := p.event.Clone()
		e.SetTime(time.Time{})
		raw, err := json.Marshal(map[string]any{"eventSourceName": p.source, "eventName": p.name, "event": e})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw)
	}
	return all
}

func TestConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind: emit.Kind,
		Setup: func(_ *testing.T, e *triggertest.Env) string {
			b := &bus{}
			e.State, e.Publish = b, b.publish
			return `
eventSourceName: orders
eventName: placeholder
type: order
source: shop
subject: new
extensions: {region: north}
payload:
  - {src: {dependencyName: dep, dataKey: number, useRawData: true}, dest: order.number}
  - {src: {dependencyName: other, dataKey: text}, dest: order.text}
parameters:
  - {src: {dependencyName: dep, dataTemplate: "order-{{ .Input.number }}"}, dest: eventName}
`
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage { return e.State.(*bus).effects(t) },
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*bus).answer = func(context.Context) error { return errors.New("the bus is gone") }
		},
		Hang: func(_ *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived := make(chan struct{})
			e.State.(*bus).answer = func(ctx context.Context) error {
				close(arrived)
				<-ctx.Done()
				return ctx.Err()
			}
			return arrived
		},
		Valid: []string{`{}`, `{maxHops: 3, payload: [{src: {dependencyName: d}}], extensions: {a1: b}}`},
		Invalid: map[string][]string{
			`{maxHops: -1}`: {`maxHops: is negative`},
			`{payload: [{}], parameters: [{src: {dependencyName: d}}]}`: {`payload[0].src: is required`, `parameters[0].dest: is required`},
			`{extensions: {Big: a, a-b: c, "": d, signalboxhops: "0", data: e}}`: {
				`extensions[""]: is no name`, `extensions.Big: is no name`, `extensions.a-b: is no name`,
				`extensions.data: is set by the trigger itself`, `extensions.signalboxhops: is set by the trigger itself`,
			},
		},
	})
}

// fire emits one event.
func fire(t *testing.T, config string, in trigger.Input) (published, error) {
	t.Helper()
	b := &bus{}
	e := triggertest.NewEnv(t)
	e.Publish = b.publish
	_, err := triggertest.Build(t, emit.Kind, config, e).Fire(t.Context(), in)
	if err != nil {
		if len(b.got) > 0 {
			t.Errorf("published in spite of %v", err)
		}
		return published{}, err
	}
	return b.got[0], nil
}

func TestDefaults(t *testing.T) {
	in := triggertest.Input(1)
	p, err := fire(t, "{}", in)
	if err != nil {
		t.Fatal(err)
	}
	e := p.event
	got := []string{p.source, p.name, p.id, e.ID(), e.Source(), e.Type(), e.Subject(), e.DataContentType(), string(e.Data())}
	want := []string{"sensor", "trigger", in.ID, in.ID, "sensor", "emit", "trigger", "application/json", string(in.Events["dep"].Data())}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	wantExt := map[string]any{
		"signalboxhops": int32(1), "signalboxfrom": "default/sensor/trigger",
		"traceparent": "00-00000000000000000000000000000002-0000000000000002-01",
	}
	if !reflect.DeepEqual(e.Extensions(), wantExt) {
		t.Errorf("extensions %v, want %v", e.Extensions(), wantExt)
	}
}

func TestData(t *testing.T) {
	with := func(contentType string, data string) *event.Event {
		e := triggertest.Event(1)
		if err := e.SetData(contentType, []byte(data)); err != nil {
			t.Fatal(err)
		}
		return e
	}
	for name, tc := range map[string]struct {
		config            string
		events            map[string]*event.Event
		contentType, data string
	}{
		"one, as it is":      {"{}", map[string]*event.Event{"d": with("text/plain", "hello")}, "text/plain", "hello"},
		"one, binary":        {"{}", map[string]*event.Event{"d": with("image/png", "\xff\x00")}, "image/png", "\xff\x00"},
		"one, without data":  {"{}", map[string]*event.Event{"d": with("application/json", "")}, "application/json", ""},
		"one, broken":        {"{}", map[string]*event.Event{"d": with("application/json", `{"a`)}, "application/json", `{"a`},
		"several":            {"{}", map[string]*event.Event{"b.c": with("application/json", `{"a": "<"}`), "a": with("application/yaml", "x: 1\n")}, "application/json", `{"a":{"x":1},"b.c":{"a":"<"}}`},
		"several, no JSON":   {"{}", map[string]*event.Event{"b": with("text/plain", "hi"), "a": with("image/png", "\xff\x00"), "c": with("application/json", "")}, "application/json", `{"a":"/wA=","b":"hi","c":null}`},
		"payload":            {"payload: [{src: {dependencyName: d, dataKey: a}, dest: x}]", map[string]*event.Event{"d": with("application/json", `{"a":1}`)}, "application/json", `{"x":"1"}`},
		"payload of nothing": {"payload: [{src: {dependencyName: e, dataKey: a}, dest: x}]", map[string]*event.Event{"d": with("application/json", `{"a":1}`)}, "application/json", `{}`},
		"payload of text":    {"payload: [{src: {dependencyName: d, dataKey: a}}]", map[string]*event.Event{"d": with("application/json", `{"a":"hello"}`)}, "text/plain; charset=utf-8", `hello`},
	} {
		t.Run(name, func(t *testing.T) {
			in := triggertest.Input(1)
			in.Events = tc.events
			p, err := fire(t, tc.config, in)
			if err != nil {
				t.Fatal(err)
			}
			if p.event.DataContentType() != tc.contentType || string(p.event.Data()) != tc.data {
				t.Errorf("got %s: %q, want %s: %q", p.event.DataContentType(), p.event.Data(), tc.contentType, tc.data)
			}
			a, err := triggertest.Build(t, emit.Kind, tc.config, triggertest.NewEnv(t)).Render(t.Context(), in)
			if err != nil || !json.Valid(a.Spec) {
				t.Errorf("rendered %s, %v", a.Spec, err)
			}
		})
	}
}

func TestTrace(t *testing.T) {
	in := triggertest.Join(1)
	in.Events["other"].SetExtension("tracestate", "a=b")
	p, err := fire(t, "{}", in)
	if err != nil || p.event.Extensions()["tracestate"] != nil || p.event.Extensions()["traceparent"] != in.Events["dep"].Extensions()["traceparent"] {
		t.Errorf("got %v, %v, want the trace of dep", p.event.Extensions(), err)
	}
	in.Events["dep"].SetExtension("traceparent", nil)
	p, err = fire(t, "{}", in)
	if err != nil || p.event.Extensions()["tracestate"] != "a=b" || p.event.Extensions()["traceparent"] != in.Events["other"].Extensions()["traceparent"] {
		t.Errorf("got %v, %v, want the trace of other", p.event.Extensions(), err)
	}
}

func TestHops(t *testing.T) {
	for name, tc := range map[string]struct {
		config     string
		dep, other any
		hops       int32
		err        string
	}{
		"first":              {"{}", nil, nil, 1, ""},
		"the largest counts": {"{}", int32(2), "7", 8, ""},
		"the last one":       {"{maxHops: 3}", "2", nil, 3, ""},
		"one too many":       {"{maxHops: 3}", "3", nil, 0, "stopped a loop: the event has already passed 3 triggers that emit events, and no more than 3 are allowed; the last was ns/dep/t"},
		"by the other":       {"{}", "3", "16", 0, "stopped a loop: the event has already passed 16 triggers that emit events, and no more than 16 are allowed; the last was ns/other/t"},
		"no number":          {"{}", "many", nil, 1, ""},
		"negative":           {"{}", "-5", nil, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := triggertest.Join(1)
			for dep, hops := range map[string]any{"dep": tc.dep, "other": tc.other} {
				if hops != nil {
					in.Events[dep].SetExtension("signalboxhops", hops)
					in.Events[dep].SetExtension("signalboxfrom", "ns/"+dep+"/t")
				}
			}
			p, err := fire(t, tc.config, in)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err || !trigger.IsPermanent(err) {
					t.Errorf("got %v (permanent: %v)", err, trigger.IsPermanent(err))
				}
				return
			}
			if err != nil || p.event.Extensions()["signalboxhops"] != tc.hops {
				t.Errorf("got %v, %v", p.event, err)
			}
		})
	}
}

// TestLoop feeds a trigger what it emits.
func TestLoop(t *testing.T) {
	in := triggertest.Input(1)
	for n := 1; n <= 100; n++ {
		p, err := fire(t, "{}", in)
		if err != nil {
			if n != 17 || !trigger.IsPermanent(err) || !strings.HasSuffix(err.Error(), "the last was default/sensor/trigger") {
				t.Errorf("turn %d: %v", n, err)
			}
			return
		}
		in.Events = map[string]*event.Event{"dep": p.event}
	}
	t.Error("the loop goes on")
}

func TestErrors(t *testing.T) {
	for name, tc := range map[string]struct{ config, err string }{
		"missing value":     {"payload: [{src: {dependencyName: dep, dataKey: zz}, dest: a}]", `payload: parameter 0, to "a": event of dependency "dep": there is no data at "zz"`},
		"missing parameter": {"parameters: [{src: {dependencyName: dep, dataKey: zz}, dest: type}]", `parameter 0, to "type": event`},
		"broken parameter":  {"parameters: [{src: {dependencyName: dep, dataKey: text}, dest: extensions.A}]", `after its parameters were applied: extensions.A: is no name`},
		"source is no URI":  {"source: '%'", `the event is not valid`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fire(t, tc.config, triggertest.Input(1))
			if err == nil || !strings.HasPrefix(err.Error(), tc.err) || !trigger.IsPermanent(err) {
				t.Errorf("got %v (permanent: %v), want %s", err, trigger.IsPermanent(err), tc.err)
			}
		})
	}
	t.Run("no bus", func(t *testing.T) {
		_, err := triggertest.Build(t, emit.Kind, "{}", triggertest.NewEnv(t)).Fire(t.Context(), triggertest.Input(1))
		if err == nil || err.Error() != "there is no event bus to publish to" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("odd names", func(t *testing.T) {
		p, err := fire(t, "{eventSourceName: 'a:b %', eventName: 'c d'}", triggertest.Input(1))
		if err != nil || p.source != "a:b %" || p.name != "c d" || p.event.Subject() != "c d" {
			t.Errorf("got %v, %v", p, err)
		}
	})
}
