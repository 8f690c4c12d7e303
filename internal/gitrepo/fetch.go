package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Limits of one Fetch.
const (
	// fetchTimeout bounds all of it.
	fetchTimeout = 2 * time.Minute
	// maxPack bounds each answer of the server, in bytes.
	maxPack = 64 << 20
	// maxRefusals is how often a server may say of a commit that it cannot be had.
	maxRefusals = 8
	// smallObject is the size up to which an object is read into memory.
	smallObject = 8 << 20
)

// How far back history is fetched, in generations: at first, if that does not
// reach, and, from servers that can leave out everything but commits, at last.
const (
	depthFirst  = 50
	depthSecond = 250
	depthLast   = 5000
)

// Filters of objects.
const (
	noBlobs = packp.Filter("blob:none")
	noTrees = packp.Filter("tree:0")
)

// Pair is two commits that are to be compared: what is in After and not in Before.
type Pair struct{ Before, After string }

// A Copy is a part of a repository in a temporary folder: commits, and folders
// where Files was set. It is used by one goroutine.
type Copy struct {
	dir   string
	store *filesystem.Storage
	nodes map[plumbing.Hash]*node
}

// Close removes the copy.
func (c *Copy) Close() error { return errors.Join(c.store.Close(), os.RemoveAll(c.dir)) }

// Fetch gets what is needed to compare the pairs. files tells that their files
// are to be compared too, and not just their commits. What the server does not
// have any more, or what is too large, is not in the Copy, which tells so when
// it is asked; err is only for a server that gave nothing at all.
//
// History is fetched to a depth of 50, and deeper for the pairs for which that does not do.
// Nothing is kept between two Fetches: with servers that know partial clones
// (GitHub, GitLab, Gitea, Bitbucket Data Center, git with uploadpack.allowFilter) there are no
// contents of files in an answer, and a clone that is kept would cost more memory and
// disk than it saves. From others come the files of the newest commits.
func (r *Remote) Fetch(ctx context.Context, pairs []Pair, files bool) (_ *Copy, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "signalbox-git-")
	if err != nil {
		return nil, fmt.Errorf("a temporary folder for commits is needed: %w", err)
	}
	c := &Copy{dir: dir, nodes: map[plumbing.Hash]*node{}}
	c.open()
	f := &fetcher{remote: r, copy: c, limit: r.maxPack}
	defer f.close()
	if err := f.all(ctx, pairs, files); err != nil {
		return nil, errors.Join(r.explain(ctx, err), c.Close())
	}
	return c, nil
}

// open gives the objects that are in the folder by now.
func (c *Copy) open() {
	c.store = filesystem.NewStorageWithOptions(osfs.New(c.dir), cache.NewObjectLRU(4*cache.MiByte),
		filesystem.Options{LargeObjectThreshold: smallObject})
	for h, n := range c.nodes {
		if n == nil {
			delete(c.nodes, h) // it may have come
		}
	}
}

// fetcher fetches into a Copy in several steps.
type fetcher struct {
	remote  *Remote
	copy    *Copy
	session transport.UploadPackSession // that has not been used up
	adv     *packp.AdvRefs
	// limit of one answer of the server, in bytes.
	limit int64
	// gone are commits that the server does not hand out.
	gone map[plumbing.Hash]bool
}

func (f *fetcher) close() {
	if f.session != nil {
		_ = f.session.Close() // there is nothing to save
		f.session = nil
	}
}

func (f *fetcher) all(ctx context.Context, pairs []Pair, files bool) error {
	filter := noBlobs
	if !files {
		filter = noTrees
	}
	err := f.get(ctx, hashesOf(pairs), depthFirst, filter)
	if errors.Is(err, ErrTooLarge) { // the commits alone may be small enough, or the newest of them
		err = f.get(ctx, hashesOf(pairs), 1, filter)
		if f.filters() {
			err = f.get(ctx, hashesOf(pairs), depthFirst, noTrees)
		}
	}
	if err != nil {
		return err
	}
	if open := f.copy.unclosed(pairs); len(open) > 0 && depthSecond > depthFirst {
		f.more(ctx, hashesOf(open), depthSecond, filter)
	}
	if open := f.copy.unclosed(pairs); len(open) > 0 && f.filters() {
		f.more(ctx, hashesOf(open), depthLast, noTrees)
	}
	if files {
		f.more(ctx, f.copy.bare(pairs), 1, noBlobs)
	}
	return ctx.Err()
}

// more is get for what one can do without.
func (f *fetcher) more(ctx context.Context, wants []plumbing.Hash, depth int, filter packp.Filter) {
	if len(wants) > 0 {
		_ = f.get(ctx, wants, depth, filter) // what is missing then shows
	}
}

func hashesOf(pairs []Pair) []plumbing.Hash {
	var all []plumbing.Hash
	for _, p := range pairs {
		for _, h := range []string{p.After, p.Before} {
			if h != "" {
				all = append(all, plumbing.NewHash(h))
			}
		}
	}
	return all
}

func (f *fetcher) filters() bool {
	return f.adv != nil && f.adv.Capabilities.Supports(capability.Filter)
}

// talk begins a session, unless there is one that can be used again.
func (f *fetcher) talk(ctx context.Context) error {
	if f.session != nil {
		return nil
	}
	s, err := f.remote.session(ctx)
	if err != nil {
		return err
	}
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		_ = s.Close()
		return err
	}
	f.session, f.adv = s, adv
	return nil
}

// get fetches wants and their history. Commits that the server refuses are left out.
func (f *fetcher) get(ctx context.Context, wants []plumbing.Hash, depth int, filter packp.Filter) error {
	onlyTips := false
	for refusals := 0; ; refusals++ {
		if err := f.talk(ctx); err != nil {
			return err
		}
		tips, ssh := advertised(f.adv), f.remote.ep.Protocol == "ssh"
		// Over ssh, git hands out nothing but tips unless it says otherwise; over
		// HTTP also what they lead to.
		onlyTips = onlyTips || ssh && !capable(f.adv)
		some := slices.DeleteFunc(slices.Clone(wants), func(h plumbing.Hash) bool { return f.gone[h] || onlyTips && !tips[h] })
		if len(some) == 0 {
			return &refused{"none of the commits can be had"}
		}
		err := f.pack(ctx, some, depth, filter)
		if ssh {
			f.close()
		}
		var no *refused
		if !errors.As(err, &no) || onlyTips && refusals > 0 || ctx.Err() != nil {
			return err
		}
		f.close()
		if h, ok := named(no.text, some); ok && refusals < maxRefusals {
			if f.gone == nil {
				f.gone = map[plumbing.Hash]bool{}
			}
			f.gone[h] = true
		} else if onlyTips {
			return err
		} else {
			onlyTips = true
		}
	}
}

var commitID = regexp.MustCompile(`\b[0-9a-f]{40}\b`)

// named finds the commit of which a refusal speaks.
func named(text string, wants []plumbing.Hash) (plumbing.Hash, bool) {
	for _, id := range commitID.FindAllString(text, -1) {
		if h := plumbing.NewHash(id); slices.Contains(wants, h) {
			return h, true
		}
	}
	return plumbing.ZeroHash, false
}

// pack fetches once: history to a depth, or all of it if that is 0.
func (f *fetcher) pack(ctx context.Context, wants []plumbing.Hash, depth int, filter packp.Filter) error {
	req := packp.NewUploadPackRequestFromCapabilities(f.adv.Capabilities)
	req.Wants = wants
	set := []capability.Capability{}
	if depth > 0 && f.adv.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(depth)
		set = append(set, capability.Shallow)
	}
	if filter != "" && f.filters() {
		req.Filter = filter
		set = append(set, capability.Filter)
	}
	if f.adv.Capabilities.Supports(capability.NoProgress) {
		set = append(set, capability.NoProgress)
	}
	for _, c := range set {
		if err := req.Capabilities.Set(c); err != nil {
			return err
		}
	}
	resp, err := f.session.UploadPack(ctx, req)
	if err != nil {
		return unwrapped(err)
	}
	defer resp.Close()
	var pack io.Reader = resp
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, pack)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, pack)
	}
	limit := &bounded{r: pack, left: f.limit, err: ErrTooLarge}
	err = packfile.UpdateObjectStorage(f.copy.store, limit)
	if limit.left <= 0 {
		return errors.Join(ErrTooLarge, f.copy.reopen())
	}
	if err != nil {
		if text := err.Error(); strings.Contains(text, "not our ref") {
			err = &refused{text}
		}
		return errors.Join(err, f.copy.reopen())
	}
	return f.copy.reopen()
}

// reopen lets what was fetched be seen, and removes what is left of a pack that
// did not come as a whole.
func (c *Copy) reopen() error {
	err := c.store.Close()
	c.open()
	parts, _ := os.ReadDir(c.dir + "/objects/pack") // not there yet is fine
	for _, p := range parts {
		if strings.HasPrefix(p.Name(), "tmp_pack_") {
			_ = os.Remove(c.dir + "/objects/pack/" + p.Name()) // at the latest Close removes it
		}
	}
	return err
}

// unwrapped looks into errors that do not tell what they wrap.
func unwrapped(err error) error {
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) && unexpected.Err != nil {
		return unexpected.Err
	}
	return err
}
