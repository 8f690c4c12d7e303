package artifact_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// sshServer runs git-upload-pack for users that have the right key or password.
type sshServer struct {
	address string
	host    ssh.Signer
	wg      sync.WaitGroup
}

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

func newSSHServer(t *testing.T, user ssh.PublicKey) *sshServer {
	t.Helper()
	bin, err := exec.LookPath("git")
	if err != nil {
		t.Skip("a git server needs git: ", err)
	}
	s := &sshServer{}
	s.host, _ = newKey(t)
	conf := &ssh.ServerConfig{
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() != "git" || string(key.Marshal()) != string(user.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
		PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if c.User() != "ann" || string(password) != "pass-of-ann" {
				return nil, errors.New("wrong password")
			}
			return nil, nil
		},
	}
	conf.AddHostKey(s.host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(conn, conf, bin) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.wg.Wait()
	})
	return s
}

func (s *sshServer) serve(conn net.Conn, conf *ssh.ServerConfig, git string) {
	defer conn.Close()
	_, chans, reqs, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	s.wg.Go(func() { ssh.DiscardRequests(reqs) })
	for c := range chans {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer channel.Close()
			for r := range requests {
				if r.Type != "exec" {
					_ = r.Reply(false, nil)
					continue
				}
				_ = r.Reply(true, nil)
				var command struct{ Text string }
				_ = ssh.Unmarshal(r.Payload, &command)
				path, _ := strings.CutPrefix(command.Text, "git-upload-pack ")
				cmd := exec.Command(git, "-c", "safe.directory=*", "upload-pack", strings.Trim(path, "'"))
				cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
				in, err := cmd.StdinPipe() // unlike cmd.Stdin, nobody waits for its end
				if err == nil {
					s.wg.Go(func() { _, _ = io.Copy(in, channel) })
					_ = cmd.Run()
				}
				return
			}
		})
	}
}

func TestGitOverSSH(t *testing.T) {
	r := filled(t)
	right, rightPEM := newKey(t)
	other, wrongPEM := newKey(t)
	s := newSSHServer(t, right.PublicKey())
	e := triggertest.NewEnv(t)
	e.PutSecret("git", "right", rightPEM)
	e.PutSecret("git", "wrong", wrongPEM)
	e.PutSecret("git", "none", "no key")
	e.PutSecret("git", "user", "ann")
	e.PutSecret("git", "password", "pass-of-ann")
	git := func(key, more string) string {
		return "git: {url: 'ssh://" + s.address + r.dir + "', filePath: deploy/job.yaml, sshKeySecret: {name: git, key: " + key + "}" + more + "}"
	}
	const insecure = ", insecureIgnoreHostKey: true"
	wantObject(t, e, git("right", insecure))
	wantObject(t, e, strings.Replace(git("right", insecure), "//", "//git@", 1))
	wantObject(t, e, "git: {url: 'ssh://"+s.address+r.dir+"', filePath: deploy/job.yaml, creds: {username: {name: git, key: user}, password: {name: git, key: password}}"+insecure+"}")
	if got, err := fetch(t, e, git("right", ", tag: one"+insecure)); err != nil || got != "of tag one" {
		t.Errorf("got %q, %v", got, err)
	}
	fails := func(text, want string) {
		t.Helper()
		if got, err := fetch(t, e, text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pass-of") {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	}
	fails(git("wrong", insecure), "unable to authenticate")
	fails(git("none", insecure), "sshKeySecret holds no key that can be used")
	fails(strings.Replace(git("right", insecure), "/jobs'", "/none'", 1), "repository not found")

	known := filepath.Join(t.TempDir(), "known_hosts")
	t.Setenv("SSH_KNOWN_HOSTS", known)
	fails(git("right", ""), "there is no known_hosts file (looked for "+known+")")
	know := func(key ssh.PublicKey) {
		t.Helper()
		if err := os.WriteFile(known, []byte(knownhosts.Line([]string{s.address}, key)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	know(other.PublicKey())
	fails(git("right", ""), "key mismatch")
	know(s.host.PublicKey())
	wantObject(t, e, git("right", ""))
}
