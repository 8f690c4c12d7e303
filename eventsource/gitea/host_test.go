package gitea

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// host plays the API.
type host struct {
	t      testing.TB
	server *httptest.Server
	mu     sync.Mutex
	hooks  map[string][]*hook
	next   int64
	gogs   bool // knows neither pages nor hooks of the type gitea
}

func newHost(t testing.TB) *host {
	h := &host{t: t, hooks: map[string][]*hook{}, next: 10}
	mux := http.NewServeMux()
	for _, p := range []string{"/api/v1/repos/{owner}/{name}/hooks", "/api/v1/orgs/{owner}/hooks", "/api/v1/user/hooks"} {
		mux.HandleFunc("GET "+p, h.list)
		mux.HandleFunc("POST "+p, h.create)
		mux.HandleFunc("PATCH "+p+"/{id}", h.edit)
		mux.HandleFunc("DELETE "+p+"/{id}", h.edit)
	}
	mux.HandleFunc("GET /api/v1/repos/acme/api/compare/{range...}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("range") {
		case sha1 + "..." + sha2:
			_, _ = w.Write([]byte(`{"total_commits":2,"commits":[{"files":[{"filename":"x"}]},{"files":[{"filename":"y"},{"filename":"x"}]}]}`))
		case "main..." + sha2:
			_, _ = w.Write([]byte(`{"total_commits":5,"commits":[{"files":[]}]}`))
		default:
			_, _ = w.Write([]byte(`{"total_commits":1,"commits":[{"sha":"x"}]}`))
		}
	})
	mux.HandleFunc("GET /api/v1/repos/acme/api/pulls/5/files", func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		list := []map[string]string{}
		for i := range 50 {
			if page <= 2 {
				list = append(list, map[string]string{"filename": fmt.Sprint(page, "/", i), "previous_filename": "old"})
			}
		}
		_ = json.NewEncoder(w).Encode(list)
	})
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.Header.Get("Authorization") != "token t0ken" {
			http.Error(w, `{"message":"no"}`, http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(h.server.Close)
	return h
}

func where(r *http.Request) string {
	p := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	return p[:strings.Index(p, "/hooks")]
}

func (h *host) list(w http.ResponseWriter, r *http.Request) {
	all := h.hooks[where(r)]
	if !h.gogs {
		w.Header().Set("X-Total-Count", fmt.Sprint(len(all)))
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		all = all[min((page-1)*2, len(all)):min(page*2, len(all))]
	}
	shown := []hook{}
	for _, k := range all {
		shown = append(shown, hook{ID: k.ID, Type: k.Type, Active: k.Active, Events: expand(k.Events), Config: map[string]string{"url": k.Config["url"], "content_type": k.Config["content_type"]}})
	}
	_ = json.NewEncoder(w).Encode(shown)
}

// expand lists the events as Gitea does.
func expand(events []string) []string {
	var all []string
	for _, e := range events {
		all = append(all, e)
		if e == "pull_request" {
			all = append(all, "pull_request_sync", "pull_request_label", "pull_request_review_approved")
		}
	}
	return all
}

func (h *host) create(w http.ResponseWriter, r *http.Request) {
	var k hook
	if err := json.NewDecoder(r.Body).Decode(&k); err != nil {
		h.t.Error(err)
	}
	if h.gogs != (k.Type == "gogs") {
		http.Error(w, `{"message":"Invalid hook type"}`, http.StatusUnprocessableEntity)
		return
	}
	h.next++
	k.ID = h.next
	h.hooks[where(r)] = append(h.hooks[where(r)], &k)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(k)
}

func (h *host) edit(w http.ResponseWriter, r *http.Request) {
	for i, k := range h.hooks[where(r)] {
		if fmt.Sprint(k.ID) != r.PathValue("id") {
			continue
		}
		if r.Method == http.MethodDelete {
			h.hooks[where(r)] = slices.Delete(h.hooks[where(r)], i, i+1)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		old := k.Config["secret"]
		k.Config = nil
		if err := json.NewDecoder(r.Body).Decode(k); err != nil {
			h.t.Error(err)
		}
		if _, ok := k.Config["secret"]; !ok {
			k.Config["secret"] = old
		}
		_ = json.NewEncoder(w).Encode(k)
		return
	}
	http.Error(w, `{"message":"not found"}`, http.StatusNotFound)
}

func (h *host) at(place string) []hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []hook
	for _, k := range h.hooks[place] {
		list = append(list, *k)
	}
	return list
}

func (h *host) managed(more string) string {
	return "webhook: {endpoint: /gitea, url: 'https://hooks.example.com'}\nwebhookSecret: {name: hook, key: secret}\nbaseURL: " + h.server.URL +
		"\naccessToken: {name: api, key: token}\nevents: [push, pull_request]\ndeleteHookOnFinish: true\n" + more
}
