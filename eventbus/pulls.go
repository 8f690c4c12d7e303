package eventbus

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// deliveryBuffer is how many messages may wait for the reader. It only passes
// them on, so they are few.
const deliveryBuffer = 8192

// pulls hands messages to the consumers they were fetched for. Each consumer has
// a subscription of its own, so that the server forgets its requests when it
// stops, but all share one channel and one goroutine.
type pulls struct {
	nc   *nats.Conn
	c    chan *nats.Msg
	quit chan struct{}
	done chan struct{}

	mu        sync.Mutex
	consumers map[*nats.Subscription]*consuming
}

func newPulls(nc *nats.Conn) *pulls {
	p := &pulls{
		nc: nc, c: make(chan *nats.Msg, deliveryBuffer), quit: make(chan struct{}), done: make(chan struct{}),
		consumers: map[*nats.Subscription]*consuming{},
	}
	go p.run()
	return p
}

// stop is to be called once the connection is closed.
func (p *pulls) stop() {
	close(p.quit)
	<-p.done
}

func (p *pulls) run() {
	defer close(p.done)
	for {
		var m *nats.Msg
		select {
		case m = <-p.c:
		case <-p.quit:
			return
		}
		p.mu.Lock()
		c := p.consumers[m.Sub]
		p.mu.Unlock()
		if c == nil || !c.receive(m) {
			p.giveBack(m)
		}
	}
}

// giveBack returns a message that came after its consumer had stopped. If that
// fails the server does it, later.
func (p *pulls) giveBack(m *nats.Msg) {
	if m.Reply != "" {
		_ = p.nc.Publish(m.Reply, nak(handBackDelay))
	}
}

func (p *pulls) add(c *consuming) error {
	c.inbox = p.nc.NewInbox()
	sub, err := p.nc.ChanSubscribe(c.inbox, p.c)
	if err != nil {
		return err
	}
	c.sub = sub
	p.mu.Lock()
	p.consumers[sub] = c
	p.mu.Unlock()
	return nil
}

func (p *pulls) remove(c *consuming) {
	p.mu.Lock()
	delete(p.consumers, c.sub)
	p.mu.Unlock()
}
