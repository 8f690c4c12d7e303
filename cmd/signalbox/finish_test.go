package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// played is a Gitea with one repository and its hooks.
type played struct {
	t     *testing.T
	mu    sync.Mutex
	hooks map[int]map[string]any
	token string
}

func (p *played) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != "token "+p.token {
		http.Error(w, `{"message":"who are you?"}`, http.StatusUnauthorized)
		return
	}
	var id int
	_, err := fmt.Sscanf(r.URL.Path, "/api/v1/repos/acme/shop/hooks/%d", &id)
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/api/v1/repos/acme/shop/hooks":
		list := []map[string]any{}
		for id, h := range p.hooks {
			h["id"] = id
			list = append(list, h)
		}
		_ = json.NewEncoder(w).Encode(list)
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/repos/acme/shop/hooks":
		var h map[string]any
		if err := json.NewDecoder(r.Body).Decode(&h); err != nil {
			p.t.Error(err)
		}
		h["id"] = len(p.hooks) + 1
		p.hooks[len(p.hooks)+1] = h
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(h)
	case r.Method == http.MethodDelete && err == nil:
		delete(p.hooks, id)
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, `{"message":"no"}`, http.StatusNotFound)
	}
}

func (p *played) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.hooks)
}

// TestFinish keeps a hook with "run", which leaves it there, and removes it with "finish".
func TestFinish(t *testing.T) {
	p := &played{t: t, hooks: map[int]map[string]any{}, token: "t0ken"}
	host := httptest.NewServer(p)
	defer host.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // to find a free port
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	entry := `apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: git}
spec:
  gitea:
    push:
      webhook: {port: "` + port + `", endpoint: /push, url: "https://events.example.com"}
      baseURL: ` + host.URL + `
      accessToken: {name: gitea, key: token}
      webhookSecret: {name: gitea, key: hook}
      repositories: [{owner: acme, names: [shop]}]
      events: [push]
      deleteHookOnFinish: true
`
	folder(t, map[string]string{"m/source.yaml": entry, "m/clock.yaml": source, "secrets/gitea/token": "t0ken\n", "secrets/gitea/hook": "s3cr3t"})
	for _, tc := range []struct{ line, want string }{
		{"finish", "say which manifests: signalbox finish PATH..., files or folders; see signalbox finish --help"},
		{"finish nowhere", "manifests: nowhere: no such file or directory"},
		{"finish m --secrets nowhere", "--secrets nowhere: no such file or directory"},
		{"finish m --timeout 0s", "--timeout: want more than nothing, such as 1m"},
		{"finish m --source other", "there is no EventSource other in the manifests"},
	} {
		r := signalbox(t, strings.Fields(tc.line)...)
		if got := strings.TrimPrefix(strings.TrimSpace(r.err), "signalbox: "); r.code != 1 || got != tc.want {
			t.Errorf("%s: %d %s", tc.line, r.code, got)
		}
	}
	if r := signalbox(t, "finish", "m/clock.yaml"); r.code != 0 || !strings.Contains(r.out, "Nothing is to be undone") {
		t.Errorf("nothing to do: %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var out, logged output
	go func() {
		ended <- execute(ctx, []string{"run", "m", "--secrets", "secrets", "--host", "127.0.0.1"}, strings.NewReader(""), &out, &logged)
	}()
	for end := time.Now().Add(30 * time.Second); p.count() == 0 || !strings.Contains(logged.String(), "hooks mended"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there is no hook\n%s\n%s", out.String(), logged.String())
		}
	}
	cancel()
	if code := <-ended; code != 0 || p.count() != 1 {
		t.Fatalf("exit code %d, %d hooks\n%s", code, p.count(), logged.String())
	}
	if err := os.WriteFile("secrets/gitea/token", []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := signalbox(t, "finish", "m", "--secrets", "secrets", "--timeout", "1500ms")
	if r.code != 1 || !strings.Contains(r.err, "signalbox: git/push: ") || !strings.Contains(r.err, "acme/shop") || p.count() != 1 {
		t.Errorf("with a wrong token: %d hooks, %+v", p.count(), r)
	}
	if err := os.WriteFile("secrets/gitea/token", []byte("t0ken"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = signalbox(t, "finish", "m", "--source", "git", "--secrets", "secrets")
	if r.code != 0 || !strings.Contains(r.out, "git/push: nothing is left") || p.count() != 0 {
		t.Errorf("%d hooks, %+v", p.count(), r)
	}
}
