package gitcommit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit"
)

// hub plays GitHub: a git server with an API for pull requests.
type hub struct {
	*rig
	server *httptest.Server

	mu     sync.Mutex
	pulls  []*hubPull
	broken int // how many requests to open one fail from now on
}

type hubPull struct {
	Number int    `json:"number"`
	URL    string `json:"html_url"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	State  string `json:"state"`
	Merged bool   `json:"merged"`
	Commit string `json:"merge_commit_sha"`
	Head   hubRef `json:"head"`
	Base   hubRef `json:"base"`
}

type hubRef struct {
	Ref  string `json:"ref"`
	Repo struct {
		FullName string `json:"full_name"`
	} `json:"repo"`
}

const hubToken = "token-of-hub"

func newHub(t *testing.T, files map[string]string) *hub {
	t.Helper()
	h := &hub{rig: newRig(t, files)}
	h.http.Only("x-access-token", hubToken)
	h.env.PutSecret("git", "token", hubToken)
	target, err := url.Parse(h.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/acme/", http.StripPrefix("/acme", httputil.NewSingleHostReverseProxy(target)))
	mux.HandleFunc("GET /api/repos/acme/deploy/pulls", h.list)
	mux.HandleFunc("POST /api/repos/acme/deploy/pulls", h.open)
	mux.HandleFunc("/api/repos/acme/deploy/pulls/{number}", h.one)
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, "/api/") && q.Header.Get("Authorization") != "Bearer "+hubToken {
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		mux.ServeHTTP(w, q)
	}))
	t.Cleanup(h.server.Close)
	h.url = h.server.URL + "/acme/deploy.git"
	return h
}

func (h *hub) list(w http.ResponseWriter, q *http.Request) {
	all := []*hubPull{}
	for _, p := range h.pulls {
		if p.State == "open" && "acme:"+p.Head.Ref == q.FormValue("head") && p.Base.Ref == q.FormValue("base") {
			all = append(all, p)
		}
	}
	_ = json.NewEncoder(w).Encode(all)
}

func (h *hub) open(w http.ResponseWriter, q *http.Request) {
	if h.broken > 0 {
		h.broken--
		http.Error(w, "{}", http.StatusInternalServerError)
		return
	}
	var in struct{ Title, Body, Head, Base string }
	if json.NewDecoder(q.Body).Decode(&in) != nil {
		http.Error(w, "{}", http.StatusBadRequest)
		return
	}
	p := &hubPull{Number: len(h.pulls) + 1, Title: in.Title, Body: in.Body, State: "open"}
	p.URL = fmt.Sprintf("https://hub.example.com/%d", p.Number)
	p.Head.Ref, p.Base.Ref = in.Head, in.Base
	p.Head.Repo.FullName, p.Base.Repo.FullName = "acme/deploy", "acme/deploy"
	h.pulls = append(h.pulls, p)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(p)
}

func (h *hub) one(w http.ResponseWriter, q *http.Request) {
	for _, p := range h.pulls {
		if fmt.Sprint(p.Number) == q.PathValue("number") {
			if q.Method == http.MethodPatch {
				_ = json.NewDecoder(q.Body).Decode(p)
			}
			_ = json.NewEncoder(w).Encode(p)
			return
		}
	}
	http.NotFound(w, q)
}

// end ends a pull request.
func (h *hub) end(number int, merge string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.pulls[number-1]
	p.State, p.Merged, p.Commit = "closed", merge != "", merge
}

const head = "signalbox/sensor/trigger"

func (h *hub) trigger(t *testing.T, more string) trigger.Trigger {
	t.Helper()
	return h.build(t, "tokenSecret: {name: git, key: token}\nmessage: \"{{ .Input.push.data.app }} {{ .Input.push.data.tag }}\"\n"+
		"pullRequest: {provider: github, api: \""+h.server.URL+"/api\"}\n"+more)
}

// changed are the files that the open pull request would change.
func (h *hub) changed(t *testing.T) string {
	t.Helper()
	return strings.Join(strings.Fields(h.Git(t, "", "diff", "--name-only", "main..."+head)), " ")
}

func TestPullRequest(t *testing.T) {
	h := newHub(t, map[string]string{"deploy/a.yaml": values("v0", 1), "deploy/b.yaml": values("v0", 1), "deploy/c.yaml": values("v0", 1)})
	begin := h.At(t, main)
	tr := h.trigger(t, "")
	res := fire(t, tr, push(1, "a", "v1", 1))
	wantSummary(t, res, " on "+head+": deploy/a.yaml image.tag v0 -> v1, pull request 1")
	if res.Follow != nil || fmt.Sprint(res.Details["pullRequest"]) != "map[number:1 url:https://hub.example.com/1]" {
		t.Errorf("result %v, %s", res.Details, res.Follow)
	}
	fire(t, tr, push(2, "b", "v1", 1))
	if p := h.pulls[0]; len(h.pulls) != 1 || p.Title != "b v1" || p.Body != "- a v1\n- b v1" || p.Base.Ref != "main" {
		t.Errorf("%d pull requests, %+v", len(h.pulls), p)
	}
	if h.At(t, main) != begin || h.changed(t) != "deploy/a.yaml deploy/b.yaml" {
		t.Errorf("the pull request changes %q", h.changed(t))
	}
	tip := h.At(t, "refs/heads/"+head)
	res = fire(t, tr, push(1, "a", "v1", 1))
	wantSummary(t, res, "already in commit ")
	wantSummary(t, res, ", pull request 1")

	// Merged as one commit that knows nothing of the branch's: what comes next
	// changes nothing but its own.
	merged := h.Commit(t, main, "squash", map[string]string{"deploy/a.yaml": values("v1", 1), "deploy/b.yaml": values("v1", 1)})
	h.end(1, merged)
	wantSummary(t, fire(t, tr, push(2, "b", "v1", 1)), "already in commit ")
	if len(h.pulls) != 1 {
		t.Error("opened again what is merged")
	}
	res = fire(t, tr, push(3, "c", "v1", 1))
	wantSummary(t, res, ", pull request 2")
	if got := h.changed(t); got != "deploy/c.yaml" {
		t.Errorf("the second pull request changes %q", got)
	}
	if p := h.pulls[1]; p.Title != "c v1" || p.Body != "" {
		t.Errorf("the second pull request: %+v", p)
	}
	h.Git(t, "", "merge-base", "--is-ancestor", tip, head) // nothing was forced

	// Closed: that was not wanted.
	h.end(2, "")
	wantSummary(t, fire(t, tr, push(4, "a", "v2", 2)), ", pull request 3")
	if got := h.changed(t); got != "deploy/a.yaml" {
		t.Errorf("the third pull request changes %q", got)
	}
	// What main has already needs none.
	if res := fire(t, h.trigger(t, ""), push(5, "b", "v1", 5)); !strings.Contains(res.Summary, "already so") {
		t.Errorf("result %v", res)
	}
}

func TestPullRequestThatIsGone(t *testing.T) {
	h := newHub(t, oneApp)
	tr := h.trigger(t, "")
	fire(t, tr, push(1, "app", "v1", 1))
	h.mu.Lock()
	h.pulls[0].Number, h.pulls[0].State = 77, "closed"
	h.mu.Unlock()
	wantSummary(t, fire(t, tr, push(2, "app", "v2", 2)), ", pull request 2")
	wantSummary(t, fire(t, tr, push(2, "app", "v2", 2)), "already in commit ")
}

func TestKilledBetweenPushAndPullRequest(t *testing.T) {
	h := newHub(t, oneApp)
	h.broken = 1
	tr := h.trigger(t, "follow: {}")
	if _, err := tr.Fire(t.Context(), push(1, "app", "v1", 1)); err == nil || trigger.IsPermanent(err) {
		t.Fatalf("error %v", err)
	}
	res := fire(t, tr, push(1, "app", "v1", 1))
	wantSummary(t, res, ", pull request 1")
	if n := h.commits(t, head); n != "2" || len(h.pulls) != 1 || res.Follow == nil {
		t.Errorf("%s commits, %d pull requests, follow %s", n, len(h.pulls), res.Follow)
	}
}

func TestFollow(t *testing.T) {
	h := newHub(t, oneApp)
	tr := h.trigger(t, "follow: {timeout: 1h}")
	res := fire(t, tr, push(1, "app", "v1", 1))
	if strings.Contains(string(res.Follow), hubToken) {
		t.Errorf("the record has the token: %s", res.Follow)
	}
	follow := func(ctx context.Context) (trigger.Outcome, error) {
		return gitcommit.Kind.Follow.Await(ctx, h.trigger(t, ""), trigger.Following{Ref: res.Follow})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := follow(ctx); err == nil || trigger.IsPermanent(err) {
		t.Errorf("while it is open: %v", err)
	}
	h.env.PutSecret("git", "token", "expired")
	if _, err := follow(t.Context()); err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "the token is wrong") {
		t.Errorf("with a token that may be replaced: %v", err)
	}
	h.env.PutSecret("git", "token", hubToken)
	h.end(1, "4f2d91c0000000000000000000000000000000ff")
	o, err := follow(t.Context())
	if err != nil || o.Failed || o.Summary != "pull request 1 is merged as 4f2d91c" || o.Details["mergeCommit"] == nil {
		t.Errorf("merged: %+v, %v", o, err)
	}
	h.end(1, "")
	if o, err := follow(t.Context()); err != nil || !o.Failed || !strings.Contains(o.Summary, "closed") {
		t.Errorf("closed: %+v, %v", o, err)
	}
	h.mu.Lock()
	h.pulls[0].Number = 77
	h.mu.Unlock()
	if _, err := follow(t.Context()); !trigger.IsPermanent(err) || !strings.Contains(err.Error(), "no such pull request") {
		t.Errorf("deleted: %v", err)
	}
	if _, err := gitcommit.Kind.Follow.Await(t.Context(), tr, trigger.Following{Ref: json.RawMessage(`{}`)}); !trigger.IsPermanent(err) {
		t.Errorf("a record that says nothing: %v", err)
	}
	r := newRig(t, oneApp)
	if res := fire(t, r.build(t, "follow: {emit: true}"), push(1, "app", "v1", 1)); res.Follow != nil {
		t.Error("a commit has nothing to wait for")
	}
}
