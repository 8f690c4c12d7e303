package gitlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

const accessToken = "glpat-1"

// vendor plays GitLab's API: hooks of a project and of a group, and diffs.
type vendor struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	hooks   map[string]map[int]map[string]any // by path, by id
	last    int
	calls   []string
	limited int             // answers 429 that many times
	files   map[string]any  // answers by path with query
	unknown map[string]bool // events that this GitLab does not know
}

func newVendor(t *testing.T) *vendor {
	v := &vendor{t: t, hooks: map[string]map[int]map[string]any{}, files: map[string]any{}, unknown: map[string]bool{}}
	for _, target := range []string{"/api/v4/projects/acme%2Fapi", "/api/v4/projects/7", "/api/v4/groups/acme"} {
		v.hooks[target+"/hooks"] = map[int]map[string]any{}
	}
	s := httptest.NewServer(v)
	t.Cleanup(s.Close)
	v.url = s.URL
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if got := r.Header.Get("Authorization"); got != "Bearer "+accessToken {
		v.t.Errorf("authorized with %q", got)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := r.URL.EscapedPath()
	v.calls = append(v.calls, r.Method+" "+path)
	if v.limited > 0 {
		v.limited--
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if answer, ok := v.files[r.URL.RequestURI()]; ok {
		v.answer(w, http.StatusOK, answer)
		return
	}
	dir, id := path, 0
	if list, ok := v.hooks[dir]; ok && r.Method == http.MethodGet {
		v.list(w, r, list)
		return
	}
	if i := strings.LastIndexByte(path, '/'); !strings.HasSuffix(path, "/hooks") {
		dir = path[:i]
		id, _ = strconv.Atoi(path[i+1:])
	}
	list := v.hooks[dir]
	if list == nil || r.Method != http.MethodPost && list[id] == nil {
		v.answer(w, http.StatusNotFound, map[string]any{"message": "404 Not found"})
		return
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut:
		in := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in["url"] == "" {
			v.t.Errorf("%s: %v %v", path, in, err)
		}
		hook := list[id]
		if r.Method == http.MethodPost {
			v.last++
			id, hook = v.last, map[string]any{"id": v.last}
			list[id] = hook
		} else if in["url"] != hook["url"] {
			delete(hook, "token") // as GitLab does
			delete(hook, "signing_token")
		}
		maps.Copy(hook, in)
		v.answer(w, http.StatusCreated, map[string]any{"id": id})
	case http.MethodDelete:
		delete(list, id)
		w.WriteHeader(http.StatusNoContent)
	default:
		v.t.Errorf("%s %s", r.Method, path)
	}
}

func (v *vendor) list(w http.ResponseWriter, r *http.Request, list map[int]map[string]any) {
	ids := slices.Sorted(maps.Keys(list))
	per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if per < 1 || per > 100 || page < 1 {
		v.t.Errorf("%s", r.URL)
	}
	from, to := min((page-1)*per, len(ids)), min(page*per, len(ids))
	next := ""
	if to < len(ids) {
		next = strconv.Itoa(page + 1)
	}
	w.Header().Set("X-Next-Page", next)
	out := []map[string]any{}
	for _, id := range ids[from:to] {
		h := maps.Clone(list[id])
		h["token_present"] = h["token"] != nil
		delete(h, "token")
		delete(h, "signing_token")
		for e := range v.unknown {
			delete(h, e)
		}
		out = append(out, h)
	}
	v.answer(w, http.StatusOK, out)
}

func (v *vendor) answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		v.t.Error(err)
	}
}

// all is a copy of the hooks below a path.
func (v *vendor) all(path string) []map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []map[string]any
	for _, id := range slices.Sorted(maps.Keys(v.hooks[path])) {
		all = append(all, maps.Clone(v.hooks[path][id]))
	}
	return all
}

func (v *vendor) made() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.calls)
}

func (v *vendor) manifest() string {
	return `
webhook: {endpoint: /gitlab, url: "https://hooks.example.com/"}
accessToken: {name: gitlab, key: access}
secretToken: {name: gitlab, key: token}
signingToken: {name: gitlab, key: signing}
projects: [acme/api, "7"]
groups: [/acme/]
events: [PushEvents, MemberEvents, ReleasesEvents]
enableSSLVerification: true
deleteHookOnFinish: true
gitlabBaseURL: ` + v.url
}

func env(t *testing.T) *sourcetest.Env {
	e := sourcetest.NewEnv(t)
	e.Vault.Set("gitlab", "access", accessToken)
	e.Vault.Set("gitlab", "token", testToken)
	e.Vault.Set("gitlab", "signing", testSigning)
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

func TestHooksAreMadeAndRemoved(t *testing.T) {
	v, e := newVendor(t), env(t)
	paths := slices.Sorted(maps.Keys(v.hooks))
	v.hooks[paths[0]][900] = map[string]any{"id": 900, "url": "https://other.example.com/"}
	r := sourcetest.Start(t, Kind, v.manifest(), e)
	sourcetest.Eventually(t, "three hooks", func() bool {
		n := 0
		for _, p := range paths {
			n += len(v.all(p))
		}
		return n == 4
	})
	for _, p := range paths {
		h := v.all(p)[0]
		group := strings.Contains(p, "/groups/")
		if h["url"] != "https://hooks.example.com/gitlab" || h["token"] != testToken || h["signing_token"] != testSigning || h[ssl] != true ||
			h["push_events"] != true || h["releases_events"] != true || h["tag_push_events"] != false {
			t.Errorf("%s: %v", p, h)
		}
		if member, ok := h["member_events"]; ok != group || group && member != true {
			t.Errorf("%s: member_events %v", p, member)
		}
	}
	if err := r.Stop(t); err != nil {
		t.Error(err)
	}
	if n := len(v.all(paths[0])); n != 2 {
		t.Errorf("%d hooks after stopping", n)
	}
	if err := Kind.Finish(t.Context(), decodeYAML(t, v.manifest()), e.Env); err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		for _, h := range v.all(p) {
			if h["id"] != 900 {
				t.Errorf("%s is still there: %v", p, h)
			}
		}
	}
	if len(v.all(paths[0])) != 1 {
		t.Error("a hook of somebody else was removed")
	}
	if err := Kind.Finish(t.Context(), decodeYAML(t, v.manifest()), e.Env); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestNothingIsMadeOffline(t *testing.T) {
	v, e := newVendor(t), env(t)
	e.Offline = true
	c := decodeYAML(t, v.manifest())
	if s := newSource(*c, e.Env, time.Now); s.Keeper != nil {
		t.Error("there is a keeper")
	}
	c.Webhook.URL = ""
	if err := Kind.Finish(t.Context(), c, e.Env); err != nil || len(v.made()) > 0 {
		t.Errorf("%v, %v", err, v.made())
	}
}

func newHookAPI(t *testing.T, v *vendor, e *sourcetest.Env) *hookAPI {
	c := decodeYAML(t, v.manifest())
	r := c.receiver(e.Env)
	api := c.api(e.Env)
	t.Cleanup(api.Clients.Close)
	return c.keeper(api, e.Env, r).API.(*hookAPI)
}

const (
	projectTarget = "/projects/acme%2Fapi"
	projectHooks  = "/api/v4" + projectTarget + "/hooks"
)

func TestHookAPI(t *testing.T) {
	v, e := newVendor(t), env(t)
	a := newHookAPI(t, v, e)
	ctx := t.Context()
	secret, err := a.keys.Current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := hooks.Hook{URL: "https://hooks.example.com/gitlab", Events: []string{"push_events"}, Settings: map[string]string{ssl: "false"}}
	id, err := a.Create(ctx, projectTarget, want, secret)
	if err != nil || id != "1" {
		t.Fatalf("%q, %v", id, err)
	}
	list, err := a.List(ctx, projectTarget)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	// What a project's hook cannot have counts as wanted.
	if h := list[0]; h.ID != "1" || h.URL != want.URL || !h.Active || h.Settings[ssl] != "false" || fmt.Sprint(h.Events) != "[member_events push_events]" {
		t.Errorf("%+v", h)
	}
	v.unknown["releases_events"] = true
	if list, err = a.List(ctx, projectTarget); err != nil || fmt.Sprint(list[0].Events) != "[member_events push_events releases_events]" {
		t.Errorf("%+v, %v", list, err)
	}
	want.ID, want.URL, want.Events, want.Settings[ssl] = "1", "https://new.example.com/", []string{"tag_push_events"}, "true"
	if err := a.Update(ctx, projectTarget, want, nil); err != nil {
		t.Fatal(err)
	}
	if h := v.all(projectHooks)[0]; h["url"] != want.URL || h["push_events"] != false || h["tag_push_events"] != true || h[ssl] != true ||
		h["token"] != testToken || h["signing_token"] != testSigning {
		t.Errorf("%v", h)
	}
	if err := a.Update(ctx, projectTarget, want, []byte(`{"token":"new"}`)); err != nil || v.all(projectHooks)[0]["token"] != "new" {
		t.Errorf("%v, %v", err, v.all(projectHooks))
	}
	for range 2 {
		if err := a.Delete(ctx, projectTarget, "1"); err != nil {
			t.Error(err)
		}
	}
	if n := len(v.all(projectHooks)); n != 0 {
		t.Errorf("%d hooks", n)
	}
	if _, err := a.List(ctx, "/projects/none"); !githost.IsGone(err) {
		t.Error(err)
	}
}

func TestAllPages(t *testing.T) {
	v, e := newVendor(t), env(t)
	for id := range 250 {
		v.hooks[projectHooks][id+1] = map[string]any{"id": id + 1, "url": fmt.Sprintf("https://x/%d", id+1)}
	}
	list, err := newHookAPI(t, v, e).List(t.Context(), projectTarget)
	if err != nil || len(list) != 250 || list[249].URL != "https://x/250" || len(v.made()) != 3 {
		t.Errorf("%d hooks, %v, %v", len(list), err, v.made())
	}
}

func TestLimits(t *testing.T) {
	v, e := newVendor(t), env(t)
	v.limited = 1
	before := time.Now()
	_, err := newHookAPI(t, v, e).List(t.Context(), projectTarget)
	var limited *hooks.Limited
	if !errors.As(err, &limited) || limited.Until.Before(before.Add(6*time.Second)) {
		t.Errorf("%v", err)
	}
}

// TestTokensAreReadAnew is about secrets that rotate: the hook is signed with what is
// there now, and deliveries of before are still accepted.
func TestTokensAreReadAnew(t *testing.T) {
	e := env(t)
	c := decodeYAML(t, newVendor(t).manifest())
	r := c.receiver(e.Env)
	p := pair{r.token, r.signing}
	first, err := p.Secret(t.Context(), nil)
	if err != nil || string(first) != `{"token":"s3cr3t","signing_token":"`+testSigning+`"}` {
		t.Fatalf("%s, %v", first, err)
	}
	e.Vault.Set("gitlab", "token", "new")
	second, err := p.Secret(t.Context(), nil)
	if err != nil || string(second) == string(first) {
		t.Errorf("%s, %v", second, err)
	}
	if keys, err := r.token.Read(t.Context()); err != nil || fmt.Sprintf("%s", keys) != "[new s3cr3t]" {
		t.Errorf("%s, %v", keys, err)
	}
	e.Vault.Set("gitlab", "signing", "")
	if _, err := p.Secret(t.Context(), nil); err == nil {
		t.Error("an empty token signs")
	}
}

func TestBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"https://gitlab.com": "https://gitlab.com/api/v4", "https://x/sub/": "https://x/sub/api/v4", "https://x/api/v4/": "https://x/api/v4",
	} {
		if got := (&Config{GitlabBaseURL: base}).apiURL(); got != want {
			t.Errorf("%s: %s", base, got)
		}
	}
}

var _ hooks.API = (*hookAPI)(nil)
