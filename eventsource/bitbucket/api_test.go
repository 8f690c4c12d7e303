package bitbucket

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

// cloud plays Bitbucket: hooks of one repository and one workspace, two a page.
type cloud struct {
	*hosttest.Host
	mu    sync.Mutex
	hooks map[string][]map[string]any // by target
	made  int
}

func newCloud(t *testing.T, authorization string) *cloud {
	c := &cloud{hooks: map[string][]map[string]any{}}
	c.Host = hosttest.NewHost(t, func(w http.ResponseWriter, r *http.Request, body string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.Header.Get("Authorization") != authorization {
			hosttest.JSON(w, 401, map[string]any{"error": map[string]any{"message": "who are you?"}})
			return
		}
		target, id, ok := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/2.0/"), "/hooks")
		if !ok {
			c.diffstat(w, r)
			return
		}
		c.serve(t, w, r, target, strings.TrimPrefix(id, "/"), body)
	})
	return c
}

func (c *cloud) serve(t *testing.T, w http.ResponseWriter, r *http.Request, target, id, body string) {
	var in map[string]any
	if body != "" && json.Unmarshal([]byte(body), &in) != nil {
		t.Errorf("no JSON: %s", body)
	}
	all := c.hooks[target]
	if r.Method == http.MethodGet {
		page := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &page)
		out := map[string]any{"values": all[min(2*page, len(all)):min(2*page+2, len(all))]}
		if len(all) > 2*page+2 {
			out["next"] = fmt.Sprintf("%s/2.0/%s/hooks?page=%d", c.URL, target, page+1)
		}
		hosttest.JSON(w, 200, out)
		return
	}
	if r.Method == http.MethodPost {
		c.made++
		in["uuid"] = fmt.Sprintf("{made-%d}", c.made)
		c.hooks[target] = append(all, in)
		hosttest.JSON(w, 201, in)
		return
	}
	if !strings.HasPrefix(id, "%7B") || !strings.HasSuffix(id, "%7D") {
		t.Errorf("the braces of %s are not encoded", id)
	}
	uuid, _ := url.PathUnescape(id)
	i := slices.IndexFunc(all, func(h map[string]any) bool { return h["uuid"] == uuid })
	switch {
	case i < 0:
		w.WriteHeader(404)
	case r.Method == http.MethodDelete:
		c.hooks[target] = slices.Delete(all, i, i+1)
		w.WriteHeader(204)
	case r.Method == http.MethodPut:
		if _, ok := in["secret"]; !ok {
			in["secret"] = all[i]["secret"]
		}
		in["uuid"] = uuid
		all[i] = in
		hosttest.JSON(w, 200, in)
	}
}

func (c *cloud) diffstat(w http.ResponseWriter, r *http.Request) {
	path := func(old, now string) map[string]any {
		e := map[string]any{"old": nil, "new": nil}
		if old != "" {
			e["old"] = map[string]string{"path": old}
		}
		if now != "" {
			e["new"] = map[string]string{"path": now}
		}
		return e
	}
	switch {
	case r.URL.Query().Get("page") == "2":
		hosttest.JSON(w, 200, map[string]any{"values": []any{path("b/old.go", "b/new.go"), path("gone", "")}})
	case r.URL.Path == "/2.0/repositories/acme/api/diffstat/"+b40+".."+a40 && r.URL.Query().Get("topic") == "false":
		hosttest.JSON(w, 200, map[string]any{"values": []any{path("", "a.go")}, "next": c.URL + r.URL.Path + "?page=2"})
	case r.URL.Path == "/2.0/repositories/acme/api/pullrequests/7/diffstat":
		http.Redirect(w, r, c.URL+"/2.0/elsewhere", http.StatusFound)
	case r.URL.Path == "/2.0/elsewhere":
		hosttest.JSON(w, 200, map[string]any{"values": []any{path("", "pr.go")}})
	case strings.Contains(r.URL.Path, "evil"):
		hosttest.JSON(w, 200, map[string]any{"next": "http://evil.example.com/"})
	case strings.Contains(r.URL.Path, "busy"):
		w.Header().Set("Retry-After", "120")
		hosttest.JSON(w, 429, map[string]any{"error": map[string]any{"message": "slow down"}})
	default:
		w.WriteHeader(404)
	}
}

func (c *cloud) of(target string) []map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.hooks[target])
}

const kept = `
webhook: {endpoint: /hook, port: "12000", url: https://hooks.example.com/}
webhookSecret: {name: bb, key: secret}
auth: {oauthToken: {name: bb, key: token}}
events: [repo:push, "pullrequest:created"]
repositories: [{owner: acme, repositorySlug: api}]
workspaces: [acme]
deleteHookOnFinish: true
apiURL: `

const address = "https://hooks.example.com/hook"

func TestHooks(t *testing.T) {
	c := newCloud(t, "Bearer t0ken")
	const repo, workspace = "repositories/acme/api", "workspaces/acme"
	foreign := map[string]any{"uuid": "{other}", "url": "https://ci.example.com", "active": true, "events": []string{"repo:push"}}
	c.hooks[repo] = []map[string]any{foreign, foreign, {"uuid": "{old}", "url": address, "active": false, "events": []string{"repo:push"}, "description": "webhook managed by Argo-Events"}}
	e := sourcetest.NewEnv(t)
	entry.Fill(e)
	r := sourcetest.Start(t, Kind, kept+c.URL+"/2.0", e)
	want := func(target string) bool {
		for _, h := range c.of(target) {
			if h["url"] == address && h["active"] == true && h["secret"] == hosttest.Secret && fmt.Sprint(h["events"]) == "[pullrequest:created repo:push]" &&
				h["description"] == "Signalbox default/test/example" {
				return true
			}
		}
		return false
	}
	sourcetest.Eventually(t, "the hooks", func() bool { return want(repo) && want(workspace) })
	if n := len(c.of(repo)); n != 3 {
		t.Errorf("%d hooks; the one that was there has to be changed", n)
	}
	if err := r.Stop(t); err != nil || !want(repo) {
		t.Errorf("stopping: %v, %v", err, c.of(repo))
	}

	raw, err := yaml.YAMLToJSON([]byte(kept + c.URL + "/2.0"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := Kind.Decode(raw)
	if v1alpha1.Fatal(err) != nil || !Kind.NeedsFinish(conf) {
		t.Fatal(err)
	}
	for range 2 {
		if err := Kind.Finish(t.Context(), conf, e.Env); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.of(repo)) != 2 || len(c.of(workspace)) != 0 {
		t.Errorf("left: %v, %v", c.of(repo), c.of(workspace))
	}
}

// What is not sent of a secret is left alone.
func TestUpdateLeavesTheSecret(t *testing.T) {
	c := newCloud(t, "Bearer t0ken")
	c.hooks["workspaces/w"] = []map[string]any{{"uuid": "{1}", "url": address, "secret": "s"}}
	h := hookAPI{api(t, c), "d"}
	if err := h.Update(t.Context(), "workspaces/w", hooks.Hook{ID: "{1}", URL: address, Active: true}, nil); err != nil {
		t.Fatal(err)
	}
	if got := c.of("workspaces/w")[0]; got["secret"] != "s" || got["active"] != true {
		t.Errorf("%v", got)
	}
	if err := h.Delete(t.Context(), "workspaces/w", "{gone}"); err != nil {
		t.Error(err)
	}
	if err := h.Update(t.Context(), "workspaces/w", hooks.Hook{ID: "{gone}"}, nil); !githost.IsGone(err) {
		t.Error(err)
	}
}

func api(t *testing.T, c *cloud) *githost.API {
	e := sourcetest.NewEnv(t)
	entry.Fill(e)
	a := newAPI(&Config{Auth: &Auth{OAuthToken: secretRef("token")}, APIURL: c.URL + "/2.0"}, e.Env)
	t.Cleanup(a.Clients.Close)
	return a
}

func TestFiles(t *testing.T) {
	f := finder{api(t, newCloud(t, "Bearer t0ken"))}
	for _, tt := range []struct {
		name string
		e    gitevent.Event
		want string
	}{
		{"push", gitevent.Event{Repository: gitevent.Repository{FullName: "acme/api"}, Before: a40, After: b40}, "a.go b/old.go b/new.go gone"},
		{"pull request", gitevent.Event{Repository: gitevent.Repository{FullName: "acme/api"}, PullRequest: &gitevent.PullRequest{Number: 7}}, "pr.go"},
	} {
		files, err := f.find(t.Context(), &tt.e)
		if err != nil || strings.Join(files, " ") != tt.want {
			t.Errorf("%s: %v %v", tt.name, files, err)
		}
	}
	if _, err := f.find(t.Context(), &gitevent.Event{Repository: gitevent.Repository{FullName: "api"}}); !errors.Is(err, gitevent.ErrUnknowable) {
		t.Error(err)
	}
	if _, err := f.find(t.Context(), &gitevent.Event{Repository: gitevent.Repository{FullName: "evil/api"}, Before: a40, After: b40}); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Error(err)
	}
	var limited *hooks.Limited
	if _, err := f.find(t.Context(), &gitevent.Event{Repository: gitevent.Repository{FullName: "busy/api"}, Before: a40, After: b40}); !errors.As(err, &limited) || !strings.Contains(err.Error(), "slow down") {
		t.Error(err)
	}
}

func TestPushWithFiles(t *testing.T) {
	c := newCloud(t, "Basic YWRhOnA=")
	k := entry
	k.Config += "auth: {basic: {username: {name: bb, key: user}, password: {name: bb, key: password}}}\napiURL: " + c.URL + "/2.0"
	k.Secrets = map[string]string{"bb/secret": hosttest.Secret, "bb/user": "ada", "bb/password": "p"}
	e, r := k.Start(t)
	body := fmt.Sprintf(pushOf, changes["forced"])
	if status, text := send(t, e, eventsource.Sending{Body: []byte(body)}); status != 200 {
		t.Fatal(status, text)
	}
	if got := hosttest.Summary(hosttest.Read(t, r.Next(t)).Git); !strings.Contains(got, "files:a.go,b/new.go,b/old.go,gone signature") {
		t.Error(got)
	}
}
