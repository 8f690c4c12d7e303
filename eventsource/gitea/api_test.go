package gitea

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

func TestHooksLiveAndDie(t *testing.T) {
	for name, tt := range map[string]struct {
		manifest, place string
		gogs            bool
	}{
		"repository":   {"repositories: [{owner: acme, names: [api]}]", "repos/acme/api", false},
		"organization": {"organizations: [acme]", "orgs/acme", false},
		"user":         {"user: true", "user", false},
		"gogs":         {"repositories: [{owner: acme, names: [api]}]", "repos/acme/api", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.gogs = tt.gogs
			for i := range 3 {
				h.hooks[tt.place] = append(h.hooks[tt.place], &hook{ID: int64(i), Events: []string{"push"}, Config: map[string]string{"url": fmt.Sprint("https://other/", i)}})
			}
			manifest := h.managed(tt.manifest)
			e, r, link := start(t, manifest)
			sourcetest.Eventually(t, "the hook", func() bool { return len(h.at(tt.place)) == 4 })
			k := h.at(tt.place)[3]
			if k.Config["url"] != "https://hooks.example.com/gitea" || !k.Active || k.Config["content_type"] != "json" || k.Config["secret"] != key {
				t.Errorf("%+v", k)
			}
			e.Vault.Set("hook", "secret", "n3w")
			sourcetest.Eventually(t, "the new secret", func() bool {
				now := h.at(tt.place)[3].Config["secret"]
				if a := send(t, http.MethodPost, link, headers(t, gitea, "push", "", "1", now, pushBody), pushBody); a.status != 200 {
					t.Errorf("%+v", a)
				}
				return now == "n3w"
			})
			if err := r.Stop(t); err != nil || len(h.at(tt.place)) != 4 {
				t.Fatalf("%v; a source that stops leaves its hooks", err)
			}
			raw, err := yaml.YAMLToJSON([]byte(manifest))
			if err != nil {
				t.Fatal(err)
			}
			c, err := Kind.Decode(raw)
			if v1alpha1.Fatal(err) != nil || !Kind.NeedsFinish(c) {
				t.Fatal(err)
			}
			for range 2 {
				if err := Kind.Finish(t.Context(), c, e.Env); err != nil {
					t.Fatal(err)
				}
			}
			if len(h.at(tt.place)) != 3 {
				t.Error("the hook is still there, or another is gone")
			}
		})
	}
}

func TestAPI(t *testing.T) {
	h := newHost(t)
	e := sourcetest.NewEnv(t)
	e.Vault.Set("api", "token", "t0ken")
	a := newAPI(&Config{BaseURL: h.server.URL + "/", AccessToken: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "api"}, Key: "token"}}, e.Env)
	defer a.rest.Clients.Close()
	for i := range 5 {
		h.hooks["orgs/acme"] = append(h.hooks["orgs/acme"], &hook{ID: int64(i + 1), Events: []string{"push"}, Config: map[string]string{"url": "u"}})
	}
	list, err := a.List(t.Context(), "orgs/acme")
	if err != nil || len(list) != 5 {
		t.Errorf("%v %v", list, err)
	}
	if err := a.Delete(t.Context(), "orgs/acme", "77"); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	if err := a.Update(t.Context(), "orgs/acme", hooks.Hook{ID: "77"}, nil); err == nil {
		t.Error("one that is gone was changed")
	}
	for _, bad := range []string{"", "repos/x", "repos/a/..", "orgs/"} {
		if _, err := a.List(t.Context(), bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
	e.Vault.Set("api", "token", "")
	if _, err := a.List(t.Context(), "user"); err == nil || !strings.Contains(err.Error(), "accessToken") {
		t.Error(err)
	}
}

func TestSameEvents(t *testing.T) {
	for _, tt := range []struct {
		have, want string
		same       bool
	}{
		{"push", "push", true},
		{"push pull_request pull_request_sync pull_request_review_approved", "pull_request push", true},
		{"pull_request", "pull_request_only", true},
		{"issues issue_label issue_assign", "issues", true},
		{"issue_comment issues", "issues", true},
		{"pull_request_review_approved pull_request_review_rejected", "pull_request_review", true},
		{"push create", "push", false},
		{"push", "push create", false},
		{"", "push", false},
		{"pull_request pull_request_sync", "pull_request_only", false},
	} {
		if got := sameEvents(strings.Fields(tt.have), strings.Fields(tt.want)); got != tt.same {
			t.Errorf("%+v", tt)
		}
	}
}

func TestFiles(t *testing.T) {
	h := newHost(t)
	_, r, link := start(t, h.managed("repositories: [{owner: acme, names: [api]}]"))
	cut := strings.Replace(pushBody, `"total_commits":2`, `"total_commits":9`, 1)
	for name, tt := range map[string]struct {
		f           family
		event, body string
		count       int
		unknown     string
	}{
		"known":          {gitea, "push", pushBody, 2, ""},
		"cut":            {gitea, "push", cut, 2, ""},
		"gogs":           {families[2], "push", strings.Replace(cut, sha1, strings.Repeat("4", 40), 1), 0, "truncated"},
		"too many":       {gitea, "push", strings.NewReplacer(sha1, zero, "heads/main", "heads/x", commits, "[]").Replace(cut), 0, "too-many"},
		"an old host":    {gitea, "push", strings.Replace(cut, sha1, strings.Repeat("3", 40), 1), 0, "truncated"},
		"a forged one":   {gitea, "push", strings.Replace(cut, sha1, "../../x", 1), 0, "lookup-failed"},
		"a pull request": {gitea, "pull_request", `{"action":"opened",` + pullRequest + around, 101, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if a := send(t, http.MethodPost, link, headers(t, tt.f, tt.event, "", strings.ReplaceAll(name, " ", "-"), key, tt.body), tt.body); a.status != 200 {
				t.Fatalf("%+v", a)
			}
			if g := read(t, r.Next(t)).Git; len(g.ChangedFiles) != tt.count || g.ChangedFilesUnknown != tt.unknown {
				t.Errorf("%v %q", g.ChangedFiles, g.ChangedFilesUnknown)
			}
		})
	}
}
