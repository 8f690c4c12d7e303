package bustest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

// pods are the members of a bus as a StatefulSet has them: TLS everywhere, roles,
// a keeper in each, and the same addresses and folders after a restart.
type pods struct {
	t       *testing.T
	ca      *Authority
	tls     server.TLSFiles
	clients []string // addresses
	members []string
	dirs    []string
	running []*pod
}

type pod struct {
	*server.Server
	link   *eventbus.Link
	keeper *eventbus.Keeper
}

const (
	grownNamespace, grownBus = "ns", "my-bus"
	password                 = "secret"
)

func newPods(t *testing.T) *pods {
	t.Helper()
	if testing.Short() {
		t.Skip("a cluster takes a while")
	}
	addrs := freeAddrs(t, 6)
	p := &pods{t: t, ca: NewAuthority(t, "ca"), clients: addrs[:3], members: addrs[3:], running: make([]*pod, 3)}
	p.tls = p.ca.Sign(t, t.TempDir())
	for range 3 {
		p.dirs = append(p.dirs, t.TempDir())
	}
	t.Cleanup(func() {
		for i := range p.running {
			p.stop(i, true)
		}
	})
	return p
}

func roleUsers(t *testing.T, namespace, name string) []server.User {
	t.Helper()
	var list []server.User
	for _, r := range eventbus.Roles() {
		rights, err := r.Rights(namespace, name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, server.User{Name: string(r), Password: password, Publish: rights.Publish, Subscribe: rights.Subscribe})
	}
	return list
}

// start starts member i of a bus that has size members.
func (p *pods) start(i, size int) {
	p.t.Helper()
	cluster := &server.Cluster{Name: "c", Listen: p.members[i], User: "route", Password: password, TLS: &p.tls, Alone: size == 1}
	for _, m := range p.members[:size] {
		_, port, err := net.SplitHostPort(m)
		if err != nil {
			p.t.Fatal(err)
		}
		cluster.Routes = append(cluster.Routes, "nats://localhost:"+port)
	}
	s, err := server.Start(server.Config{
		DataDir: p.dirs[i], Listen: p.clients[i], Name: fmt.Sprintf("bus-%d", i), Private: true,
		Users: roleUsers(p.t, grownNamespace, grownBus), TLS: &p.tls, Cluster: cluster, Log: Log(p.t),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	one := &pod{Server: s}
	p.running[i] = one
	if one.link, err = eventbus.Dial(p.t.Context(), eventbus.LinkConfig{
		InProcess: s, User: s.User().Name, Password: s.User().Password, Log: Log(p.t),
	}); err != nil {
		p.t.Fatal(err)
	}
	one.keeper = eventbus.Keep(one.link, eventbus.Config{
		Namespace: grownNamespace, Name: grownBus, Log: Log(p.t), Limits: eventbus.Limits{Replicas: size},
	})
}

// stop stops member i; at once: without handing anything over.
func (p *pods) stop(i int, atOnce bool) {
	p.t.Helper()
	one := p.running[i]
	if one == nil {
		return
	}
	p.running[i] = nil
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if atOnce {
		cancel()
	}
	err := errors.Join(one.keeper.Close(), one.link.Close())
	if down := one.Shutdown(ctx); !atOnce {
		err = errors.Join(err, down)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// ready is what makes a pod ready.
func (p *pods) ready(i int) bool {
	s := p.running[i]
	return s.Status().Problem == "" && s.keeper.Err() == nil
}

func (p *pods) url(size int) string {
	var url string
	for _, a := range p.clients[:size] {
		url += ",tls://" + a
	}
	return url[1:]
}

// open connects as a role.
func (p *pods) open(role eventbus.Role, size int) *eventbus.Bus {
	p.t.Helper()
	l := Dial(p.t, eventbus.LinkConfig{
		URL: p.url(size), User: string(role), Password: password, InboxPrefix: role.InboxPrefix(), CAFile: p.ca.File,
	})
	return Open(p.t, l, eventbus.Config{Namespace: grownNamespace, Name: grownBus, Managed: true})
}

// inSync tells whether all three streams have so many replicas that are up to date.
func (p *pods) inSync(replicas int) bool {
	found := 0
	for _, s := range p.running {
		if s == nil {
			continue
		}
		for _, stream := range s.Status().Streams {
			if stream.Leader && stream.Replicas == replicas && stream.InSync == replicas {
				found++
			}
		}
	}
	return found == 3
}

func TestABusOfOneGrowsToThree(t *testing.T) {
	p := newPods(t)
	p.start(0, 1)
	eventually(t, "a bus of one is ready", func() bool { return p.ready(0) && p.inSync(1) })
	source, sensor := p.open(eventbus.RoleEventSource, 1), p.open(eventbus.RoleSensor, 1)
	ensure(t, sensor, trigger)
	ids := make([]string, 20)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	publish(t, source, hook, ids[:10]...)
	c := consume(t, sensor, trigger, 1)
	for range 5 {
		if err := c.next().DoneSync(); err != nil {
			t.Fatal(err)
		}
	}
	c.stop()
	if _, err := sensor.State().Put(t.Context(), "sensor/x", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := sensor.DeadLetters().Put(t.Context(), letter("0123456789", "s", Event("x").Time())); err != nil {
		t.Fatal(err)
	}

	p.stop(0, false)
	p.start(0, 3) // two others are named, and not there yet
	eventually(t, "the first one works alone", func() bool { return p.running[0].Status().Problem == "" })
	publish(t, source, hook, ids[10:15]...)
	if p.running[0].keeper.Err() == nil {
		t.Fatal("one member is said to be three")
	}
	p.start(1, 3)
	p.start(2, 3)
	eventually(t, "all streams have three replicas in sync", func() bool {
		return p.inSync(3) && p.ready(0) && p.ready(1) && p.ready(2)
	})

	source, sensor = p.open(eventbus.RoleEventSource, 3), p.open(eventbus.RoleSensor, 3)
	p.stop(0, true)
	publish(t, source, hook, ids[15:]...)
	seen := map[string]bool{}
	c = consume(t, sensor, trigger, 1)
	for len(seen) < 15 {
		d := c.next()
		seen[d.Event.ID()] = true
		if err := d.DoneSync(); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids[:5] {
		if seen[id] {
			t.Errorf("event %s, which was acknowledged, came again", id)
		}
	}
	if v, _, err := sensor.State().Get(t.Context(), "sensor/x"); err != nil || string(v) != "kept" {
		t.Fatalf("state: %q, %v", v, err)
	}
	if _, err := sensor.DeadLetters().Get(t.Context(), "0123456789"); err != nil {
		t.Fatal(err)
	}
	if p.running[1].Status().Problem != "" || p.running[2].Status().Problem != "" {
		t.Fatal("the two that are left are not well")
	}
}

func TestRollingRestartLosesNothing(t *testing.T) {
	p := newPods(t)
	for i := range 3 {
		p.start(i, 3)
	}
	eventually(t, "all are ready", func() bool { return p.ready(0) && p.ready(1) && p.ready(2) && p.inSync(3) })
	source, sensor := p.open(eventbus.RoleEventSource, 3), p.open(eventbus.RoleSensor, 3)
	ensure(t, sensor, trigger)
	var mu sync.Mutex
	seen := map[string]int{}
	start(t, sensor, trigger, 16, func(_ context.Context, d *eventbus.Delivery) {
		mu.Lock()
		seen[d.Event.ID()]++
		mu.Unlock()
		_ = d.DoneSync() // if this fails it comes again
	})
	var rolled atomic.Bool
	var published, refused atomic.Int64
	var load sync.WaitGroup
	for n := range 4 {
		load.Go(func() {
			for i := 0; !rolled.Load(); i++ {
				id := fmt.Sprintf("%d-%d", n, i)
				for source.Publish(t.Context(), hook, id, Event(id)) != nil {
					if refused.Add(1) > 1000 {
						t.Error("nothing can be published any more")
						return
					}
				}
				published.Add(1)
				pause(t.Context(), 10*time.Millisecond)
			}
		})
	}
	for i := 2; i >= 0; i-- {
		before := published.Load()
		p.stop(i, false)
		p.start(i, 3)
		eventually(t, "it is ready again", func() bool { return p.ready(i) })
		// A publisher may have waited for all that time for the member that went.
		eventually(t, "publishing goes on", func() bool { return published.Load() > before })
	}
	rolled.Store(true)
	load.Wait()
	// A member that is killed takes deliveries with it, which come again after
	// AckWait, and more than once if the next one is restarted meanwhile.
	for end := time.Now().Add(patience); ; pause(t.Context(), 20*time.Millisecond) {
		mu.Lock()
		got := int64(len(seen))
		mu.Unlock()
		if got == published.Load() {
			break
		}
		if time.Now().After(end) {
			infos, err := sensor.Consumers(t.Context())
			t.Fatalf("%d of %d arrived; consumers %+v, %v", got, published.Load(), infos, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for _, n := range seen {
		twice += n - 1
	}
	t.Logf("%d events, %d delivered again, %d publishes refused", len(seen), twice, refused.Load())
}
