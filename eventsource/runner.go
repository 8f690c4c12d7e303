package eventsource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/expr"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/seldom"
	"github.com/signalbox-events/signalbox/internal/telemetry"
)

// Publisher stores events; eventbus.Bus is one. It returns nil once the event is
// safe, stores an id of one address once within its window, and does not use
// the event's data after it returned nil.
type Publisher interface {
	Publish(ctx context.Context, to eventbus.Address, id string, e *event.Event) error
}

// RunnerConfig is one entry of an EventSource and what it needs. All fields are
// required, except those that the kind makes no use of.
type RunnerConfig struct {
	Namespace, EventSource, Event string

	Kind Kind
	// Config is defaulted and valid.
	Config kind.Config

	Publisher Publisher
	Metrics   *telemetry.Metrics
	Log       *slog.Logger
	Secrets   secret.Reader
	Hooks     Hooks
	State     State
	// Lead may be nil for kinds that elect nobody.
	Lead Leader
	// Kubernetes may be nil.
	Kubernetes *cluster.Cluster
}

// A Runner keeps the source of one entry going.
type Runner struct {
	config  RunnerConfig
	source  Source
	filter  *expr.Condition // nil lets everything pass
	maker   maker
	address eventbus.Address
	log     *slog.Logger
	metrics metrics

	lastEvent  atomic.Int64 // Unix nanoseconds; 0 for never
	complaints struct{ stopped, unread, notStored seldom.Complaint }

	mu     sync.Mutex
	status Status
}

// Status is how an entry fares.
type Status struct {
	// Running is true while the source runs. It is false between an error and
	// the next try, before the beginning and after the end.
	Running bool `json:"running"`
	// Since is when Running last changed.
	Since time.Time `json:"since"`
	// LastEvent is when an event was last stored; zero if none was.
	LastEvent time.Time `json:"lastEvent,omitzero"`
	// Error is the last error; it is kept while the source has not run for a
	// good minute since.
	Error string `json:"error,omitempty"`
	// ErrorAt is when that happened.
	ErrorAt time.Time `json:"errorAt,omitzero"`
	// Failures counts the errors in a row.
	Failures int `json:"failures,omitempty"`
	// Ended says that the source failed for good.
	Ended bool `json:"ended,omitempty"`
}

// Waits between tries, without jitter. A source that ran for goodRun begins anew.
const (
	firstWait = time.Second
	mostWait  = time.Minute
	goodRun   = time.Minute
	// goodStart is when a source that failed before is said to run again.
	goodStart = 10 * time.Second
)

// NewRunner builds the source of an entry. It does no I/O.
func NewRunner(c RunnerConfig) (*Runner, error) {
	r := &Runner{config: c, status: Status{Since: time.Now()}}
	r.log = c.Log.With("namespace", c.Namespace, "eventsource", c.EventSource, "event", c.Event, "kind", c.Kind.Name)
	r.address = eventbus.Address{Source: c.EventSource, Event: c.Event}
	r.maker = newMaker(c)
	r.metrics = newMetrics(c)
	var err error
	if r.filter, err = compileFilter(filterOf(c.Config)); err != nil {
		return nil, fmt.Errorf("filter.expression: %w", err)
	}
	r.source, err = c.Kind.Build(c.Config, Env{
		Namespace: c.Namespace, EventSource: c.EventSource, Event: c.Event,
		Log: r.log, Secrets: c.Secrets, Hooks: owned{c.Hooks, Owner{c.Namespace, c.EventSource, c.Event}}, State: c.State, Lead: c.Lead, Kubernetes: c.Kubernetes,
	})
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", c.Kind.Name, err)
	}
	return r, nil
}

// Event is the name of the entry.
func (r *Runner) Event() string { return r.config.Event }

// Status tells how the entry fares.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	if s.Running && s.Error != "" && time.Since(s.Since) >= goodRun {
		s.Error, s.ErrorAt, s.Failures = "", time.Time{}, 0
	}
	if n := r.lastEvent.Load(); n != 0 {
		s.LastEvent = time.Unix(0, n)
	}
	return s
}

// Run keeps the source running until ctx is done, and then returns nil. After
// an error or a panic it waits a little, longer each time, and tries again. It
// logs the errors of the source, except the one that it returns: that of a
// source that failed for good (Permanent). It is called once.
func (r *Runner) Run(ctx context.Context) error {
	wait := time.Duration(0)
	for failed := false; ; failed = true {
		began := time.Now()
		err := r.once(ctx, failed)
		if ctx.Err() != nil {
			r.ended(nil)
			return nil
		}
		if IsPermanent(err) {
			r.ended(err)
			return err
		}
		if time.Since(began) >= goodRun {
			wait = 0
		}
		wait = min(max(2*wait, firstWait), mostWait)
		r.complain(&r.complaints.stopped, slog.LevelError, "source stopped", err, "retry_in", wait.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait + rand.N(wait/4)): //nolint:gosec // jitter
		}
	}
}

// errNoReason is for a source that breaks the contract.
var errNoReason = errors.New("the source ended, though it was not told to")

func (r *Runner) once(ctx context.Context, failed bool) error {
	r.mu.Lock()
	r.status.Running, r.status.Since = true, time.Now()
	r.mu.Unlock()
	r.metrics.running.Inc()
	defer r.metrics.running.Dec()
	if failed {
		again := time.AfterFunc(goodStart, func() { r.log.Info("source runs again") })
		defer again.Stop()
	}
	err := r.guarded(ctx)
	if err == nil && ctx.Err() == nil {
		err = errNoReason
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.status.Since) >= goodRun {
		r.status.Failures = 0
	}
	r.status.Running, r.status.Since = false, now
	if err != nil && ctx.Err() == nil {
		r.status.Error, r.status.ErrorAt = err.Error(), now
		r.status.Failures++
	}
	return err
}

// guarded turns a panic into an error, so that one entry cannot take the others down.
func (r *Runner) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return r.source.Run(ctx, r.emit)
}

// panicked is a panic of a source. Its stack is logged apart.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func (r *Runner) ended(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Ended = err != nil
}

// complain logs err, unless it did so within the last minute.
func (r *Runner) complain(c *seldom.Complaint, level slog.Level, message string, err error, more ...any) {
	due, skipped := c.Due(err.Error())
	if !due {
		level = slog.LevelDebug
	}
	args := append([]any{"error", err}, more...)
	if skipped > 0 {
		args = append(args, "repeated", skipped)
	}
	var p *panicked
	if errors.As(err, &p) {
		args = append(args, "stack", string(p.stack))
	}
	r.log.Log(context.Background(), level, message, args...)
}

// IsPermanent tells whether err, or an error that it wraps, was marked with Permanent.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// owned names the owner of the routes that a source serves.
type owned struct {
	hooks Hooks
	owner Owner
}

// Serve implements Hooks.
func (o owned) Serve(ctx context.Context, route Route, h http.Handler) error {
	route.Owner = o.owner
	return o.hooks.Serve(ctx, route, h)
}
