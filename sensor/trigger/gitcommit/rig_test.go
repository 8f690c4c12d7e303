package gitcommit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

const main = "refs/heads/main"

// pushable lets everybody push, and serves files one by one.
var pushable = []string{"http.receivepack=true", "uploadpack.allowFilter=true"}

// values is the file of an app in the deployment repository.
func values(tag string, replicas int) string {
	return fmt.Sprintf(`# how the app is deployed
image:
  repository: example.com/app   # pushed by the build
  # set by Signalbox
  tag: %s # {"policy": "app"}

resources: {}

# set by people
replicas: %d
`, tag, replicas)
}

// rig is a repository with a server, and what triggers need.
type rig struct {
	*gitrepotest.Repo
	http *gitrepotest.HTTP
	env  *triggertest.Env
	url  string
}

func newRig(t *testing.T, files map[string]string) *rig {
	t.Helper()
	r := &rig{Repo: gitrepotest.New(t, "deploy"), env: triggertest.NewEnv(t)}
	r.Configure(pushable...)
	r.Commit(t, main, "begin", files)
	r.http = r.Serve(t)
	r.url = r.http.Repository
	return r
}

// build makes a trigger that sets the tag of deploy/APP.yaml, with more configuration.
func (r *rig) build(t *testing.T, more string) trigger.Trigger {
	t.Helper()
	if !strings.Contains(more, "window:") {
		more += "\nwindow: 20ms"
	}
	return triggertest.Build(t, gitcommit.Kind, fmt.Sprintf(`
url: %s
branch: main
changes:
  - yaml: {files: ["deploy/{{ .Input.push.data.app }}.yaml"], path: image.tag, value: "{{ .Input.push.data.tag }}"}
%s
`, r.url, more), r.env)
}

// push is firing number n: an image of an app was pushed at a minute.
func push(n int, app, tag string, minute int) trigger.Input {
	e := event.New()
	e.SetID(fmt.Sprintf("push-%d", n))
	e.SetSource("registry")
	e.SetType("push")
	e.SetTime(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute))
	data, err := json.Marshal(map[string]string{"app": app, "tag": tag})
	if err == nil {
		err = e.SetData(event.ApplicationJSON, json.RawMessage(data))
	}
	if err != nil {
		panic(err)
	}
	return trigger.Input{
		ID: fmt.Sprintf("%032x", n), Namespace: "default", Sensor: "sensor", Trigger: "trigger",
		Events: map[string]*event.Event{"push": &e}, Attempt: 1, Since: e.Time(),
	}
}

func fire(t *testing.T, tr trigger.Trigger, in trigger.Input) trigger.Result {
	t.Helper()
	res, err := tr.Fire(t.Context(), in)
	if err != nil {
		t.Fatalf("firing %s: %v", in.ID, err)
	}
	return res
}

// file is a file of the branch main.
func (r *rig) file(t *testing.T, path string) string {
	t.Helper()
	return r.Git(t, "", "show", "main:"+path) + "\n"
}

// commits counts those of a branch.
func (r *rig) commits(t *testing.T, branch string) string {
	t.Helper()
	return r.Git(t, "", "rev-list", "--count", branch)
}

func (r *rig) wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got := r.file(t, path); got != want {
		t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
	}
}

func (r *rig) wantCommits(t *testing.T, want int) {
	t.Helper()
	if got := r.commits(t, "main"); got != fmt.Sprint(want) {
		t.Errorf("%s commits, want %d", got, want)
	}
}

func wantSummary(t *testing.T, res trigger.Result, want string) {
	t.Helper()
	if !strings.Contains(res.Summary, want) || strings.Contains(res.Summary, "\n") {
		t.Errorf("summary %q, want %q", res.Summary, want)
	}
}

// tempDir makes temporary folders visible, and fails if one stays.
func tempDir(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v is left behind, %v", left, err)
		}
	})
}
