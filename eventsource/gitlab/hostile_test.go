package gitlab

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

// hostile are bodies of wrong types; the event still comes.
var hostile = map[string]string{
	"null":            `null`,
	"a number":        `1`,
	"a list":          `[{"object_kind":"push"}]`,
	"all null":        `{"object_kind":"push","ref":null,"before":null,"after":null,"project":null,"commits":null,"user_id":null,"total_commits_count":null}`,
	"all of a wrong":  `{"object_kind":"push","ref":1,"before":[],"after":{},"project":"x","commits":{"a":1},"user_id":{},"total_commits_count":"x","repository":[]}`,
	"commits":         `{"object_kind":"push","ref":"refs/heads/a","before":"1","after":"2","commits":[1,null,"x",{"id":5},{"id":"c","added":"x","modified":[1],"removed":null}]}`,
	"merge request":   `{"object_kind":"merge_request","object_attributes":[],"user":5,"changes":"x"}`,
	"big numbers":     `{"object_kind":"merge_request","object_attributes":{"iid":1e400,"id":99999999999999999999999},"project":{"id":-1}}`,
	"kind of a wrong": `{"object_kind":{"a":1},"event_name":7}`,
	"deep":            `{"object_kind":"note","object_attributes":` + strings.Repeat(`{"a":`, 2000) + `1` + strings.Repeat(`}`, 2000) + `}`,
	"refs":            `{"event_name":"repository_update","changes":[{"ref":1}],"project":{"path_with_namespace":"a/b"}}`,
}

func TestHostile(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "webhook: {endpoint: /}", e)
	url := e.URL(t, "12000", "/")
	for name, body := range hostile {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			h.Set("X-Gitlab-Event", "Push Hook")
			if a := post(t, url, []byte(body), h); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			got := read(t, r.Next(t))
			if string(got.Body) != body || got.Git.Provider != "gitlab" || got.Git.Event == "" || got.Git.Commits == nil || got.Git.ChangedFiles != nil {
				t.Errorf("%s, %+v", got.Body, got.Git)
			}
			if got.Git.Created || got.Git.Deleted {
				t.Error("a ref that is not told was made or removed")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("Push Hook", []byte(pushBody))
	for _, body := range hostile {
		f.Add("System Hook", []byte(body))
	}
	for _, tt := range blocks {
		f.Add("", []byte(tt.body))
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		h := http.Header{"X-Gitlab-Event": {event}, "X-Gitlab-Instance": {"https://gitlab.test/sub"}}
		e := decode(h, body)
		if e.Provider != provider || e.Event == "" || e.Commits == nil || e.ChangedFiles == nil && e.ChangedFilesUnknown == "" {
			t.Errorf("%+v", e)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Error(err)
		}
		if a, b := id(h, body), id(h, body); a == "" || a != b {
			t.Errorf("ids %q and %q", a, b)
		}
		_, _ = header(eventsource.Sending{Body: body, ID: "1", Now: time.Now()})
	})
}

// handlers is an eventsource.Hooks without a network.
type handlers chan http.Handler

// Serve implements eventsource.Hooks.
func (h handlers) Serve(ctx context.Context, _ eventsource.Route, handler http.Handler) error {
	h <- handler
	<-ctx.Done()
	return nil
}

// BenchmarkPush is all that happens to a push but the network and the bus.
func BenchmarkPush(b *testing.B) {
	e := sourcetest.NewEnv(b)
	e.Vault.Set("gitlab", "token", testToken)
	got := make(handlers, 1)
	e.Hooks = got
	s := sourcetest.Build(b, Kind, "webhook: {endpoint: /}\nsecretToken: {name: gitlab, key: token}", e)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func(context.Context, eventsource.Event) error { return nil }) }()
	handler := <-got
	h := sent(b, pushBody, testToken, "x")
	b.SetBytes(int64(len(pushBody)))
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte(pushBody)))
		req.Header = h
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, req); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
