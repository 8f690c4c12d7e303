package gitrepo_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const main = "refs/heads/main"

// vault has secrets and ConfigMaps as name/key.
type vault map[string]string

func (v vault) Secret(_ context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	return v.read(ref.Name + "/" + ref.Key)
}

func (v vault) ConfigMap(_ context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	return v.read("map " + ref.Name + "/" + ref.Key)
}

func (v vault) read(name string) ([]byte, error) {
	if s, ok := v[name]; ok {
		return []byte(s), nil
	}
	return nil, secret.ErrNotFound
}

// remote is made of what a user writes.
func remote(t *testing.T, v vault, text string) *gitrepo.Remote {
	t.Helper()
	var a gitrepo.Access
	if err := yaml.UnmarshalStrict([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.Fatal(a.Validate()); err != nil {
		t.Fatal(err)
	}
	r, err := gitrepo.New(a, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
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

func TestList(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	s := r.Serve(t)
	a := remote(t, nil, "url: "+s.Repository)
	if refs, err := a.List(t.Context()); err != nil || len(refs.Tips) != 0 {
		t.Errorf("without commits: %v, %v", refs, err)
	}
	one := r.Commit(t, main, "one", map[string]string{"a": "1"})
	r.Set(t, "refs/tags/light", one)
	r.Git(t, "", "tag", "-a", "-m", "annotated", "v1", one)
	refs, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v1 := gitrepo.Tip{Object: r.At(t, "refs/tags/v1"), Commit: one}
	if v1.Object == one {
		t.Fatal("the tag is not annotated")
	}
	for ref, want := range map[string]gitrepo.Tip{main: {Object: one, Commit: one}, "refs/tags/light": {Object: one, Commit: one}, "refs/tags/v1": v1} {
		if refs.Tips[ref] != want {
			t.Errorf("%s: got %v, want %v", ref, refs.Tips[ref], want)
		}
	}
	if len(refs.Tips) != 3 || refs.Default != main {
		t.Errorf("got %v", refs)
	}
}

func TestCutOffListIsNoList(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	one := r.Commit(t, main, "one", map[string]string{"a": "1"})
	s := r.Serve(t)
	s.Before(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, _ = w.Write([]byte("001e# service=git-upload-pack\n0000004b" + one + " refs/heads/main\x00agent=git/x symref=x:y\n"[:0x4b-4-40]))
	})
	if refs, err := remote(t, nil, "url: "+s.Repository).List(t.Context()); err == nil {
		t.Errorf("got %v", refs)
	}
}

func TestHTTPAccess(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Commit(t, main, "one", map[string]string{"a": "1"})
	plain, tls := r.Serve(t), r.ServeTLS(t)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))
	v := vault{"git/user": "ann\n", "git/password": "pass-of-ann", "git/wrong": "nonsense", "git/token": "tok-en", "git/ca": ca}
	const creds = "\ncreds: {username: {name: git, key: user}, password: {name: git, key: password}}"
	const wrong = "\ncreds: {username: {name: git, key: user}, password: {name: git, key: wrong}}"
	const token = "\ntokenSecret: {name: git, key: token}"
	const caSecret = "\ntls: {caCertSecret: {name: git, key: ca}}"
	for name, c := range map[string]struct {
		user, password, more string
		tls                  bool
		want                 string // part of the error; empty for none
	}{
		"open":                 {},
		"password":             {"ann", "pass-of-ann", creds, false, ""},
		"wrong password":       {"ann", "pass-of-ann", wrong, false, "no access: the repository does not exist, or the credentials are wrong"},
		"no password":          {"ann", "pass-of-ann", "", false, "no access: the repository does not exist, or credentials are needed"},
		"token":                {"x-access-token", "tok-en", token, false, ""},
		"token and user":       {"ann", "tok-en", token + "\ncreds: {username: {name: git, key: user}}", false, ""},
		"missing secret":       {"ann", "x", "\ntokenSecret: {name: git, key: none}", false, "tokenSecret: not found"},
		"own authority":        {"ann", "pass-of-ann", creds + caSecret, true, ""},
		"unknown authority":    {"ann", "pass-of-ann", creds, true, "certificate"},
		"unchecked":            {"ann", "pass-of-ann", creds + "\ntls: {insecureSkipVerify: true}", true, ""},
		"authority is no cert": {"", "", "\ntls: {caCertSecret: {name: git, key: user}}", true, "holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s := plain
			if c.tls {
				s = tls
			}
			s.Only(c.user, c.password)
			refs, err := remote(t, v, "url: "+s.Repository+c.more).List(t.Context())
			switch {
			case c.want == "" && (err != nil || len(refs.Tips) != 1):
				t.Errorf("got %v, %v", refs, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			case strings.HasPrefix(c.want, "no access") && !errors.Is(err, gitrepo.ErrNoAccess):
				t.Errorf("%v is not ErrNoAccess", err)
			}
			for _, hidden := range []string{"pass-of-ann", "nonsense", "tok-en", "<html>"} {
				if err != nil && strings.Contains(err.Error(), hidden) {
					t.Errorf("the error says %s: %v", hidden, err)
				}
			}
		})
	}
	plain.Only("", "")
	missing := remote(t, nil, "url: "+plain.URL+"/none.git")
	if _, err := missing.List(t.Context()); !errors.Is(err, gitrepo.ErrNoAccess) {
		t.Errorf("missing: %v", err)
	}
}

func TestServerThatWantsRest(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	s := r.Serve(t)
	answer := func(status int, retry string) error {
		s.Before(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", retry)
			w.WriteHeader(status)
		})
		_, err := remote(t, nil, "url: "+s.Repository).List(t.Context())
		return err
	}
	for _, c := range []struct {
		status   int
		retry    string
		from, to time.Duration // 0 and 0: it is no such answer
	}{
		{429, "120", 100 * time.Second, 121 * time.Second},
		{503, time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), 30 * time.Second, 61 * time.Second},
		{429, "999999999999", 59 * time.Minute, time.Hour},
		{429, "-5", -time.Second, time.Second},
		{429, "soon", 0, 0},
		{500, "120", 0, 0},
	} {
		err := answer(c.status, c.retry)
		var later *gitrepo.Later
		if is := errors.As(err, &later); is != (c.to != 0) || err == nil {
			t.Errorf("%d, %s: %v", c.status, c.retry, err)
		} else if is && (time.Until(later.Until) < c.from || time.Until(later.Until) > c.to) {
			t.Errorf("%d, %s: until %v", c.status, c.retry, later.Until)
		}
	}
}

func TestSSHAccess(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Commit(t, main, "one", map[string]string{"a": "1"})
	s, other := r.ServeSSH(t), r.ServeSSH(t)
	_, wrong := gitrepotest.NewKey(t)
	swapped := strings.Replace(other.KnownHosts, address(other), address(s), 1)
	v := vault{
		"git/key": s.Key, "git/wrong": wrong, "git/none": "no key", "git/user": "ann", "git/password": "pass-of-ann",
		"git/hosts": s.KnownHosts, "map git/hosts": s.KnownHosts, "git/changed": swapped, "git/other": other.KnownHosts, "git/bad": "x",
	}
	tempDir(t)
	t.Setenv("SSH_KNOWN_HOSTS", t.TempDir()+"/none")
	key := func(name string) string { return "\nsshKeySecret: {name: git, key: " + name + "}" }
	known := func(name string) string { return "\nknownHosts: {secret: {name: git, key: " + name + "}}" }
	for name, c := range map[string]struct{ url, more, want string }{
		"key":              {s.Repository, key("key") + known("hosts"), ""},
		"hosts in a map":   {s.Repository, key("key") + "\nknownHosts: {configMap: {name: git, key: hosts}}", ""},
		"unchecked":        {s.Repository, key("key") + "\ninsecureIgnoreHostKey: true", ""},
		"user in the URL":  {strings.Replace(s.Repository, "//", "//git@", 1), key("key") + known("hosts"), ""},
		"password":         {s.Repository, "\ncreds: {username: {name: git, key: user}, password: {name: git, key: password}}" + known("hosts"), ""},
		"wrong key":        {s.Repository, key("wrong") + known("hosts"), "no access: the repository does not exist, or the credentials are wrong"},
		"no key":           {s.Repository, key("none") + known("hosts"), "sshKeySecret holds no key that can be used"},
		"missing secret":   {s.Repository, key("missing") + known("hosts"), "sshKeySecret: not found"},
		"changed host key": {s.Repository, key("key") + known("changed"), "host key is not the one that is known"},
		"unknown host":     {s.Repository, key("key") + known("other"), "host key is not known"},
		"unreadable hosts": {s.Repository, key("key") + known("bad"), "knownHosts cannot be read"},
		"no hosts":         {s.Repository, key("key"), "give knownHosts"},
		"no repository":    {s.Repository + "-none", key("key") + known("hosts"), "no access"},
	} {
		t.Run(name, func(t *testing.T) {
			refs, err := remote(t, v, "url: "+c.url+c.more).List(t.Context())
			if c.want == "" && (err != nil || len(refs.Tips) != 1) {
				t.Errorf("got %v, %v", refs, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func address(s *gitrepotest.SSH) string {
	host, _, _ := strings.Cut(s.KnownHosts, " ")
	return host
}

func TestValidate(t *testing.T) {
	for text, want := range map[string]string{
		"url: https://example.com/a/b.git":                         "",
		"url: git@example.com:a/b.git":                             "sshKeySecret: is missing",
		"url: ''":                                                  "url: is required",
		"url: /srv/a.git":                                          "url: does not begin with",
		"url: file:///srv/a.git":                                   "url: does not begin with",
		"url: git://example.com/a":                                 "url: does not begin with",
		"url: https://example.com":                                 "url: names no host, or no repository",
		"url: https://ann:secret@example.com/a":                    "url: holds a user or a password",
		"url: https://token@example.com/a":                         "url: holds a user or a password",
		"url: 'https://exa mple.com/%zz'":                          "url: is no URL",
		"{url: https://h/a, creds: {}}":                            "creds: says nothing",
		"{url: https://h/a, creds: {username: {name: a, key: b}}}": "creds.password: is missing",
		"{url: https://h/a, creds: {password: {name: a, key: b}}, tokenSecret: {name: a, key: b}}":   "tokenSecret: is given beside",
		"{url: http://h/a, tokenSecret: {name: a, key: b}}":                                          "url: sends the credentials unencrypted",
		"{url: https://h/a, tokenSecret: {name: a}}":                                                 "tokenSecret: needs name and key",
		"{url: https://h/a, sshKeySecret: {name: a, key: b}}":                                        "sshKeySecret: has no effect with https",
		"{url: https://h/a, knownHosts: {secret: {name: a, key: b}}}":                                "knownHosts: has no effect with https",
		"{url: https://h/a, knownHosts: {}}":                                                         "knownHosts: has to name either",
		"{url: https://h/a, knownHosts: {configMap: {name: a}}}":                                     "knownHosts.configMap: needs name and key",
		"{url: https://h/a, tls: {}}":                                                                "tls: says nothing",
		"{url: ssh://h/a, sshKeySecret: {name: a, key: b}, tls: {enabled: true}}":                    "tls: has no effect with ssh",
		"{url: ssh://h/a, sshKeySecret: {name: a, key: b}, tokenSecret: {name: a, key: b}}":          "tokenSecret: has no effect with ssh",
		"{url: ssh://h/a, sshKeySecret: {name: a, key: b}, insecureIgnoreHostKey: true}":             "insecureIgnoreHostKey: lets anybody",
		"{url: ssh://h/a, sshKeySecret: {name: a, key: b}, knownHosts: {secret: {name: a, key: b}}}": "",
		"{url: ssh://h/a, creds: {username: {name: a, key: b}, password: {name: a, key: b}}}":        "",
	} {
		var a gitrepo.Access
		if err := yaml.UnmarshalStrict([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		err := a.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestPlace(t *testing.T) {
	for url, want := range map[string]gitrepo.Place{
		"https://Git.Example.com/acme/api.git": {Host: "git.example.com", FullName: "acme/api", Web: "https://git.example.com/acme/api", Clone: "https://Git.Example.com/acme/api.git"},
		"http://localhost:3000/a/b/":           {Host: "localhost:3000", FullName: "a/b", Web: "http://localhost:3000/a/b", Clone: "http://localhost:3000/a/b/"},
		"https://example.com:443/a?private=x":  {Host: "example.com", FullName: "a", Web: "https://example.com/a", Clone: "https://example.com:443/a"},
		"git@example.com:acme/api.git":         {Host: "example.com", FullName: "acme/api", Clone: "git@example.com:acme/api.git"},
		"ssh://git@example.com:2222/acme/api":  {Host: "example.com:2222", FullName: "acme/api", Clone: "ssh://git@example.com:2222/acme/api"},
		"https://[2001:db8::1]:8443/a/b.git":   {Host: "[2001:db8::1]:8443", FullName: "a/b", Web: "https://[2001:db8::1]:8443/a/b", Clone: "https://[2001:db8::1]:8443/a/b.git"},
		"nonsense":                             {},
	} {
		a := gitrepo.Access{URL: url}
		if got := a.Place(); got != want {
			t.Errorf("%s: got %+v, want %+v", url, got, want)
		}
	}
}
