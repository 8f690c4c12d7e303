package eventbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	dialTimeout = 2 * time.Second
	// A lost server is noticed after two pings.
	pingInterval = 5 * time.Second
	pingsOut     = 2
	maxBackoff   = 2 * time.Second
	minBackoff   = 20 * time.Millisecond
)

// LinkConfig says how to connect to a NATS server.
type LinkConfig struct {
	// URL such as nats://host:4222; several are separated by commas. Unused with InProcess.
	URL string
	// InProcess connects to an embedded server without a socket.
	InProcess nats.InProcessConnProvider
	// StoreDir is the JetStream folder of a server on this machine that leaves
	// fsync to its clients (eventbus/server says when); empty otherwise.
	StoreDir string
	// User and Password, Token, or CredsFile; all empty without authentication.
	User, Password, Token, CredsFile string
	// PasswordFile and TokenFile are read at each connect, so that what they hold
	// may change. They replace Password and Token.
	PasswordFile, TokenFile string
	// InboxPrefix begins the subjects on which answers come; empty: NATS's own.
	// See Role.InboxPrefix.
	InboxPrefix string
	// TLS to the server; nil: as the server asks. The name that the certificate
	// has to be for is ServerName, or the host of the URL.
	TLS *tls.Config
	// CAFile holds the authorities to trust and is read at each connect. It
	// replaces TLS.RootCAs.
	CAFile string
	// Dialer connects to the host:port of a URL; nil: by TCP.
	Dialer Dialer
	// Name is shown in the server's list of connections.
	Name string
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Dialer makes connections, such as through a tunnel.
type Dialer interface {
	Dial(network, address string) (net.Conn, error)
}

// Link is one connection to a NATS server, shared by any number of Buses. It
// reconnects for ever. Safe for concurrent use.
type Link struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	storeDir string
	replies  *replies
	pulls    *pulls
	syncs    *syncers

	mu        sync.Mutex
	connected bool
	closed    bool
	lastErr   string
	up        chan struct{} // closed while connected
	down      chan struct{} // closed while disconnected
	onChange  []func(connected bool, err error)
}

// Dial returns a Link. If the server is away it goes on trying in the
// background and the Link is not connected yet; only a wrong configuration is an
// error.
func Dial(ctx context.Context, c LinkConfig) (*Link, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dial the event bus: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("dial the event bus: %w", err)
	}
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	l := &Link{log: log, storeDir: c.StoreDir, up: make(chan struct{}), down: closedChan(), syncs: newSyncers()}
	nc, err := nats.Connect(c.URL, l.options(c)...)
	if err != nil {
		return nil, fmt.Errorf("dial the event bus: %w", err)
	}
	l.nc = nc
	if err := l.prepare(); err != nil {
		nc.Close()
		if l.pulls != nil {
			l.pulls.stop()
		}
		return nil, fmt.Errorf("dial the event bus: %w", err)
	}
	if !nc.IsConnected() {
		l.log.Warn("event bus not reachable yet, trying for ever")
	}
	return l, nil
}

func (l *Link) options(c LinkConfig) []nats.Option {
	opts := []nats.Option{
		nats.Name(c.Name),
		nats.Timeout(dialTimeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(backoff),
		// Nothing is kept to be sent later: a publish fails while there is no connection.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOut),
		nats.ConnectHandler(func(nc *nats.Conn) { l.change(true, nil) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { l.change(true, nil) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.complain(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.change(false, err) }),
		nats.ClosedHandler(func(nc *nats.Conn) { l.change(false, nats.ErrConnectionClosed) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.complain(err) }),
	}
	if c.InProcess != nil {
		opts = append(opts, nats.InProcessServer(c.InProcess))
	}
	if c.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	if c.Dialer != nil {
		// A tunnel knows names that this machine may not.
		opts = append(opts, nats.SetCustomDialer(c.Dialer), nats.SkipHostLookup())
	}
	opts = append(opts, c.credentials()...)
	if c.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	if c.TLS != nil {
		opts = append(opts, nats.Secure(c.TLS))
	}
	if c.CAFile != "" {
		opts = append(opts, nats.Secure(), func(o *nats.Options) error {
			o.RootCAsCB = c.authorities
			return nil
		})
	}
	return opts
}

func (l *Link) prepare() error {
	var err error
	if l.js, err = jetstream.New(l.nc, jetstream.WithDefaultTimeout(callTimeout)); err != nil {
		return err
	}
	if l.replies, err = newReplies(l.nc); err != nil {
		return err
	}
	l.pulls = newPulls(l.nc)
	return nil
}

// backoff grows from a few milliseconds, so that a restarted embedded server is
// found at once, to about two seconds.
func backoff(attempts int) time.Duration {
	d := maxBackoff
	if attempts < 8 {
		d = min(maxBackoff, minBackoff<<max(0, attempts))
	}
	return d/2 + rand.N(d/2)
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// change notes a change of state, once, and tells everybody.
func (l *Link) change(connected bool, err error) {
	l.mu.Lock()
	if l.connected == connected {
		l.mu.Unlock()
		return
	}
	l.connected, l.lastErr = connected, ""
	if connected {
		l.down = make(chan struct{})
		close(l.up)
	} else {
		l.up = make(chan struct{})
		close(l.down)
	}
	tell, closed := l.onChange, l.closed
	l.mu.Unlock()
	switch {
	case closed:
	case connected:
		l.log.Info("connected to the event bus")
	default:
		l.log.Warn("connection to the event bus lost, reconnecting", "error", err)
	}
	for _, f := range tell {
		f(connected, err)
	}
}

// complain logs an asynchronous error of the connection, but not the same one
// again and again.
func (l *Link) complain(err error) {
	l.mu.Lock()
	again := l.lastErr == err.Error() || l.closed
	l.lastErr = err.Error()
	l.mu.Unlock()
	if !again {
		l.log.Warn("event bus connection", "error", err)
	}
}

// Connected says whether the Link is connected at this moment.
func (l *Link) Connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected
}

// OnChange has f called on each later change of state. f must not block.
func (l *Link) OnChange(f func(connected bool, err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onChange = append(l.onChange[:len(l.onChange):len(l.onChange)], f)
}

// state returns channels that are closed while the Link is connected and
// while it is not.
func (l *Link) state() (up, down <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.down
}

// wait returns once the Link is connected; an error wraps ErrUnavailable.
func (l *Link) wait(ctx context.Context) error {
	up, _ := l.state()
	select {
	case <-up:
		return nil
	default:
	}
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		why := l.lastErr
		l.mu.Unlock()
		if why != "" {
			return fmt.Errorf("%w: no connection (%s): %w", ErrUnavailable, why, context.Cause(ctx))
		}
		return fmt.Errorf("%w: no connection: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// Close ends the connection. Close the Buses first.
func (l *Link) Close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return nil
	}
	l.nc.Close()
	l.pulls.stop()
	return l.syncs.close()
}

// unavailable turns an error of the connection or of the server into one of ours.
func unavailable(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrFull) {
		return err
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code < 500 {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// PublishRaw sends a message as it is and does not wait for an answer: for tests
// of what other producers may send.
func (l *Link) PublishRaw(m *nats.Msg) error {
	if err := l.nc.PublishMsg(m); err != nil {
		return fmt.Errorf("publish: %w", publishError(err))
	}
	return nil
}
