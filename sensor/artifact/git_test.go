package artifact_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// repo is a repository that a test commits to.
type repo struct {
	dir  string
	repo *git.Repository
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	r := &repo{dir: filepath.Join(t.TempDir(), "jobs")}
	var err error
	if r.repo, err = git.PlainInit(r.dir, false); err != nil {
		t.Fatal(err)
	}
	return r
}

var author = &object.Signature{Name: "ann", Email: "ann@example.com", When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}

// commit writes deploy/job.yaml on a branch.
func (r *repo) commit(t *testing.T, branch, text string) plumbing.Hash {
	t.Helper()
	if err := r.repo.Storer.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, plumbing.NewBranchReferenceName(branch))); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "deploy"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "deploy", "job.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "large"), []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("deploy/job.yaml", filepath.Join(r.dir, "link")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	tree, err := r.repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.AddGlob("."); err != nil {
		t.Fatal(err)
	}
	hash, err := tree.Commit(text, &git.CommitOptions{Author: author, AllowEmptyCommits: true})
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// filled is a repository with branches and tags, each with a text of its own.
func filled(t *testing.T) *repo {
	t.Helper()
	r := newRepo(t)
	one := r.commit(t, "release", "of tag one")
	if _, err := r.repo.CreateTag("one", one, &git.CreateTagOptions{Tagger: author, Message: "annotated"}); err != nil {
		t.Fatal(err)
	}
	two := r.commit(t, "release", "of tag two")
	if _, err := r.repo.CreateTag("two", two, nil); err != nil {
		t.Fatal(err)
	}
	pull := r.commit(t, "pull", "of pull request")
	if err := r.repo.Storer.SetReference(plumbing.NewHashReference("refs/pull/7/head", pull)); err != nil {
		t.Fatal(err)
	}
	r.commit(t, "release", "of release")
	r.commit(t, "master", manifest)
	return r
}

// serve hands a folder with repositories out by HTTP, as git does, to those who
// know the password. What is below /api goes to api.
func serve(t *testing.T, dir, password string, api http.HandlerFunc) (url string, packs *atomic.Int32) {
	t.Helper()
	bin, err := exec.LookPath("git")
	if err != nil {
		t.Skip("a git server needs git: ", err)
	}
	packs = &atomic.Int32{}
	backend := &cgi.Handler{Path: bin, Args: []string{"http-backend"}, Env: []string{
		"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + t.TempDir(),
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			api(w, r)
			return
		}
		if r.Method == http.MethodPost {
			packs.Add(1)
		}
		if _, got, _ := r.BasicAuth(); got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, packs
}

// wants are what parts of filled are read by.
var wants = map[string]string{
	"":                         "kind: ConfigMap\n",
	"branch: release":          "of release",
	"tag: one, branch: master": "of tag one",
	"tag: two":                 "of tag two",
	"ref: refs/pull/7/head, tag: one, branch: master": "of pull request",
	"ref: refs/tags/one":                              "of tag one",
	"ref: release":                                    "of release",
	"ref: two":                                        "of tag two",
}

func TestGit(t *testing.T) {
	r := filled(t)
	t.Setenv("TMPDIR", t.TempDir())
	served, _ := serve(t, filepath.Dir(r.dir), "", nil)
	head, err := r.repo.Reference(plumbing.NewBranchReferenceName("release"), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"http": served + "/jobs", "folder": r.dir, "file URL": "file://" + r.dir, "bare": "file://" + r.dir + "/.git"} {
		t.Run(name, func(t *testing.T) {
			e := triggertest.NewEnv(t)
			git := func(more string) string { return "git: {url: '" + url + "', " + more + "}" }
			for which, want := range wants {
				if got, err := fetch(t, e, git("filePath: deploy/job.yaml, "+which)); err != nil || got != want {
					t.Errorf("%s: got %q, %v", which, got, err)
				}
			}
			if got, err := fetch(t, e, git("filePath: /deploy/job.yaml, ref: "+head.Hash().String())); err != nil || got != "of release" {
				t.Errorf("by hash: got %q, %v", got, err)
			}
			for more, want := range map[string]string{
				"filePath: deploy/job.yaml, branch: none":               "there is no branch none",
				"filePath: deploy/job.yaml, tag: none":                  "there is no tag none",
				"filePath: deploy/job.yaml, ref: none":                  "there is no ref none",
				"filePath: deploy/none.yaml":                            "the file is not in commit ",
				"filePath: deploy/job.yaml/x":                           "the file is not in commit ",
				"filePath: link":                                        "is no regular file in commit ",
				"filePath: deploy":                                      "is no regular file in commit ",
				"filePath: large":                                       "is larger than 3 MiB",
				"filePath: deploy/../job.yaml":                          `filePath holds .., ~ or \`,
				"filePath: large, remote: {urls: ['" + url + "-none']}": "",
			} {
				got, err := fetch(t, e, git(more))
				if err == nil || !strings.Contains(err.Error(), ": "+want) {
					t.Errorf("%s: got %q, %v", more, got, err)
				}
			}
			got, err := fetch(t, e, "git: {url: '"+url+"-none', remote: {name: up, urls: ['"+url+"']}, filePath: deploy/job.yaml}")
			if err != nil || got != manifest {
				t.Errorf("by remote: got %q, %v", got, err)
			}
		})
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}

func TestGitCloneDirectory(t *testing.T) {
	r := filled(t)
	served, packs := serve(t, filepath.Dir(r.dir), "", nil)
	dir := filepath.Join(t.TempDir(), "clones", "here")
	e := triggertest.NewEnv(t)
	text := "git: {url: '" + served + "/jobs', filePath: deploy/job.yaml, cloneDirectory: '" + dir + "'}"
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { wantObject(t, e, text) })
	}
	wg.Wait()
	packs.Store(0)
	wantObject(t, e, text)
	if n := packs.Load(); n != 0 {
		t.Errorf("the commit was fetched %d times more", n)
	}
	r.commit(t, "master", "new")
	if got, err := fetch(t, e, text); err != nil || got != "new" || packs.Load() != 1 {
		t.Errorf("got %q, %v, fetched %d times", got, err, packs.Load())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}

func TestGitPassword(t *testing.T) {
	r := filled(t)
	served, _ := serve(t, filepath.Dir(r.dir), "pass-of-ann", nil)
	e := triggertest.NewEnv(t)
	e.PutSecret("git", "user", "ann")
	e.PutSecret("git", "right", "pass-of-ann\n\n")
	e.PutSecret("git", "wrong", "pass-of-bob")
	git := func(more string) string {
		return "git: {url: '" + served + "/jobs', filePath: deploy/job.yaml" + more + "}"
	}
	where := "git " + served + "/jobs, branch master, deploy/job.yaml: "
	wantObject(t, e, git(", creds: {username: {name: git, key: user}, password: {name: git, key: right}}"))
	wantObject(t, e, strings.Replace(git(""), "//", "//ann:pass-of-ann@", 1))
	for _, more := range []string{"", ", creds: {username: {name: git, key: user}, password: {name: git, key: wrong}}"} {
		got, err := fetch(t, e, git(more))
		if err == nil || !strings.HasPrefix(err.Error(), where+"authentication required") || strings.Contains(err.Error(), "pass-of") {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// TestGithubApp has a GitHub that gives a token for a signature of the app.
func TestGithubApp(t *testing.T) {
	r := filled(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	served, _ := serve(t, filepath.Dir(r.dir), "token-of-app", func(w http.ResponseWriter, req *http.Request) {
		if err := signedBy(&key.PublicKey, req.Header.Get("Authorization")); err != nil {
			t.Error(err)
		}
		if req.Method != http.MethodPost || req.URL.Path != "/api/v3/app/installations/22/access_tokens" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"token":"token-of-app"}`))
	})
	e := triggertest.NewEnv(t)
	e.PutSecret("app", "pkcs1", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	e.PutSecret("app", "pkcs8", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	e.PutSecret("app", "none", "no key at all")
	git := func(key string, id int) string {
		return fmt.Sprintf("git: {url: '%s/jobs', filePath: deploy/job.yaml, githubApp: {privateKey: {name: app, key: %s}, appID: 11, installationID: %d}}", served, key, id)
	}
	wantObject(t, e, git("pkcs1", 22))
	wantObject(t, e, git("pkcs8", 22))
	where := "git " + served + "/jobs, branch master, deploy/job.yaml: githubApp: "
	wantError(t, e, git("none", 22), where+"privateKey holds no PEM")
	wantError(t, e, git("pkcs1", 23), where+"answers 404 Not Found to a request for a token")
}

func signedBy(key *rsa.PublicKey, header string) error {
	token, ok := strings.CutPrefix(header, "Bearer ")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return fmt.Errorf("no token: %q", header)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		return err
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var claims struct {
		Iss      string
		Iat, Exp int64
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return err
	}
	if now := time.Now().Unix(); claims.Iss != "11" || claims.Iat > now || claims.Exp <= now || claims.Exp > now+600 {
		return fmt.Errorf("claims are %s", raw)
	}
	return nil
}
