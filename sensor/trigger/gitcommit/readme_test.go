package gitcommit_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// found are the parts of a file that the pattern's groups are.
func found(t *testing.T, file, pattern string) [][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
	if all == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return all
}

// told is a firing by an event of a dependency.
func told(t *testing.T, dependency, firing, id string, minute int, data any) trigger.Input {
	t.Helper()
	in := push(0, "", "", minute)
	e := event.New()
	e.SetID(id)
	e.SetSource("registry")
	e.SetType("webhook")
	e.SetTime(in.Since)
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		t.Fatal(err)
	}
	in.ID, in.Events = firing, map[string]*event.Event{dependency: &e}
	return in
}

// image is the data of an event of the kinds registry and registryPoll.
func image(repository, tag string) any {
	return map[string]any{imageevent.Key: imageevent.Event{
		Registry: "ghcr.io", Repository: repository, Tag: tag, Digest: testDigest, Kind: imageevent.KindImage, Action: imageevent.Push,
	}}
}

const testDigest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// tokenOf is what the bot of the examples has.
const tokenOf = "token-of-git-bot"

// newReadmeRig has a repository for the bot of the examples alone.
func newReadmeRig(t *testing.T, files map[string]string) *rig {
	t.Helper()
	r := newRig(t, files)
	r.http.Only("x-access-token", tokenOf)
	r.env.PutSecret("git-bot", "token", tokenOf)
	return r
}

// local builds a trigger of an example. More is put beside the branch, as JSON.
func (r *rig) local(t *testing.T, config, more string) trigger.Trigger {
	t.Helper()
	for old, local := range map[string]string{`"url":"https://github.com/acme/deployments.git"`: `"url":"` + r.url + `"`, `"branch":"main"`: `"branch":"main"` + more} {
		if !strings.Contains(config, old) {
			t.Fatalf("no %s in %s", old, config)
		}
		config = strings.Replace(config, old, local, 1)
	}
	return triggertest.Build(t, gitcommit.Kind, config, r.env)
}

// TestReadme does what the first example of README.md and its Result say.
func TestReadme(t *testing.T) {
	t.Parallel()
	examples := triggertest.Readme(t, gitcommit.Kind)
	if len(examples) != 1 {
		t.Fatalf("there are %d examples", len(examples))
	}
	message := found(t, "README.md", "(?s)```\n(Set .*?)\n```")[0][1]
	firing := regexp.MustCompile(`Signalbox-Firing: (\w+)`).FindStringSubmatch(message)[1]
	r := newReadmeRig(t, map[string]string{"apps/api/values.yaml": "image:\n  tag: 1.2 # of the api\n"})
	results := together(t, r.local(t, examples[0], ""), told(t, "push", firing, "4711", 3, image("acme/api", "1.3")),
		told(t, "push", "1", "4709", 1, image("acme/api", "1.1")), told(t, "push", "2", "4710", 2, image("acme/api", "1.2.9")))
	r.wantCommits(t, 2)
	r.wantFile(t, "apps/api/values.yaml", "image:\n  tag: 1.3 # of the api\n")
	at := r.At(t, main)
	lines := strings.Split(r.Git(t, "", "show", "-s", "--format=%B", at), "\n")
	for line := range strings.SplitSeq(message, "\n") {
		if !slices.Contains(lines, line) {
			t.Errorf("the message does not have %q: %q", line, lines)
		}
	}
	summary := found(t, "README.md", "Summary: `(.*?)`")[0][1]
	if got := strings.Replace(results[0].Summary, at[:7], summary[:7], 1); got != summary {
		t.Errorf("the summary is %q", got)
	}
	var want, got map[string]any
	details, err := json.Marshal(results[0].Details)
	if err != nil || json.Unmarshal(details, &got) != nil || json.Unmarshal([]byte(found(t, "README.md", "(?s)```json\n(.*?)```")[0][1]), &want) != nil {
		t.Fatal(err, string(details))
	}
	want["repository"], want["revision"] = r.url, at
	delete(want, "pullRequest")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("details %v, want %v", got, want)
	}
	wantSummary(t, results[1], "superseded by "+firing)
	wantSummary(t, results[2], "superseded by "+firing)
}

// TestReadmeExampleYAML does what the comment of example.yaml says.
func TestReadmeExampleYAML(t *testing.T) {
	t.Parallel()
	var s v1alpha1.Sensor
	if err := yaml.Unmarshal([]byte(found(t, "example.yaml", `(?s).*\n---\n(.*kind: Sensor.*)`)[0][1]), &s); err != nil {
		t.Fatal(err)
	}
	r := newReadmeRig(t, map[string]string{"apps/api/values.yaml": "image: {tag: 1.4.1}\n", "apps/web/values.yaml": "image: {tag: 2.0.0}\n"})
	webhook := func(body string) any { return json.RawMessage(`{"header":{},"body":` + body + `}`) }
	curl := found(t, "example.yaml", `curl .* -d '(.*?)' http://localhost:12000/push\n`)[0][1]
	tr := r.local(t, string(s.Spec.Triggers[0].Template.Kinds[gitcommit.Kind.Name].Raw), "")
	together(t, tr, told(t, "push", "1", "1", 1, webhook(curl)), told(t, "push", "2", "2", 1, webhook(`{"image": "web", "tag": "2.0.1"}`)))
	r.wantCommits(t, 2)
	r.wantFile(t, "apps/api/values.yaml", "image: {tag: 1.4.2}\n")
	r.wantFile(t, "apps/web/values.yaml", "image: {tag: 2.0.1}\n")
	message := r.Git(t, "", "show", "-s", "--format=%B", main)
	for _, line := range []string{"2 changes\n", "\n- api 1.4.2\n", "\n- web 2.0.1\n"} {
		if !strings.Contains(message, line) {
			t.Errorf("the message is %q", message)
		}
	}
}

// TestReadmeChanges makes the changes of README.md; each has the diff that stands below it.
func TestReadmeChanges(t *testing.T) {
	t.Parallel()
	pairs := found(t, "README.md", "(?s)\n```yaml\n(- [^`]*?)\n```\n(?:```diff\n(.*?)\n```\n)?")
	around := []struct{ dependency, path, text, tag string }{
		{"pushed", "deploy/api/api.yaml", "kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\nDIFF", "1.5.0"},
		{"pushed", "overlays/production/kustomization.yaml", "kind: Kustomization\nDIFF", "1.10"},
		{"pushed", "charts/api/values.yaml", "DIFF", "v1.5.0"},
		{"push", "deploy/api.yaml", "kind: Deployment\nmetadata: {name: api}\nspec:\n  template:\n    spec:\n      containers:\n        - name: api\n          env:\nDIFF", ""},
		{"pushed", "package.json", "{\n  \"config\": {\nDIFF  }\n}\n", "1.5.0"},
		{"pr", "previews/7.yaml", "", ""},
	}
	if len(pairs) != len(around) {
		t.Fatalf("there are %d changes", len(pairs))
	}
	for i, c := range around {
		change, diff := pairs[i][1], strings.ReplaceAll(pairs[i][2], testDigest[:13]+"...", testDigest)
		t.Run(strings.Trim(strings.SplitN(change, ":", 2)[0], "- "), func(t *testing.T) {
			t.Parallel()
			before, after := "", ""
			for line := range strings.Lines(diff + "\n") {
				if line[0] != '+' {
					before += line[1:]
				}
				if line[0] != '-' {
					after += line[1:]
				}
			}
			files := map[string]string{c.path: strings.Replace(c.text, "DIFF", before, 1), "other": "x\n"}
			want := strings.Replace(c.text, "DIFF", after, 1)
			if c.dependency == "pr" {
				files = map[string]string{"previews/old.yaml": "number: 6\n"}
				want = "number: 7\nbranch: \"feature/x\"\n"
			}
			r := newReadmeRig(t, files)
			data := image("acme/api", c.tag).(map[string]any)
			data[gitevent.Key] = gitevent.Event{After: "4d5e6f7", PullRequest: &gitevent.PullRequest{Number: 7, Source: gitevent.PullEnd{Branch: "feature/x"}}}
			tr := triggertest.Build(t, gitcommit.Kind, "url: "+r.url+"\nbranch: main\nwindow: 0s\ntokenSecret: {name: git-bot, key: token}\nchanges:\n"+change, r.env)
			fire(t, tr, told(t, c.dependency, "1", "1", 1, data))
			r.wantFile(t, c.path, want)
			delete(files, "previews/old.yaml")
			files[c.path] = want
			if got := strings.Fields(r.Git(t, "", "ls-tree", "-r", "--name-only", "main")); !slices.Equal(got, slices.Sorted(maps.Keys(files))) {
				t.Errorf("there are %q", got)
			}
		})
	}
}

// gitLab puts the repository to /acme of a GitLab whose merge requests begin with none,
// and returns what changes them.
func (r *rig) gitLab(t *testing.T) (changes func() []string) {
	t.Helper()
	r.url = r.http.URL + "/acme/deploy.git"
	const list = "/api/v4/projects/acme%2Fdeploy/merge_requests"
	var mu sync.Mutex
	var all []string
	answers := map[string]string{"GET " + list: "[]", "POST " + list: `{"iid":7,"web_url":"https://gitlab.example.com/7"}`, "PUT " + list + "/7": "{}"}
	r.http.Before(func(w http.ResponseWriter, q *http.Request) {
		q.URL.Path = strings.TrimPrefix(q.URL.Path, "/acme")
		if !strings.HasPrefix(q.URL.Path, "/api/") {
			return
		}
		answer := answers[q.Method+" "+q.URL.EscapedPath()]
		if answer == "" || q.Header.Get("Authorization") != "Bearer "+tokenOf {
			t.Errorf("%s %s as %s", q.Method, q.URL, q.Header.Get("Authorization"))
			http.Error(w, "{}", http.StatusNotFound)
			return
		}
		if body, err := io.ReadAll(q.Body); err != nil || len(body) > 0 {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, fmt.Sprintf("%s %s", q.Method, body))
		}
		fmt.Fprint(w, answer)
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// TestReadmePullRequest opens the pull request of README.md.
func TestReadmePullRequest(t *testing.T) {
	t.Parallel()
	r := newReadmeRig(t, map[string]string{"apps/api/values.yaml": "image:\n  tag: 1.2\n"})
	requests := r.gitLab(t)
	raw, err := yaml.YAMLToJSON([]byte(found(t, "README.md", "(?s)```yaml\n(pullRequest:.*?)```")[0][1]))
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(strings.Trim(string(raw), "{}"), `"provider":"gitlab"`, `"provider":"gitlab","api":"`+r.http.URL+`/api/v4"`, 1)
	tr := r.local(t, triggertest.Readme(t, gitcommit.Kind)[0], `,"window":"0s",`+more+"}")
	begin := r.At(t, main)
	res := fire(t, tr, told(t, "push", "1", "1", 1, image("acme/api", "1.3")))
	if r.At(t, main) != begin || r.Git(t, "", "show", "bot/images:apps/api/values.yaml") != "image:\n  tag: 1.3" {
		t.Error("the commit is not on its branch")
	}
	want := []string{
		`POST {"description":"","remove_source_branch":false,"source_branch":"bot/images","target_branch":"main","title":"Images of acme/api"}`,
		`PUT {"add_labels":"deploy"}`,
	}
	if got := requests(); !slices.Equal(got, want) {
		t.Errorf("asked for %q", got)
	}
	var shown map[string]any
	if err := json.Unmarshal([]byte(found(t, "README.md", "(?s)```json\n(.*?)```")[0][1]), &shown); err != nil {
		t.Fatal(err)
	}
	for key, value := range shown {
		if got := res.Details[key]; got == nil {
			t.Errorf("the details do not have %s", key)
		} else if key == "pullRequest" && !slices.Equal(slices.Sorted(maps.Keys(got.(map[string]any))), slices.Sorted(maps.Keys(value.(map[string]any)))) {
			t.Errorf("the pull request is %v", got)
		}
	}
}
