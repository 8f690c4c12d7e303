package gitcommit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var oneApp = map[string]string{"deploy/app.yaml": values("v0", 1)}

func TestCommit(t *testing.T) {
	tempDir(t)
	r := newRig(t, oneApp)
	before := r.At(t, main)
	tr := r.build(t, `
author: {name: Ann, email: ann@example.com}
committer: {name: Bot, email: bot@example.com}
`)
	res := fire(t, tr, push(1, "app", "v1", 1))
	at := r.At(t, main)
	wantSummary(t, res, at[:7]+" on main: deploy/app.yaml image.tag v0 -> v1")
	want := map[string]any{
		"repository": r.url, "branch": "main", "effect": "committed", "revision": at, "firings": 1,
		"changes": []any{map[string]any{"path": "deploy/app.yaml", "what": "image.tag", "old": "v0", "new": "v1"}},
	}
	if !reflect.DeepEqual(res.Details, want) {
		t.Errorf("details %v, want %v", res.Details, want)
	}
	r.wantFile(t, "deploy/app.yaml", values("v1", 1))
	got := r.Git(t, "", "show", "-s", "--format=%P|%an|%ae|%cn|%ce%n%B", at)
	if want := before + `|Ann|ann@example.com|Bot|bot@example.com
Set deploy/app.yaml image.tag v0 -> v1

Signalbox-Firing: 00000000000000000000000000000001
Signalbox-Event: registry/push-1`; got != want {
		t.Errorf("commit\n%s\nwant\n%s", got, want)
	}
	if got := r.Git(t, r.Git(t, "", "show", "-s", "--format=%B", at), "interpret-trailers", "--parse"); strings.Count(got, "\n") != 1 {
		t.Errorf("git sees the trailers %q", got)
	}
}

func TestMessage(t *testing.T) {
	r := newRig(t, map[string]string{"deploy/a.yaml": values("v0", 1), "deploy/b.yaml": values("v0", 1)})
	tr := r.build(t, `message: "deploy {{ .Input.push.data.app }}\n\nSignalbox-Firing: 7\n"`)
	fire(t, tr, push(1, "a", "v1", 1))
	if got := r.Git(t, "", "show", "-s", "--format=%B", main); !strings.HasPrefix(got, "deploy a\n\n Signalbox-Firing: 7\n\nSignalbox-Firing: 0000") {
		t.Errorf("message %q", got)
	}
	// A firing with the number that the text names is none that has been done.
	if res := fire(t, tr, push(2, "b", "v1", 1)); res.Details["revision"] != r.At(t, main) {
		t.Errorf("result %v", res)
	}
}

func TestSeveralFirings(t *testing.T) {
	r := newRig(t, map[string]string{"deploy/a.yaml": values("v0", 1), "deploy/b.yaml": values("v0", 1)})
	tr := r.build(t, "window: 500ms\n"+`message: "deploy {{ .Input.push.data.tag }}"`)
	results := together(t, tr, push(1, "a", "v1", 1), push(2, "a", "v3", 3), push(3, "a", "v2", 2), push(4, "b", "v9", 1))
	at := r.At(t, main)
	r.wantCommits(t, 2)
	r.wantFile(t, "deploy/a.yaml", values("v3", 1))
	r.wantFile(t, "deploy/b.yaml", values("v9", 1))
	wantSummary(t, results[1], at[:7]+" on main: deploy/a.yaml image.tag v0 -> v3 (4 firings)")
	wantSummary(t, results[0], fmt.Sprintf("superseded by %032x, %s on main", 2, at[:7]))
	wantSummary(t, results[2], "superseded by ")
	wantSummary(t, results[3], "deploy/b.yaml")
	for i, want := range []string{"superseded", "committed", "superseded", "committed"} {
		if d := results[i].Details; d["effect"] != want || d["revision"] != at {
			t.Errorf("details of %d: %v", i, d)
		}
	}
	got := r.Git(t, "", "show", "-s", "--format=%B", at)
	if !strings.HasPrefix(got, "2 changes\n\n- deploy v9\n- deploy v3\n\nSignalbox-Firing: ") || strings.Count(got, "Signalbox-Event: ") != 4 {
		t.Errorf("message %s", got)
	}
}

// together fires at the same time, in order.
func together(t *testing.T, tr trigger.Trigger, in ...trigger.Input) []trigger.Result {
	t.Helper()
	results := make([]trigger.Result, len(in))
	var wg sync.WaitGroup
	for i := range in {
		wg.Go(func() {
			var err error
			if results[i], err = tr.Fire(t.Context(), in[i]); err != nil {
				t.Errorf("firing %s: %v", in[i].ID, err)
			}
		})
	}
	wg.Wait()
	return results
}

func TestOlderEventsLose(t *testing.T) {
	r := newRig(t, map[string]string{"deploy/app.yaml": values("v0", 1), "deploy/b.yaml": values("v0", 1)})
	tr := r.build(t, "")
	fire(t, tr, push(2, "app", "v2", 2))
	at := r.At(t, main)
	res := fire(t, r.build(t, ""), push(1, "app", "v1", 1)) // another instance
	wantSummary(t, res, fmt.Sprintf("superseded by %032x", 2))
	if r.At(t, main) != at {
		t.Error("an older event was committed")
	}
	fire(t, tr, push(3, "b", "v1", 1)) // another target has an order of its own
	r.wantFile(t, "deploy/b.yaml", values("v1", 1))
	fire(t, tr, push(4, "app", "v3", 2)) // as new as the last one
	r.wantFile(t, "deploy/app.yaml", values("v3", 1))
}

func TestRollbackByHandStays(t *testing.T) {
	r := newRig(t, oneApp)
	tr := r.build(t, "")
	fire(t, tr, push(1, "app", "v1", 1))
	first := r.At(t, main)
	r.Commit(t, main, "roll back", oneApp)
	in := push(1, "app", "v1", 1)
	in.Attempt = 2
	wantSummary(t, fire(t, tr, in), "already in commit "+first[:7])
	for n := range 60 { // so far back that nobody looks
		r.Commit(t, main, fmt.Sprint(n), map[string]string{"other": fmt.Sprint(n)})
	}
	wantSummary(t, fire(t, tr, in), "already in commit "+first[:7])
	r.wantFile(t, "deploy/app.yaml", values("v0", 1))
	fire(t, tr, push(2, "app", "v2", 2)) // what comes later counts
	r.wantFile(t, "deploy/app.yaml", values("v2", 1))
}

func TestAlreadySo(t *testing.T) {
	r := newRig(t, oneApp)
	tr := r.build(t, "")
	res := fire(t, tr, push(1, "app", "v0", 1))
	wantSummary(t, res, "already so")
	if res.Details["revision"] != r.At(t, main) || res.Details["effect"] != "nothing" {
		t.Errorf("details %v", res.Details)
	}
	r.wantCommits(t, 1)
	r.Commit(t, main, "by hand", map[string]string{"deploy/app.yaml": values("v7", 1)})
	wantSummary(t, fire(t, tr, push(1, "app", "v0", 1)), "already so")
	r.wantFile(t, "deploy/app.yaml", values("v7", 1))
	wantSummary(t, fire(t, tr, push(2, "app", "v5", 0)), "superseded by ")
	fire(t, r.build(t, "allowEmpty: true"), push(3, "app", "v7", 3))
	r.wantCommits(t, 3)
}

func TestManyChanges(t *testing.T) {
	text := strings.Repeat("---\nimage: example.com/app:v0\n", 150)
	r := newRig(t, map[string]string{"deploy/app.yaml": text})
	tr := triggertest.Build(t, gitcommit.Kind, "url: "+r.url+`
window: 20ms
changes: [{image: {files: ["deploy/*.yaml"], name: example.com/app, tag: "{{ .Input.push.data.tag }}"}}]`, r.env)
	res := fire(t, tr, push(1, "app", "v1", 1))
	if n := len(res.Details["changes"].([]any)); n != 100 || res.Details["moreChanges"] != 50 {
		t.Errorf("%d changes and %v more", n, res.Details["moreChanges"])
	}
	r.wantFile(t, "deploy/app.yaml", strings.ReplaceAll(text, "v0", "v1"))
}

func TestFailingChangeHarmsNobodyElse(t *testing.T) {
	r := newRig(t, oneApp)
	tr := r.build(t, `  - yaml: {files: ["deploy/app.yaml"], path: "{{ if eq .Input.push.data.tag \"bad\" }}nothing{{ else }}replicas{{ end }}", value: "2"}
window: 500ms`)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := tr.Fire(t.Context(), push(2, "app", "bad", 2))
		if err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "changes[1]") {
			t.Errorf("error %v", err)
		}
	})
	wg.Go(func() { fire(t, tr, push(1, "app", "v1", 1)) })
	wg.Wait()
	r.wantFile(t, "deploy/app.yaml", values("v1", 2))
	if got := r.Git(t, "", "show", "-s", "--format=%B", main); strings.Count(got, "Signalbox-Firing") != 1 {
		t.Errorf("message %s", got)
	}
}

// The server takes the push, and the answer is lost.
func TestAnswerOfPushIsLost(t *testing.T) {
	r := newRig(t, oneApp)
	target, err := url.Parse(r.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, "git-receive-pack") && lost.CompareAndSwap(false, true) {
			proxy.ServeHTTP(httptest.NewRecorder(), q)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, q)
	}))
	t.Cleanup(front.Close)
	r.url = front.URL + "/" + filepath.Base(r.Dir)
	wantSummary(t, fire(t, r.build(t, ""), push(1, "app", "v1", 1)), "already in commit "+r.At(t, main)[:7])
	r.wantCommits(t, 2)
}

func TestRefusedPush(t *testing.T) {
	r := newRig(t, oneApp)
	hook := filepath.Join(r.Dir, "hooks", "pre-receive")
	if err := os.MkdirAll(filepath.Dir(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	tr := r.build(t, "")
	_, err := tr.Fire(t.Context(), push(2, "app", "v2", 2))
	if err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "refuses") {
		t.Fatalf("error %v", err)
	}
	if err := os.Remove(hook); err != nil {
		t.Fatal(err)
	}
	// What did not get in does not hinder older ones.
	fire(t, tr, push(1, "app", "v1", 1))
	r.wantFile(t, "deploy/app.yaml", values("v1", 1))
	fire(t, tr, push(2, "app", "v2", 2))
	r.wantFile(t, "deploy/app.yaml", values("v2", 1))
}

func TestServerWantsAPause(t *testing.T) {
	r := newRig(t, oneApp)
	r.http.Before(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := r.build(t, "").Fire(t.Context(), push(1, "app", "v1", 1))
	if wait := trigger.AskedWait(err); wait < 100*time.Second || wait > 120*time.Second {
		t.Errorf("wait %v of %v", wait, err)
	}
}

func TestSSH(t *testing.T) {
	r := newRig(t, oneApp)
	s := r.ServeSSH(t)
	r.env.PutSecret("git", "key", s.Key)
	r.env.PutConfigMap("git", "hosts", s.KnownHosts)
	r.url = s.Repository
	res := fire(t, r.build(t, "sshKeySecret: {name: git, key: key}\nknownHosts: {configMap: {name: git, key: hosts}}"), push(1, "app", "v1", 1))
	wantSummary(t, res, "v0 -> v1")
	r.wantFile(t, "deploy/app.yaml", values("v1", 1))
}

// Triggers with the same repository, branch and credentials have one queue.
func TestSharedQueue(t *testing.T) {
	r := newRig(t, map[string]string{"deploy/a.yaml": values("v0", 1), "deploy/b.yaml": values("v0", 1)})
	r.env.Shared = &trigger.Shared{}
	one := r.build(t, "window: 500ms")
	r.env.Env.State = triggertest.NewState()
	other := r.build(t, "window: 500ms\nmessage: other")
	var wg sync.WaitGroup
	wg.Go(func() { fire(t, one, push(1, "a", "v1", 1)) })
	wg.Go(func() { fire(t, other, push(2, "b", "v1", 1)) })
	wg.Wait()
	r.wantCommits(t, 2)
}

func TestNothingIsLeftOfACancelledFiring(t *testing.T) {
	r := newRig(t, oneApp)
	tr := r.build(t, "window: 1m")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tr.Fire(ctx, push(1, "app", "v1", 1)); err == nil {
		t.Error("fired")
	}
	r.wantCommits(t, 1)
}

func TestParametersAndRender(t *testing.T) {
	r := newRig(t, oneApp)
	tr := triggertest.Build(t, gitcommit.Kind, `
url: https://git.example.com/acme/placeholder
changes: [{file: {path: "{{ .Input.push.data.app }}.txt", content: "<{{ .Input.push.data.tag }}>"}}]
message: "tag {{ .Input.push.data.tag }}"
signing: {sshKeySecret: {name: git, key: key}}
tokenSecret: {name: git, key: token}
pullRequest: {provider: github, labels: ["app-{{ .Input.push.data.app }}"], title: "Deploy {{ .Input.push.data.tag }}"}
parameters:
  - {src: {dependencyName: push, dataTemplate: "https://git.example.com/acme/{{ .Input.app }}"}, dest: url}
`, r.env)
	a, err := tr.Render(t.Context(), push(1, "app", "v1", 1))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"repository":"https://git.example.com/acme/app","branch":"(the default branch)",` +
		`"changes":[{"file":{"path":"app.txt","content":"<v1>"}}],"message":"tag v1","firing":"00000000000000000000000000000001",` +
		`"author":"Signalbox <signalbox@localhost>","signed":true,` +
		`"pullRequest":{"branch":"signalbox/sensor/trigger","title":"Deploy v1","labels":["app-app"]}}`
	if string(a.Spec) != want {
		t.Errorf("rendered\n%s\nwant\n%s", a.Spec, want)
	}
	bad := push(2, "app", "v1", 1)
	if err := bad.Events["push"].SetData("application/json", json.RawMessage(`{"app":"../x","tag":"v"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Render(t.Context(), bad); !trigger.IsPermanent(err) {
		t.Errorf("a path that leads out: %v", err)
	}
}
