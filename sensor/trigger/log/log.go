// Package log is the trigger that writes events to the log.
package log

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.log.
var Kind = trigger.Kind{Kind: kind.Of("log", newLogger)}

// Config says how often to log.
type Config struct {
	// IntervalSeconds is the least time between two logs of one process; what
	// fires in between is not logged. 0, the default, logs everything.
	// +optional
	IntervalSeconds uint64 `json:"intervalSeconds,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {}

// Validate implements kind.Config.
func (c *Config) Validate() error { return nil }

// logger implements trigger.Trigger.
type logger struct {
	log      *slog.Logger
	interval time.Duration

	mu     sync.Mutex
	last   time.Time // of the last log; zero if there was none
	closed bool
}

func newLogger(c Config, env trigger.Env) (trigger.Trigger, error) {
	const most = 1 << 32 // seconds; a Duration holds twice as many
	return &logger{log: env.Log, interval: time.Duration(min(c.IntervalSeconds, most)) * time.Second}, nil
}

// line is what is logged of one event.
type line struct {
	Message    string     `json:"message"`
	Dependency string     `json:"dependencyName"`
	Context    attributes `json:"eventContext"`
}

// attributes are the event's own.
type attributes struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Type    string    `json:"type"`
	Subject string    `json:"subject"`
	Time    time.Time `json:"time,omitzero"`
}

// LogValue implements slog.LogValuer.
func (a attributes) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", a.ID), slog.String("source", a.Source), slog.String("type", a.Type),
		slog.String("subject", a.Subject), slog.Time("time", a.Time))
}

// lines are made by Render and by Fire alike, in the order of the dependencies' names.
func lines(in trigger.Input) []line {
	out := make([]line, 0, len(in.Events))
	for _, name := range slices.Sorted(maps.Keys(in.Events)) {
		e := in.Events[name]
		if e == nil {
			continue
		}
		out = append(out, line{
			Message: string(e.Data()), Dependency: name,
			Context: attributes{e.ID(), e.Source(), e.Type(), e.Subject(), e.Time()},
		})
	}
	return out
}

// Render implements trigger.Trigger. The Spec has the lines, each with message,
// dependencyName and eventContext; that the interval may hold them back is not
// looked at.
func (l *logger) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	if err := l.check(ctx); err != nil {
		return trigger.Action{}, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(map[string]any{"lines": lines(in)})
	return trigger.Action{Kind: "log", Spec: bytes.TrimSpace(b.Bytes())}, err
}

// Fire implements trigger.Trigger.
func (l *logger) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	if err := l.check(ctx); err != nil {
		return trigger.Result{}, err
	}
	if !l.due(time.Now()) {
		return trigger.Result{Summary: fmt.Sprintf("not logged: less than %v after the last", l.interval)}, nil
	}
	all := lines(in)
	for _, each := range all {
		l.log.LogAttrs(ctx, slog.LevelInfo, each.Message,
			slog.String("dependencyName", each.Dependency), slog.Any("eventContext", each.Context))
	}
	return trigger.Result{Summary: fmt.Sprintf("%d logged", len(all))}, nil
}

// due tells whether to log now, and notes it.
func (l *logger) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() && now.Sub(l.last) < l.interval {
		return false
	}
	l.last = now
	return true
}

func (l *logger) check(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return trigger.ErrClosed
	}
	return ctx.Err()
}

// Close implements trigger.Trigger.
func (l *logger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
