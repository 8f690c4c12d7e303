package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// cloneTimeout bounds one attempt to get a commit.
	cloneTimeout = 2 * time.Minute
	// maxPack bounds what is fetched of a repository, in bytes.
	maxPack = 512 << 20
	// smallObject is the size up to which an object is kept in memory.
	smallObject = 1 << 20
)

func (g *Git) fetch(ctx context.Context, env trigger.Env) ([]byte, error) {
	ep, err := endpoint(g.repository())
	if err != nil {
		return nil, lasting{err}
	}
	if err := inside(g.FilePath); err != nil {
		return nil, last("filePath %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cloneTimeout)
	defer cancel()
	if ep.Protocol == "file" {
		return g.local(ep.Path)
	}
	session, err := g.session(ctx, env, ep)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	adv, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, explainGit(ctx, err)
	}
	refs, err := adv.AllReferences()
	if err != nil {
		return nil, err
	}
	hash, err := g.resolve(refs)
	if err != nil {
		return nil, err
	}
	return g.commit(ep, hash, func(dir string) error {
		return explainGit(ctx, download(ctx, session, adv, hash, open(dir)))
	})
}

// explainGit says what is behind an error, and whether it lasts.
func explainGit(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("does not answer in time: %w", ctx.Err())
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		errors.Is(err, transport.ErrRepositoryNotFound), errors.Is(err, transport.ErrEmptyRemoteRepository):
		return lasting{err}
	default:
		return unquoted(err)
	}
}

// resolve finds the commit, or the tag of it, that is wanted.
func (g *Git) resolve(refs storer.ReferenceStorer) (plumbing.Hash, error) {
	var names []plumbing.ReferenceName
	switch {
	case g.Ref != "" && plumbing.IsHash(g.Ref):
		return plumbing.NewHash(g.Ref), nil
	case g.Ref == "HEAD" || strings.HasPrefix(g.Ref, "refs/"):
		names = []plumbing.ReferenceName{plumbing.ReferenceName(g.Ref)}
	case g.Ref != "":
		names = []plumbing.ReferenceName{plumbing.NewBranchReferenceName(g.Ref), plumbing.NewTagReferenceName(g.Ref)}
	case g.Tag != "":
		names = []plumbing.ReferenceName{plumbing.NewTagReferenceName(g.Tag)}
	default:
		names = []plumbing.ReferenceName{plumbing.NewBranchReferenceName(g.branch())}
	}
	for _, name := range names {
		ref, err := storer.ResolveReference(refs, name)
		if err == nil {
			return ref.Hash(), nil
		}
		if !errors.Is(err, plumbing.ErrReferenceNotFound) {
			return plumbing.ZeroHash, err
		}
	}
	return plumbing.ZeroHash, last("there is no %s", g.wanted())
}

// local reads a repository on this machine as it is.
func (g *Git) local(dir string) ([]byte, error) {
	if below := filepath.Join(dir, ".git"); isDir(below) {
		dir = below
	}
	if !isDir(filepath.Join(dir, "objects")) {
		return nil, last("there is no repository")
	}
	repo := open(dir)
	hash, err := g.resolve(repo)
	if err != nil {
		return nil, err
	}
	return g.file(repo, hash)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// open gives the repository in a folder, which is filled as needed.
func open(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(8*cache.MiByte),
		filesystem.Options{LargeObjectThreshold: smallObject})
}

// commit reads the file of a commit that download puts into a folder. In the
// clone directory a commit has a folder of its own that appears at once, so that
// firings side by side do not get into each other's way.
func (g *Git) commit(ep *transport.Endpoint, hash plumbing.Hash, download func(dir string) error) ([]byte, error) {
	if g.CloneDirectory != "" {
		if err := plain(g.CloneDirectory); err != nil {
			return nil, last("cloneDirectory %w", err)
		}
		if err := os.MkdirAll(g.CloneDirectory, 0o750); err != nil {
			return nil, lasting{err}
		}
	}
	family := fmt.Sprintf("signalbox-%.6x-", sha256.Sum256([]byte(ep.String())))
	kept := filepath.Join(g.CloneDirectory, family+hash.String())
	if g.CloneDirectory != "" && isDir(kept) {
		return g.file(open(kept), hash)
	}
	dir, err := os.MkdirTemp(g.CloneDirectory, "signalbox-new-")
	if err != nil {
		return nil, fmt.Errorf("a folder for the clone is needed: %w", lasting{err})
	}
	defer os.RemoveAll(dir)
	if err := download(dir); err != nil {
		return nil, err
	}
	b, err := g.file(open(dir), hash)
	if err != nil || g.CloneDirectory == "" {
		return b, err
	}
	if err := os.Rename(dir, kept); err == nil { // else another firing was faster
		removeOthers(g.CloneDirectory, family, filepath.Base(kept))
	}
	return b, nil
}

// removeOthers removes the commits of a repository that were kept before. What
// cannot be removed stays until the next time.
func removeOthers(dir, family, keep string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), family) && e.Name() != keep {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// download gets a commit without its history.
func download(ctx context.Context, s transport.UploadPackSession, adv *packp.AdvRefs, hash plumbing.Hash, to *filesystem.Storage) error {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	req.Wants = []plumbing.Hash{hash}
	if adv.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(1)
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return err
		}
	}
	resp, err := s.UploadPack(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Close()
	var pack io.Reader = resp
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, pack)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, pack)
	}
	return packfile.UpdateObjectStorage(to, &bounded{r: pack, left: maxPack})
}

// bounded fails after a number of bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, last("the commit is larger than %d MiB", maxPack>>20)
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// file reads the file from a commit, or from that of a tag.
func (g *Git) file(repo *filesystem.Storage, hash plumbing.Hash) ([]byte, error) {
	defer repo.Close()
	for {
		tag, err := object.GetTag(repo, hash)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			break
		} else if err != nil {
			return nil, err
		}
		hash = tag.Target
	}
	commit, err := object.GetCommit(repo, hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	tree, err := commit.Tree()
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	entry, err := tree.FindEntry(clean(g.FilePath))
	switch {
	case errors.Is(err, object.ErrEntryNotFound), errors.Is(err, object.ErrDirectoryNotFound), errors.Is(err, plumbing.ErrObjectNotFound):
		return nil, last("the file is not in commit %s", hash)
	case err != nil:
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	case entry.Mode != filemode.Regular && entry.Mode != filemode.Executable && entry.Mode != filemode.Deprecated:
		return nil, last("is no regular file in commit %s", hash)
	}
	blob, err := object.GetBlob(repo, entry.Hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	if blob.Size > MaxSize {
		return nil, tooLarge()
	}
	r, err := blob.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return read(r)
}
