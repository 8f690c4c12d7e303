package artifact_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/artifact"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manifest is what there is to fetch.
const manifest = "kind: ConfigMap\n"

// location decodes what a user writes.
func location(t *testing.T, text string) *artifact.Location {
	t.Helper()
	var l artifact.Location
	if err := yaml.UnmarshalStrict([]byte(text), &l); err != nil {
		t.Fatal(err)
	}
	return &l
}

func fetch(t *testing.T, e *triggertest.Env, text string) (string, error) {
	t.Helper()
	b, err := location(t, text).Fetch(t.Context(), e.Env)
	return string(b), err
}

func wantObject(t *testing.T, e *triggertest.Env, text string) {
	t.Helper()
	if got, err := fetch(t, e, text); err != nil || got != manifest {
		t.Errorf("%s: got %q, %v", text, got, err)
	}
}

func wantError(t *testing.T, e *triggertest.Env, text, want string) {
	t.Helper()
	got, err := fetch(t, e, text)
	if err == nil || err.Error() != want {
		t.Errorf("%s:\ngot  %q, %v\nwant %s", text, got, err, want)
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "object.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var large = strings.Repeat("x", artifact.MaxSize+1)

func TestManifestAndMachine(t *testing.T) {
	e := triggertest.NewEnv(t)
	e.PutConfigMap("objects", "one", manifest+"\n") // a Reader cuts one newline
	e.PutConfigMap("objects", "none", "")
	wantObject(t, e, `inline: "kind: ConfigMap\n"`)
	wantObject(t, e, "configmap: {name: objects, key: one}")
	wantObject(t, e, "file: {path: "+file(t, manifest)+"}")
	if got, err := fetch(t, e, "resource: {kind: ConfigMap}"); err != nil || got != `{"kind":"ConfigMap"}` {
		t.Errorf("got %q, %v", got, err)
	}

	wantError(t, e, "configmap: {name: objects, key: none}", "configmap objects/none: is empty")
	wantError(t, e, "configmap: {name: objects, key: none, optional: true}", "configmap objects/none: is empty")
	if _, err := fetch(t, e, "configmap: {name: objects, key: two}"); err == nil || !strings.HasPrefix(err.Error(), `configmap objects/two: configmap "objects", key "two": not found`) {
		t.Errorf("got %v", err)
	}
	wantError(t, e, "file: {path: /no/such/file}", "file /no/such/file: no such file or directory")
	dir := t.TempDir()
	wantError(t, e, "file: {path: "+dir+"}", "file "+dir+": is no regular file")
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, e, "file: {path: "+pipe+"}", "file "+pipe+": is no regular file")
	big := file(t, large)
	wantError(t, e, "file: {path: "+big+"}", "file "+big+": is larger than 3 MiB")
}

func TestFileIsReadAnew(t *testing.T) {
	e, path := triggertest.NewEnv(t), file(t, "old")
	l := location(t, "file: {path: "+path+"}")
	for _, want := range []string{"old", "new"} {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := l.Fetch(t.Context(), e.Env); err != nil || string(b) != want {
			t.Errorf("got %q, %v", b, err)
		}
	}
}

func TestFirstOfSeveral(t *testing.T) {
	all := map[string]string{
		"s3": `{"endpoint":"h","bucket":{"name":"b","key":"k"}}`, "inline": `"kind: A"`, "file": `{"path":"p"}`, "url": `{"path":"http://h/p"}`,
		"git": `{"url":"http://h/p","filePath":"f"}`, "configmap": `{"name":"n","key":"k"}`, "resource": `{"kind":"B"}`,
	}
	order := []string{"s3", "inline", "file", "url", "git", "configmap", "resource"}
	for i, first := range order {
		text := "{"
		for _, name := range order[i:] {
			text += name + ": " + all[name] + ", "
		}
		l := location(t, text+"}")
		if got := l.String(); !strings.HasPrefix(got, first) {
			t.Errorf("%d: %q is used, want %s", i, got, first)
		}
		if err := l.Validate(); v1alpha1.Fatal(err) != nil || len(v1alpha1.Problems(err)) != len(order)-1-i {
			t.Errorf("%d: %v", i, err)
		}
		if fixed, remote := first == "inline" || first == "resource", first == "s3" || first == "url" || first == "git"; l.Fixed() != fixed || l.Remote() != remote {
			t.Errorf("%s: fixed is %v, remote is %v", first, l.Fixed(), l.Remote())
		}
	}
	var none *artifact.Location
	if none.Fixed() || none.Remote() || none.String() != "no source" || none.Validate() == nil {
		t.Error("no location is one")
	}
	if _, err := none.Fetch(t.Context(), triggertest.NewEnv(t).Env); err == nil {
		t.Error("no location gives something")
	}
}

func TestValidate(t *testing.T) {
	for text, want := range map[string][]string{
		"{}":                                         {"is required (give one of resource, inline, configmap, file, url, git, s3)"},
		"configmap: {}":                              {"configmap.name: is required", "configmap.key: is required"},
		"file: {path: ''}":                           {"file.path: is required"},
		"url: {path: ''}":                            {"url.path: is required"},
		"url: {path: 'ftp://a'}":                     {"url.path: does not begin with http:// or https://"},
		"url: {path: 'https://:1/'}":                 {"url.path: names no host"},
		"url: {path: 'https://u:hidden@h/%'}":        {`url.path: invalid URL escape "%"`},
		"url: {path: 'https://a'}":                   {"url.verifyCert: is not set, so the server's certificate is not checked (write verifyCert: true)"},
		"url: {path: 'https://a', verifyCert: true}": nil,
		"url: {path: 'http://a'}":                    nil,
		"s3: {endpoint: '', bucket: null}":           {"s3.endpoint: is required", "s3.bucket: is required"},
		"s3: {endpoint: 'https://a', bucket: {name: '', key: ''}}":                                           {"s3.endpoint: is no host", "s3.bucket.name: is required", "s3.bucket.key: is required"},
		"s3: {endpoint: a, bucket: {name: b, key: c}, accessKey: {key: x}}":                                  {"s3: accessKey and secretKey belong together", "s3.accessKey.name: is required"},
		"s3: {endpoint: a, bucket: {name: b, key: c}, insecure: true, caCertificate: {name: x, key: y}}":     {"s3.caCertificate: has no effect on http"},
		"git: {url: '', filePath: ''}":                                                                       {"git.url: is required", "git.filePath: is required"},
		"git: {url: 'ftp://a/b', filePath: f}":                                                               {"git.url: does not begin with https://, ssh:// or file://"},
		"git: {url: 'git@github.com:a/b.git', filePath: a/../../b}":                                          {`git.filePath: holds .., ~ or \`},
		"git: {url: 'https://a/b', filePath: /, cloneDirectory: '~/x'}":                                      {"git.filePath: names no file", `git.cloneDirectory: holds .., ~ or \`},
		"git: {url: 'https://a/b', filePath: a..b, creds: {}, sshKeySecret: {}}":                             {"git.creds: says nothing", "git.sshKeySecret.name: is required", "git.sshKeySecret.key: is required"},
		"git: {url: 'https://a/b', filePath: f, remote: {name: x}}":                                          {"git.remote.urls: is required"},
		"git: {url: 'https://a/b', filePath: f, remote: {urls: ['x://y']}}":                                  {"git.remote.urls[0]: does not begin with"},
		"git: {url: 'https://a/b', filePath: f, githubApp: {privateKey: null, appID: 0, installationID: 0}}": {"git.githubApp.privateKey: is required", "git.githubApp.appID: is required", "git.githubApp.installationID: is required"},
	} {
		var got []string
		for _, p := range v1alpha1.Problems(location(t, text).Validate()) {
			got = append(got, p.Error())
		}
		same := len(got) == len(want)
		for _, w := range want {
			same = same && slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, w) })
		}
		if !same {
			t.Errorf("%s:\ngot  %q\nwant %q", text, got, want)
		}
	}
}

// web is a server that counts requests, and answers by path.
func web(t *testing.T, start func(http.Handler) *httptest.Server) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	asked := &atomic.Int32{}
	s := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		user, password, _ := r.BasicAuth()
		switch {
		case r.Method != http.MethodGet:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.URL.Path == "/object":
			_, _ = w.Write([]byte(manifest))
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/object", http.StatusFound)
		case r.URL.Path == "/user" && user == "ann" && password == "pass-of-ann":
			_, _ = w.Write([]byte(manifest))
		case r.URL.Path == "/later" && n > 1:
			_, _ = w.Write([]byte(manifest))
		case r.URL.Path == "/later":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/large":
			_, _ = w.Write([]byte(large))
		case r.URL.Path == "/created":
			w.WriteHeader(http.StatusCreated)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s, asked
}

func TestURL(t *testing.T) {
	s, asked := web(t, httptest.NewServer)
	e := triggertest.NewEnv(t)
	wantObject(t, e, "url: {path: '"+s.URL+"/object?token=x'}")
	wantObject(t, e, "url: {path: '"+s.URL+"/moved'}")
	wantObject(t, e, "url: {path: '"+strings.Replace(s.URL, "//", "//ann:pass-of-ann@", 1)+"/user'}")
	asked.Store(0)
	wantError(t, e, "url: {path: '"+strings.Replace(s.URL, "//", "//u:hidden@", 1)+"/none?token=hidden'}", "url "+s.URL+"/none?...: answers 404 Not Found")
	wantError(t, e, "url: {path: '"+s.URL+"/created'}", "url "+s.URL+"/created: answers 201 Created")
	wantError(t, e, "url: {path: '"+s.URL+"/large'}", "url "+s.URL+"/large: is larger than 3 MiB")
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times for what will not get better, want 3", n)
	}
	asked.Store(0)
	wantObject(t, e, "url: {path: '"+s.URL+"/later'}")
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestURLCertificate(t *testing.T) {
	s, _ := web(t, httptest.NewTLSServer)
	e := triggertest.NewEnv(t)
	wantObject(t, e, "url: {path: '"+s.URL+"/object'}")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e.HTTP = canceling{e.HTTP, cancel}
	b, err := location(t, "url: {path: '"+s.URL+"/object', verifyCert: true}").Fetch(ctx, e.Env)
	if err == nil {
		t.Errorf("got %q", b)
	}
}

func TestEndsWithContext(t *testing.T) {
	arrived := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := location(t, "url: {path: '"+s.URL+"'}").Fetch(ctx, triggertest.NewEnv(t).Env); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// bucket is an S3 server that takes one access key.
func bucket(t *testing.T, start func(http.Handler) *httptest.Server) *httptest.Server {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("jobs"); err != nil {
		t.Fatal(err)
	}
	for key, text := range map[string]string{"a/b c.yaml": manifest, "large": large} {
		if _, err := backend.PutObject("jobs", key, map[string]string{"Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT"}, strings.NewReader(text), int64(len(text)), nil); err != nil {
			t.Fatal(err)
		}
	}
	fake := gofakes3.New(backend).Server()
	s := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "Credential=the-id/") || !strings.Contains(auth, "/eu-west-7/s3/") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`<Error><Code>AccessDenied</Code><Message>` + auth + `</Message></Error>`))
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func s3(s *httptest.Server, key, more string) string {
	_, address, _ := strings.Cut(s.URL, "//")
	return "s3: {endpoint: '" + address + "', region: eu-west-7, bucket: {name: jobs, key: '" + key + "'}, " + more + "}"
}

func TestS3(t *testing.T) {
	s := bucket(t, httptest.NewServer)
	_, address, _ := strings.Cut(s.URL, "//")
	e := triggertest.NewEnv(t)
	e.PutSecret("keys", "id", "the-id\n \n")
	e.PutSecret("keys", "wrong", "wrong-id")
	e.PutSecret("keys", "key", "the-key-itself\n\n")
	const signedIn = "insecure: true, accessKey: {name: keys, key: id}, secretKey: {name: keys, key: key}"
	wantObject(t, e, s3(s, "a/b c.yaml", signedIn))
	wantError(t, e, s3(s, "none", signedIn), "s3 "+address+"/jobs/none: answers 404 NoSuchKey")
	wantError(t, e, s3(s, "large", signedIn), "s3 "+address+"/jobs/large: is larger than 3 MiB")
	wantError(t, e, s3(s, "large", "insecure: true"), "s3 "+address+"/jobs/large: answers 403 AccessDenied")
	wantError(t, e, s3(s, "large", strings.Replace(signedIn, "key: id", "key: wrong", 1)), "s3 "+address+"/jobs/large: answers 403 AccessDenied")
	if _, err := fetch(t, e, s3(s, "large", strings.Replace(signedIn, "key: id", "key: none", 1))); err == nil || !strings.Contains(err.Error(), `accessKey: secret "keys", key "none": not found`) {
		t.Errorf("got %v", err)
	}
}

func TestS3Certificate(t *testing.T) {
	s := bucket(t, httptest.NewTLSServer)
	e := triggertest.NewEnv(t)
	e.PutSecret("keys", "id", "the-id")
	e.PutSecret("keys", "key", "the-key-itself")
	e.PutSecret("keys", "ca", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	const signedIn = "accessKey: {name: keys, key: id}, secretKey: {name: keys, key: key}"
	wantObject(t, e, s3(s, "a/b c.yaml", signedIn+", caCertificate: {name: keys, key: ca}"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e.HTTP = canceling{e.HTTP, cancel}
	if b, err := location(t, s3(s, "a/b c.yaml", signedIn)).Fetch(ctx, e.Env); err == nil {
		t.Errorf("got %q", b)
	}
}

func TestJSONForm(t *testing.T) {
	text := `{"git":{"url":"https://a/b","cloneDirectory":"c","filePath":"d","branch":"e","tag":"f","ref":"g","remote":{"name":"h","urls":["i"]},"insecureIgnoreHostKey":true}}`
	b, err := json.Marshal(location(t, text))
	if err != nil || !strings.Contains(string(b), `"insecureIgnoreHostKey":true`) || !strings.Contains(string(b), `"urls":["i"]`) {
		t.Errorf("got %s, %v", b, err)
	}
}
