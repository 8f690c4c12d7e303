package eventbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// A request for messages waits on the server this long. While it does the server
	// gives a sign of life; a client of a single server needs fewer, because
	// the connection breaks when that server dies.
	pullExpiry       = 5 * time.Minute
	heartbeatSingle  = 30 * time.Second
	heartbeatCluster = 5 * time.Second
	// lingerTime is how long the server may take to answer with what it has.
	lingerTime = 30 * time.Millisecond
	// handBackDelay keeps what is handed back from coming back to the request that
	// is about to be forgotten.
	handBackDelay = 2 * lingerTime
	// lookTimeout bounds looking up a consumer.
	lookTimeout = 2 * time.Second
	// workerRest is how long a goroutine waits for another message before it ends.
	workerRest = 2 * time.Second
	// panicRetry is how long a message rests whose handler panicked.
	panicRetry = time.Second
)

// Consume calls handle for the messages of a trigger's consumer, each call in a
// goroutine of its own and at most inFlight at once, until ctx is done. Then it
// hands back what was fetched but not begun, waits for the running calls and
// returns nil. It creates the consumer if there is none. It survives the loss of
// the bus, of the consumer, and changes of leader; only a Link that is closed
// is an error. handle gets ctx's values but not its end.
//
// A message that cannot be decoded is handed over as well, see Delivery.Err. If
// handle panics the message is tried again later.
func (b *Bus) Consume(ctx context.Context, config ConsumerConfig, inFlight int, handle func(context.Context, *Delivery)) error {
	c := &consuming{
		b: b, config: config, handle: handle, name: b.names.consumer(config.Sensor, config.Trigger),
		inFlight: max(1, inFlight), started: time.Now(), ctx: context.WithoutCancel(ctx),
		held: map[*held]struct{}{}, wake: make(chan struct{}, 1), free: make(chan *held), quit: make(chan struct{}),
		heartbeat: heartbeatSingle, lost: true,
	}
	c.window = c.inFlight + c.inFlight/2
	if b.clustered {
		c.heartbeat = heartbeatCluster
	}
	err := b.link.pulls.add(c)
	if err == nil {
		err = c.run(ctx)
		c.stop()
	}
	if err != nil {
		return fmt.Errorf("consume for %s/%s: %w", config.Sensor, config.Trigger, err)
	}
	return nil
}

// consuming is one call of Consume.
type consuming struct {
	b                *Bus
	ctx              context.Context // of the handlers
	config           ConsumerConfig
	name             string
	inFlight, window int
	handle           func(context.Context, *Delivery)
	started          time.Time
	heartbeat        time.Duration
	inbox            string
	sub              *nats.Subscription
	wake             chan struct{} // something for run to do
	free             chan *held    // to workers that wait for more
	quit             chan struct{} // closed when no more will come
	workers          sync.WaitGroup

	mu       sync.Mutex
	stopping bool
	running  int // handlers
	queue    []*held
	held     map[*held]struct{} // everything fetched and not settled
	beat     *time.Timer        // runs while something is held
	beating  bool
	asked    int       // messages that the requests on the server still may bring
	heard    time.Time // when the server last spoke, or was spoken to
	lost     bool      // the consumer has to be looked after before the next pull
	lostAt   time.Time
	strikes  int    // since the server last spoke well
	begun    bool   // the consumer was there once
	seen     uint64 // highest sequence delivered
}

// run looks after the consumer and the requests for messages. Messages do not pass through it.
func (c *consuming) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var connection <-chan struct{} // closed when the one that the requests belong to is lost
	for {
		up, down := c.b.link.state()
		if down != connection {
			c.forget()
			connection = down
		}
		change, wait := down, time.Hour
		if closed(down) {
			if c.b.link.nc.IsClosed() {
				return nats.ErrConnectionClosed
			}
			change = up
		} else {
			wait = c.tend(ctx)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-timer.C:
		case <-change:
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tend does what is due while there is a connection, and returns when to come again.
func (c *consuming) tend(ctx context.Context) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost && c.strikes > 0 {
		if wait := backoff(c.strikes-1) - time.Since(c.lostAt); wait > 0 {
			return wait
		}
	}
	if c.lost {
		c.mu.Unlock()
		seen, err := c.lookAfter(ctx)
		c.mu.Lock()
		if err != nil {
			c.strike()
			return backoff(c.strikes - 1)
		}
		c.lost, c.begun, c.seen = false, true, max(c.seen, seen)
	}
	wait := c.listen(time.Now())
	c.fetch()
	return wait
}

// strike notes that the server gave no proper answer. c.mu is held.
func (c *consuming) strike() {
	c.lost, c.lostAt = true, time.Now()
	c.strikes++
}

func (c *consuming) awake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// forget forgets the requests of a connection that is lost.
func (c *consuming) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = 0
}

// listen forgets the requests if the server has gone silent about them, and
// returns when to look again. c.mu is held.
func (c *consuming) listen(now time.Time) time.Duration {
	patience := 2*c.heartbeat + time.Second
	left := c.heard.Add(patience).Sub(now)
	if c.asked <= 0 || left <= 0 {
		c.asked = 0
		return patience
	}
	return left
}

// fetch asks for as many messages as there is room for, but not for each single
// one. c.mu is held.
func (c *consuming) fetch() {
	want := c.window - c.running - len(c.queue) - c.asked
	if c.stopping || c.lost || want <= 0 || c.asked > 0 && want < (c.window+2)/3 {
		return
	}
	body := fmt.Appendf(nil, `{"batch":%d,"expires":%d,"idle_heartbeat":%d}`, want, pullExpiry, c.heartbeat)
	subject := "$JS.API.CONSUMER.MSG.NEXT." + c.b.names.events + "." + c.name
	if err := c.b.link.nc.PublishRequest(subject, c.inbox, body); err != nil {
		return // the connection is lost, and run is about to learn it
	}
	c.asked += want
	c.heard = time.Now()
}

// lookAfter makes sure that there is a consumer, and returns up to where it has
// been acknowledged.
func (c *consuming) lookAfter(ctx context.Context) (uint64, error) {
	var start uint64 // 0: the next event
	if c.begun {
		info, err := c.info(ctx)
		switch {
		case err == nil:
			return info.AckFloor.Stream, nil // a change of leader
		case errors.Is(err, jetstream.ErrStreamNotFound):
			c.b.restoreStreams(ctx)
		case !errors.Is(err, jetstream.ErrConsumerNotFound):
			return 0, err
		}
		if start, err = c.resume(ctx); err != nil {
			return 0, err
		}
		c.b.log.Warn("the consumer of a trigger is gone, creating it again",
			"sensor", c.config.Sensor, "trigger", c.config.Trigger, "from", start)
	}
	if err := c.b.ensureConsumer(ctx, c.config, start); err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			c.b.restoreStreams(ctx)
		}
		return 0, err
	}
	info, err := c.info(ctx)
	if err != nil {
		return 0, err
	}
	return info.AckFloor.Stream, nil
}

func (c *consuming) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	consumer, err := c.b.lookUp(ctx, c.name)
	if err != nil {
		return nil, err
	}
	return consumer.CachedInfo(), nil
}

// resume finds where a consumer that is made again has to start so that nothing
// is left out: everything in a stream that was made again too.
func (c *consuming) resume(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := c.b.js.Stream(ctx, c.b.names.events)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	info := s.CachedInfo()
	if info.Created.After(c.started) || info.State.LastSeq < c.seen {
		c.started, c.seen = time.Now(), 0
		return 1, nil
	}
	from := c.seen + 1
	for h := range c.held {
		from = min(from, h.seq)
	}
	return from, nil
}

// stop hands back what was not begun and waits for what was.
func (c *consuming) stop() {
	c.mu.Lock()
	c.stopping = true
	queue := c.queue
	c.queue = nil
	c.mu.Unlock()
	close(c.quit)
	for _, h := range queue {
		// If that fails the server delivers it again after AckWait.
		_ = h.retry(handBackDelay)
	}
	c.linger()
	// What is on its way still arrives, and is handed back as it does.
	if err := c.sub.Drain(); err != nil {
		_ = c.sub.Unsubscribe()
	}
	c.workers.Wait()
	c.b.link.pulls.remove(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.beat != nil {
		c.beat.Stop()
	}
	clear(c.held)
}

// linger stays subscribed until the server has answered the last request for
// messages. What it sends to nobody would come again only after AckWait.
func (c *consuming) linger() {
	for range 10 {
		c.mu.Lock()
		left := lingerTime - time.Since(c.heard)
		if c.asked == 0 || !c.b.link.Connected() {
			left = 0
		}
		c.mu.Unlock()
		if left <= 0 {
			return
		}
		time.Sleep(left)
	}
}
