package cloudevents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

const (
	oneJSON   = "application/cloudevents+json; charset=utf-8"
	batchJSON = "application/cloudevents-batch+json"
)

func TestConformance(t *testing.T) {
	for name, provoke := range map[string]func(t *testing.T, url string, n int) answer{
		"binary": func(t *testing.T, url string, n int) answer {
			return send(t, url, `{"n":1}`, "Content-Type", "application/json", "Ce-Id", fmt.Sprint(n), "Ce-Source", "/s", "Ce-Type", "t", "Ce-Specversion", "1.0")
		},
		"structured": func(t *testing.T, url string, n int) answer {
			return send(t, url, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"t","data":{}}`, n), "Content-Type", oneJSON)
		},
		"batch": func(t *testing.T, url string, n int) answer {
			return send(t, url, fmt.Sprintf(`[{"specversion":"1.0","id":"%d","source":"/s","type":"t","data":{}}]`, n), "Content-Type", batchJSON)
		},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Case{
				Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
				Setup: func(*testing.T, *sourcetest.Env) string { return "endpoint: /events" },
				Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
					if a := provoke(t, e.URL(t, "12000", "/events"), n); a.status != http.StatusOK {
						return fmt.Errorf("%d %s", a.status, a.body)
					}
					return nil
				},
			})
		})
	}
}

type answer struct {
	status int
	body   string
}

func send(t testing.TB, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, strings.TrimSpace(string(b))}
}

// show writes an event on one line.
func show(e eventsource.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%s|%s|%s|%s", e.ID, e.Source, e.Type, e.Subject, e.ContentType, e.DataSchema)
	if !e.Time.IsZero() {
		b.WriteString("|" + e.Time.Format(time.RFC3339Nano))
	}
	for _, k := range slices.Sorted(maps.Keys(e.Extensions)) {
		b.WriteString("|" + k + "=" + e.Extensions[k])
	}
	return b.String() + "|" + string(e.Data)
}

func TestEvents(t *testing.T) {
	ce := func(more ...string) []string {
		return append([]string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "com.x"}, more...)
	}
	const attributes = `"specversion":"1.0","id":"1","source":"/s","type":"com.x"`
	tests := []struct {
		name   string
		header []string
		body   string
		answer string // STATUS BODY, or STATUS and a part of the body after ~
		events []string
	}{
		{"binary", ce("Content-Type", "application/json"), `{"n":1.50}`, `200 {"id":"1"}`, []string{`1|/s|com.x||application/json||{"n":1.50}`}},
		{
			"binary, everything", ce("Content-Type", "text/plain", "Ce-Subject", "a%20%E2%82%AC", "Ce-Time", "2026-01-02T03:04:05.06+01:00", "Ce-Dataschema", "urn:x", "Ce-Ext1", "v", "Ce-Traceparent", "00-1-2-01", "Traceparent", "00-9-9-01"), "hi",
			`200 {"id":"1"}`,
			[]string{"1|/s|com.x|a €|text/plain|urn:x|2026-01-02T03:04:05.06+01:00|ext1=v|traceparent=00-1-2-01|hi"},
		},
		{"binary data", ce("Content-Type", "image/png"), "\x00\xff", `200 {"id":"1"}`, []string{"1|/s|com.x||image/png||\x00\xff"}},
		{"binary data without a type", ce(), "\x00\xff", `200 {"id":"1"}`, []string{"1|/s|com.x||application/octet-stream||\x00\xff"}},
		{"no data", ce(), "", `200 {"id":"1"}`, []string{"1|/s|com.x||||"}},
		{"the request's trace", ce("Traceparent", "00-9-9-01"), "", `200 {"id":"1"}`, []string{"1|/s|com.x||||traceparent=00-9-9-01|"}},
		{"a value that is not percent-encoded", ce("Ce-Subject", "100%"), "", `200 {"id":"1"}`, []string{"1|/s|com.x|100%|||"}},
		{
			"structured",
			[]string{"Content-Type", oneJSON},
			`{` + attributes + `,"subject":"sub","time":"2026-01-02T03:04:05Z","dataschema":"urn:x","n":42,"ok":true,"none":null,"data":{"b":1.50, "a":12345678901234567890}}`,
			`200 {"id":"1"}`,
			[]string{`1|/s|com.x|sub||urn:x|2026-01-02T03:04:05Z|n=42|ok=true|{"b":1.50, "a":12345678901234567890}`},
		},
		{"structured, text", []string{"Content-Type", oneJSON}, `{` + attributes + `,"datacontenttype":"text/plain","data":"a\"b"}`, `200 {"id":"1"}`, []string{`1|/s|com.x||text/plain||a"b`}},
		{"structured, a JSON string", []string{"Content-Type", oneJSON}, `{` + attributes + `,"data":"a"}`, `200 {"id":"1"}`, []string{`1|/s|com.x||||"a"`}},
		{"structured, base64", []string{"Content-Type", oneJSON}, `{` + attributes + `,"datacontenttype":"image/png","data_base64":"AP8="}`, `200 {"id":"1"}`, []string{"1|/s|com.x||image/png||\x00\xff"}},
		{"batch", []string{"Content-Type", batchJSON}, `[{` + attributes + `},{` + strings.Replace(attributes, `"1"`, `"2"`, 1) + `}]`, `200 {"ids":["1","2"]}`, []string{"1|/s|com.x||||", "2|/s|com.x||||"}},
		{"empty batch", []string{"Content-Type", batchJSON}, `[]`, `200 {"ids":[]}`, nil},
		{"no CloudEvent", []string{"Content-Type", "application/json"}, `{}`, "400 ~this is no CloudEvent", nil},
		{"lacks id and type", []string{"Ce-Specversion", "1.0", "Ce-Source", "/s"}, "", `400 {"error":"the CloudEvent lacks id, type"}`, nil},
		{"structured lacks source", []string{"Content-Type", oneJSON}, `{"specversion":"1.0","id":"1","type":"t"}`, `400 {"error":"the CloudEvent lacks source"}`, nil},
		{"empty id", []string{"Content-Type", oneJSON}, `{"specversion":"1.0","id":"","source":"s","type":"t"}`, `400 {"error":"the CloudEvent lacks id"}`, nil},
		{"old version", []string{"Ce-Specversion", "0.3", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t"}, "", "400 ~specversion 0.3", nil},
		{"bad time", ce("Ce-Time", "yesterday"), "", "400 ~time", nil},
		{"bad source", []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "a b", "Ce-Type", "t"}, "", "400 ~source", nil},
		{"bad name", ce("Ce-A-B", "x"), "", "400 ~a-b", nil},
		{"control character", ce("Ce-Subject", "a%0ab"), "", "400 ~subject", nil},
		{"no UTF-8", ce("Ce-Subject", "%ff"), "", "400 ~subject", nil},
		{"structured is a list", []string{"Content-Type", oneJSON}, `[]`, "400 ~no JSON object", nil},
		{"structured is broken", []string{"Content-Type", oneJSON}, `{`, "400 ~no JSON object", nil},
		{"attribute is an object", []string{"Content-Type", oneJSON}, `{` + attributes + `,"x":{}}`, `400 ~\"x\"`, nil},
		{"data twice", []string{"Content-Type", oneJSON}, `{` + attributes + `,"data":1,"data_base64":""}`, "400 ~both", nil},
		{"bad base64", []string{"Content-Type", oneJSON}, `{` + attributes + `,"data_base64":"?"}`, "400 ~data_base64", nil},
		{"base64 is a number", []string{"Content-Type", oneJSON}, `{` + attributes + `,"data_base64":1}`, "400 ~data_base64", nil},
		{"batch is an object", []string{"Content-Type", batchJSON}, `{}`, "400 ~no JSON array", nil},
		{"one of a batch is bad", []string{"Content-Type", batchJSON}, `[{` + attributes + `},{}]`, "400 ~event 2 of the batch", nil},
		{"other format", []string{"Content-Type", "application/cloudevents+protobuf"}, `x`, "415 ~protobuf", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := sourcetest.NewEnv(t)
			r := sourcetest.Start(t, Kind, "endpoint: /events", e)
			got := send(t, e.URL(t, "12000", "/events"), tt.body, tt.header...)
			text := fmt.Sprintf("%d %s", got.status, got.body)
			if before, part, ok := strings.Cut(tt.answer, "~"); ok {
				if !strings.HasPrefix(text, before) || !strings.Contains(text, part) {
					t.Errorf("answer %s, want %s", text, tt.answer)
				}
			} else if text != tt.answer {
				t.Errorf("answer %s, want %s", text, tt.answer)
			}
			var events []string
			for _, e := range r.Stored() {
				events = append(events, show(e))
			}
			slices.Sort(events)
			if !slices.Equal(events, tt.events) {
				t.Errorf("events\n got %q\nwant %q", events, tt.events)
			}
		})
	}
}

// A batch of which a part cannot be stored is answered with an error, and
// sending it again brings what is missing.
func TestBatchInPart(t *testing.T) {
	e := sourcetest.NewEnv(t)
	s := sourcetest.Build(t, Kind, "endpoint: /events", e)
	var failing atomic.Bool
	failing.Store(true)
	r := sourcetest.Go(t, wrapped{s, func(emit eventsource.Emit) eventsource.Emit {
		return func(ctx context.Context, ev eventsource.Event) error {
			if failing.Load() && ev.ID == "3" {
				return errors.New("away")
			}
			return emit(ctx, ev)
		}
	}})
	var events []string
	for n := range 40 {
		events = append(events, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"t"}`, n))
	}
	body := "[" + strings.Join(events, ",") + "]"
	if got := send(t, e.URL(t, "12000", "/events"), body, "Content-Type", batchJSON); got.status != http.StatusServiceUnavailable {
		t.Errorf("%+v", got)
	}
	failing.Store(false)
	if got := send(t, e.URL(t, "12000", "/events"), body, "Content-Type", batchJSON); got.status != http.StatusOK {
		t.Errorf("%+v", got)
	}
	if n := len(r.Stored()); n != 40 {
		t.Errorf("%d events are stored", n)
	}
}

// wrapped is a source whose emit is changed.
type wrapped struct {
	eventsource.Source
	change func(eventsource.Emit) eventsource.Emit
}

func (w wrapped) Run(ctx context.Context, emit eventsource.Emit) error {
	return w.Source.Run(ctx, w.change(emit))
}

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct{ manifest, want string }{
		"fine":       {`{"endpoint":"/x","authSecret":{"name":"a","key":"b"}}`, ""},
		"open":       {`{"endpoint":"/x"}`, "warning "},
		"metadata":   {`{"endpoint":"/x","metadata":{"a":"b"},"authSecret":{"name":"a","key":"b"}}`, "warning metadata"},
		"GET":        {`{"endpoint":"/x","method":"GET","authSecret":{"name":"a","key":"b"}}`, "error method"},
		"bad filter": {`{"endpoint":"/x","filter":{"expression":"("},"authSecret":{"name":"a","key":"b"}}`, "error filter.expression"},
		"endpoint":   {`{"authSecret":{"name":"a","key":"b"}}`, "error endpoint"},
	} {
		_, err := Kind.Decode([]byte(tt.manifest))
		var got []string
		for _, p := range v1alpha1.Problems(err) {
			got = append(got, p.Severity.String()+" "+p.Path)
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// FuzzRequest: whatever comes, an event that is made of it has what the
// specification requires.
func FuzzRequest(f *testing.F) {
	f.Add("application/json", "1", "/s", "a%20b", []byte(`{}`))
	f.Add(oneJSON, "", "", "", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AA==","x":1}`))
	f.Add(batchJSON, "", "", "", []byte(`[{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"x"}, null]`))
	f.Fuzz(func(t *testing.T, contentType, id, source, ext string, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{
			"Content-Type": {contentType}, "Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {source}, "Ce-Type": {"t"}, "Ce-Ext": {ext},
		}
		_, _ = receive(r, body, func(_ context.Context, e eventsource.Event) error {
			if e.ID == "" || e.Source == "" || e.Type == "" || strings.ContainsAny(e.ID+e.Source+e.Type+e.Subject, "\r\n\x00") {
				t.Errorf("event %q", show(e))
			}
			for name, value := range e.Extensions {
				if check(name, value) != nil {
					t.Errorf("extension %q: %q", name, value)
				}
			}
			return nil
		})
	})
}
