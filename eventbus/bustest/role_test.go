package bustest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

// managedBus is a bus with roles, kept inside its server.
type managedBus struct {
	server *server.Server
	keeper *eventbus.Keeper
	link   *eventbus.Link
}

func managed(t *testing.T, limits eventbus.Limits) *managedBus {
	t.Helper()
	s := Server(t, func(c *server.Config) {
		c.Embedded, c.Private, c.Users = false, true, roleUsers(t, grownNamespace, grownBus)
	})
	m := &managedBus{server: s, link: Dial(t, eventbus.LinkConfig{InProcess: s, User: s.User().Name, Password: s.User().Password})}
	m.keeper = eventbus.Keep(m.link, eventbus.Config{Namespace: grownNamespace, Name: grownBus, Limits: limits, Log: Log(t)})
	t.Cleanup(func() {
		if err := m.keeper.Close(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the streams are there", func() bool { return m.keeper.Err() == nil })
	return m
}

func (m *managedBus) as(t *testing.T, role eventbus.Role) *eventbus.Bus {
	t.Helper()
	l := Dial(t, eventbus.LinkConfig{
		URL: m.server.URL(), User: string(role), Password: password, InboxPrefix: role.InboxPrefix(),
	})
	// Permissions that are missing show as requests without an answer.
	return Open(t, l, eventbus.Config{Namespace: grownNamespace, Name: grownBus, Managed: true, AckWait: 2 * time.Second})
}

func TestRolesDoTheirWork(t *testing.T) {
	m := managed(t, eventbus.Limits{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	source, sensor, client, controller := m.as(t, eventbus.RoleEventSource), m.as(t, eventbus.RoleSensor),
		m.as(t, eventbus.RoleClient), m.as(t, eventbus.RoleController)
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	usage := func(b *eventbus.Bus) error { _, err := b.Usage(ctx); return err }

	_, err := source.State().Put(ctx, "source/a/b/cursor", []byte("1"))
	do("source keeps state", err)
	_, _, err = source.State().Get(ctx, "source/a/b/cursor")
	do("source reads state", err)
	do("source looks", usage(source))

	do("sensor makes a consumer", sensor.EnsureConsumer(ctx, trigger))
	one := trigger
	one.From = nil // a single filter goes another way
	one.Trigger = "one"
	do("sensor makes a consumer with one filter", sensor.EnsureConsumer(ctx, one))
	changed := trigger
	changed.From = []eventbus.Address{hook, tick}
	do("sensor changes a consumer", sensor.EnsureConsumer(ctx, changed))
	c := consume(t, sensor, changed, 2)
	publish(t, source, hook, "1")
	do("sensor retries", c.next().Retry(time.Millisecond))
	do("sensor acknowledges", c.next().DoneSync())
	publish(t, sensor, tick, "2")
	publish(t, client, hook, "3")
	for range 2 {
		do("sensor acknowledges", c.next().Done())
	}
	state := sensor.State()
	revision, err := state.Create(ctx, "sensor/a/b", []byte("1"))
	do("sensor creates state", err)
	_, err = state.Update(ctx, "sensor/a/b", []byte("2"), revision)
	do("sensor changes state", err)
	_, err = state.Keys(ctx, "sensor/a")
	do("sensor lists state", err)
	do("sensor deletes state", state.Delete(ctx, "sensor/a/b"))
	_, err = sensor.Consumers(ctx)
	do("sensor looks", err)
	do("sensor looks", usage(sensor))
	dead := letter("0123456789", trigger.Sensor, time.Now())
	do("sensor keeps a dead letter", sensor.DeadLetters().Put(ctx, dead))
	_, err = sensor.DeadLetters().Get(ctx, dead.ID)
	do("sensor reads a dead letter", err)

	_, err = client.DeadLetters().List(ctx, eventbus.DeadFilter{})
	do("client lists dead letters", err)
	do("client redrives", client.DeadLetters().Redrive(ctx, dead.ID[:8]))
	d := c.next()
	want(t, "redrive", d.Redrive, dead.ID)
	do("sensor acknowledges a redrive", d.DoneSync())
	infos, err := client.Consumers(ctx)
	do("client lists consumers", err)
	want(t, "consumers", len(infos), 2)
	do("client looks", usage(client))
	do("client drops", client.DeadLetters().Drop(ctx, dead.ID))
	do("sensor keeps another", sensor.DeadLetters().Put(ctx, dead))
	do("sensor drops it", sensor.DeadLetters().Drop(ctx, dead.ID))

	c.stop()
	_, err = controller.RemoveConsumer(ctx, trigger.Sensor, trigger.Trigger)
	do("controller removes a consumer", err)
	_, err = sensor.State().Put(ctx, "sensor/x", nil)
	do("sensor puts state", err)
	do("controller removes state", controller.State().Delete(ctx, "sensor/x"))
	keys, err := controller.State().Keys(ctx, "")
	do("controller lists state", err)
	want(t, "keys", keys, []string{"source/a/b/cursor"})
	_, err = controller.Consumers(ctx)
	do("controller looks", err)
}

// TestRolesDoNothingElse asks the server for what a role must not do.
func TestRolesDoNothingElse(t *testing.T) {
	m := managed(t, eventbus.Limits{})
	publish(t, m.as(t, eventbus.RoleEventSource), hook, "1")
	const (
		events, dead, state = "EVENTS_ns_my-bus", "DEAD_ns_my-bus", "KV_STATE_ns_my-bus"
		subject             = "events.ns.my-bus.webhook.example"
	)
	forAll := []string{ // every role but the controller
		"$JS.API.STREAM.PURGE." + events, "$JS.API.STREAM.DELETE." + events, "$JS.API.STREAM.UPDATE." + events,
		"$JS.API.STREAM.CREATE." + events, "$JS.API.STREAM.MSG.DELETE." + events, "$JS.API.STREAM.SNAPSHOT." + events,
		"$JS.API.STREAM.DELETE." + dead, "$JS.API.STREAM.UPDATE." + state, "$JS.API.STREAM.MSG.DELETE." + dead,
		"$JS.API.CONSUMER.DELETE." + events + ".sensor_trigger", "$JS.API.STREAM.LEADER.STEPDOWN." + events,
	}
	everybody := []string{
		"$JS.API.STREAM.CREATE.mine", "$JS.API.STREAM.INFO.EVENTS_ns_other", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.INFO",
		"$JS.API.STREAM.PURGE.EVENTS_ns_other", "events.ns.other.a.b", "events.other.my-bus.a.b", "$KV.STATE_ns_other.source.a", "dead.ns.other.a",
		"$SYS.REQ.SERVER.PING", "$JS.API.META.LEADER.STEPDOWN", "$JS.API.ACCOUNT.PURGE.$G",
		"_INBOX.x", "_INBOX_controller.x", "_INBOX_sensor.x", "_INBOX_client.x", "anything",
	}
	consume := []string{
		"$JS.API.CONSUMER.CREATE." + events + ".mine", "$JS.API.CONSUMER.DURABLE.CREATE." + events + ".mine",
		"$JS.API.CONSUMER.MSG.NEXT." + events + ".sensor_trigger", "$JS.ACK." + events + ".sensor_trigger.1.1.1.1.1",
	}
	read := []string{"$JS.API.STREAM.MSG.GET." + events, "$JS.API.DIRECT.GET." + events, "$JS.API.STREAM.MSG.GET." + dead, "$JS.API.CONSUMER.LIST." + events}
	for _, c := range []struct {
		role      eventbus.Role
		publish   []string
		subscribe []string
	}{
		{
			eventbus.RoleEventSource,
			append(append(append([]string{"dead.ns.my-bus.a", "redrive.ns.my-bus.a.b", "$KV.STATE_ns_my-bus.sensor.a", "$JS.API.STREAM.PURGE." + state, "$JS.API.STREAM.PURGE." + dead}, forAll...), consume...), read...),
			nil,
		},
		{eventbus.RoleSensor, append([]string{"redrive.ns.my-bus.a.b", "$KV.STATE_ns_my-bus.source.a"}, forAll...), nil},
		{
			eventbus.RoleClient,
			append(append([]string{"$KV.STATE_ns_my-bus.sensor.a", "$JS.API.STREAM.PURGE." + state, "$JS.API.STREAM.MSG.GET." + state}, forAll...), consume...),
			nil,
		},
		{eventbus.RoleController, nil, nil},
	} {
		t.Run(string(c.role), func(t *testing.T) {
			refusals := make(chan string, 1)
			nc, err := nats.Connect(m.server.URL(), nats.UserInfo(string(c.role), password), nats.CustomInboxPrefix(c.role.InboxPrefix()),
				nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
					if errors.Is(err, nats.ErrPermissionViolation) {
						refusals <- err.Error()
					}
				}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			refused := func(verb, subject string, err error) {
				t.Helper()
				if err = errors.Join(err, nc.Flush()); err != nil {
					t.Fatal(err)
				}
				select {
				case text := <-refusals:
					if !strings.Contains(text, subject) {
						t.Errorf("refused is not %s: %s", subject, text)
					}
				case <-time.After(time.Second): // the client tells of it in its own time
					t.Errorf("may %s %s", verb, subject)
				}
			}
			for _, s := range append(c.publish, everybody...) {
				refused("publish to", s, nc.Publish(s, []byte("{}")))
			}
			for _, s := range []string{">", subject, "events.>", "$JS.API.>", "_INBOX.>", "_INBOX_other.>", "$SYS.>", "room.ns.my-bus", "$KV.>"} {
				_, err := nc.Subscribe(s, func(*nats.Msg) {})
				refused("subscribe to", s, err)
			}
			for _, other := range eventbus.Roles() {
				if other == c.role {
					continue
				}
				_, err := nc.Subscribe(other.InboxPrefix()+".>", func(*nats.Msg) {})
				refused("subscribe to", other.InboxPrefix()+".>", err)
			}
		})
	}
	nc, err := nats.Connect(m.server.URL(), nats.UserInfo("controller", password), nats.CustomInboxPrefix("_INBOX_controller"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), events)
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Fatalf("the event is not there any more: %v", err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatalf("the controller cannot purge: %v", err)
	}
	for _, login := range [][2]string{{"client", "wrong"}, {"client", ""}, {"", ""}, {"other", password}, {"signalbox", password}} {
		if nc, err := nats.Connect(m.server.URL(), nats.UserInfo(login[0], login[1])); err == nil {
			nc.Close()
			t.Errorf("%q connects with %q", login[0], login[1])
		}
	}
}

func TestUnknownRole(t *testing.T) {
	if _, err := eventbus.Role("admin").Rights("a", "b"); err == nil {
		t.Fatal("it has rights")
	}
}

func TestManagedBusIsWaitedFor(t *testing.T) {
	s := Server(t)
	l := Link(t, s)
	config := eventbus.Config{Namespace: "a", Name: "b", Managed: true, Log: Log(t)}
	for wait := 300 * time.Millisecond; ; wait *= 2 { // the server has to answer within
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err := eventbus.Open(ctx, l, config)
		cancel()
		wantError(t, err, eventbus.ErrUnavailable)
		if strings.Contains(err.Error(), "EVENTS_a_b does not exist yet; signalbox bus makes it") {
			break
		}
		if wait > patience {
			t.Fatal(err)
		}
	}
	opened := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		b, err := eventbus.Open(ctx, l, config)
		if err == nil {
			err = b.Close()
		}
		opened <- err
	}()
	k := eventbus.Keep(Link(t, s), eventbus.Config{Namespace: "a", Name: "b", Log: Log(t)})
	if err := errors.Join(<-opened, k.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestManagedClientsAskForRoom(t *testing.T) {
	m := managed(t, eventbus.Limits{MaxMsgs: 20})
	source, sensor := m.as(t, eventbus.RoleEventSource), m.as(t, eventbus.RoleSensor)
	ensure(t, sensor, trigger)
	n := 0
	put := func() error {
		n++
		return source.Publish(t.Context(), hook, fmt.Sprint(n), Event(fmt.Sprint(n)))
	}
	for range 20 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, put(), eventbus.ErrFull)
	drain(t, sensor)
	for i := range 50 {
		if err := put(); err != nil {
			t.Fatalf("event %d after everything was processed: %v", i, err)
		}
		if i%10 == 9 {
			drain(t, sensor)
		}
	}
	if err := m.keeper.Close(); err != nil { // again at the end, which does no harm
		t.Fatal(err)
	}
	for put() == nil {
		if n > 200 {
			t.Fatal("somebody else purges")
		}
	}
}

func TestKeeperFollowsTheLimits(t *testing.T) {
	m := managed(t, eventbus.Limits{MaxMsgs: 20})
	js, err := jetstream.New(connectInside(t, m.server))
	if err != nil {
		t.Fatal(err)
	}
	config := func() jetstream.StreamConfig {
		s, err := js.Stream(t.Context(), "EVENTS_ns_my-bus")
		if err != nil {
			return jetstream.StreamConfig{}
		}
		return s.CachedInfo().Config
	}
	m.keeper.Change(eventbus.Limits{MaxMsgs: 30, MaxBytes: 1 << 20, Duplicates: time.Minute})
	eventually(t, "the limits are changed", func() bool {
		c := config()
		return c.MaxMsgs == 30 && c.MaxBytes == 1<<20 && c.Duplicates == time.Minute
	})
	if err := js.DeleteStream(t.Context(), "EVENTS_ns_my-bus"); err != nil {
		t.Fatal(err)
	}
	m.keeper.Change(eventbus.Limits{MaxMsgs: 40})
	eventually(t, "a stream that is gone is made again", func() bool { return config().MaxMsgs == 40 })
}

func connectInside(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(s.User().Name, s.User().Password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
