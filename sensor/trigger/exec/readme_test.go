package exec_test

import (
	"encoding/json"
	"os"
	osexec "os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/exec"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// found is the part of a file that the pattern's group is.
func found(t *testing.T, file, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return string(m[1])
}

// example is the configuration in example.yaml.
func example(t *testing.T) string {
	t.Helper()
	var s v1alpha1.Sensor
	if err := yaml.Unmarshal([]byte(found(t, "example.yaml", `(?s)\n---\n(.*?kind: Sensor.*?)\n---\n`)), &s); err != nil {
		t.Fatal(err)
	}
	return string(s.Spec.Triggers[0].Template.Kinds[exec.Kind.Name].Raw)
}

// TestReadme does what README.md and the comment of example.yaml say.
func TestReadme(t *testing.T) {
	dir := t.TempDir()
	commands := strings.ReplaceAll(found(t, "example.yaml", `(?s)Try it:\n#\n(.*?)#   signalbox run --allow-exec hooks `), "#  ", "")
	if out, err := osexec.CommandContext(t.Context(), "sh", "-ec", "cd "+dir+"\n"+commands).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e := triggertest.NewEnv(t)
	e.Exec = []string{filepath.Join(dir, "hooks")}
	request := event.New()
	request.SetID("1")
	request.SetSource("ci")
	request.SetType("webhook")
	body := found(t, "example.yaml", `curl .* -d '(.*?)' http://localhost:12000/deploy\n`)
	if err := request.SetData(event.ApplicationJSON, json.RawMessage(`{"header":{},"body":`+body+`}`)); err != nil {
		t.Fatal(err)
	}
	in := trigger.Input{
		ID: "8d0e4c6f1b2a39475860718293a4b5c6", Namespace: "default", Sensor: "deploy", Trigger: "local",
		Events: map[string]*event.Event{"request": &request}, Attempt: 1,
	}
	readme := triggertest.Readme(t, exec.Kind)
	if len(readme) != 1 {
		t.Fatalf("README.md has %d examples", len(readme))
	}
	for name, config := range map[string]string{"README.md": readme[0], "example.yaml": example(t)} {
		tr := triggertest.Build(t, exec.Kind, config, e)
		a, err := tr.Render(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if json.Unmarshal(a.Spec, &got) != nil || json.Unmarshal([]byte(found(t, "README.md", "(?s)```json\n(.*?)```")), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: rendered %v\nREADME.md has %v", name, got, want)
		}
		r, err := tr.Fire(t.Context(), in)
		if err != nil || !regexp.MustCompile(`^exit 0 in [0-9.]+m?s$`).MatchString(r.Summary) || r.Details["stdout"] != "deploy 1.4.2 to test\n" {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
	c, err := exec.Kind.Decode([]byte(example(t)))
	if err != nil || exec.Kind.FollowOf(c) == nil || !exec.Kind.FollowOf(c).Emit {
		t.Errorf("example.yaml does not tell the outcome: %v", err)
	}
}

// TestReadmeOnce puts the lines of the README that make it run once before a program.
func TestReadmeOnce(t *testing.T) {
	e, dir := lab(t, found(t, "README.md", "(?s)```sh\n(.*?)```")+"echo ran")
	tr := triggertest.Build(t, exec.Kind, "command: a", e)
	for _, tc := range []struct {
		n    int
		want string
	}{{1, "ran\n"}, {1, ""}, {2, "ran\n"}, {1, ""}} {
		if r, err := tr.Fire(t.Context(), triggertest.Input(tc.n)); err != nil || r.Details["stdout"] != tc.want {
			t.Errorf("firing %d: got %+v, %v", tc.n, r, err)
		}
	}
	in := triggertest.Input(3)
	if err := os.WriteFile(filepath.Join(dir, "done", in.ID), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := tr.Fire(t.Context(), in); err == nil {
		t.Errorf("what cannot be noted is skipped: %+v", r)
	}
}
