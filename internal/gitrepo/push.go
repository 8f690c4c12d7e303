package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Commit says what a new commit is called.
type Commit struct {
	Message           string
	Author, Committer object.Signature
	// Signer signs it; nil for none.
	Signer Signer
}

// A Signer makes the armored signature of a message.
type Signer interface {
	Sign(message io.Reader) ([]byte, error)
}

// made is a new commit and its objects.
type made struct {
	store  *memory.Storage
	hashes []plumbing.Hash
	commit plumbing.Hash
	// message of the commit.
	message string
}

func (m *made) put(o interface {
	Encode(plumbing.EncodedObject) error
},
) (plumbing.Hash, error) {
	e := m.store.NewEncodedObject()
	if err := o.Encode(e); err != nil {
		return plumbing.ZeroHash, err
	}
	return m.keep(e)
}

func (m *made) keep(e plumbing.EncodedObject) (plumbing.Hash, error) {
	h, err := m.store.SetEncodedObject(e)
	if err == nil && !slices.Contains(m.hashes, h) {
		m.hashes = append(m.hashes, h)
	}
	return h, err
}

func (m *made) blob(data []byte) (plumbing.Hash, error) {
	e := m.store.NewEncodedObject()
	e.SetType(plumbing.BlobObject)
	w, err := e.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := w.Write(data); err != nil {
		return plumbing.ZeroHash, err
	}
	return m.keep(e)
}

// Commit makes a commit of the changes, here, and returns its id. Without
// changes it is an empty one.
func (d *Draft) Commit(c Commit) (string, error) {
	m := &made{store: memory.NewStorage(), message: c.Message}
	root, err := d.root()
	if err != nil {
		return "", err
	}
	tree, err := d.folder(m, true, root, d.changed)
	if err != nil {
		return "", err
	}
	commit := &object.Commit{
		Author: c.Author, Committer: c.Committer, Message: c.Message, TreeHash: tree, ParentHashes: d.parents,
	}
	if c.Signer != nil {
		var plain plumbing.MemoryObject
		if err := commit.EncodeWithoutSignature(&plain); err != nil {
			return "", err
		}
		r, err := plain.Reader()
		if err != nil {
			return "", err
		}
		signature, err := c.Signer.Sign(r)
		if err != nil {
			return "", fmt.Errorf("sign the commit: %w", err)
		}
		commit.PGPSignature = string(signature)
	}
	if m.commit, err = m.put(commit); err != nil {
		return "", err
	}
	d.made = m
	return m.commit.String(), nil
}

// Made is the new commit; empty if there is none.
func (d *Draft) Made() string {
	if d.made == nil {
		return ""
	}
	return d.made.commit.String()
}

// Message is that of the new commit.
func (d *Draft) Message() string {
	if d.made == nil {
		return ""
	}
	return d.made.message
}

// folder makes a tree of another one, or of none, and files by their paths in it.
// It is zero if it would be empty, unless it is the topmost.
func (d *Draft) folder(m *made, top bool, from plumbing.Hash, files map[string][]byte) (plumbing.Hash, error) {
	if len(files) == 0 && !from.IsZero() {
		return from, nil
	}
	known, err := d.entries(from)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	entries := make(map[string]object.TreeEntry, len(known))
	for _, e := range known {
		entries[e.Name] = e
	}
	below := map[string]map[string][]byte{}
	for p, data := range files {
		name, rest, deeper := strings.Cut(p, "/")
		if deeper {
			if below[name] == nil {
				below[name] = map[string][]byte{}
			}
			below[name][rest] = data
			continue
		}
		if data == nil {
			delete(entries, name)
			continue
		}
		h, err := m.blob(data)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		mode := filemode.Regular
		if was, ok := entries[name]; ok {
			mode = was.Mode
		}
		entries[name] = object.TreeEntry{Name: name, Mode: mode, Hash: h}
	}
	for name, inner := range below {
		h, err := d.folder(m, false, entries[name].Hash, inner)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if h.IsZero() {
			delete(entries, name)
			continue
		}
		entries[name] = object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: h}
	}
	if len(entries) == 0 && !top {
		return plumbing.ZeroHash, nil
	}
	tree := &object.Tree{}
	for _, e := range entries {
		tree.Entries = append(tree.Entries, e)
	}
	slices.SortFunc(tree.Entries, func(a, b object.TreeEntry) int { return strings.Compare(order(a), order(b)) })
	return m.put(tree)
}

// order is what git sorts the entries of a folder by.
func order(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

// Push sends the commit. The branch becomes it only if it is still at Tip;
// otherwise the error wraps ErrMoved. With any other error it may or may not have
// arrived, unless the server says that it refuses.
func (d *Draft) Push(ctx context.Context) error {
	if d.made == nil {
		return errors.New("there is no commit to push")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, d.made.store, false).Encode(d.made.hashes, 0); err != nil {
		return err
	}
	c := &packp.Command{Name: plumbing.NewBranchReferenceName(d.Branch), New: d.made.commit}
	if d.Tip != "" {
		c.Old = plumbing.NewHash(d.Tip)
	}
	return d.remote.explainTo(ctx, "write", d.remote.push(ctx, c, &pack))
}

func (r *Remote) push(ctx context.Context, c *packp.Command, pack io.Reader) error {
	s, err := r.sending(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return err
	}
	if adv.References[c.Name.String()] != c.Old {
		return ErrMoved
	}
	if !adv.Capabilities.Supports(capability.ReportStatus) {
		return errors.New("the server does not tell whether a push has succeeded")
	}
	says := &opening{}
	req := packp.NewReferenceUpdateRequestFromCapabilities(adv.Capabilities)
	req.Commands, req.Packfile, req.Progress = []*packp.Command{c}, io.NopCloser(pack), says
	if adv.Capabilities.Supports(capability.Sideband64k) {
		if err := req.Capabilities.Set(capability.Sideband64k); err != nil {
			return err
		}
	}
	report, err := s.ReceivePack(ctx, req)
	if err == nil && report == nil {
		return io.ErrUnexpectedEOF
	}
	if report == nil || err == nil {
		return err
	}
	return refusal(report, says.String())
}

// sending begins to push.
func (r *Remote) sending(ctx context.Context) (transport.ReceivePackSession, error) {
	user, password, err := r.login(ctx)
	if err != nil {
		return nil, err
	}
	if r.ep.Protocol == "ssh" {
		return r.dial(ctx, user, password, transport.ReceivePackServiceName)
	}
	t, auth, err := r.overHTTP(ctx, user, password)
	if err != nil {
		return nil, err
	}
	ep := *r.ep // a redirect changes it
	return t.NewReceivePackSession(&ep, auth)
}

// races are what servers say when somebody else has been faster.
var races = []string{"fetch first", "non-fast-forward", "stale", "cannot lock ref", "failed to lock", "unable to lock", "failed to update ref", "incorrect old value", "already exists", "reference already"}

// ErrRefused is what errors wrap if the server does not take a commit, such as
// one to a protected branch.
var ErrRefused = errors.New("the server refuses the push")

func refusal(report *packp.ReportStatus, says string) error {
	status := report.UnpackStatus
	for _, c := range report.CommandStatuses {
		if c.Status != "ok" {
			status = c.Status
		}
	}
	low := strings.ToLower(status)
	if slices.ContainsFunc(races, func(r string) bool { return strings.Contains(low, r) }) {
		return fmt.Errorf("%w: %s", ErrMoved, oneLine(status))
	}
	if says = oneLine(says); says != "" {
		status += ": " + says
	}
	return fmt.Errorf("%w: %s", ErrRefused, oneLine(status))
}

// oneLine makes what a server says fit for a line.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	return strings.ToValidUTF8(s[:min(len(s), 400)], "")
}

// ReceivePack implements transport.ReceivePackSession. It can be called once.
func (s *sshSession) ReceivePack(_ context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	asked := req.Encode(s.in)
	if err := s.in.Close(); err != nil && !errors.Is(err, io.EOF) {
		asked = errors.Join(asked, err)
	}
	body, err := sayings(s.out)
	if err := errors.Join(asked, err); err != nil {
		return nil, s.because(err)
	}
	if req.Capabilities.Supports(capability.Sideband64k) {
		d := sideband.NewDemuxer(sideband.Sideband64k, body)
		d.Progress = req.Progress
		body = d
	}
	report := packp.NewReportStatus()
	if err := report.Decode(body); err != nil {
		return nil, s.because(err)
	}
	return report, report.Error()
}
