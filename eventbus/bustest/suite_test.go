package bustest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

// envServer makes the test binary a server: "<data dir> <listen>".
const envServer = "SIGNALBOX_BUSTEST_SERVER"

func TestMain(m *testing.M) {
	if args := os.Getenv(envServer); args != "" {
		dir, listen, _ := strings.Cut(args, " ")
		c := server.Config{DataDir: dir, Listen: listen, Users: users, Fsync: server.Fsync{Always: true}}
		if _, err := server.Start(c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var users = []server.User{{Name: "u", Password: "p"}}

func dialUser(url string) func(testing.TB) *eventbus.Link {
	return func(t testing.TB) *eventbus.Link {
		return Dial(t, eventbus.LinkConfig{URL: url, User: "u", Password: "p"})
	}
}

func TestEmbedded(t *testing.T) {
	s := Server(t, func(c *server.Config) { c.Fsync = server.Fsync{Always: true} })
	Run(t, Env{Link: func(t testing.TB) *eventbus.Link { return Link(t, s) }})
}

func TestTCP(t *testing.T) {
	s := Server(t, func(c *server.Config) { c.Embedded, c.Users = false, users })
	Run(t, Env{Link: dialUser(s.URL())})
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a while")
	}
	Run(t, Env{Link: dialUser(urls(cluster(t)))})
}

func TestEmbeddedServerRestarts(t *testing.T) {
	s := Server(t, func(c *server.Config) { c.Fsync = server.Fsync{Always: true} })
	Survive(t, Env{Link: func(t testing.TB) *eventbus.Link { return Link(t, s) }}, func() {
		for range 2 {
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestServerIsKilled(t *testing.T) {
	dir, addr := t.TempDir(), freeAddrs(t, 1)[0]
	kill := serve(t, dir, addr)
	Survive(t, Env{Link: dialUser("nats://" + addr)}, func() {
		for range 2 {
			kill()
			kill = serve(t, dir, addr)
		}
	})
	kill()
}

func TestClusterLosesTheLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a while")
	}
	servers := cluster(t)
	Survive(t, Env{Link: dialUser(urls(servers))}, func() {
		name := leader(t, urls(servers))
		for i, s := range servers {
			if name != fmt.Sprintf("bus-%d", i) {
				continue
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errors.New("at once"))
			if err := s.Shutdown(ctx); err == nil {
				t.Error("shut down at once was not")
			}
			return
		}
		t.Errorf("no server is the leader %q", name)
	})
}

// leader names the server that leads the only stream of events.
func leader(t *testing.T, urls string) string {
	t.Helper()
	nc, err := nats.Connect(urls, nats.UserInfo("u", "p"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	info, there := <-js.ListStreams(t.Context(), jetstream.WithStreamListSubject("events.>")).Info()
	if !there {
		t.Fatal("there is no stream")
	}
	if info.Config.Replicas != 3 {
		t.Errorf("stream %s has %d replicas", info.Config.Name, info.Config.Replicas)
	}
	return info.Cluster.Leader
}

func TestStoreOfTheServerIsFull(t *testing.T) {
	s := Server(t, func(c *server.Config) { c.MaxStore = 2 << 20 })
	b := Open(t, Link(t, s), eventbus.Config{})
	ensure(t, b, trigger)
	e := Event("0")
	e.DataEncoded = make([]byte, 50<<10)
	put := func(i int) error { return b.Publish(t.Context(), hook, fmt.Sprint(i), e) }
	stored := 0
	var err error
	for err == nil && stored < 100 {
		if err = put(stored); err == nil {
			stored++
		}
	}
	wantError(t, err, eventbus.ErrFull)
	if stored < 35 {
		t.Fatalf("full after %d events", stored)
	}
	wantError(t, b.DeadLetters().Put(t.Context(), letter("x", "s", e.Time())), eventbus.ErrFull)
	drain(t, b)
	for i := range stored {
		if err := put(1000 + i); err != nil {
			t.Fatalf("event %d after everything was processed: %v", i, err)
		}
		if i%8 == 7 {
			drain(t, b)
		}
	}
}

// serve runs a server in a process of its own and returns what kills it.
func serve(t *testing.T, dir, addr string) func() {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envServer+"="+dir+" "+addr)
	cmd.Stderr = os.Stderr
	if !testing.Verbose() {
		cmd.Stderr = nil
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	return func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
		_ = stdin.Close()
	}
}

// cluster starts three servers that know each other.
func cluster(t testing.TB) []*server.Server {
	t.Helper()
	addrs := freeAddrs(t, 3)
	routes := make([]string, len(addrs))
	for i, a := range addrs {
		routes[i] = "nats://" + a
	}
	servers := make([]*server.Server, 0, len(addrs))
	for i := range addrs {
		s, err := server.Start(server.Config{
			DataDir: t.TempDir(), Name: fmt.Sprintf("bus-%d", i), Users: users, Log: Log(t),
			Cluster: &server.Cluster{Name: "bus", Listen: addrs[i], Routes: routes, User: "route", Password: "secret"},
		})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
		t.Cleanup(func() {
			// All of them go, so there is nobody to hand over to.
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = s.Shutdown(ctx)
		})
	}
	for _, s := range servers {
		eventually(t, "the cluster is up", func() bool { return s.Healthy() == nil })
	}
	return servers
}

// freeAddrs finds ports that were free a moment ago.
func freeAddrs(t testing.TB, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		addrs[i] = l.Addr().String()
	}
	return addrs
}

func urls(servers []*server.Server) string {
	list := make([]string, len(servers))
	for i, s := range servers {
		list[i] = s.URL()
	}
	return strings.Join(list, ",")
}
