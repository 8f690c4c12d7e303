package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

// apiOf is the API of a configuration, with what it is given.
func apiOf(t *testing.T, e *sourcetest.Env, manifest string) (*api, *Config) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	a := newAPI(c.(*Config), e.Env)
	t.Cleanup(a.clients.Close)
	return a, c.(*Config)
}

func newEnv(t *testing.T) *sourcetest.Env {
	e := sourcetest.NewEnv(t)
	e.Vault.Set("hook", "secret", key)
	e.Vault.Set("api", "token", "t0ken\n")
	return e
}

// managed is a configuration whose hooks are set up.
func (h *host) managed(more string) string {
	return `webhook: {endpoint: /github, url: "https://hooks.example.com/"}
webhookSecret: {name: hook, key: secret}
githubBaseURL: ` + h.server.URL + `
events: [push, pull_request]
active: true
` + more
}

const (
	byToken = "apiToken: {name: api, key: token}\n"
	byApp   = "githubApp: {appID: 12, privateKey: {name: app, key: key}}\n"
)

var wanted = hooks.Hook{
	URL: "https://hooks.example.com/github", Events: []string{"push"}, Active: true,
	Settings: map[string]string{settingContent: "json", settingInsecure: "0"},
}

func TestHooksOfTheAPI(t *testing.T) {
	h := newHost(t)
	a, _ := apiOf(t, newEnv(t), h.managed(byToken+"organizations: [acme]"))
	ctx := t.Context()
	for _, target := range []string{"repos/acme/api", "orgs/acme"} {
		for i := range 4 { // hooks of others, on two pages
			h.hooks[target] = append(h.hooks[target], &hook{ID: int64(i), Active: true, Events: []string{"push"}, Config: &hookConfig{URL: fmt.Sprint("https://other/", i), InsecureSSL: "1"}})
		}
		id, err := a.Create(ctx, target, wanted, []byte("one"))
		if err != nil {
			t.Fatal(err)
		}
		list, err := a.List(ctx, target)
		if err != nil || len(list) != 5 {
			t.Fatalf("%v, %v", list, err)
		}
		want := wanted
		want.ID = id
		if got := fmt.Sprint(list[4]); got != fmt.Sprint(want) {
			t.Errorf("got %s", got)
		}
		// A second one is not made; what is there is taken over.
		again, err := a.Create(ctx, target, wanted, []byte("two"))
		if err != nil || again != id || h.at(target)[4].Config.Secret != "two" {
			t.Errorf("%s, %v", again, err)
		}
		want.Events, want.Active = []string{"create", "push"}, false
		if err := a.Update(ctx, target, want, nil); err != nil {
			t.Error(err)
		}
		if k := h.at(target)[4]; k.Config.Secret != "two" || k.Active || len(k.Events) != 2 || k.Config.ContentType != "json" {
			t.Errorf("%+v %+v", k, k.Config)
		}
		if err := a.Update(ctx, target, want, []byte("three")); err != nil || h.at(target)[4].Config.Secret != "three" {
			t.Error(err)
		}
		for range 2 { // the second time it is gone already
			if err := a.Delete(ctx, target, id); err != nil {
				t.Error(err)
			}
		}
		if len(h.at(target)) != 4 {
			t.Error("it was not deleted, or another was")
		}
	}
	for _, bad := range []string{"", "x", "repos/acme", "repos/a/b/c", "repos/../x", "orgs/"} {
		if _, err := a.List(ctx, bad); err == nil {
			t.Errorf("target %q passed", bad)
		}
	}
}

func TestErrorsOfTheAPI(t *testing.T) {
	h := newHost(t)
	e := newEnv(t)
	a, _ := apiOf(t, e, h.managed(byToken+"organizations: [acme]"))
	var answer http.HandlerFunc
	h.refuse = func(w http.ResponseWriter, r *http.Request) { answer(w, r) }
	soon := time.Now().Add(30 * time.Minute)
	for name, tt := range map[string]struct {
		answer  http.HandlerFunc
		limited bool
		text    string
	}{
		"quota": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", fmt.Sprint(soon.Unix()))
			http.Error(w, `{"message":"API rate limit exceeded"}`, http.StatusForbidden)
		}, true, "API rate limit exceeded"},
		"secondary limit": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
			http.Error(w, `{"message":"You have exceeded a secondary rate limit"}`, http.StatusForbidden)
		}, true, "secondary"},
		"secondary limit without a time": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"message":"You have exceeded a secondary rate limit"}`, http.StatusForbidden)
		}, true, "secondary"},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"message":"Resource not accessible"}`, http.StatusForbidden)
		}, false, "/api/v3/orgs/acme/hooks?per_page=100: 403 Forbidden: Resource not accessible"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, false, "502"},
		"another host for the next page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<https://evil.example.com/>; rel="next"`)
			_, _ = w.Write([]byte(`[]`))
		}, false, "another host"},
	} {
		t.Run(name, func(t *testing.T) {
			h.mu.Lock()
			answer = tt.answer
			h.mu.Unlock()
			_, err := a.List(t.Context(), "orgs/acme")
			var limited *hooks.Limited
			if errors.As(err, &limited) != tt.limited || err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v", err)
			}
			if strings.Contains(fmt.Sprint(err), "t0ken") {
				t.Error("the error holds the token")
			}
		})
	}
	e.Vault.Set("api", "token", "")
	if _, err := a.List(t.Context(), "orgs/acme"); err == nil || !strings.Contains(err.Error(), "apiToken") {
		t.Error(err)
	}
}

func TestAnApp(t *testing.T) {
	h := newHost(t)
	e := newEnv(t)
	h.asApp(e, map[string]int64{"acme": 1, "other": 2})
	a, _ := apiOf(t, e, h.managed(byApp+"repositories: [{owner: acme, names: [a, b]}, {owner: other, names: [c]}]"))
	for range 2 {
		for _, target := range []string{"repos/acme/a", "repos/acme/b", "repos/other/c", "orgs/acme"} {
			if _, err := a.List(t.Context(), target); err != nil {
				t.Errorf("%s: %v", target, err)
			}
		}
	}
	if n := len(h.seen("GET /repos/acme/a/installation")) + len(h.seen("GET /repos/other/c/installation")); n != 2 || h.exchange != 2 {
		t.Errorf("looked up %d times, %d tokens: %v", n, h.exchange, h.requests)
	}
	if _, err := a.List(t.Context(), "repos/nobody/x"); err == nil || !strings.Contains(err.Error(), "installation for nobody") {
		t.Error(err)
	}
	e.Vault.Set("app", "key", "no key")
	if _, err := a.List(t.Context(), "repos/nobody/x"); err == nil || !strings.Contains(err.Error(), "githubApp.privateKey") {
		t.Error(err)
	}
}

func TestHooksLiveAndDie(t *testing.T) {
	for name, place := range map[string]struct{ manifest, hook string }{
		"repositories":  {byToken + "repositories: [{owner: acme, names: [api, web]}]", "repos/acme/web"},
		"organizations": {byToken + "organizations: [acme]", "orgs/acme"},
		"as an App":     {byApp + "organizations: [acme]", "orgs/acme"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			e := newEnv(t)
			if strings.Contains(place.manifest, "githubApp") {
				h.asApp(e, map[string]int64{"acme": 1})
			}
			manifest := h.managed(place.manifest + "\ndeleteHookOnFinish: true")
			r := sourcetest.Start(t, Kind, manifest, e)
			sourcetest.Eventually(t, "the hook", func() bool { return len(h.at(place.hook)) == 1 })
			k := h.at(place.hook)[0]
			if k.Config.URL != "https://hooks.example.com/github" || !k.Active || fmt.Sprint(k.Events) != "[pull_request push]" || k.Config.ContentType != "json" || k.Config.InsecureSSL != "0" {
				t.Errorf("%+v %+v", k, k.Config)
			}
			// A secret that changes is given to GitHub, too, and the old one is good meanwhile.
			e.Vault.Set("hook", "secret", "n3w")
			sourcetest.Eventually(t, "the new secret", func() bool {
				if a := deliver(t, e.URL(t, "12000", "/github"), "push", "2", h.at(place.hook)[0].Config.Secret, pushBody); a.status != 200 {
					t.Errorf("%+v", a)
				}
				return h.at(place.hook)[0].Config.Secret == "n3w"
			})
			if err := r.Stop(t); err != nil || len(h.at(place.hook)) != 1 {
				t.Fatalf("%v; a source that stops leaves its hooks", err)
			}
			_, c := apiOf(t, e, manifest)
			if !Kind.NeedsFinish(c) {
				t.Error("NeedsFinish is false")
			}
			for range 2 {
				if err := Kind.Finish(t.Context(), c, e.Env); err != nil {
					t.Fatal(err)
				}
			}
			if len(h.at(place.hook)) != 0 {
				t.Error("the hook is still there")
			}
		})
	}
}

func TestTheHookOfAnApp(t *testing.T) {
	h := newHost(t)
	e := newEnv(t)
	h.asApp(e, nil)
	h.app = hookConfig{URL: "https://old.example.com", ContentType: "form", InsecureSSL: "0"}
	manifest := h.managed(byApp + "deleteHookOnFinish: true")
	r := sourcetest.Start(t, Kind, manifest, e)
	config := func() hookConfig {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.app
	}
	sourcetest.Eventually(t, "the App's hook", func() bool { return config().Secret == key })
	if c := config(); c.URL != "https://hooks.example.com/github" || c.ContentType != "json" {
		t.Errorf("%+v", c)
	}
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	_, c := apiOf(t, e, manifest)
	if Kind.NeedsFinish(c) {
		t.Error("the hook of an App cannot be deleted")
	}
	if err := Kind.Finish(t.Context(), c, e.Env); err != nil {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	h := newHost(t)
	e := newEnv(t)
	list := func(n int, prefix string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"filename":"%s%d"}`, prefix, i)
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	files := map[string]string{
		sha1 + "..." + sha2: `{"files":[{"filename":"new","previous_filename":"old"},{"filename":"a"}]}`,
		sha2 + "..." + sha1: `{"files":[{"filename":"gone"}]}`,
		"main..." + sha2:    `{"files":[{"filename":"branch"}]}`,
		zero + "..." + sha2: `{"files":` + list(300, "f") + `}`,
	}
	h.mux.HandleFunc("GET /api/v3/repos/acme/api/compare/{range...}", func(w http.ResponseWriter, r *http.Request) {
		answer, ok := files[r.PathValue("range")]
		if !ok {
			http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(answer))
	})
	h.mux.HandleFunc("GET /api/v3/repos/acme/api/pulls/{number}/files", func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		page = max(page, 1)
		pages := 2
		if r.PathValue("number") == "6" {
			pages = 40
		}
		if page < pages {
			w.Header().Set("Link", fmt.Sprintf(`<%s%s?per_page=100&page=%d>; rel="next"`, h.server.URL, r.URL.Path, page+1))
		}
		_, _ = w.Write([]byte(list(100, fmt.Sprint("p", page, "/"))))
	})
	r := sourcetest.Start(t, Kind, h.managed(byToken+"repositories: [{owner: acme, names: [api]}]"), e)
	url := e.URL(t, "12000", "/github")
	noCommits := pushBody[:strings.Index(pushBody, `"commits"`)] + `"commits":[],` + repository + `}`
	pull := func(n string) string {
		return `{"action":"opened",` + strings.Replace(pullRequest, `"number":5`, `"number":`+n, 2) + `,` + repository + `}`
	}
	for name, tt := range map[string]struct {
		event, body string
		count       int
		files       string
		unknown     string
	}{
		"known already":      {"push", pushBody, 3, "README.md", ""},
		"not sent":           {"push", noCommits, 3, "a", ""},
		"forced":             {"push", strings.Replace(pushBody, `"forced":false`, `"forced":true`, 1), 4, "a gone new old", ""},
		"a new branch":       {"push", strings.NewReplacer(sha1, zero, "heads/main", "heads/x").Replace(noCommits), 1, "branch", ""},
		"a pull request":     {"pull_request", pull("5"), 200, "p1/0", ""},
		"a large one":        {"pull_request", pull("6"), 0, "", "too-many"},
		"no such commits":    {"push", strings.Replace(noCommits, sha1, strings.Repeat("3", 40), 1), 0, "", "lookup-failed"},
		"a forged commit":    {"push", strings.Replace(noCommits, sha1, "../../../user", 1), 0, "", "lookup-failed"},
		"a forged name":      {"push", strings.Replace(noCommits, "acme/api\"", "../..\"", 1), 0, "", "lookup-failed"},
		"the branch is gone": {"push", strings.Replace(noCommits, `"after":"`+sha2, `"after":"`+zero, 1), 0, "", "deleted-ref"},
	} {
		t.Run(name, func(t *testing.T) {
			if a := deliver(t, url, tt.event, strings.ReplaceAll(name, " ", "-"), key, tt.body); a.status != 200 {
				t.Fatalf("%+v", a)
			}
			g := read(t, r.Next(t)).Git
			if g.ChangedFilesUnknown != tt.unknown || len(g.ChangedFiles) != tt.count {
				t.Fatalf("%d files, %q", len(g.ChangedFiles), g.ChangedFilesUnknown)
			}
			for _, f := range strings.Fields(tt.files) {
				if !slices.Contains(g.ChangedFiles, f) {
					t.Errorf("%s is not among %v", f, g.ChangedFiles)
				}
			}
		})
	}
	for _, r := range h.seen("GET /") {
		if strings.Contains(r, "..%2F") || strings.Contains(r, "/../") || strings.Contains(r, "user") {
			t.Errorf("asked %s", r)
		}
	}
	if _, err := (&api{}).files(context.Background(), &gitevent.Event{Repository: gitevent.Repository{FullName: "x"}}); err == nil {
		t.Error("a name without an owner passed")
	}
}

func TestNoLookupWithoutCredentials(t *testing.T) {
	_, r, url := start(t, signed)
	deliver(t, url, "pull_request", "1", key, `{"action":"opened",`+pullRequest+`,`+repository+`}`)
	if g := read(t, r.Next(t)).Git; g.ChangedFilesUnknown != "not-sent" {
		t.Error(g.ChangedFilesUnknown)
	}
}

func TestAPIBase(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "https://api.github.com",
		"https://github.example.com":         "https://github.example.com/api/v3",
		"https://github.example.com/":        "https://github.example.com/api/v3",
		"https://github.example.com/api/v3/": "https://github.example.com/api/v3",
		"https://api.github.com/":            "https://api.github.com",
		"https://acme.api.ghe.com":           "https://acme.api.ghe.com",
	} {
		if got := apiBase(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
