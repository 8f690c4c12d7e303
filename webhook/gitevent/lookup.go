package gitevent

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/internal/seldom"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

// A Finder asks the host which files an event changed, and returns their paths:
// those of a pull request between its ends; of a push between Before and After,
// for one that was forced also what went away; of a branch that is new what it has beyond
// the repository's default branch. ErrTooMany says that the host tells a part
// only, ErrUnknowable that it has nothing to tell of such an event. A *hooks.Limited
// in the error keeps the finder from being asked before that time. It is called
// by many goroutines, and does not retry.
type Finder func(ctx context.Context, e *Event) ([]string, error)

var (
	// ErrTooMany is what a Finder returns if there are more files than can be had.
	ErrTooMany = errors.New("the host does not tell all files")
	// ErrUnknowable is what a Finder returns if the event stays as it was.
	ErrUnknowable = errors.New("the host cannot tell")
)

// DefaultTimeout of a Lookup.
const DefaultTimeout = 3 * time.Second

// Bounds of a Lookup.
const (
	asked     = 8      // questions at a time
	keptLists = 1000   // answers that are remembered
	keptPaths = 50_000 // paths in all of them
	// afterSilence is how long a host that did not answer is left alone.
	afterSilence = 2 * time.Second
)

// Lookup finds the changed files that an event's payload does not tell. Set the
// fields before the first use. A nil Lookup finds nothing. Safe for concurrent use.
type Lookup struct {
	// Find is required.
	Find Finder
	// Timeout for one event, waiting included; DefaultTimeout if zero.
	Timeout time.Duration
	// Log hears of failures; nil for none.
	Log *slog.Logger

	complaint seldom.Complaint

	mu      sync.Mutex
	slots   chan struct{}
	flights map[string]*flight
	answers map[string]*list.Element // of recent, by key
	recent  list.List                // of *answer, the latest first
	paths   int
	pause   time.Time // nothing is asked before
}

// flight is a question that is being asked. Its fields are set when done is closed.
type flight struct {
	done  chan struct{}
	files []string
	err   error
}

type answer struct {
	key   string
	files []string
	err   error // ErrTooMany or ErrUnknowable
}

// Fill asks for e's files if they are unknown and may be known to the host, and
// sets them, or the reason why not. It takes no longer than the timeout.
func (l *Lookup) Fill(ctx context.Context, e *Event) {
	if l == nil || !e.findable() {
		return
	}
	timeout := l.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	files, err := l.find(ctx, e)
	switch {
	case err == nil:
		e.Known(append([]string{}, files...))
	case errors.Is(err, ErrUnknowable):
	case errors.Is(err, ErrTooMany):
		e.Unknown(UnknownTooMany)
	default:
		e.Unknown(UnknownLookupFailed)
		l.complain(ctx, e, err)
	}
}

func (l *Lookup) complain(ctx context.Context, e *Event, err error) {
	if l.Log == nil {
		return
	}
	if due, skipped := l.complaint.Due(err.Error()); due {
		l.Log.WarnContext(ctx, "the changed files of an event are unknown, because the host did not tell",
			"repository", e.Repository.FullName, "skipped", skipped, "error", err)
	}
}

// findable tells whether e's files are unknown and a host may know them.
func (e *Event) findable() bool {
	if e.ChangedFiles != nil || e.Repository.FullName == "" {
		return false
	}
	switch e.Event {
	case Pull, Review:
		return e.PullRequest != nil && e.PullRequest.Number > 0
	case Push, Tag:
	default:
		return false
	}
	switch e.ChangedFilesUnknown {
	case UnknownNotSent, UnknownTruncated, UnknownForcePush, UnknownMinimal, UnknownNewRef:
		if e.Created {
			// A tag is made of what is there already; there is no question to ask.
			return e.Branch != "" && e.Repository.DefaultBranch != "" && e.Branch != e.Repository.DefaultBranch
		}
		return e.Before != "" && e.After != ""
	}
	return false
}

// key is the same for events whose files are the same; "" if that cannot be said.
func (e *Event) key() string {
	const sep = "\x00"
	repo := e.Repository.Host + sep + e.Repository.FullName + sep
	if p := e.PullRequest; p != nil && e.Event != Push && e.Event != Tag {
		if p.Source.SHA == "" || p.Target.SHA == "" {
			return ""
		}
		return repo + "pull" + sep + strconv.FormatInt(p.Number, 10) + sep + p.Target.Branch + sep + p.Target.SHA + sep + p.Source.SHA
	}
	if e.Before == "" { // the default branch moves on
		return ""
	}
	forced := e.Forced != nil && *e.Forced
	return repo + e.Before + sep + e.After + sep + strconv.FormatBool(forced)
}

// find remembers, or waits for who asks already, or asks.
func (l *Lookup) find(ctx context.Context, e *Event) ([]string, error) {
	key := e.key()
	if key == "" {
		return l.ask(ctx, e)
	}
	for {
		f, mine, a := l.board(key)
		if a != nil {
			return a.files, a.err
		}
		if mine {
			l.fly(ctx, e, key, f)
			return f.files, f.err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.done:
		}
		// The one who asked may have had less time left, or have gone.
		if ctx.Err() == nil && (errors.Is(f.err, context.Canceled) || errors.Is(f.err, context.DeadlineExceeded)) {
			continue
		}
		return f.files, f.err
	}
}

// board returns the answer to a question, if it is known, or else the flight of
// it, which may be the caller's to fly.
func (l *Lookup) board(key string) (f *flight, mine bool, a *answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if el, ok := l.answers[key]; ok {
		l.recent.MoveToFront(el)
		return nil, false, el.Value.(*answer)
	}
	if f, ok := l.flights[key]; ok {
		return f, false, nil
	}
	if l.flights == nil {
		l.flights = map[string]*flight{}
	}
	f = &flight{done: make(chan struct{}), err: errors.New("the question was never answered")}
	l.flights[key] = f
	return f, true, nil
}

func (l *Lookup) fly(ctx context.Context, e *Event, key string, f *flight) {
	defer func() { // also if the finder panics
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.flights, key)
		if f.err == nil || errors.Is(f.err, ErrTooMany) || errors.Is(f.err, ErrUnknowable) {
			l.remember(&answer{key, f.files, f.err})
		}
		close(f.done)
	}()
	f.files, f.err = l.ask(ctx, e)
}

// remember keeps an answer, and forgets the oldest. l.mu is held.
func (l *Lookup) remember(a *answer) {
	if len(a.files) > MaxFiles {
		a.files, a.err = nil, ErrTooMany
	}
	if l.answers == nil {
		l.answers = map[string]*list.Element{}
	}
	l.answers[a.key] = l.recent.PushFront(a)
	l.paths += len(a.files)
	for l.recent.Len() > keptLists || l.paths > keptPaths {
		old := l.recent.Remove(l.recent.Back()).(*answer)
		delete(l.answers, old.key)
		l.paths -= len(old.files)
	}
}

// ask calls the finder, unless it wants to be left alone.
func (l *Lookup) ask(ctx context.Context, e *Event) ([]string, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case l.slot() <- struct{}{}:
		defer func() { <-l.slot() }()
	}
	l.mu.Lock()
	pause := l.pause
	l.mu.Unlock()
	if time.Now().Before(pause) {
		return nil, errors.New("the host is not asked again so soon")
	}
	files, err := l.Find(ctx, e)
	var until time.Time
	var limited *hooks.Limited
	switch {
	case errors.As(err, &limited):
		until = limited.Until
	case errors.Is(err, context.DeadlineExceeded):
		// A host that does not answer must not cost every event the whole timeout.
		until = time.Now().Add(afterSilence)
	default:
		return files, err
	}
	l.mu.Lock()
	if until.After(l.pause) {
		l.pause = until
	}
	l.mu.Unlock()
	return nil, err
}

func (l *Lookup) slot() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slots == nil {
		l.slots = make(chan struct{}, asked)
	}
	return l.slots
}
