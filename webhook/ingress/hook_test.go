package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// serveHook opens a Hook at / of port 1 and keeps what it emits.
func (h *house) serveHook(hook *Hook) *emitted {
	h.t.Helper()
	hook.Context.Endpoint = "/"
	Default(&hook.Context)
	hook.Context.Port = "1"
	hook.Secrets, hook.Log = h.Secrets, slog.New(slog.NewTextHandler(h.log, nil))
	if hook.Events == nil {
		hook.Events = func(context.Context, *Delivery) ([]Made, error) { return []Made{{ID: "one"}}, nil }
	}
	e := &emitted{}
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	h.serving.Go(func() {
		if err := hook.Serve(ctx, h.Server, e.emit); err != nil {
			h.t.Error(err)
		}
	})
	h.until("the hook", func() bool { return h.routes("1") > 0 })
	return e
}

type emitted struct {
	mu     sync.Mutex
	err    error
	events []eventsource.Event
}

func (e *emitted) emit(_ context.Context, ev eventsource.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return e.err
	}
	ev.Data = slices.Clone(ev.Data)
	e.events = append(e.events, ev)
	return nil
}

func (e *emitted) take() []eventsource.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.events
	e.events = nil
	return out
}

func vault(pairs ...string) secret.Objects {
	keys := map[string][]byte{}
	for pair := range slices.Chunk(pairs, 2) {
		keys[pair[0]] = []byte(pair[1])
	}
	return secret.Objects{Secrets: map[string]map[string][]byte{"s": keys}}
}

var byHeader = verify.HMAC{Header: "X-Sign", Prefix: "sha256="}

func signWith(key, body string) []string {
	h := http.Header{}
	if err := byHeader.Sign(h, []byte(body), []byte(key), time.Now()); err != nil {
		panic(err)
	}
	return []string{"X-Sign", h.Get("X-Sign")}
}

func TestHookData(t *testing.T) {
	h := newHouse(t)
	e := h.serveHook(&Hook{
		Metadata: map[string]string{"stage": "test"}, SecretHeaders: []string{"X-Mine"},
		Events: func(_ context.Context, d *Delivery) ([]Made, error) {
			return []Made{{ID: "d1", Time: time.Unix(7, 0), Blocks: []Block{{"git", map[string]int{"a": 1}}, {"verified", d.Verified}}}}, nil
		},
	})
	res := h.post(strings.NewReader("\ufeff {\"n\":1.50,\"n\":2} "), "User-Agent", "x", "Accept-Encoding", "y", "X-Mine", "geheim", "X-Gitlab-Token", "geheim", "Authorization", "Basic geheim",
		"X-Hub-Signature-256", "sha256=00", "traceparent", "00-1-2-01")
	events := e.take()
	if res.status != 200 || res.body != `{"id":"d1"}` || len(events) != 1 {
		t.Fatalf("%+v, %d events", res, len(events))
	}
	const mask = `["*** Masked Auth Secret ***"]`
	want := `{"headers":{"Accept-Encoding":["y"],"Authorization":` + mask + `,"Content-Length":["21"],"Traceparent":["00-1-2-01"],"User-Agent":["x"],"X-Gitlab-Token":` + mask +
		`,"X-Hub-Signature-256":["sha256=00"],"X-Mine":` + mask + `},"body":{"n":1.50,"n":2},"git":{"a":1},"verified":"none","metadata":{"stage":"test"}}`
	if got := string(events[0].Data); got != want {
		t.Errorf("data\n got %s\nwant %s", got, want)
	}
	if ev := events[0]; ev.ID != "d1" || !ev.Time.Equal(time.Unix(7, 0)) || ev.Extensions["traceparent"] != "00-1-2-01" {
		t.Errorf("%+v", ev)
	}
}

func TestHookAnswers(t *testing.T) {
	several := func(n int) func(context.Context, *Delivery) ([]Made, error) {
		return func(_ context.Context, d *Delivery) (made []Made, _ error) {
			for i := range n {
				made = append(made, Made{ID: Numbered("d", i), Body: fmt.Appendf(nil, `{"i":%d}`, i)})
			}
			return made, nil
		}
	}
	for name, tt := range map[string]struct {
		hook   Hook
		body   string
		bus    error
		status int
		answer string
		events string // ids
	}{
		"one":           {Hook{}, `{}`, nil, 200, `{"id":"one"}`, "one"},
		"three":         {Hook{Events: several(3)}, `{}`, nil, 200, `{"ids":["d","d/1","d/2"]}`, "d d/1 d/2"},
		"none":          {Hook{Events: several(0)}, `{}`, nil, 200, `{"ids":[]}`, ""},
		"own answer":    {Hook{Answer: func(*Delivery) *Answer { return &Answer{ContentType: "text/plain", Body: []byte("hi")} }}, `{}`, nil, 200, "hi", "one"},
		"no own answer": {Hook{Answer: func(*Delivery) *Answer { return nil }}, `{}`, nil, 200, `{"id":"one"}`, "one"},
		"no JSON":       {Hook{}, `{`, nil, 400, `{"error":"the body is not JSON"}`, ""},
		"not UTF-8":     {Hook{}, "\"\xff\"", nil, 400, `{"error":"the body is not JSON"}`, ""},
		"empty":         {Hook{}, " \n", nil, 400, `{"error":"the body is empty; want JSON"}`, ""},
		"payload":       {Hook{Payload: func(_ *http.Request, b []byte) ([]byte, error) { return append([]byte(`"`), append(b, '"')...), nil }}, `x`, nil, 200, `{"id":"one"}`, "one"},
		"bad payload":   {Hook{Payload: func(*http.Request, []byte) ([]byte, error) { return nil, errors.New("no form") }}, `x`, nil, 400, `{"error":"no form"}`, ""},
		"bad events":    {Hook{Events: func(context.Context, *Delivery) ([]Made, error) { return nil, errors.New("no event") }}, `{}`, nil, 400, `{"error":"no event"}`, ""},
		"own status":    {Hook{Events: func(context.Context, *Delivery) ([]Made, error) { return nil, &Error{Status: 415, Text: "odd"} }}, `{}`, nil, 415, `{"error":"odd"}`, ""},
		"panic":         {Hook{Events: func(context.Context, *Delivery) ([]Made, error) { panic("boom") }}, `{}`, nil, 500, `{"error":"internal error"}`, ""},
		"bad block": {Hook{Events: func(context.Context, *Delivery) ([]Made, error) {
			return []Made{{Blocks: []Block{{"x", make(chan int)}}}}, nil
		}}, `{}`, nil, 500, `{"error":"internal error"}`, ""},
		"not stored":     {Hook{Events: several(2)}, `{}`, errors.New("away"), 503, `{"error":"the event could not be stored; try again"}`, ""},
		"whole data":     {Hook{Events: func(context.Context, *Delivery) ([]Made, error) { return []Made{{ID: "x", Data: []byte(`1`)}}, nil }}, `{}`, nil, 200, `{"id":"x"}`, "x"},
		"checked itself": {Hook{Check: func(*http.Request, []byte) (string, error) { return verify.BySignature, nil }}, `{}`, nil, 200, `{"id":"one"}`, "one"},
		"refused itself": {Hook{Check: func(*http.Request, []byte) (string, error) { return "", &Error{Status: 401, Text: "no"} }}, `{`, nil, 401, `{"error":"no"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			e := h.serveHook(&tt.hook)
			e.err = tt.bus
			for range 2 { // the second time with buffers of the first
				res := h.post(strings.NewReader(tt.body))
				if res.status != tt.status || res.body != tt.answer {
					t.Errorf("%d %s, want %d %s", res.status, res.body, tt.status, tt.answer)
				}
				var ids []string
				for i, ev := range e.take() {
					ids = append(ids, ev.ID)
					if !json.Valid(ev.Data) || len(tt.events) > 5 && !strings.Contains(string(ev.Data), fmt.Sprintf(`"body":{"i":%d}`, i)) {
						t.Errorf("data %s", ev.Data)
					}
				}
				if got := strings.Join(ids, " "); got != tt.events {
					t.Errorf("events %q, want %q", got, tt.events)
				}
			}
		})
	}
}

// The signature is looked at before anything of the body, and after the general
// credentials, which need no body.
func TestHookOrder(t *testing.T) {
	h := newHouse(t)
	h.Secrets = vault("sign", "k1", "old", "k0", "token", "tok")
	var saw []string
	hook := &Hook{
		Context: v1alpha1.WebhookContext{AuthSecret: selector("s", "token")},
		Schemes: []verify.Scheme{byHeader, verify.Token{Header: "X-Token"}},
		Keys:    &verify.Keys{Secrets: h.Secrets, Refs: []*corev1.SecretKeySelector{selector("s", "sign"), selector("s", "old")}},
		Payload: func(_ *http.Request, b []byte) ([]byte, error) { saw = append(saw, "payload"); return b, nil },
		Events: func(_ context.Context, d *Delivery) ([]Made, error) {
			saw = append(saw, d.Verified)
			return nil, nil
		},
	}
	h.serveHook(hook)
	bearer := []string{"Authorization", "Bearer tok"}
	for name, tt := range map[string]struct {
		body   string
		header []string
		status int
		saw    string
	}{
		"signed":                    {`{}`, append(signWith("k1", `{}`), bearer...), 200, "payload signature"},
		"signed with the old":       {`{}`, append(signWith("k0", `{}`), bearer...), 200, "payload signature"},
		"by token":                  {`{}`, append([]string{"X-Token", "k1"}, bearer...), 200, "payload token"},
		"both":                      {`{}`, append(append(signWith("k1", `{}`), "X-Token", "k0"), bearer...), 200, "payload signature"},
		"one of both wrong":         {`{}`, append(append(signWith("k1", `{}`), "X-Token", "k"), bearer...), 401, ""},
		"the other wrong":           {`{}`, append(append(signWith("k", `{}`), "X-Token", "k1"), bearer...), 401, ""},
		"wrong key":                 {`{}`, append(signWith("k2", `{}`), bearer...), 401, ""},
		"other body":                {`{ }`, append(signWith("k1", `{}`), bearer...), 401, ""},
		"nothing":                   {`{}`, bearer, 401, ""},
		"no JSON, wrong key":        {`{`, append(signWith("k2", `{`), bearer...), 401, ""},
		"no JSON, signed":           {`{`, append(signWith("k1", `{`), bearer...), 400, "payload"},
		"signed, no general token":  {`{}`, signWith("k1", `{}`), 401, ""},
		"empty signature":           {`{}`, append([]string{"X-Sign", "sha256="}, bearer...), 401, ""},
		"signature without a value": {`{}`, append([]string{"X-Sign", ""}, bearer...), 401, ""},
	} {
		saw = nil
		res := h.post(strings.NewReader(tt.body), tt.header...)
		if res.status != tt.status || strings.Join(saw, " ") != tt.saw {
			t.Errorf("%s: %d %s, saw %q; want %d, %q", name, res.status, res.body, saw, tt.status, tt.saw)
		}
		if strings.Contains(res.body+h.log.String(), "k1") {
			t.Errorf("%s: a secret is told: %s", name, res.body)
		}
	}
}

func TestHookWithoutItsSecret(t *testing.T) {
	h := newHouse(t)
	h.Secrets = vault("empty", "")
	for _, refs := range [][]*corev1.SecretKeySelector{{selector("s", "empty")}, {selector("s", "absent")}, nil} {
		_, err := CheckKeys(httptest.NewRequestWithContext(t.Context(), "POST", "/", nil), nil, []verify.Scheme{byHeader}, &verify.Keys{Secrets: h.Secrets, Refs: refs})
		var own *Error
		if !errors.As(err, &own) || own.Status != 500 {
			t.Errorf("%v: %v", refs, err)
		}
	}
	if _, err := CheckSchemes(nil, http.Header{}, nil, [][]byte{[]byte("x")}, time.Now()); err == nil {
		t.Error("without a scheme everybody passes")
	}
}

// BenchmarkHook is one signed delivery of a vendor, without network and bus.
func BenchmarkHook(b *testing.B) {
	for name, size := range map[string]int{"1KB": 1000, "10KB": 10_000} {
		b.Run(name, func(b *testing.B) {
			text := `{"text":"` + strings.Repeat("x", size) + `"}`
			hook := &Hook{
				Schemes: []verify.Scheme{byHeader}, Log: slog.New(slog.DiscardHandler), Secrets: vault("sign", "k1"),
				Keys: &verify.Keys{Secrets: vault("sign", "k1"), Refs: []*corev1.SecretKeySelector{selector("s", "sign")}},
				Events: func(context.Context, *Delivery) ([]Made, error) {
					return []Made{{ID: "one", Blocks: []Block{{"git", struct{ Branch string }{"main"}}}}}, nil
				},
			}
			e := Endpoint{Log: hook.Log, Secrets: hook.Secrets, hook: hook}
			handler := &handler{endpoint: &e, limit: 1 << 20, guard: newGuard(&e.Context, e.Secrets), emit: func(context.Context, eventsource.Event) error { return nil }}
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", nil)
			reader := strings.NewReader(text)
			r.ContentLength, r.Body = int64(len(text)), closer{reader}
			sign := signWith("k1", text)
			r.Header.Set(sign[0], sign[1])
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(text)
				w := httptest.ResponseRecorder{HeaderMap: http.Header{}} //nolint:staticcheck // the cheapest one
				handler.ServeHTTP(&w, r)
				if w.Code != 0 && w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

type closer struct{ *strings.Reader }

func (closer) Close() error { return nil }
