package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// direct is a Hooks without a network: it keeps the handler.
type direct struct{ handler chan http.Handler }

func (d direct) Serve(_ context.Context, _ eventsource.Route, h http.Handler) error {
	d.handler <- h
	return nil
}

func handlerOf(t testing.TB, manifest string, emit eventsource.Emit) http.Handler {
	t.Helper()
	c, err := Kind.Decode([]byte(manifest))
	if c == nil {
		t.Fatal(err)
	}
	d := direct{make(chan http.Handler, 1)}
	s, err := Kind.Build(c, eventsource.Env{Hooks: d, Log: slog.New(slog.DiscardHandler), Secrets: secret.Objects{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), emit); err != nil {
		t.Fatal(err)
	}
	return <-d.handler
}

// FuzzWebhookRequest: whatever is sent, the answer is JSON, and an event that
// comes of it has data that is a JSON object which holds the body.
func FuzzWebhookRequest(f *testing.F) {
	for _, seed := range []struct{ method, contentType, query, header, body string }{
		{"POST", "application/json", "", "x", `{"a":1}`},
		{"POST", "application/json; charset=utf-8", "a=1", "\xff", "{"},
		{"PUT", "application/x-www-form-urlencoded", "a=%zz", "x", "a=1&b=%20"},
		{"GET", "", "a=1&a=2", "x", ""},
		{"POST", "text/plain", "", "\"\\", "123"},
		{"PATCH", "", "", "x", "\xef\xbb\xbf[1]"},
		{"POST", "application/octet-stream", "", "x", "\x00\xff"},
	} {
		f.Add(seed.method, seed.contentType, seed.query, seed.header, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, method, contentType, query, header string, body []byte) {
		var data []byte
		h := handlerOf(t, `{"endpoint":"/push","idHeader":"X-Fuzz","metadata":{"a":"b"}}`, func(_ context.Context, e eventsource.Event) error {
			data = bytes.Clone(e.Data)
			if e.ID == "" || !utf8.ValidString(e.ID) {
				t.Errorf("id %q", e.ID)
			}
			return nil
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/push", bytes.NewReader(body))
		r.Method, r.URL.RawQuery = method, query
		r.Header["Content-Type"], r.Header["X-Fuzz"] = []string{contentType}, []string{header}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %s", w.Body)
		}
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Errorf("status %d", w.Code)
		}
		if (w.Code == 200) != (data != nil) {
			t.Fatalf("status %d, data %s", w.Code, data)
		}
		if data == nil {
			return
		}
		var object struct {
			Header       map[string][]string `json:"header"`
			Body         json.RawMessage     `json:"body"`
			BodyEncoding string              `json:"bodyEncoding"`
		}
		if err := json.Unmarshal(data, &object); err != nil || !utf8.Valid(data) {
			t.Fatalf("data %q: %v", data, err)
		}
		if object.BodyEncoding != "" {
			var decoded []byte
			if err := json.Unmarshal(object.Body, &decoded); err != nil || !bytes.Equal(decoded, body) {
				t.Errorf("body %q became %s", body, object.Body)
			}
		}
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

type body struct{ *strings.Reader }

func (body) Close() error { return nil }

// BenchmarkWebhook is one request through the handler, without the network and
// without the bus.
func BenchmarkWebhook(b *testing.B) {
	for name, size := range map[string]int{"100B": 100, "10KB": 10_000} {
		b.Run(name, func(b *testing.B) {
			text := `{"text":"` + strings.Repeat("x", size) + `"}`
			h := handlerOf(b, `{"endpoint":"/push"}`, func(context.Context, eventsource.Event) error { return nil })
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/push", nil)
			r.Header = http.Header{
				"Content-Type": {"application/json"}, "Content-Length": {"100"}, "User-Agent": {"bench/1.0"},
				"Accept": {"*/*"}, "X-Request-Id": {"0123456789"},
			}
			reader := strings.NewReader(text)
			r.ContentLength, r.Body = int64(len(text)), body{reader}
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(text)
				h.ServeHTTP(w, r)
			}
		})
	}
}
