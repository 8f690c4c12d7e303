package eventbus

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// replies hands the answers to requests in flight to those who wait for them.
// All requests of a Link share one subscription, and so round trips.
type replies struct {
	prefix string

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan *nats.Msg
}

func newReplies(nc *nats.Conn) (*replies, error) {
	r := &replies{prefix: nc.NewInbox() + ".", waiting: map[uint64]chan *nats.Msg{}}
	sub, err := nc.Subscribe(r.prefix+"*", r.receive)
	if err != nil {
		return nil, err
	}
	return r, sub.SetPendingLimits(-1, -1)
}

func (r *replies) receive(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(r.prefix):], 36, 64)
	if err != nil {
		return
	}
	r.mu.Lock()
	c, ok := r.waiting[token]
	delete(r.waiting, token)
	r.mu.Unlock()
	if ok {
		c <- m // has room for one
	}
}

var replyChannels = sync.Pool{New: func() any { return make(chan *nats.Msg, 1) }}

func (r *replies) register() (token uint64, reply string, c chan *nats.Msg) {
	c = replyChannels.Get().(chan *nats.Msg)
	r.mu.Lock()
	r.next++
	token = r.next
	r.waiting[token] = c
	r.mu.Unlock()
	return token, r.prefix + strconv.FormatUint(token, 36), c
}

func (r *replies) forget(token uint64) {
	r.mu.Lock()
	delete(r.waiting, token)
	r.mu.Unlock()
}

// errNoResponders means that nobody listens to the subject: the stream does not
// exist, or has no leader at the moment.
var errNoResponders = fmt.Errorf("%w: %w", ErrUnavailable, nats.ErrNoResponders)

// request sends m and waits for the answer until ctx ends, the timer fires or
// the connection is lost. An error wraps ErrUnavailable or ErrTooLarge.
// m.Reply is overwritten.
func (l *Link) request(ctx context.Context, m *nats.Msg, timeout <-chan time.Time) (*nats.Msg, error) {
	_, down := l.state()
	select {
	case <-down:
		return nil, errUnsent
	default:
	}
	token, reply, c := l.replies.register()
	m.Reply = reply
	if err := l.nc.PublishMsg(m); err != nil {
		l.replies.forget(token)
		return nil, publishError(err)
	}
	var err error
	select {
	case r := <-c:
		replyChannels.Put(c) // the one answer has come, so it is empty
		if len(r.Data) == 0 && r.Header.Get("Status") == "503" {
			return nil, errNoResponders
		}
		return r, nil
	case <-down:
		err = fmt.Errorf("%w: connection lost before the answer", ErrUnavailable)
	case <-ctx.Done():
		err = fmt.Errorf("%w: no answer: %w", ErrUnavailable, context.Cause(ctx))
	case <-timeout:
		err = fmt.Errorf("%w: no answer in time", ErrUnavailable)
	}
	l.replies.forget(token)
	return nil, err
}
