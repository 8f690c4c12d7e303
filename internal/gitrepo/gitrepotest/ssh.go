package gitrepotest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH serves a repository over ssh, to those that have the key, or the password
// "pass-of-ann" of the user ann.
type SSH struct {
	// Repository is its URL.
	Repository string
	// Key is the private key that is let in, PEM.
	Key string
	// KnownHosts is the line of the server's own key.
	KnownHosts string

	wg sync.WaitGroup
}

// NewKey makes a key, and its PEM.
func NewKey(t testing.TB) (ssh.Signer, string) {
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

// ServeSSH begins to serve r.
func (r *Repo) ServeSSH(t testing.TB) *SSH {
	t.Helper()
	s := &SSH{}
	user, key := NewKey(t)
	host, _ := NewKey(t)
	conf := &ssh.ServerConfig{
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() != "git" || string(key.Marshal()) != string(user.PublicKey().Marshal()) {
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
	conf.AddHostKey(host)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	s.Repository, s.Key = "ssh://"+address+r.Dir, key
	s.KnownHosts = KnownHosts(address, host.PublicKey())
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(ctx, conn, conf, r) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		s.wg.Wait()
	})
	return s
}

// KnownHosts is a line of a known_hosts file.
func KnownHosts(address string, key ssh.PublicKey) string {
	return knownhosts.Line([]string{address}, key)
}

func (s *SSH) serve(ctx context.Context, conn net.Conn, conf *ssh.ServerConfig, r *Repo) {
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
			for q := range requests {
				if q.Type != "exec" {
					_ = q.Reply(false, nil)
					continue
				}
				_ = q.Reply(true, nil)
				var command struct{ Text string }
				_ = ssh.Unmarshal(q.Payload, &command)
				service, path, _ := strings.Cut(command.Text, " ")
				s.run(ctx, channel, r, strings.TrimPrefix(service, "git-"), strings.Trim(path, "'"))
				return
			}
		})
	}
}

func (s *SSH) run(ctx context.Context, channel ssh.Channel, r *Repo, service, path string) {
	if service != "upload-pack" && service != "receive-pack" {
		return
	}
	cmd := exec.CommandContext(ctx, r.git, service, path) //nolint:gosec // only tests connect
	cmd.Stdout, cmd.Stderr, cmd.Env = channel, channel.Stderr(), r.env()
	in, err := cmd.StdinPipe() // unlike cmd.Stdin, nobody waits for its end
	if err != nil {
		return
	}
	s.wg.Go(func() {
		_, _ = io.Copy(in, channel)
		_ = in.Close()
	})
	_ = cmd.Run()
}
