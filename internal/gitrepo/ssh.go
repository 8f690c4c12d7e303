package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// dial begins to speak to the server over ssh. The connection ends with ctx.
func (r *Remote) dial(ctx context.Context, user, password, service string) (*sshSession, error) {
	host := strings.Trim(r.ep.Host, "[]")
	address := net.JoinHostPort(host, "22")
	if r.ep.Port > 0 {
		address = net.JoinHostPort(host, strconv.Itoa(r.ep.Port))
	}
	conf, err := r.sshConfig(ctx, address, user, password)
	if err != nil {
		return nil, err
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
		return nil, err
	}
	s := &sshSession{client: ssh.NewClient(c, chans, reqs), stop: stop, pushes: service == transport.ReceivePackServiceName}
	if err := s.start(service, r.ep.Path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (r *Remote) sshConfig(ctx context.Context, address, user, password string) (*ssh.ClientConfig, error) {
	conf := &ssh.ClientConfig{User: "git"}
	switch {
	case r.ep.User != "":
		conf.User = r.ep.User
	case user != "":
		conf.User = user
	}
	if ref := r.access.SSHKeySecret; ref != nil {
		pem, err := r.secrets.Secret(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("sshKeySecret: %w", err)
		}
		signer, err := ssh.ParsePrivateKey(append(bytes.Clone(pem), '\n'))
		if err != nil {
			return nil, fmt.Errorf("sshKeySecret holds no key that can be used: %w", err)
		}
		conf.Auth = append(conf.Auth, ssh.PublicKeys(signer))
	}
	if password != "" {
		conf.Auth = append(conf.Auth, ssh.Password(password))
	}
	if r.access.InsecureIgnoreHostKey {
		conf.HostKeyCallback = ssh.InsecureIgnoreHostKey() //nolint:gosec // what the user asked for by name
		return conf, nil
	}
	known, err := r.knownHosts(ctx)
	if err != nil {
		return nil, err
	}
	conf.HostKeyCallback, conf.HostKeyAlgorithms = known.HostKeyCallback(), known.HostKeyAlgorithms(address)
	return conf, nil
}

func (r *Remote) knownHosts(ctx context.Context) (*knownhosts.HostKeyDB, error) {
	k := r.access.KnownHosts
	if k == nil {
		return ownKnownHosts()
	}
	var text []byte
	var err error
	if k.Secret != nil {
		text, err = r.secrets.Secret(ctx, k.Secret)
	} else {
		text, err = r.secrets.ConfigMap(ctx, k.ConfigMap)
	}
	if err != nil {
		return nil, fmt.Errorf("knownHosts: %w", err)
	}
	// The library reads files only.
	f, err := os.CreateTemp("", "signalbox-known-hosts-")
	if err != nil {
		return nil, fmt.Errorf("knownHosts: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(bytes.Clone(text), '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("knownHosts: %w", err)
	}
	db, err := knownhosts.NewDB(f.Name())
	if err != nil {
		return nil, fmt.Errorf("knownHosts cannot be read: %s", strings.ReplaceAll(err.Error(), f.Name(), "known_hosts"))
	}
	return db, nil
}

// ownKnownHosts reads the files that ssh itself would read.
func ownKnownHosts() (*knownhosts.HostKeyDB, error) {
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
		return nil, fmt.Errorf("the server's host key cannot be checked: give knownHosts (there is no file %s)", strings.Join(files, " and no "))
	}
	return knownhosts.NewDB(there...)
}

// sshSession implements transport.UploadPackSession and ReceivePackSession. Its connection ends with
// the context that it was dialed with.
type sshSession struct {
	client *ssh.Client
	stop   func() bool
	in     io.WriteCloser
	out    io.Reader
	says   opening
	pushes bool
}

func (s *sshSession) start(service, path string) error {
	session, err := s.client.NewSession()
	if err != nil {
		return err
	}
	session.Stderr = &s.says
	if s.in, err = session.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = session.StdoutPipe(); err != nil {
		return err
	}
	s.out = &bounded{r: s.out, left: maxListing + maxCheckout, err: ErrTooLarge}
	return session.Start(service + " '" + strings.ReplaceAll(path, "'", `'\''`) + "'")
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
	case s.pushes && (err == nil || errors.Is(err, packp.ErrEmptyAdvRefs)): // the first push there
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && adv.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

// UploadPack implements transport.UploadPackSession. It can be called once.
func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	// A server that refuses does not read to the end, and says why all the same.
	asked := s.ask(req)
	body, err := sayings(s.out)
	if err := errors.Join(asked, err); err != nil {
		return nil, s.because(err)
	}
	resp := packp.NewUploadPackResponse(req)
	return resp, s.because(resp.Decode(io.NopCloser(body)))
}

func (s *sshSession) ask(req *packp.UploadPackRequest) error {
	if err := req.UploadRequest.Encode(s.in); err != nil {
		return err
	}
	if err := pktline.NewEncoder(s.in).EncodeString("done\n"); err != nil {
		return err
	}
	if err := s.in.Close(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// because gives what the server said, beside its answer, instead of an error.
func (s *sshSession) because(err error) error {
	var no *refused
	if text := s.says.String(); err != nil && text != "" && !errors.As(err, &no) {
		return &refused{text}
	}
	return err
}

// Close implements transport.Session.
func (s *sshSession) Close() error {
	s.stop()
	if err := s.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// opening keeps the beginning of what a server says, for people.
type opening struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (o *opening) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p[:min(len(p), max(0, 400-len(o.text)))]...)
	return len(p), nil
}

func (o *opening) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.text))
}
