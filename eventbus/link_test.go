package eventbus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func TestLinkToABusThatIsAway(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	l := bustest.Dial(t, eventbus.LinkConfig{URL: "nats://" + addr, User: "u", Password: "secret-word", Log: slog.New(slog.NewTextHandler(log, nil))})
	if l.Connected() {
		t.Fatal("connected to nothing")
	}
	changes := make(chan bool, 10)
	l.OnChange(func(connected bool, _ error) { changes <- connected })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := eventbus.Open(ctx, l, eventbus.Config{Namespace: "n", Name: "b"}); !errors.Is(err, eventbus.ErrUnavailable) {
		t.Fatalf("open: %v", err)
	}
	s := bustest.Server(t, func(c *server.Config) {
		c.Embedded, c.Listen, c.Users = false, addr, []server.User{{Name: "u", Password: "secret-word"}}
	})
	b := bustest.Open(t, l, eventbus.Config{})
	if !<-changes || !l.Connected() {
		t.Fatal("not connected")
	}
	publish := func(ctx context.Context, id string) error {
		return b.Publish(ctx, address, id, bustest.Event(id))
	}
	if err := publish(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-changes || l.Connected() {
		t.Fatal("still connected")
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := publish(short, "2"); !errors.Is(err, eventbus.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) && short.Err() == nil {
		t.Fatalf("publish: %v", err)
	}
	if _, _, err := b.State().Get(t.Context(), "k"); !errors.Is(err, eventbus.ErrUnavailable) {
		t.Fatalf("state: %v", err)
	}
	if n := log.count("lost"); n != 1 {
		t.Fatalf("the loss was logged %d times", n)
	}
	if n := log.count("secret-word"); n != 0 {
		t.Fatal("the password is in the log")
	}
}

func TestPublishWaitsForTheConnection(t *testing.T) {
	s := bustest.Server(t)
	b := bustest.Open(t, bustest.Link(t, s), eventbus.Config{})
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			id := time.Now().String()
			if err := b.Publish(t.Context(), address, id, bustest.Event(id)); err != nil {
				done <- err
				return
			}
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
		}
	}()
	for range 3 {
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestDialRefusesNonsense(t *testing.T) {
	if _, err := eventbus.Dial(t.Context(), eventbus.LinkConfig{URL: "nats://h:4222:x"}); err == nil {
		t.Fatal("took a wrong URL")
	}
}
