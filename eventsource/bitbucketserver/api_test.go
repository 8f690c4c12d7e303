package bitbucketserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

// server plays Bitbucket: project P with the repositories one, two and three, two
// of anything a page.
type server struct {
	*hosttest.Host
	mu    sync.Mutex
	hooks map[string][]map[string]any // by repository
	made  int
}

const below = "/ctx/rest/api/1.0/projects/"

func newServer(t *testing.T) *server {
	s := &server{hooks: map[string][]map[string]any{}}
	s.Host = hosttest.NewHost(t, func(w http.ResponseWriter, r *http.Request, body string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			hosttest.JSON(w, 401, map[string]any{"errors": []any{map[string]any{"message": "who are you?"}}})
			return
		}
		path := strings.TrimPrefix(r.URL.Path, below)
		repo, rest, _ := strings.Cut(strings.TrimPrefix(path, "P/repos/"), "/")
		switch {
		case path == "P/repos":
			page(w, r, []any{map[string]any{"slug": "one"}, map[string]any{"slug": "two"}, map[string]any{"slug": "three"}})
		case strings.HasPrefix(rest, "webhooks"):
			s.serve(t, w, r, repo, strings.TrimPrefix(strings.TrimPrefix(rest, "webhooks"), "/"), body)
		case rest == "pull-requests":
			q := r.URL.Query()
			if q.Get("direction") != "OUTGOING" || q.Get("state") != "OPEN" {
				t.Errorf("asked for %v", q)
			}
			switch q.Get("at") {
			case "refs/heads/main":
				page(w, r, nil)
			case "refs/heads/broken":
				w.WriteHeader(500)
			default:
				page(w, r, []any{map[string]any{"id": 1}})
			}
		default:
			files(w, r, rest)
		}
	})
	return s
}

func page(w http.ResponseWriter, r *http.Request, all []any) {
	start := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("start"), &start)
	end := min(start+2, len(all))
	out := map[string]any{"values": all[min(start, len(all)):end], "isLastPage": end == len(all)}
	if end < len(all) {
		out["nextPageStart"] = end
	}
	hosttest.JSON(w, 200, out)
}

func files(w http.ResponseWriter, r *http.Request, rest string) {
	path := func(p string) any { return map[string]any{"toString": p} }
	q := r.URL.Query()
	switch {
	case rest == "compare/changes" && q.Get("from") == b40 && q.Get("to") == a40:
		page(w, r, []any{map[string]any{"path": path("a.go")}, map[string]any{"path": path("new.go"), "srcPath": path("old.go")}, map[string]any{"path": path("c.go")}})
	case rest == "compare/changes" && q.Get("from") == a40 && q.Get("to") == b40:
		page(w, r, []any{map[string]any{"path": path("gone.go")}})
	case rest == "pull-requests/7/changes":
		page(w, r, []any{map[string]any{"path": path("pr.go")}})
	default:
		w.WriteHeader(404)
	}
}

func (s *server) serve(t *testing.T, w http.ResponseWriter, r *http.Request, repo, id, body string) {
	var in map[string]any
	if body != "" {
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Error(err)
		}
		if c, ok := in["configuration"]; ok && fmt.Sprint(c) == "map[secret:]" {
			w.WriteHeader(500)
			return
		}
	}
	all := s.hooks[repo]
	i := slices.IndexFunc(all, func(h map[string]any) bool { return fmt.Sprint(h["id"]) == id })
	switch {
	case r.Method == http.MethodGet:
		var list []any
		for _, h := range all {
			list = append(list, h)
		}
		page(w, r, list)
	case r.Method == http.MethodPost:
		s.made++
		in["id"] = 100 + s.made
		s.hooks[repo] = append(all, in)
		hosttest.JSON(w, 201, in)
	case i < 0:
		w.WriteHeader(404)
	case r.Method == http.MethodDelete:
		s.hooks[repo] = slices.Delete(all, i, i+1)
		w.WriteHeader(204)
	case r.Method == http.MethodPut: // all of it, what is not sent is gone
		in["id"] = all[i]["id"]
		all[i] = in
		hosttest.JSON(w, 200, in)
	}
}

func (s *server) of(repo string) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hooks[repo])
}

const address = "https://hooks.example.com/hook"

func TestHooks(t *testing.T) {
	for name, secret := range map[string]string{"signed": "webhookSecret: {name: bb, key: secret}", "unsigned": ""} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			other := map[string]any{"id": 1, "name": "CI", "url": "https://ci.example.com", "active": true, "events": []string{"pr:opened"}}
			s.hooks["two"] = []map[string]any{other, other, {"id": 7, "name": "Argo Events", "url": address, "active": true, "events": []string{"pr:opened"}, "configuration": map[string]any{"secret": "old"}}}
			text := secret + `
webhook: {endpoint: hook, port: "12000", url: https://hooks.example.com, insecure: true}
accessToken: {name: bb, key: token}
events: [repo:refs_changed]
projects: [P]
repositories: [{projectKey: P, repositorySlug: one}]
deleteHookOnFinish: true
bitbucketserverBaseURL: ` + s.URL + "/ctx/"
			e := sourcetest.NewEnv(t)
			entry.Fill(e)
			r := sourcetest.Start(t, Kind, text, e)
			configuration := "map[secret:s3cr3t]"
			if secret == "" {
				configuration = "<nil>"
			}
			ours := func(repo string) bool {
				return slices.ContainsFunc(s.of(repo), func(h map[string]any) bool {
					return h["url"] == address && h["active"] == true && h["name"] == "Signalbox" &&
						fmt.Sprint(h["events"]) == "[repo:refs_changed]" && fmt.Sprint(h["configuration"]) == configuration
				})
			}
			sourcetest.Eventually(t, "the hooks", func() bool { return ours("one") && ours("two") && ours("three") })
			if len(s.of("one")) != 1 || len(s.of("two")) != 3 {
				t.Errorf("%v, %v", s.of("one"), s.of("two"))
			}
			if err := r.Stop(t); err != nil || !ours("one") {
				t.Error(err, s.of("one"))
			}
			raw, err := yaml.YAMLToJSON([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			conf, err := Kind.Decode(raw)
			if v1alpha1.Fatal(err) != nil || !Kind.NeedsFinish(conf) {
				t.Fatal(err)
			}
			for range 2 {
				if err := Kind.Finish(t.Context(), conf, e.Env); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.of("one"))+len(s.of("three")) != 0 || len(s.of("two")) != 2 {
				t.Errorf("left: %v, %v", s.of("one"), s.of("two"))
			}
		})
	}
}

func asking(s *server) string {
	return "accessToken: {name: bb, key: token}\nbitbucketserverBaseURL: " + s.URL + "/ctx/rest\n"
}

func TestFiles(t *testing.T) {
	e, r := with(asking(newServer(t))).Start(t)
	body := strings.ReplaceAll(push("update"), "ACME", "P")
	if status, text := send(t, e, eventsource.Sending{Body: []byte(body)}); status != 200 {
		t.Fatal(status, text)
	}
	if got := hosttest.Summary(hosttest.Read(t, r.Next(t)).Git); !strings.Contains(got, "files:a.go,c.go,gone.go,new.go,old.go signature") {
		t.Error(got)
	}
	body = `{"eventKey":"pr:opened","pullRequest":{"id":7,"fromRef":{"latestCommit":"1"},"toRef":{"latestCommit":"2","repository":{"slug":"api","project":{"key":"P"}}}}}`
	if status, text := send(t, e, eventsource.Sending{Body: []byte(body), ID: "2"}); status != 200 {
		t.Fatal(status, text)
	}
	if got := hosttest.Summary(hosttest.Read(t, r.Next(t)).Git); !strings.Contains(got, "files:pr.go signature") {
		t.Error(got)
	}
}

func TestSkipBranchesWithPullRequests(t *testing.T) {
	const broken = `{"ref":{"id":"refs/heads/broken"},"fromHash":"` + zeros + `","toHash":"` + b40 + `","type":"ADD"}`
	whole := func(list ...string) string {
		return strings.ReplaceAll(fmt.Sprintf(pushOf, strings.Join(list, ","), "null"), "ACME", "P")
	}
	for _, tt := range []struct {
		name, config, body string
		want               []string
		filtered           int
	}{
		{"of several", "", whole(changes["update"], changes["new"], changes["tag"]), []string{whole(changes["update"]), whole(changes["tag"])}, 1},
		{"of several, in one event", "oneEventPerChange: false\n", whole(changes["update"], changes["new"], changes["tag"]), []string{whole(changes["update"], changes["tag"])}, 0},
		{"all", "", whole(changes["new"]), nil, 1},
		{"not known", "", whole(broken), []string{whole(broken)}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, r := with("skipBranchRefsChangedOnOpenPR: true\nchangedFiles: {lookup: none}\n" + tt.config + asking(newServer(t))).Start(t)
			if status, text := send(t, e, eventsource.Sending{Body: []byte(tt.body)}); status != 200 {
				t.Fatal(status, text)
			}
			stored := r.Stored()
			if len(stored) != len(tt.want) || r.Filtered() != tt.filtered {
				t.Fatalf("%d events, %d filtered", len(stored), r.Filtered())
			}
			for i, ev := range stored {
				if got := string(hosttest.Read(t, ev).Body); got != tt.want[i] {
					t.Errorf("got  %s\nwant %s", got, tt.want[i])
				}
			}
		})
	}
}

func TestConfig(t *testing.T) {
	const hook = "webhook: {endpoint: /hook, insecure: true}\n"
	const full = "webhook: {endpoint: /hook, insecure: true, url: https://h}\naccessToken: {name: a, key: b}\nbitbucketserverBaseURL: https://b/rest\nevents: [repo:refs_changed]\n"
	for name, tt := range map[string]struct{ text, want string }{
		"least":                 {hook, ""},
		"no webhook":            {"{}", "webhook: is missing"},
		"signed":                {"webhook: {endpoint: /hook}\nwebhookSecret: {name: a, key: b}", ""},
		"full":                  {full + "projects: [P]", ""},
		"deprecated":            {full + "projectKey: P\nrepositorySlug: r", ""},
		"half of deprecated":    {hook + "projectKey: P", "projectKey: belongs"},
		"nowhere":               {full, "repositories: is missing"},
		"half of a repository":  {hook + "repositories: [{projectKey: P}]", "repositories[0]: needs"},
		"empty project":         {hook + `projects: [""]`, "projects[0]: is empty"},
		"no address":            {"webhook: {endpoint: /hook, insecure: true, url: https://h}\naccessToken: {name: a, key: b}\nevents: [pr:opened]\nprojects: [P]", "bitbucketserverBaseURL: is missing"},
		"odd address":           {hook + "bitbucketserverBaseURL: bitbucket", "bitbucketserverBaseURL: is no URL"},
		"one event":             {hook + "oneEventPerChange: false", "oneEventPerChange: is false"},
		"event per change":      {hook + "oneEventPerChange: true", ""},
		"skip without token":    {hook + "bitbucketserverBaseURL: https://b/rest\nskipBranchRefsChangedOnOpenPR: true", "skipBranchRefsChangedOnOpenPR: needs accessToken"},
		"odd interval":          {hook + "checkInterval: often", "checkInterval: "},
		"odd event":             {hook + "events: [push]", "events[0]: "},
		"tls":                   {hook + "tls: {}", "tls: says nothing"},
		"finish without a hook": {hook + "deleteHookOnFinish: true", "deleteHookOnFinish: has no effect"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			found := v1alpha1.Problems(err)
			switch {
			case tt.want == "" && len(found) > 0:
				t.Error(err)
			case tt.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0].Error(), tt.want)):
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
