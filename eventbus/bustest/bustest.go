// Package bustest gives tests a bus, and holds what every bus has to fulfil.
package bustest

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

// patience bounds everything a test waits for.
const patience = time.Minute

// Server starts an embedded server on a temporary folder, without fsync. It is
// shut down when the test ends.
func Server(t testing.TB, change ...func(*server.Config)) *server.Server {
	t.Helper()
	c := server.Config{DataDir: t.TempDir(), Embedded: true, Fsync: server.Fsync{Every: time.Minute}, Log: Log(t)}
	for _, f := range change {
		f(&c)
	}
	s, err := server.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Link connects to a server inside the process. It is closed when the test ends.
func Link(t testing.TB, s *server.Server) *eventbus.Link {
	t.Helper()
	return Dial(t, eventbus.LinkConfig{
		InProcess: s, User: s.User().Name, Password: s.User().Password, StoreDir: s.StoreDir(),
	})
}

// Dial is eventbus.Dial; the Link is closed when the test ends.
func Dial(t testing.TB, c eventbus.LinkConfig) *eventbus.Link {
	t.Helper()
	if c.Log == nil {
		c.Log = Log(t)
	}
	c.Name = t.Name()
	l, err := eventbus.Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Open is eventbus.Open that waits until the bus is there; the Bus is closed when
// the test ends. An empty name is "default" in namespace "test".
func Open(t testing.TB, l *eventbus.Link, c eventbus.Config) *eventbus.Bus {
	t.Helper()
	if c.Name == "" {
		c.Namespace, c.Name = "test", "default"
	}
	if c.Log == nil {
		c.Log = Log(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var b *eventbus.Bus
	for {
		var err error
		if b, err = eventbus.Open(ctx, l, c); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		pause(ctx, 50*time.Millisecond) // a cluster that elects its leaders
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// New returns a bus on an embedded server of its own.
func New(t testing.TB) *eventbus.Bus {
	t.Helper()
	return Open(t, Link(t, Server(t)), eventbus.Config{})
}

// Log shows lines from Warn on as lines of the test, if it is run with -v.
func Log(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(output{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// output may be written to after the test, when goroutines of the server end.
type output struct{ t testing.TB }

var _ io.Writer = output{}

func (o output) Write(p []byte) (int, error) {
	if o.t.Context().Err() == nil {
		o.t.Log(string(p))
	}
	return len(p), nil
}

// Event makes an event with the id and a JSON body that holds it.
func Event(id string) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetType("webhook")
	e.SetSource("test")
	e.SetSubject("example")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err := e.SetData(event.ApplicationJSON, map[string]string{"id": id}); err != nil {
		panic(err)
	}
	return &e
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
