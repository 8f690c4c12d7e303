package azuredevops

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
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

// organization plays Azure DevOps: the project "My Project" with the repository api.
type organization struct {
	*hosttest.Host
	mu            sync.Mutex
	subscriptions []subscription
	made          int
}

func newOrganization(t *testing.T) *organization {
	o := &organization{}
	o.Host = hosttest.NewHost(t, func(w http.ResponseWriter, r *http.Request, body string) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if user, token, ok := r.BasicAuth(); !ok || user != "" || token != "p4t" {
			w.Header().Set("Content-Type", "text/html") // as the host does, instead of 401
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			_, _ = w.Write([]byte("<html>sign in</html>"))
			return
		}
		if r.URL.Query().Get("api-version") == "" {
			t.Errorf("%s has no version", r.URL)
		}
		path := strings.TrimPrefix(r.URL.Path, "/acme/")
		switch {
		case path == "_apis/projects/My Project":
			hosttest.JSON(w, 200, map[string]any{"id": "P-1"})
		case path == "My Project/_apis/git/repositories/api":
			hosttest.JSON(w, 200, map[string]any{"id": "R-1"})
		case strings.HasPrefix(path, "_apis/hooks/subscriptions"):
			o.serve(t, w, r, strings.TrimPrefix(strings.TrimPrefix(path, "_apis/hooks/subscriptions"), "/"), body)
		case path == "My Project/_apis/git/repositories/api/diffs/commits":
			diff(w, r)
		default:
			hosttest.JSON(w, 404, map[string]any{"message": "no " + path})
		}
	})
	return o
}

func (o *organization) serve(t *testing.T, w http.ResponseWriter, r *http.Request, id, body string) {
	var in subscription
	if body != "" {
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Error(err)
		}
	}
	i := slices.IndexFunc(o.subscriptions, func(s subscription) bool { return s.ID == id })
	switch {
	case r.Method == http.MethodGet:
		var found []subscription
		for _, s := range o.subscriptions {
			if q := r.URL.Query(); s.EventType == q.Get("eventType") && s.PublisherID == q.Get("publisherId") {
				found = append(found, s)
			}
		}
		hosttest.JSON(w, 200, map[string]any{"count": len(found), "value": found})
	case r.Method == http.MethodPost:
		o.made++
		in.ID, in.Status = fmt.Sprintf("sub-%d", o.made), "enabled"
		o.subscriptions = append(o.subscriptions, in)
		hosttest.JSON(w, 200, in)
	case i < 0:
		w.WriteHeader(404)
	case r.Method == http.MethodDelete:
		o.subscriptions = slices.Delete(o.subscriptions, i, i+1)
		w.WriteHeader(204)
	case r.Method == http.MethodPut:
		o.subscriptions[i] = in
		hosttest.JSON(w, 200, in)
	}
}

func diff(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	item := func(path, kind string) map[string]any {
		return map[string]any{"item": map[string]any{"path": path, "gitObjectType": kind, "isFolder": kind == "tree"}}
	}
	switch key := q.Get("baseVersionType") + " " + q.Get("baseVersion") + " " + q.Get("targetVersion") + " " + q.Get("diffCommonCommit"); {
	case key == "commit "+a40+" "+b40+" false" && q.Get("$skip") == "0":
		list := make([]any, 0, pageSize)
		for range pageSize {
			list = append(list, item("/a.go", "blob"))
		}
		hosttest.JSON(w, 200, map[string]any{"changes": list, "allChangesIncluded": false})
	case key == "commit "+a40+" "+b40+" false":
		renamed := item("/b/new.go", "blob")
		renamed["sourceServerItem"] = "/b/old.go"
		hosttest.JSON(w, 200, map[string]any{"changes": []any{item("/b", "tree"), renamed}, "allChangesIncluded": true})
	case key == "branch main "+b40+" true":
		hosttest.JSON(w, 200, map[string]any{"changes": []any{item("/branch.go", "blob")}, "allChangesIncluded": true})
	case key == "commit 2222222 1111111 true":
		hosttest.JSON(w, 200, map[string]any{"changes": []any{item("/pr.go", "blob")}, "allChangesIncluded": true})
	default:
		hosttest.JSON(w, 400, map[string]any{"message": key})
	}
}

func (o *organization) all() []subscription {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.subscriptions)
}

func TestHooks(t *testing.T) {
	const address = "https://hooks.example.com/hook"
	for name, tt := range map[string]struct {
		hook, more string
		inputs     map[string]string
	}{
		"header": {"", "secretHeader: {name: X-Mine, secret: {name: az, key: secret}}\n", map[string]string{"httpHeaders": "X-Mine:s3cr3t"}},
		"basic": {
			", basicAuth: {username: {name: az, key: user}, password: {name: az, key: secret}}", "",
			map[string]string{"basicAuthUsername": "hooks", "basicAuthPassword": "s3cr3t"},
		},
		"open": {", insecure: true", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			sub := func(id, event, repo, url, status string) subscription {
				return subscription{
					ID: id, Status: status, PublisherID: "tfs", EventType: event, ConsumerID: consumer, ConsumerActionID: action,
					PublisherInputs: map[string]string{"projectId": "p-1", "repository": repo}, ConsumerInputs: map[string]string{"url": url, details: "minimal"},
				}
			}
			o.subscriptions = []subscription{
				sub("foreign", "git.push", "r-1", "https://ci.example.com", "enabled"),
				sub("elsewhere", "git.push", "r-2", address, "enabled"),
				sub("ours", "git.push", "r-1", address, "disabledBySystem"),
			}
			text := tt.more + `
webhook: {endpoint: /hook, port: "12000", url: https://hooks.example.com` + tt.hook + `}
accessToken: {name: az, key: pat}
events: [git.push, git.pullrequest.created]
repositories: [{project: My Project, repository: api}]
projects: [My Project]
deleteHookOnFinish: true
organizationURL: ` + o.URL + "/acme/"
			e := sourcetest.NewEnv(t)
			headed.Fill(e)
			r := sourcetest.Start(t, Kind, text, e)
			want := map[string]string{"url": address, details: detailsWanted}
			for k, v := range tt.inputs {
				want[k] = v
			}
			good := func() (n int) {
				for _, s := range o.all() {
					if fmt.Sprint(s.ConsumerInputs) == fmt.Sprint(want) && s.Status == "enabled" && s.PublisherInputs["projectId"] == "P-1" {
						n++
					}
				}
				return n
			}
			sourcetest.Eventually(t, "four subscriptions", func() bool { return good() == 4 })
			if n := len(o.all()); n != 6 {
				t.Errorf("%d subscriptions: %+v", n, o.all())
			}
			if i := slices.IndexFunc(o.all(), func(s subscription) bool { return s.ID == "ours" && s.Status == "enabled" }); i < 0 {
				t.Error("the subscription that was there is not mended")
			}
			if err := r.Stop(t); err != nil {
				t.Error(err)
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
			if left := o.all(); len(left) != 2 || left[0].ID != "foreign" || left[1].ID != "elsewhere" {
				t.Errorf("left: %+v", left)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	o := newOrganization(t)
	k := headed
	k.Config += "accessToken: {name: az, key: pat}\norganizationURL: " + o.URL + "/acme\n"
	e, r := k.Start(t)
	pr := `{"id":"2","eventType":"git.pullrequest.created","resource":{"pullRequestId":3,"lastMergeSourceCommit":{"commitId":"1111111"},"lastMergeTargetCommit":{"commitId":"2222222"},` + repo + `}}`
	for _, tt := range []struct{ body, want string }{
		{push(update("refs/heads/main", a40, b40)), "files:a.go,b/new.go,b/old.go token"},
		{strings.Replace(push(update("refs/heads/x", zeros, b40)), `"n1"`, `"n2"`, 1), "files:branch.go token"},
		{pr, "files:pr.go token"},
		{strings.ReplaceAll(strings.Replace(push(update("refs/heads/main", a40, b40)), `"n1"`, `"n3"`, 1), "com/acme/", "com/other/"), "unknown:not-sent token"},
		{strings.Replace(push(update("refs/heads/main", b40, a40)), `"n1"`, `"n4"`, 1), "unknown:lookup-failed token"},
	} {
		if status, text := send(t, e, tt.body); status != 200 {
			t.Fatal(status, text)
		}
		if got := hosttest.Summary(hosttest.Read(t, r.Next(t)).Git); !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

func TestTokenThatIsWrong(t *testing.T) {
	o := newOrganization(t)
	e := sourcetest.NewEnv(t)
	e.Vault.Set("az", "pat", "stale")
	conf := Config{OrganizationURL: o.URL + "/acme", AccessToken: secretRef("pat")}
	api := newAPI(&conf, e.Env)
	defer api.Clients.Close()
	if _, err := (hookAPI{api: api}).List(t.Context(), "git.push My%20Project"); err == nil || !strings.Contains(err.Error(), "203") || !strings.Contains(err.Error(), "text/html") {
		t.Error(err)
	}
	if _, err := (hookAPI{api: api}).List(t.Context(), "nonsense"); err == nil {
		t.Error("a target that is none")
	}
}
