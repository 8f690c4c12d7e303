package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

const key = "sk_test_1"

// vendor plays Stripe's API, with pages of two.
type vendor struct {
	*hosttest.Host
	mu   sync.Mutex
	all  []endpoint
	made int
}

func newVendor(t *testing.T, all ...endpoint) *vendor {
	v := &vendor{all: all}
	v.Host = hosttest.NewHost(t, v.answer)
	return v
}

func (v *vendor) list() []endpoint {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.all)
}

func (v *vendor) answer(w http.ResponseWriter, r *http.Request, body string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+key {
		hosttest.JSON(w, 401, map[string]any{"error": map[string]any{"message": "Invalid API Key provided"}})
		return
	}
	form, err := url.ParseQuery(body)
	if body != "" && (err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded") {
		hosttest.JSON(w, 400, nil)
		return
	}
	id, at := strings.TrimPrefix(r.URL.Path, endpoints+"/"), -1
	for i, e := range v.all {
		if e.ID == id {
			at = i
		}
	}
	switch {
	case r.Method == "GET" && r.URL.Path == endpoints:
		v.page(w, r.URL.Query().Get("starting_after"))
	case r.Method == "POST" && r.URL.Path == endpoints:
		v.made++
		e := endpoint{ID: fmt.Sprint("we_new", v.made), URL: form.Get("url"), Events: form["enabled_events[]"], Status: "enabled"}
		v.all = append(v.all, e)
		hosttest.JSON(w, 200, map[string]any{"id": e.ID, "secret": "whsec_shown_once"})
	case at < 0:
		hosttest.JSON(w, 404, map[string]any{"error": map[string]any{"message": "No such webhook endpoint"}})
	case r.Method == "POST":
		v.all[at].URL, v.all[at].Events = form.Get("url"), form["enabled_events[]"]
		if form.Get("disabled") == "false" {
			v.all[at].Status = "enabled"
		}
		hosttest.JSON(w, 200, v.all[at])
	case r.Method == "DELETE":
		v.all = slices.Delete(v.all, at, at+1)
		hosttest.JSON(w, 200, map[string]any{"deleted": true})
	default:
		w.WriteHeader(405)
	}
}

func (v *vendor) page(w http.ResponseWriter, after string) {
	first := 0
	for i, e := range v.all {
		if e.ID == after {
			first = i + 1
		}
	}
	rest := v.all[first:]
	hosttest.JSON(w, 200, map[string]any{"data": rest[:min(2, len(rest))], "has_more": len(rest) > 2})
}

func kept(v *vendor) string {
	return secured + "createWebhook: true\napiKey: {name: stripe, key: api}\neventFilter: [b.c, a.b]\ndeleteHookOnFinish: true\napiURL: " + v.URL
}

func env(t *testing.T) *sourcetest.Env {
	e := sourcetest.NewEnv(t)
	e.Vault.Set("stripe", "api", key+"\n")
	e.Vault.Set("stripe", "signing", hosttest.Secret)
	return e
}

// The endpoint at Stripe is made once, others are left alone, and doubles go.
func TestCreateWebhook(t *testing.T) {
	const ours = "https://hooks.example.com/stripe"
	others := []endpoint{
		{ID: "we_1", URL: "https://other.example.com/", Events: []string{"*"}, Status: "enabled"},
		{ID: "we_2", URL: ours + "/more", Events: []string{"*"}, Status: "enabled"},
		{ID: "we_3", URL: "https://third.example.com/", Events: []string{"*"}, Status: "disabled"},
	}
	same := endpoint{URL: ours, Events: []string{"a.b", "b.c"}, Status: "enabled"}
	for _, tt := range []struct {
		name string
		have []endpoint
		want string // id
	}{
		{"there is none", others, "we_new1"},
		{"there is one, on the second page", append(slices.Clone(others), endpoint{ID: "we_4", URL: ours, Events: []string{"b.c", "a.b"}, Status: "enabled"}), "we_4"},
		{"it has other events", append(slices.Clone(others), endpoint{ID: "we_4", URL: ours, Events: []string{"*"}, Status: "enabled"}), "we_4"},
		{"it is disabled", append(slices.Clone(others), endpoint{ID: "we_4", URL: ours, Events: []string{"a.b", "b.c"}, Status: "disabled"}), "we_4"},
		{"there are several", append(slices.Clone(others), endpoint{ID: "we_4", URL: ours, Events: []string{"*"}, Status: "enabled"}, endpoint{ID: "we_5", URL: ours, Status: "enabled"}), "we_4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVendor(t, slices.Clone(tt.have)...)
			e := env(t)
			text := strings.Replace(kept(v), "endpoint: /stripe,", "endpoint: /stripe, url: https://hooks.example.com/,", 1)
			want := same
			want.ID = tt.want
			settled := func() bool {
				got := v.list()
				if len(got) != 4 {
					return false
				}
				last := got[3]
				slices.Sort(last.Events)
				return last.ID == want.ID && last.URL == want.URL && slices.Equal(last.Events, want.Events) && last.Status == want.Status
			}
			for range 2 { // and after a restart
				r := sourcetest.Start(t, Kind, text, e)
				sourcetest.Eventually(t, "the endpoint", func() bool { return settled() && len(e.Memory.All()) > 0 })
				if err := r.Stop(t); err != nil {
					t.Fatal(err)
				}
			}
			for i := range others {
				if got := v.list()[i]; got.ID != others[i].ID || got.Status != others[i].Status {
					t.Errorf("another endpoint became %+v", got)
				}
			}
			for k, s := range e.Memory.All() {
				if strings.Contains(s, "whsec") {
					t.Errorf("state %s holds a secret: %s", k, s)
				}
			}
			c := decoded(t, text)
			if !Kind.NeedsFinish(c) {
				t.Error("needs no finish")
			}
			for range 2 {
				if err := Kind.Finish(t.Context(), c, e.Env); err != nil {
					t.Fatal(err)
				}
			}
			if got := v.list(); len(got) != len(others) {
				t.Errorf("after the end there are %+v", got)
			}
		})
	}
}

func TestOfflineAsksNobody(t *testing.T) {
	v := newVendor(t)
	e := env(t)
	e.Offline = true
	text := strings.Replace(kept(v), "endpoint: /stripe,", "endpoint: /stripe, url: https://hooks.example.com/,", 1)
	r := sourcetest.Start(t, Kind, text, e)
	body := sample(t)
	body = []byte(strings.Replace(string(body), "checkout.session.completed", "a.b", 1))
	if status, answer := hosttest.Send(t, e.URL(t, "12000", "/stripe"), signed(t, body, hosttest.Secret), body); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	r.Next(t)
	if err := r.Stop(t); err != nil || len(v.Calls()) > 0 {
		t.Errorf("%v, calls %v", err, v.Calls())
	}
}

func TestAPIErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		head   string
		body   string
		want   string
		wait   bool
	}{
		{"wrong key", 401, "", `{"error":{"message":"Invalid API Key provided: sk_test_1"}}`, "401 Unauthorized: Invalid API Key", false},
		{"too many requests", 429, "7", `{}`, "429 Too Many Requests", true},
		{"not JSON", 200, "", `<html>`, "not the JSON", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.NewHost(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
				if tt.head != "" {
					w.Header().Set("Retry-After", tt.head)
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			e := env(t)
			clients := httpclient.New(e.Vault, "test")
			defer clients.Close()
			a := &api{base: h.URL, key: decoded(t, secured+"apiKey: {name: stripe, key: api}").APIKey, secrets: e.Vault, clients: clients}
			_, err := a.List(context.Background(), account)
			var l *hooks.Limited
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &l) != tt.wait {
				t.Errorf("%v", err)
			}
		})
	}
}
