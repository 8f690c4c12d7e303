package pull

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what a player says to one request, which it insists on.
type answer struct {
	// want is METHOD URI, and, after a space, the body as JSON.
	want   string
	status int
	body   string
	header map[string]string
}

// player is a host that expects requests in their order.
type player struct {
	*httptest.Server
	t    *testing.T
	auth string

	mu      sync.Mutex
	answers []answer
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got := r.Method + " " + r.URL.RequestURI()
	if len(body) > 0 {
		got += " " + string(body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := r.Header.Get("Authorization"); a != p.auth {
		p.t.Errorf("%s: Authorization is %q, not %q", got, a, p.auth)
	}
	if len(p.answers) == 0 || p.answers[0].want != got {
		p.t.Errorf("got  %s\nwant %v", got, p.answers)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	a := p.answers[0]
	p.answers = p.answers[1:]
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	fmt.Fprint(w, strings.ReplaceAll(a.body, "HOST", p.URL))
}

// newClient is one of acme/api at a player. base is where it has its API.
func newClient(t *testing.T, c Config, auth, base string, answers ...answer) *Client {
	t.Helper()
	p := &player{t: t, auth: auth, answers: answers}
	p.Server = httptest.NewServer(p)
	secrets := secret.Objects{Secrets: map[string]map[string][]byte{"s": {"token": []byte("tok\n"), "user": []byte("me")}}}
	clients := httpclient.New(secrets, "test")
	t.Cleanup(func() {
		clients.Close()
		p.Close()
		if len(p.answers) > 0 {
			t.Errorf("never asked: %v", p.answers)
		}
	})
	c.Token = ref("token")
	c.API = p.URL + base
	if err := c.Validate(); err != nil && !strings.Contains(err.Error(), "unencrypted") {
		t.Fatal(err)
	}
	client, err := New(c, gitrepo.Place{Host: "git.example.com", FullName: "acme/api"}, secrets, clients)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func ref(key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: key}
}

var request = Request{Head: "bot/x", Base: "main", Title: "Set api\nmore", Body: "Because.", Labels: []string{"auto"}}

type dialect struct {
	config     Config
	auth, base string
	find       string
	// none and one are lists without and with the pull request, one with another title.
	none, one, stale string
	create, made     string
	exists           answer
	update           string
	label            []answer
	get              string
	states           map[State]string
}

func dialects() map[string]dialect {
	hub := func(title string) string {
		return `[{"number":6,"head":{"ref":"bot/x","repo":{"full_name":"fork/api"}},"base":{"ref":"main","repo":{"full_name":"acme/api"}}},` +
			`{"number":7,"html_url":"https://h/7","title":"` + title + `","body":"Because.","head":{"ref":"bot/x","repo":{"full_name":"acme/api"}},"base":{"ref":"main","repo":{"full_name":"acme/api"}},"labels":[{"name":"Auto"}]}]`
	}
	lab := func(title string) string {
		return `[{"iid":7,"web_url":"https://h/7","title":"` + title + `","draft":true,"description":"Because.","source_project_id":1,"target_project_id":1,"source_branch":"bot/x","target_branch":"main","labels":["auto"]}]`
	}
	bucket := func(title string) string {
		return `{"values":[{"id":7,"title":"` + title + `","description":"Because.","state":"OPEN","source":{"branch":{"name":"bot/x"},"repository":{"full_name":"Acme/api"}},"destination":{"branch":{"name":"main"}},"links":{"html":{"href":"https://h/7"}}}]}`
	}
	hubStates := map[State]string{
		Open: `{"state":"open","merge_commit_sha":"test"}`, Merged: `{"state":"closed","merged":true,"merge_commit_sha":"abc"}`, Closed: `{"state":"closed","merge_commit_sha":"test"}`,
	}
	const labels = "GET /repos/acme/api/labels?limit=50&page="
	bucketFind := "GET /2.0/repositories/acme/api/pullrequests?pagelen=50&q=source.branch.name+%3D+%22bot%2Fx%22+AND+destination.branch.name+%3D+%22main%22+AND+state+%3D+%22OPEN%22"
	return map[string]dialect{
		GitHub: {
			Config{Provider: GitHub, Draft: true},
			"Bearer tok", "",
			"GET /repos/acme/api/pulls?base=main&head=acme%3Abot%2Fx&per_page=100&state=open",
			`[]`, hub("Set api"), hub("Old"),
			`POST /repos/acme/api/pulls {"base":"main","body":"Because.","draft":true,"head":"bot/x","title":"Set api"}`, `{"number":7,"html_url":"https://h/7"}`,
			answer{status: 422, body: `{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"A pull request already exists for acme:bot/x."}]}`},
			`PATCH /repos/acme/api/pulls/7 {"body":"Because.","title":"Set api"}`,
			[]answer{{want: `POST /repos/acme/api/issues/7/labels {"labels":["auto"]}`, body: `[]`}},
			"GET /repos/acme/api/pulls/7", hubStates,
		},
		GitLab: {
			Config{Provider: GitLab, Draft: true, DeleteBranch: true},
			"Bearer tok", "/api/v4/",
			"GET /api/v4/projects/acme%2Fapi/merge_requests?per_page=100&source_branch=bot%2Fx&state=opened&target_branch=main",
			`[]`, lab("Draft: Set api"), lab("Draft: Old"),
			`POST /api/v4/projects/acme%2Fapi/merge_requests {"description":"Because.","remove_source_branch":true,"source_branch":"bot/x","target_branch":"main","title":"Draft: Set api"}`, `{"iid":7,"web_url":"https://h/7"}`,
			answer{status: 409, body: `{"message":["Another open merge request already exists for this source branch: !7"]}`},
			`PUT /api/v4/projects/acme%2Fapi/merge_requests/7 {"description":"Because.","title":"Draft: Set api"}`,
			[]answer{{want: `PUT /api/v4/projects/acme%2Fapi/merge_requests/7 {"add_labels":"auto"}`, body: `{}`}},
			"GET /api/v4/projects/acme%2Fapi/merge_requests/7",
			map[State]string{Open: `{"state":"locked"}`, Merged: `{"state":"merged","sha":"x","squash_commit_sha":"abc"}`, Closed: `{"state":"closed","sha":"x"}`},
		},
		Gitea: {
			Config{Provider: Gitea, Draft: true},
			"token tok", "",
			"GET /repos/acme/api/pulls?state=open&sort=recentupdate&limit=50&page=1",
			`[]`, hub("WIP: Set api"), hub("WIP: Old"),
			`POST /repos/acme/api/pulls {"base":"main","body":"Because.","head":"bot/x","title":"WIP: Set api"}`, `{"number":7,"html_url":"https://h/7"}`,
			answer{status: 409, body: `{"message":"pull request already exists for these targets"}`},
			`PATCH /repos/acme/api/pulls/7 {"body":"Because.","title":"WIP: Set api"}`,
			[]answer{
				{want: labels + "1", body: `[{"id":3,"name":"other"}]`},
				{want: labels + "2", body: `[]`},
				{want: "GET /orgs/acme/labels?limit=50&page=1", status: 404, body: `{}`},
				{want: `POST /repos/acme/api/labels {"color":"#ededed","name":"auto"}`, status: 201, body: `{"id":9}`},
				{want: `POST /repos/acme/api/issues/7/labels {"labels":[9]}`, body: `[]`},
			},
			"GET /repos/acme/api/pulls/7", hubStates,
		},
		Bitbucket: {
			Config{Provider: Bitbucket, DeleteBranch: true, Username: ref("user")},
			"Basic bWU6dG9r", "/2.0",
			bucketFind, `{"values":[]}`, bucket("Set api"), bucket("Old"),
			`POST /2.0/repositories/acme/api/pullrequests {"close_source_branch":true,"description":"Because.","destination":{"branch":{"name":"main"}},"source":{"branch":{"name":"bot/x"}},"title":"Set api"}`,
			`{"id":7,"links":{"html":{"href":"https://h/7"}}}`,
			answer{status: 409, body: `{"type":"error","error":{"message":"a pull request already exists"}}`},
			`PUT /2.0/repositories/acme/api/pullrequests/7 {"description":"Because.","title":"Set api"}`, nil,
			"GET /2.0/repositories/acme/api/pullrequests/7",
			map[State]string{Open: `{"state":"OPEN"}`, Merged: `{"state":"MERGED","merge_commit":{"hash":"abc"}}`, Closed: `{"state":"DECLINED"}`},
		},
	}
}

func TestOpen(t *testing.T) {
	for name, d := range dialects() {
		exists := d.exists
		exists.want = d.create
		for what, answers := range map[string][]answer{
			"made":                   append([]answer{{want: d.find, body: d.none}, {want: d.create, status: 201, body: d.made}}, d.label...),
			"there":                  {{want: d.find, body: d.one}},
			"there with other words": {{want: d.find, body: d.stale}, {want: d.update, body: `{}`}},
			"somebody was faster":    {{want: d.find, body: d.none}, exists, {want: d.find, body: d.one}},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				r := request
				if name == Gitea { // its list goes on until a page is empty
					for i := range answers {
						if answers[i].want == d.find && answers[i].body != d.none {
							answers[i].body = `[{"number":1}]`
							next := answer{want: strings.Replace(d.find, "page=1", "page=2", 1), body: map[bool]string{true: d.stale, false: d.one}[what == "there with other words"]}
							answers = append(answers[:i+1:i+1], append([]answer{next}, answers[i+1:]...)...)
							break
						}
					}
				}
				info, err := newClient(t, d.config, d.auth, d.base, answers...).Open(t.Context(), r)
				if err != nil || info != (Info{"https://h/7", 7}) {
					t.Errorf("%+v, %v", info, err)
				}
			})
		}
		t.Run(name+" exists but is not listed", func(t *testing.T) {
			_, err := newClient(t, d.config, d.auth, d.base, answer{want: d.find, body: d.none}, exists, answer{want: d.find, body: d.none}).Open(t.Context(), request)
			if !errors.Is(err, errExists) || trigger.IsPermanent(err) {
				t.Error(err)
			}
		})
	}
}

func TestBitbucketPages(t *testing.T) {
	d := dialects()[Bitbucket]
	info, err := newClient(t, d.config, d.auth, d.base, answer{want: d.find, body: `{"values":[{"id":1}],"next":"HOST/2.0/more?page=2"}`},
		answer{want: "GET /2.0/more?page=2", body: d.one}).Open(t.Context(), request)
	if err != nil || info.Number != 7 {
		t.Error(info, err)
	}
	_, err = newClient(t, d.config, d.auth, d.base, answer{want: d.find, body: `{"next":"http://elsewhere.invalid/2.0/x"}`}).Open(t.Context(), request)
	if err == nil || !strings.Contains(err.Error(), "another address") {
		t.Error(err)
	}
}

func TestState(t *testing.T) {
	for name, d := range dialects() {
		for want, body := range d.states {
			got, commit, err := newClient(t, d.config, d.auth, d.base, answer{want: d.get, body: body}).State(t.Context(), 7)
			if err != nil || got != want || (commit == "abc") != (want == Merged) || want != Merged && commit != "" {
				t.Errorf("%s: got %s %q %v, want %s", name, got, commit, err, want)
			}
		}
	}
}

func TestBase(t *testing.T) {
	for _, tc := range []struct{ url, provider, want string }{
		{"https://github.com/a/b.git", "", "https://api.github.com"},
		{"git@github.com:a/b.git", "", "https://api.github.com"},
		{"https://acme.ghe.com/a/b", "", "https://api.acme.ghe.com"},
		{"https://git.example.com:8443/a/b", GitHub, "https://git.example.com:8443/api/v3"},
		{"ssh://git@gitlab.example.com:2222/a/b/c.git", "", "https://gitlab.example.com/api/v4"},
		{"http://git.example.com/sub/a/b", Gitea, "http://git.example.com/sub/api/v1"},
		{"https://bitbucket.org/a/b", "", "https://api.bitbucket.org/2.0"},
		{"https://git.example.com/a/b", "", "error: provider: cannot be told by the host git.example.com; give it"},
		{"https://github.com/a", "", "error: github has no repositories like a: OWNER/NAME is needed"},
	} {
		got := ""
		c, err := New(Config{Provider: tc.provider}, (&gitrepo.Access{URL: tc.url}).Place(), nil, nil)
		if err != nil {
			got = "error: " + err.Error()
		} else {
			switch h := c.host.(type) {
			case *github:
				got = h.base
			case *gitlab:
				got = h.base
			case *gitea:
				got = h.base
			case *bitbucket:
				got = h.base
			}
		}
		if got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.url, got, tc.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for config, want := range map[string]string{
		`{"provider":"svn"}`:                                `provider: "svn" is unknown`,
		`{"api":"ftp://x"}`:                                 "api: is no URL",
		`{"api":"https://u:p@x"}`:                           "api: holds more than an address",
		`{"api":"http://x","token":{"name":"s","key":"k"}}`: "sends the token unencrypted",
		`{"token":{"name":"s"}}`:                            "token: needs name and key",
		`{"username":{"name":"s","key":"k"}}`:               "username: is given without token",
		`{"githubApp":{"appID":1}}`:                         "githubApp.privateKey: is required",
		`{"provider":"gitlab","githubApp":{"appID":1}}`:     "githubApp: is no way into gitlab",
		`{"provider":"bitbucket","labels":["a"]}`:           "labels: have no effect with bitbucket",
		`{"provider":"github","deleteBranch":true}`:         "deleteBranch: has no effect with github",
		`{"labels":["a,b"]}`:                                "labels[0]: is empty or has a comma",
		`{"tls":{}}`:                                        "tls: says nothing",
	} {
		var c Config
		if err := json.Unmarshal([]byte(config), &c); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
	if err := (&Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestApp(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch auth := r.Header.Get("Authorization"); {
		case r.Method+" "+r.URL.Path == "POST /app/installations/5/access_tokens" && strings.Count(auth, ".") == 2:
			asked++
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"token":"app%d"}`, asked)
		case auth != fmt.Sprintf("Bearer app%d", asked) || r.URL.Path == "/repos/acme/api/pulls/401":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprint(w, `{"state":"open"}`)
		}
	}))
	defer host.Close()
	secrets := secret.Objects{Secrets: map[string]map[string][]byte{"s": {"key": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}}}
	clients := httpclient.New(secrets, "test")
	defer clients.Close()
	c := Config{Provider: GitHub, API: host.URL, GithubApp: &gitrepo.GithubApp{PrivateKey: ref("key"), AppID: 4, InstallationID: 5}}
	client, err := New(c, gitrepo.Place{Host: "github.com", FullName: "acme/api"}, secrets, clients)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ number, asked int }{{1, 1}, {2, 1}, {401, 1}, {3, 2}} { // a refused token is not used again
		_, _, err := client.State(t.Context(), step.number)
		if (err == nil) != (step.number != 401) || asked != step.asked {
			t.Errorf("%d: %v, %d tokens", step.number, err, asked)
		}
	}
}
