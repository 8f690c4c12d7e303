package eventbus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
)

// ackTimeout bounds DoneSync. A server that was killed may not know that it
// delivered a message, and then does not answer; it delivers it again.
const ackTimeout = time.Second

// errSettled is returned by the second of Done and Retry.
var errSettled = errors.New("the message was settled before")

// held is a message that was fetched and not settled yet.
type held struct {
	c       *consuming
	msg     *nats.Msg
	meta    *nats.MsgMetadata
	seq     uint64
	touched time.Time // when the server last heard of it; under c.mu
	settled atomic.Bool
}

// receive takes what the server sends. It returns false if the message is to be
// handed back.
func (c *consuming) receive(m *nats.Msg) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = now
	if m.Reply == "" {
		c.status(m)
		return true
	}
	c.asked = max(0, c.asked-1)
	meta, err := m.Metadata()
	if err != nil || c.stopping {
		return false
	}
	c.strikes = 0
	h := &held{c: c, msg: m, meta: meta, seq: meta.Sequence.Stream, touched: now}
	c.held[h] = struct{}{}
	c.seen = max(c.seen, h.seq)
	if !c.beating {
		c.beating = true
		if c.beat == nil {
			c.beat = time.AfterFunc(c.beatInterval(), c.keepAlive)
		} else {
			c.beat.Reset(c.beatInterval())
		}
	}
	if c.running < c.inFlight {
		c.start(h)
	} else {
		c.queue = append(c.queue, h)
	}
	c.fetch()
	return true
}

// status takes what the server says about a request. c.mu is held.
func (c *consuming) status(m *nats.Msg) {
	code, description := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case code == "100": // a sign of life
		c.strikes = 0
	case code == "404" || code == "408" || code == "409" && description == "Batch Completed":
		// The request is over; this many messages will not come.
		left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err != nil {
			left = c.asked
		}
		c.asked = max(0, c.asked-left)
		c.strikes = 0
		c.fetch()
	case !c.lost:
		c.b.log.Debug("request for messages refused", "sensor", c.config.Sensor, "trigger", c.config.Trigger,
			"status", code, "description", description)
		c.asked = 0
		c.strike()
		c.awake()
	}
}

func (c *consuming) beatInterval() time.Duration { return c.b.cfg.AckWait / 3 }

// keepAlive tells the server that work goes on with everything that is held
// for a while. It comes again as long as there is something.
func (c *consuming) keepAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) == 0 {
		c.beating = false
		return
	}
	now := time.Now()
	for h := range c.held {
		if now.Sub(h.touched) < c.beatInterval()/2 {
			continue
		}
		if err := c.b.link.nc.Publish(h.msg.Reply, []byte("+WPI")); err != nil {
			break // no connection; the next time
		}
		h.touched = now
	}
	c.beat.Reset(c.beatInterval())
}

// start hands a message to a worker that is free, or to a new one. c.mu is held.
func (c *consuming) start(h *held) {
	c.running++
	select {
	case c.free <- h:
	default:
		c.workers.Go(func() { c.work(h) })
	}
}

// work handles one message, what is queued, and what comes soon after: a
// goroutine that has grown its stack is worth keeping for a while.
func (c *consuming) work(h *held) {
	patience := time.NewTimer(workerRest)
	defer patience.Stop()
	for {
		c.call(h)
		if h = c.next(); h != nil {
			continue
		}
		patience.Reset(workerRest)
		select {
		case h = <-c.free:
		case <-patience.C:
			return
		case <-c.quit:
			return
		}
	}
}

// next takes a message from the queue; nil if there is none.
func (c *consuming) next() *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	var h *held
	if len(c.queue) > 0 {
		h = c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
	} else {
		c.running--
	}
	c.fetch()
	return h
}

func (c *consuming) call(h *held) {
	defer func() {
		if p := recover(); p != nil {
			c.b.log.Error("handling a message panicked, trying again", "sensor", c.config.Sensor,
				"trigger", c.config.Trigger, "seq", h.seq, "panic", p, "stack", string(debug.Stack()))
			wait := min(panicRetry<<min(h.meta.NumDelivered-1, 6), time.Minute)
			if err := h.retry(wait); err != nil && !errors.Is(err, errSettled) {
				c.b.log.Debug("message comes again after AckWait", "seq", h.seq, "error", err)
			}
		}
	}()
	c.handle(c.ctx, h.delivery())
}

func (h *held) delivery() *Delivery {
	d := &Delivery{
		Seq: h.seq, Stored: h.meta.Timestamp, Deliveries: int(h.meta.NumDelivered),
		Redrive: unquote(h.msg.Header.Get(headerRedrive)), settle: h,
	}
	if d.Redrive != "" {
		return d
	}
	if d.From, d.Err = h.c.b.names.address(h.msg.Subject); d.Err == nil {
		d.Event, d.Err = decode(h.msg.Header, h.msg.Data)
	}
	if d.Err != nil {
		d.Event = h.undecodable(d.From)
	}
	return d
}

// undecodable is an event with the message's data, so that it can be kept.
func (h *held) undecodable(from Address) *event.Event {
	e := event.New()
	e.SetID(fmt.Sprintf("%s-%d", h.meta.Stream, h.seq))
	e.SetType("io.signalbox.undecodable")
	e.SetSource("/" + escape(from.Source))
	e.SetSubject(from.Event)
	e.SetTime(h.meta.Timestamp.UTC())
	e.DataEncoded, e.DataBase64 = h.msg.Data, true
	ct := "application/octet-stream"
	if err := e.Context.SetDataContentType(ct); err != nil {
		e.DataEncoded = nil
	}
	return &e
}

func (h *held) done(sync bool) error {
	if !h.settled.CompareAndSwap(false, true) {
		return errSettled
	}
	defer h.drop()
	ack := []byte("+ACK")
	l := h.c.b.link
	if !sync {
		if err := l.nc.Publish(h.msg.Reply, ack); err != nil {
			return fmt.Errorf("acknowledge message %d: %w", h.seq, publishError(err))
		}
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(h.c.ctx, ackTimeout, errNoAnswer)
	defer cancel()
	for {
		_, err := l.request(ctx, &nats.Msg{Subject: h.msg.Reply, Data: ack}, nil)
		if err == nil {
			return nil
		}
		if l.wait(ctx) != nil || rest(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("acknowledge message %d: %w", h.seq, err)
		}
	}
}

func (h *held) retry(wait time.Duration) error {
	if !h.settled.CompareAndSwap(false, true) {
		return errSettled
	}
	defer h.drop()
	if err := h.c.b.link.nc.Publish(h.msg.Reply, nak(wait)); err != nil {
		return fmt.Errorf("ask for message %d again: %w", h.seq, publishError(err))
	}
	return nil
}

// nak is the answer that asks for a message again after wait.
func nak(wait time.Duration) []byte {
	if wait <= 0 {
		return []byte("-NAK")
	}
	return fmt.Appendf(nil, `-NAK {"delay":%d}`, wait)
}

// drop ends the heartbeats for the message.
func (h *held) drop() {
	h.c.mu.Lock()
	delete(h.c.held, h)
	h.c.mu.Unlock()
}
