package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// session begins to speak to a repository's server.
func (g *Git) session(ctx context.Context, env trigger.Env, ep *transport.Endpoint) (transport.UploadPackSession, error) {
	var user, password string
	if g.Creds != nil {
		for _, c := range []struct {
			ref *corev1.SecretKeySelector
			to  *string
		}{{g.Creds.Username, &user}, {g.Creds.Password, &password}} {
			if c.ref == nil {
				continue
			}
			b, err := env.Secrets.Secret(ctx, c.ref)
			if err != nil {
				return nil, fmt.Errorf("creds: %w", lasting{err})
			}
			*c.to = strings.TrimSpace(string(b))
		}
	}
	if ep.Protocol == "ssh" {
		return g.dial(ctx, env, ep, user, password)
	}
	client, err := env.HTTP.Client(ctx, nil)
	if err != nil {
		return nil, err
	}
	var auth transport.AuthMethod
	switch {
	case g.Creds != nil:
		auth = &githttp.BasicAuth{Username: user, Password: password}
	case g.GithubApp != nil:
		token, err := g.GithubApp.token(ctx, env, client, ep)
		if err != nil {
			return nil, fmt.Errorf("githubApp: %w", err)
		}
		auth = &githttp.BasicAuth{Username: "x-access-token", Password: token}
	}
	return githttp.NewClient(client).NewUploadPackSession(ep, auth)
}

// dial begins to speak to a repository's server over ssh.
func (g *Git) dial(ctx context.Context, env trigger.Env, ep *transport.Endpoint, user, password string) (_ transport.UploadPackSession, err error) {
	address := net.JoinHostPort(ep.Host, strconv.Itoa(ep.Port))
	if ep.Port <= 0 {
		address = net.JoinHostPort(ep.Host, "22")
	}
	conf := &ssh.ClientConfig{User: first(ep.User, user, "git")}
	switch {
	case g.SSHKeySecret != nil:
		pem, err := env.Secrets.Secret(ctx, g.SSHKeySecret)
		if err != nil {
			return nil, fmt.Errorf("sshKeySecret: %w", lasting{err})
		}
		signer, err := ssh.ParsePrivateKey(append(pem, '\n'))
		if err != nil {
			return nil, last("sshKeySecret holds no key that can be used: %w", err)
		}
		conf.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	case password != "" || ep.Password != "":
		conf.Auth = []ssh.AuthMethod{ssh.Password(first(password, ep.Password))}
	}
	if g.InsecureIgnoreHostKey {
		conf.HostKeyCallback = ssh.InsecureIgnoreHostKey() //nolint:gosec // what the user asked for by name
	} else {
		known, err := knownHosts()
		if err != nil {
			return nil, lasting{err}
		}
		conf.HostKeyCallback, conf.HostKeyAlgorithms = known.HostKeyCallback(), known.HostKeyAlgorithms(address)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a connection that cannot have one is closed below all the same
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, address, conf)
	if err != nil {
		stop()
		_ = conn.Close()
		if knownhosts.IsHostKeyChanged(err) || knownhosts.IsHostUnknown(err) || strings.Contains(err.Error(), "unable to authenticate") {
			err = lasting{err}
		}
		return nil, err
	}
	s := &sshSession{client: ssh.NewClient(c, chans, reqs), stop: stop}
	if err := s.start(ep.Path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// knownHosts reads the files that ssh itself would read.
func knownHosts() (*knownhosts.HostKeyDB, error) {
	files := filepath.SplitList(os.Getenv("SSH_KNOWN_HOSTS"))
	if len(files) == 0 {
		files = []string{"/etc/ssh/ssh_known_hosts"}
		if home, err := os.UserHomeDir(); err == nil {
			files = append(files, filepath.Join(home, ".ssh", "known_hosts"))
		}
	}
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil { //nolint:gosec // a path that the machine's owner names
			there = append(there, f)
		}
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("there is no known_hosts file (looked for %s)", strings.Join(files, " and "))
	}
	return knownhosts.NewDB(there...)
}

// sshSession implements transport.UploadPackSession. Its connection ends with
// the context that it was dialed with.
type sshSession struct {
	client *ssh.Client
	stop   func() bool
	in     io.WriteCloser
	out    io.Reader
}

func (s *sshSession) start(path string) error {
	session, err := s.client.NewSession()
	if err != nil {
		return err
	}
	if s.in, err = session.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = session.StdoutPipe(); err != nil {
		return err
	}
	return session.Start("git-upload-pack '" + strings.ReplaceAll(path, "'", `'\''`) + "'")
}

// AdvertisedReferences implements transport.Session.
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext implements transport.Session.
func (s *sshSession) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	switch err := adv.Decode(s.out); {
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, transport.ErrRepositoryNotFound
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

// UploadPack implements transport.UploadPackSession.
func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if err := req.UploadRequest.Encode(s.in); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(s.in, true); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(s.in).EncodeString("done\n"); err != nil {
		return nil, err
	}
	if err := s.in.Close(); err != nil {
		return nil, err
	}
	resp := packp.NewUploadPackResponse(req)
	return resp, resp.Decode(io.NopCloser(s.out))
}

// Close implements transport.Session.
func (s *sshSession) Close() error {
	s.stop()
	return s.client.Close()
}
