package github

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

// host plays GitHub's API.
type host struct {
	t      testing.TB
	server *httptest.Server
	mux    *http.ServeMux
	key    *rsa.PrivateKey

	mu       sync.Mutex
	auth     func(r *http.Request) bool
	hooks    map[string][]*hook // by path
	next     int64
	requests []string
	refuse   http.HandlerFunc // answers everything, if set
	exchange int              // tokens of installations that were made
	app      hookConfig
}

func newHost(t testing.TB) *host {
	h := &host{t: t, mux: http.NewServeMux(), hooks: map[string][]*hook{}, next: 100}
	h.auth = func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer t0ken" }
	h.server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.server.Close)
	for _, p := range []string{"/api/v3/repos/{owner}/{name}/hooks", "/api/v3/orgs/{owner}/hooks"} {
		h.mux.HandleFunc("GET "+p, h.list)
		h.mux.HandleFunc("POST "+p, h.create)
		h.mux.HandleFunc("PATCH "+p+"/{id}", h.edit)
		h.mux.HandleFunc("PATCH "+p+"/{id}/config", h.edit)
		h.mux.HandleFunc("DELETE "+p+"/{id}", h.remove)
	}
	return h
}

func (h *host) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/api/v3"))
	if r.Header.Get("Accept") != "application/vnd.github+json" || r.Header.Get("X-GitHub-Api-Version") == "" {
		h.t.Errorf("headers %v", r.Header)
	}
	if h.refuse != nil {
		h.refuse(w, r)
		return
	}
	if !h.auth(r) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"message":"Bad credentials"}`))
		return
	}
	h.mux.ServeHTTP(w, r)
}

func (h *host) seen(prefix string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for _, r := range h.requests {
		if strings.HasPrefix(r, prefix) {
			list = append(list, r)
		}
	}
	return list
}

func where(r *http.Request) string {
	p := strings.TrimPrefix(r.URL.Path, "/api/v3/")
	return p[:strings.Index(p, "/hooks")]
}

// list gives two hooks a page, whatever is asked for, with links.
func (h *host) list(w http.ResponseWriter, r *http.Request) {
	all := h.hooks[where(r)]
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	page = max(page, 1)
	if len(all) > page*2 {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?per_page=100&page=%d>; rel="next", <x>; rel="last"`, h.server.URL, r.URL.Path, page+1))
	}
	all = all[min((page-1)*2, len(all)):min(page*2, len(all))]
	shown := []hook{}
	for _, k := range all {
		c := *k.Config
		if c.Secret != "" {
			c.Secret = "********"
		}
		shown = append(shown, hook{ID: k.ID, Name: k.Name, Active: k.Active, Events: k.Events, Config: &c})
	}
	reply(w, shown)
}

func reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (h *host) create(w http.ResponseWriter, r *http.Request) {
	var k hook
	if err := json.NewDecoder(r.Body).Decode(&k); err != nil || k.Name != "web" || k.Config == nil || len(k.Events) == 0 {
		h.t.Errorf("created with %+v, %v", k, err)
	}
	for _, old := range h.hooks[where(r)] {
		if old.Config.URL == k.Config.URL {
			w.WriteHeader(http.StatusUnprocessableEntity)
			reply(w, map[string]any{"message": "Validation Failed", "errors": []any{map[string]any{"message": "Hook already exists on this repository"}}})
			return
		}
	}
	h.next++
	k.ID = h.next
	h.hooks[where(r)] = append(h.hooks[where(r)], &k)
	w.WriteHeader(http.StatusCreated)
	reply(w, k)
}

func (h *host) find(w http.ResponseWriter, r *http.Request) *hook {
	for _, k := range h.hooks[where(r)] {
		if strconv.FormatInt(k.ID, 10) == r.PathValue("id") {
			return k
		}
	}
	http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
	return nil
}

func (h *host) edit(w http.ResponseWriter, r *http.Request) {
	k := h.find(w, r)
	if k == nil {
		return
	}
	if strings.HasSuffix(r.URL.Path, "/config") {
		if err := json.NewDecoder(r.Body).Decode(k.Config); err != nil {
			h.t.Error(err)
		}
		return
	}
	var raw map[string]any
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
		h.t.Error(err)
	}
	if _, ok := raw["config"]; ok {
		h.t.Error("the configuration was changed beside other things, which takes the secret away")
	}
	k.Active, _ = raw["active"].(bool)
	k.Events = nil
	for _, e := range raw["events"].([]any) {
		k.Events = append(k.Events, e.(string))
	}
}

func (h *host) remove(w http.ResponseWriter, r *http.Request) {
	k := h.find(w, r)
	if k == nil {
		return
	}
	h.hooks[where(r)] = slices.DeleteFunc(h.hooks[where(r)], func(o *hook) bool { return o == k })
	w.WriteHeader(http.StatusNoContent)
}

// at returns a copy of the hooks of a place.
func (h *host) at(place string) []hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []hook
	for _, k := range h.hooks[place] {
		c := *k.Config
		list = append(list, hook{ID: k.ID, Active: k.Active, Events: slices.Clone(k.Events), Config: &c})
	}
	return list
}

// asApp makes the host want the credentials of App 12 with the installations given, by owner.
func (h *host) asApp(e *sourcetest.Env, installations map[string]int64) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		h.t.Fatal(err)
	}
	h.key = key
	e.Vault.Set("app", "key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	h.auth = func(r *http.Request) bool {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if strings.Contains(r.URL.Path, "/app/") || strings.HasSuffix(r.URL.Path, "/installation") {
			return h.isApp(token)
		}
		owner := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v3/"), "/")[1]
		return token == fmt.Sprint("installed-", installations[owner])
	}
	installed := func(w http.ResponseWriter, r *http.Request) {
		id, ok := installations[r.PathValue("owner")]
		if !ok {
			http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
			return
		}
		reply(w, map[string]any{"id": id})
	}
	h.mux.HandleFunc("GET /api/v3/repos/{owner}/{name}/installation", installed)
	h.mux.HandleFunc("GET /api/v3/orgs/{owner}/installation", installed)
	h.mux.HandleFunc("POST /api/v3/app/installations/{id}/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		h.exchange++
		w.WriteHeader(http.StatusCreated)
		reply(w, map[string]any{"token": "installed-" + r.PathValue("id"), "expires_at": time.Now().Add(time.Hour)})
	})
	h.mux.HandleFunc("GET /api/v3/app/hook/config", func(w http.ResponseWriter, _ *http.Request) {
		c := h.app
		c.Secret = "********"
		reply(w, c)
	})
	h.mux.HandleFunc("PATCH /api/v3/app/hook/config", func(_ http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&h.app); err != nil {
			h.t.Error(err)
		}
	})
}

// isApp checks a JWT as GitHub does.
func (h *host) isApp(token string) bool {
	part := strings.Split(token, ".")
	if len(part) != 3 {
		return false
	}
	sig, _ := base64.RawURLEncoding.DecodeString(part[2])
	sum := sha256.Sum256([]byte(part[0] + "." + part[1]))
	if rsa.VerifyPKCS1v15(&h.key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		return false
	}
	raw, _ := base64.RawURLEncoding.DecodeString(part[1])
	var c struct {
		Iat, Exp int64
		Iss      string
	}
	now := time.Now().Unix()
	return json.Unmarshal(raw, &c) == nil && c.Iss == "12" && c.Iat <= now && c.Exp > now && c.Exp-c.Iat <= 600
}
