package gitcommit_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind: gitcommit.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			r := gitrepotest.New(t, "deploy")
			r.Configure(pushable...)
			r.Commit(t, main, "begin", map[string]string{"README": "x"})
			s := r.Serve(t)
			s.Only("x-access-token", "token-of-bot")
			e.PutSecret("git", "token", "token-of-bot")
			_, key := gitrepotest.NewKey(t)
			e.PutSecret("git", "key", key)
			e.State = &rig{Repo: r, http: s, env: e}
			return fmt.Sprintf(`
url: %s
tokenSecret: {name: git, key: token}
branch: placeholder
window: 20ms
changes:
  - file: {path: "numbers/{{ .Input.dep.data.number }}.txt", content: "number {{ .Input.dep.data.number }}\n"}
message: "number {{ .Input.dep.data.number }}"
author: {name: Ann, email: ann@example.com}
committer: {name: Bot, email: bot@example.com}
signing: {sshKeySecret: {name: git, key: key}}
parameters:
  - {src: {dependencyName: dep, value: main}, dest: branch}
`, s.Repository)
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage { return e.State.(*rig).effects(t) },
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*rig).http.Before(func(w http.ResponseWriter, q *http.Request) {
				_, password, _ := q.BasicAuth()
				http.Error(w, "out of order, "+password, http.StatusInternalServerError)
			})
		},
		Hang: func(t *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived, end := make(chan struct{}), make(chan struct{})
			var once sync.Once
			e.State.(*rig).http.Before(func(_ http.ResponseWriter, q *http.Request) {
				once.Do(func() { close(arrived) })
				select {
				case <-q.Context().Done():
				case <-end:
				}
			})
			t.Cleanup(func() { close(end) })
			return arrived
		},
		NoID: true, // a firing that is repeated leaves no second effect
		Valid: []string{
			`{url: "https://example.com/a/b", changes: [{file: {path: a}}]}`,
			`{url: "http://127.0.0.1:3000/a/b", tokenSecret: {name: a, key: b}, changes: [{file: {path: a}}]}`,
			`{url: "https://example.com/a/b", allowEmpty: true, window: 0s, follow: {emit: true}}`,
			`{url: "https://github.com/a/b", changes: [{file: {path: a}}], tokenSecret: {name: a, key: b}, pullRequest: {title: "x {{ .Input.dep.data.x }}"}, follow: {timeout: 1h}}`,
			`{url: "", changes: [{file: {path: a}}], parameters: [{src: {dependencyName: d}, dest: url}]}`,
			`{url: "git@github.com:a/b", sshKeySecret: {name: a, key: b}, githubApp: null, branch: "release/{{ .Input.dep.data.x }}", changes: [{file: {path: a}}]}`,
		},
		Invalid: map[string][]string{
			`{}`: {"url: is required", "changes: is required"},
			`{url: "https://a:b@example.com/a/b", changes: [{}], branch: "a..b", message: "{{", window: 1h}`: {
				"url: holds a user or a password", "changes[0]: names 0 kinds", `branch: "a..b" is no name`, "message: ", "window: 1h0m0s is not between",
			},
			`{url: "https://example.com/a/b", changes: [{file: {path: a}}], author: {name: "a<", email: ""}, signing: {passphraseSecret: {name: a}}, parameters: [{src: {dependencyName: d}}], follow: {timeout: 0s}}`: {
				"author.name: has <", "author.email: is required", "signing: has to name either", "signing.passphraseSecret: has no effect",
				"signing.passphraseSecret: needs name and key", "parameters[0].dest: is required", "follow.timeout: has to be longer",
			},
			`{url: "https://example.com/a/b", changes: [{file: {path: a}}], branch: x, pullRequest: {branch: x, title: "{{", labels: ["{{"]}}`: {
				"pullRequest.provider: is required", "pullRequest.token: is required", "pullRequest.branch: is the one to merge into", "pullRequest.title: ", "pullRequest.labels[0]: ",
			},
		},
	})
}

// effects are the firings that the branch's commits name, as Render shows them.
func (r *rig) effects(t *testing.T) (all []json.RawMessage) {
	t.Helper()
	for _, commit := range slices.Backward(strings.Fields(r.Git(t, "", "rev-list", "main"))) {
		raw := r.Git(t, "", "cat-file", "commit", commit)
		people := r.Git(t, "", "show", "-s", "--format=%an <%ae>|%cn <%ce>|%B", commit)
		author, rest, _ := strings.Cut(people, "|")
		committer, message, _ := strings.Cut(rest, "|")
		for line := range strings.SplitSeq(message, "\n") {
			id, ok := strings.CutPrefix(line, "Signalbox-Firing: ")
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(id, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			n -= 0xabc000
			path := fmt.Sprintf("numbers/%d.txt", n)
			said := fmt.Sprintf("number %d", n)
			if !strings.HasPrefix(message, said+"\n") && !strings.Contains(message, "\n- "+said+"\n") {
				said = "(nothing)"
			}
			effect, err := json.Marshal(map[string]any{
				"repository": r.http.Repository, "branch": "main", "message": said, "firing": id,
				"author": author, "committer": committer, "signed": strings.Contains(raw, "-----BEGIN SSH SIGNATURE-----"),
				"changes": []any{map[string]any{"file": map[string]any{"path": path, "content": r.Git(t, "", "show", commit+":"+path) + "\n"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, effect)
		}
	}
	return all
}
