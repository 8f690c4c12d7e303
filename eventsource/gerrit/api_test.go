package gerrit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

// vendor plays Gerrit: the webhooks plugin's remotes of two projects, and files.
type vendor struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	remotes map[string]map[string]string // JSON by path of the list, by name
	files   map[string]string
	limited bool
}

const (
	teamHooks = "/a/config/server/webhooks~projects/team%2Fshop/remotes/"
	soloHooks = "/a/config/server/webhooks~projects/solo/remotes/"
)

func newVendor(t *testing.T) *vendor {
	v := &vendor{t: t, files: map[string]string{}, remotes: map[string]map[string]string{teamHooks: {}, soloHooks: {}}}
	s := httptest.NewServer(v)
	t.Cleanup(s.Close)
	v.url = s.URL
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if user, password, _ := r.BasicAuth(); user != "bot" || password != "pass" {
		v.t.Errorf("authorized as %s, %s", user, password)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := r.URL.EscapedPath()
	if v.limited {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if answer, ok := v.files[path]; ok && r.Method == http.MethodGet {
		fmt.Fprintf(w, "%s\n%s\n", guard, answer)
		return
	}
	i := strings.LastIndexByte(path, '/') + 1
	list, name := v.remotes[path[:i]], path[i:]
	switch {
	case list == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet && name == "":
		all := map[string]json.RawMessage{}
		for k, b := range list {
			all[k] = json.RawMessage(b)
		}
		b, err := json.Marshal(all)
		if err != nil {
			v.t.Error(err)
		}
		fmt.Fprintf(w, "%s\n%s\n", guard, b)
	case r.Method == http.MethodPut && name != "":
		b, err := io.ReadAll(r.Body)
		if err != nil || !json.Valid(b) || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			v.t.Errorf("%s, %v, %v", b, err, r.Header)
		}
		list[name] = string(b)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s\n%s\n", guard, b)
	case r.Method == http.MethodDelete && list[name] != "":
		delete(list, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (v *vendor) all(path string) map[string]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.remotes[path])
}

func (v *vendor) manifest() string {
	return `
webhook: {endpoint: /gerrit, url: "https://hooks.example.com"}
auth: {username: {name: gerrit, key: user}, password: {name: gerrit, key: password}}
projects: [team/shop, solo]
events: [ref-updated, patchset-created]
maxTries: 3
deleteHookOnFinish: true
gerritBaseURL: ` + v.url + "/"
}

func env(t *testing.T) *sourcetest.Env {
	e := sourcetest.NewEnv(t)
	e.Vault.Set("gerrit", "user", "bot")
	e.Vault.Set("gerrit", "password", "pass")
	return e
}

func decodeYAML(t *testing.T, manifest string) *Config {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	return c.(*Config)
}

const wantRemote = `{"url":"https://hooks.example.com/gerrit","events":["patchset-created","ref-updated"],"maxTries":3,"sslVerify":false}`

func TestHooksAreMadeAndRemoved(t *testing.T) {
	v, e := newVendor(t), env(t)
	v.remotes[soloHooks]["other"] = `{"url":"https://other.example.com/"}`
	r := sourcetest.Start(t, Kind, v.manifest(), e)
	sourcetest.Eventually(t, "two hooks", func() bool {
		return v.all(teamHooks)["test-example"] == wantRemote && v.all(soloHooks)["test-example"] == wantRemote
	})
	if err := r.Stop(t); err != nil {
		t.Error(err)
	}
	if n := len(v.all(teamHooks)); n != 1 {
		t.Errorf("%d hooks after stopping", n)
	}
	for range 2 {
		if err := Kind.Finish(t.Context(), decodeYAML(t, v.manifest()), e.Env); err != nil {
			t.Fatal(err)
		}
	}
	if names := slices.Sorted(maps.Keys(v.all(soloHooks))); fmt.Sprint(names) != "[other]" || len(v.all(teamHooks)) != 0 {
		t.Errorf("%v, %v", names, v.all(teamHooks))
	}
}

func TestHookAPI(t *testing.T) {
	v, e := newVendor(t), env(t)
	v.remotes[teamHooks]["a/b"] = `{"url":"https://x","sslVerify":true,"maxTries":7,"events":["e"]}`
	v.remotes[teamHooks]["all"] = `{"url":"https://y"}`
	c := decodeYAML(t, v.manifest()+"\nhookName: my hook\nsslVerify: true")
	api := c.api(e.Env)
	defer api.Clients.Close()
	k := c.keeper(api, e.Env)
	a, ctx := k.API, t.Context()
	list, err := a.List(ctx, "team/shop")
	if err != nil || fmt.Sprint(list) != "[{a/b https://x [e] true map[maxTries:7 sslVerify:true]} {all https://y [] true map[maxTries: sslVerify:false]}]" {
		t.Errorf("%v, %v", list, err)
	}
	id, err := a.Create(ctx, "team/shop", k.Want, nil)
	if err != nil || id != "my hook" || v.all(teamHooks)["my%20hook"] != strings.Replace(wantRemote, "false", "true", 1) {
		t.Errorf("%q, %v, %v", id, err, v.all(teamHooks))
	}
	if err := a.Update(ctx, "team/shop", hooks.Hook{ID: "all", URL: "https://z", Settings: map[string]string{sslVerify: "false"}}, nil); err != nil {
		t.Error(err)
	}
	if got := v.all(teamHooks)["all"]; got != `{"url":"https://z","sslVerify":false}` {
		t.Error(got)
	}
	for range 2 {
		if err := a.Delete(ctx, "team/shop", "my hook"); err != nil {
			t.Error(err)
		}
	}
	if _, err := a.List(ctx, "nowhere"); !githost.IsGone(err) {
		t.Error(err)
	}
	v.limited = true
	var limited *hooks.Limited
	if _, err := a.List(ctx, "solo"); !errors.As(err, &limited) {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	v, e := newVendor(t), env(t)
	v.files["/a/changes/5/revisions/c1/files"] = `{"/COMMIT_MSG":{"status":"A"},"/MERGE_LIST":{},"b":{},"new":{"status":"R","old_path":"old"},"copy":{"status":"C","old_path":"b"}}`
	for body, want := range map[string]string{
		changeOf("patchset-created", "NEW", ""):                              " files=[b copy new old] pr=5:open " + shopChange,
		strings.Replace(changeOf("change-merged", "NEW", ""), "c1", "c2", 1): " files=lookup-failed pr=5:open " + strings.Replace(shopChange, "c1", "c2", 1),
		refOf("main", "a1", "b1"):                                            " a1..b1 truncated files=not-sent sender=lee",
	} {
		// A failure keeps the lookup quiet for a second, so each has a source of its own.
		r := sourcetest.Start(t, Kind, v.manifest(), e)
		if a := post(t, e.URL(t, "12000", "/gerrit"), body, sent(t, body, "")); a.status != http.StatusOK {
			t.Fatalf("%+v", a)
		}
		got := read(t, r.Next(t)).Git
		if s := summary(&got); !strings.HasSuffix(s, want) {
			t.Errorf("%s, want %s", s, want)
		}
		if err := r.Stop(t); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsAskedOffline(t *testing.T) {
	v, e := newVendor(t), env(t)
	e.Offline = true
	c := decodeYAML(t, v.manifest())
	s, err := New(*c, e.Env)
	if err != nil || s.(*githost.Source).Keeper != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if !Kind.NeedsFinish(c) {
		t.Error("does not need to finish")
	}
	c.Webhook.URL = ""
	if Kind.NeedsFinish(c) || Kind.Finish(t.Context(), c, e.Env) != nil {
		t.Error("finishes what it did not begin")
	}
	if got := Kind.Routes(c)[0]; got.Path != "/gerrit" || fmt.Sprint(got.Methods) != "[POST]" {
		t.Errorf("%+v", got)
	}
	if _, err := (finder{}).find(t.Context(), &gitevent.Event{}); !errors.Is(err, gitevent.ErrUnknowable) {
		t.Error(err)
	}
}

var _ hooks.API = (*hookAPI)(nil)
