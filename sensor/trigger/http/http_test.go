package http_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/http"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rendered is the Spec of an action.
type rendered struct {
	Method, URL, Host string
	Headers           map[string]string
	Body              json.RawMessage
}

func render(t *testing.T, config string, in trigger.Input, e *triggertest.Env) (rendered, error) {
	t.Helper()
	a, err := triggertest.Build(t, http.Kind, config, e).Render(t.Context(), in)
	var r rendered
	if err == nil {
		if err := json.Unmarshal(a.Spec, &r); err != nil {
			t.Fatal(err)
		}
	}
	return r, err
}

func TestHeaders(t *testing.T) {
	own := map[string]string{
		"Idempotency-Key": triggertest.Input(1).ID, "Ce-Specversion": "1.0", "Ce-Id": "event-1", "Ce-Source": "webhook",
		"Ce-Type": "webhook", "Ce-Subject": "example", "Ce-Time": "2026-01-02T03:04:05.6Z",
		"Traceparent": "00-00000000000000000000000000000002-0000000000000002-01",
	}
	but := func(change map[string]string) map[string]string {
		all := map[string]string{}
		for k, v := range own {
			all[k] = v
		}
		for k, v := range change {
			if all[k] = v; v == "" {
				delete(all, k)
			}
		}
		return all
	}
	for name, tc := range map[string]struct {
		config string
		in     trigger.Input
		want   map[string]string
		host   string
	}{
		"none":                        {"{}", triggertest.Input(1), own, ""},
		"exact spelling":              {"{headers: {x-FOO.bar: a, X-Foo: b}}", triggertest.Input(1), but(map[string]string{"x-FOO.bar": "a", "X-Foo": "b"}), ""},
		"own key in another spelling": {"{headers: {idempotency-key: mine, ce-id: other}}", triggertest.Input(1), but(map[string]string{"Idempotency-Key": "", "idempotency-key": "mine", "Ce-Id": "", "ce-id": "other"}), ""},
		"later ones replace": {`{headers: {A: h, B: h, C: h}, dynamicHeaders: [{src: {dependencyName: dep, dataKey: body.a}, dest: B}, {src: {dependencyName: dep, dataKey: number}, dest: C}],
			secureHeaders: [{name: C, valueFrom: {configMapKeyRef: {name: m, key: k}}}]}`, triggertest.Input(1), but(map[string]string{"A": "h", "B": "x", "C": "***"}), ""},
		"several events":           {"{}", triggertest.Join(1), map[string]string{"Idempotency-Key": own["Idempotency-Key"]}, ""},
		"basic auth replaces":      {"{headers: {authorization: mine}, basicAuth: {username: {name: s, key: k}}}", triggertest.Input(1), but(map[string]string{"Authorization": "***"}), ""},
		"user in the URL":          {"{url: 'http://u:p@a.example/'}", triggertest.Input(1), but(map[string]string{"Authorization": "***"}), ""},
		"header before the URL":    {"{url: 'http://u:p@a.example/', headers: {authorization: mine}}", triggertest.Input(1), but(map[string]string{"authorization": "mine"}), ""},
		"host header":              {"{headers: {hOst: b.example}}", triggertest.Input(1), own, "b.example"},
		"host before host header":  {"{host: c.example, headers: {Host: b.example}}", triggertest.Input(1), own, "c.example"},
		"framing is not the users": {"{headers: {content-length: '1', Transfer-Encoding: chunked}}", triggertest.Input(1), own, ""},
		"optional and not there":   {"{secureHeaders: [{name: C, valueFrom: {secretKeyRef: {name: gone, key: k, optional: true}}}]}", triggertest.Input(1), own, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := triggertest.NewEnv(t)
			e.PutSecret("s", "k", "secret")
			e.PutConfigMap("m", "k", "v")
			config := tc.config
			if !strings.Contains(config, "url:") {
				config = strings.Replace(config, "{", "{url: 'http://a.example/', ", 1)
			}
			got, err := render(t, config, tc.in, e)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Headers, tc.want) || got.Host != tc.host || got.URL != "http://a.example/" {
				t.Errorf("got  %v, %s, %s\nwant %v, %s", got.Headers, got.URL, got.Host, tc.want, tc.host)
			}
		})
	}
}

func TestEventHeadersAreEncoded(t *testing.T) {
	in := triggertest.Input(1)
	e := in.Events["dep"]
	e.SetID("a b\"c%d\té")
	e.SetExtension("count", 3)
	got, err := render(t, "url: http://a", in, triggertest.NewEnv(t))
	if err != nil || got.Headers["Ce-Id"] != "a%20b%22c%25d%09%C3%A9" || got.Headers["Ce-Count"] != "3" {
		t.Errorf("got %v, %v", got.Headers, err)
	}
}

func TestBody(t *testing.T) {
	for payload, want := range map[string]string{
		`[]`: ``,
		`[{src: {dependencyName: dep, dataKey: body}}]`:              `{"a":"x","list":[1,2]}`,
		`[{src: {dependencyName: dep, dataKey: text}}]`:              `"number 1 <&>"`,
		`[{src: {dependencyName: dep, dataKey: number}}]`:            `1`,
		`[{src: {dependencyName: none, dataKey: text}, dest: a}]`:    ``,
		`[{src: {dependencyName: dep, dataKey: number}, dest: a.b}]`: `{"a":{"b":"1"}}`,
	} {
		got, err := render(t, "{url: 'http://a', payload: "+payload+"}", triggertest.Input(1), triggertest.NewEnv(t))
		if err != nil || string(got.Body) != want {
			t.Errorf("%s: got %s, %v", payload, got.Body, err)
		}
	}
}

// TestParameters reaches two servers with one configuration.
func TestParameters(t *testing.T) {
	a, b := newSink(t), newSink(t)
	e := triggertest.NewEnv(t)
	tr := triggertest.Build(t, http.Kind, `{url: placeholder, method: GET, parameters: [
		{src: {dependencyName: dep, dataKey: target}, dest: url},
		{src: {dependencyName: dep, value: PUT}, dest: method},
		{src: {dependencyName: dep, value: body}, dest: payload.0.src.dataKey}],
		payload: [{src: {dependencyName: dep, dataKey: placeholder}, dest: ""}]}`, e)
	for _, s := range []*sink{a, b} {
		in := triggertest.Input(1)
		ev := event.New()
		ev.SetID("x")
		ev.SetSource("s")
		ev.SetType("t")
		if err := ev.SetData(event.ApplicationJSON, map[string]any{"target": s.URL + "/p", "body": "hello"}); err != nil {
			t.Fatal(err)
		}
		in.Events = map[string]*event.Event{"dep": &ev}
		if _, err := tr.Fire(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		got := s.requests()
		var r rendered
		if len(got) != 1 || json.Unmarshal(got[0], &r) != nil || r.Method != "PUT" || string(r.Body) != `"hello"` {
			t.Errorf("got %s", got)
		}
	}
}
