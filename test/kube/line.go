package kube

import (
	"io"
	"net"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// Line is a way to the API server that a test can cut. Whoever uses it loses
// the API then, while it changes for others: that is how a watch gets a gap.
type Line struct {
	listener net.Listener
	api      string
	tasks    sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// Line makes a line, which ends with the test.
func (c *Cluster) Line(t testing.TB) *Line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{listener: listener, api: c.address(), conns: map[net.Conn]bool{}}
	l.tasks.Go(l.serve)
	t.Cleanup(func() {
		l.Cut()
		_ = listener.Close() //nolint:errcheck // it is only to end
		l.tasks.Wait()
	})
	return l
}

// Over is a config that [Cluster] has made, changed to go over the line.
func (l *Line) Over(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Host = "https://" + l.listener.Addr().String()
	return config
}

// Cut ends all connections, and new ones as soon as they are made.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for conn := range l.conns {
		_ = conn.Close() //nolint:errcheck // its users see it
	}
}

// Mend lets new connections through again.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (l *Line) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.tasks.Go(func() { l.carry(near) })
	}
}

// carry connects near with the API server until either of them ends.
func (l *Line) carry(near net.Conn) {
	defer near.Close()                 //nolint:errcheck // it may be closed already
	far, err := net.Dial("tcp", l.api) //nolint:noctx // returns at once, it is on this machine
	if err != nil {
		return
	}
	defer far.Close() //nolint:errcheck // it may be closed already
	if !l.enter(near, far) {
		return
	}
	defer l.leave(near, far)
	l.tasks.Go(func() {
		_, _ = io.Copy(far, near) //nolint:errcheck // either end ends both
		_ = far.Close()           //nolint:errcheck // so that the other direction ends
	})
	_, _ = io.Copy(near, far) //nolint:errcheck // either end ends both
}

func (l *Line) enter(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	for _, c := range conns {
		l.conns[c] = true
	}
	return true
}

func (l *Line) leave(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}
