package gitpoll

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

const (
	// afterFailure is the wait before history is asked for once more.
	afterFailure = time.Second
	// maxMessage bounds the message of a commit, in bytes.
	maxMessage = 16 << 10
)

// payload is the data of an event.
type payload struct {
	Git      *gitevent.Event   `json:"git"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// emit emits the event of a change until it is stored. An event that is too large
// is emitted without its commits and files; one that still is, is left out.
func (s *source) emit(ctx context.Context, emit eventsource.Emit, d *described, c change) error {
	git := s.event(d, c)
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.insist(ctx, emit, git)
	if errors.Is(err, eventsource.ErrTooLarge) {
		git.Commits, git.CommitsTruncated = []gitevent.Commit{}, git.CommitsTruncated || len(git.Commits) > 0
		if git.ChangedFiles != nil {
			git.Unknown(gitevent.UnknownTooMany)
		}
		err = s.insist(ctx, emit, git)
	}
	if errors.Is(err, eventsource.ErrTooLarge) {
		s.log.Error("an event cannot be stored, its metadata is too large", "ref", c.Ref, "error", err)
		return nil
	}
	return err
}

func (s *source) insist(ctx context.Context, emit eventsource.Emit, git *gitevent.Event) error {
	data, err := json.Marshal(payload{git, s.config.Metadata})
	if err != nil {
		return err
	}
	return eventsource.Insist(ctx, emit, eventsource.Event{ID: git.DeliveryID, Data: data})
}

// described is what is known of some changes.
type described struct {
	memory *memory
	copy   *gitrepo.Copy // nil if there is none
}

func (d *described) close() {
	if d.copy != nil {
		_ = d.copy.Close() // it is a temporary folder
	}
}

// wanted tells whether history is asked for at all.
func (s *source) wanted() bool { return *s.config.ChangedFiles || *s.config.MaxCommits > 0 }

// pair is what is compared for a change, if anything is.
func (s *source) pair(m *memory, c change) (gitrepo.Pair, bool) {
	var e gitevent.Event
	e.SetPush(c.Ref, c.Before.commit(), c.After.commit())
	p := gitrepo.Pair{Before: e.Before, After: e.After}
	switch {
	case !s.wanted(), e.Deleted:
		return p, false
	case e.Created && e.Tag != "": // it is made of what is there already
		return p, false
	case e.Created && c.Ref != m.Default:
		p.Before = m.DefaultCommit
	}
	return p, true
}

// describe fetches the history of some changes, with one request for all.
func (s *source) describe(ctx context.Context, m *memory, changes []change) *described {
	d := &described{memory: m}
	var pairs []gitrepo.Pair
	for _, c := range changes {
		if p, ok := s.pair(m, c); ok {
			pairs = append(pairs, p)
		}
	}
	if len(pairs) == 0 {
		return d
	}
	var err error
	for try := 0; try < 2; try++ {
		if try > 0 && !eventsource.Sleep(ctx, afterFailure) {
			return d
		}
		if d.copy, err = s.remote.Fetch(ctx, pairs, *s.config.ChangedFiles); err == nil {
			return d
		}
		var later *gitrepo.Later
		if errors.As(err, &later) || errors.Is(err, gitrepo.ErrTooLarge) {
			break
		}
	}
	d.copy = nil
	if ctx.Err() == nil {
		s.log.Warn("commits and files of changes are unknown", "changes", len(changes), "error", err)
	}
	return d
}

// event makes the block of a change.
func (s *source) event(d *described, c change) *gitevent.Event {
	place := s.config.Place()
	e := &gitevent.Event{
		Provider: "git", Verified: "polled", DeliveryID: c.id(s.url), Commits: []gitevent.Commit{},
		Repository: gitevent.Repository{
			Host: place.Host, FullName: place.FullName, URL: place.Web, CloneURLs: []string{place.Clone},
			DefaultBranch: strings.TrimPrefix(d.memory.Default, "refs/heads/"),
		},
	}
	e.SetPush(c.Ref, c.Before.commit(), c.After.commit())
	pair, asked := s.pair(d.memory, c)
	switch {
	case e.Deleted:
		e.Forced = new(false)
		e.Unknown(gitevent.UnknownDeletedRef)
	case asked:
		s.fill(d, e, pair)
	case e.Created:
		e.Forced = new(false)
		e.Unknown(gitevent.UnknownNewRef)
	default:
		e.Unknown(gitevent.UnknownNotSent)
	}
	if !*s.config.ChangedFiles && !e.Deleted {
		e.Unknown(gitevent.UnknownNotSent)
	}
	return e
}

// fill fills in commits and files.
func (s *source) fill(d *described, e *gitevent.Event, pair gitrepo.Pair) {
	e.CommitsTruncated = true
	if e.Created {
		e.Forced = new(false)
	}
	e.Unknown(gitevent.UnknownLookupFailed)
	if d.copy == nil {
		return
	}
	h, err := d.copy.History(pair, int(*s.config.MaxCommits))
	if err != nil {
		s.log.Warn("commits and files of a change are unknown", "ref", e.Ref, "error", err)
		return
	}
	if !e.Created && h.Contained != nil {
		e.Forced = new(!*h.Contained)
	}
	e.CommitsTotal = h.Total
	e.CommitsTruncated = h.Total == nil || *h.Total > len(h.Commits)
	budget := gitevent.MaxFiles
	for i := len(h.Commits) - 1; i >= 0; i-- { // the newest first, as long as there is room
		e.Commits = append(e.Commits, s.commit(d.copy, h.Commits[i], &budget))
	}
	slices.Reverse(e.Commits)
	if *s.config.ChangedFiles {
		s.files(d, e, pair, h)
	}
}

// files compares the two ends. A new branch is compared with where it leaves the default branch.
func (s *source) files(d *described, e *gitevent.Event, pair gitrepo.Pair, h *gitrepo.History) {
	from := pair.Before
	if e.Created {
		if from = h.Base; from == "" {
			if pair.Before == "" || h.Total != nil { // there is nothing in common
				e.Unknown(gitevent.UnknownNewRef)
			}
			return
		}
	}
	files, err := d.copy.Diff(from, pair.After, gitevent.MaxFiles)
	switch {
	case err == nil:
		all := append([]string{}, files.Added...)
		e.Known(append(append(all, files.Modified...), files.Removed...))
	case errors.Is(err, gitrepo.ErrTooMany):
		e.Unknown(gitevent.UnknownTooMany)
	case e.Forced != nil && *e.Forced:
		e.Unknown(gitevent.UnknownForcePush)
	}
}

// commit makes the entry of a commit. Its files are those that differ from its
// first parent's, as long as budget lasts.
func (s *source) commit(copy *gitrepo.Copy, c *object.Commit, budget *int) gitevent.Commit {
	out := gitevent.Commit{
		ID: c.Hash.String(), Message: strings.TrimRight(c.Message[:min(len(c.Message), maxMessage)], "\n"),
		Author: &gitevent.Person{Name: c.Author.Name, Email: c.Author.Email},
	}
	if at := c.Committer.When.UTC(); at.Year() >= 0 && at.Year() <= 9999 {
		out.Timestamp = &at
	}
	if !*s.config.ChangedFiles || *budget <= 0 {
		return out
	}
	parent := ""
	if len(c.ParentHashes) > 0 {
		parent = c.ParentHashes[0].String()
	}
	if files, err := copy.Diff(parent, out.ID, *budget); err == nil {
		out.Added, out.Modified, out.Removed = files.Added, files.Modified, files.Removed
		*budget -= files.Len()
	} else if errors.Is(err, gitrepo.ErrTooMany) {
		*budget = 0 // what is older is not listed either
	}
	return out
}
