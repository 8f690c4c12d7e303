package busnode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
}

func object(streamConfig string) string {
	return "apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata:\n  name: main\n  namespace: team\nspec:\n  jetstream:\n" +
		"    version: latest\n    streamConfig: |\n      " + streamConfig + "\n"
}

// member is a running member with files as a pod has them.
type member struct {
	t                  *testing.T
	dir, auth, file    string
	url, admin, caFile string
	out                bytes.Buffer
	cfg                Config
}

func newMember(t *testing.T) *member {
	t.Helper()
	dir := t.TempDir()
	m := &member{t: t, dir: dir, auth: filepath.Join(dir, "auth"), file: filepath.Join(dir, "eventbus.yaml")}
	if err := os.Mkdir(m.auth, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, r := range eventbus.Roles() {
		put(t, filepath.Join(m.auth, string(r)), "pw-"+string(r))
	}
	put(t, filepath.Join(m.auth, "cluster-password"), "pw-cluster")
	ca := bustest.NewAuthority(t, "ca")
	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(m.auth, "ca.crt"), string(pem))
	ca.Sign(t, m.auth)
	m.caFile = ca.File
	put(t, m.file, object("maxMsgs: 100"))
	addrs := make([]string, 3)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // on this machine
		if err != nil {
			t.Fatal(err)
		}
		addrs[i] = l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(addrs[1])
	m.url, m.admin = "tls://"+addrs[0], "http://"+addrs[2]
	m.cfg = Config{
		EventBus: m.file, AuthDir: m.auth, AdminAddr: addrs[2], Out: &m.out, Log: slog.New(slog.DiscardHandler), Version: "v", Commit: "c",
		Server: server.Config{
			DataDir: filepath.Join(dir, "data"), Listen: addrs[0], Name: "localhost",
			Cluster: &server.Cluster{Name: "c", Listen: addrs[1], Routes: []string{"nats://localhost:" + port}},
		},
	}
	return m
}

// run returns what stops it.
func (m *member) run() (stop func()) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, m.cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	m.t.Cleanup(stop)
	eventually(m.t, "ready", func() bool { return m.ready().Ready })
	return stop
}

func (m *member) get(path string) (int, string) {
	r, err := http.Get(m.admin + path) //nolint:noctx // on this machine
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close() //nolint:errcheck // read
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err.Error()
	}
	return r.StatusCode, string(b)
}

func (m *member) ready() (r Readiness) {
	code, text := m.get("/readyz")
	if json.Unmarshal([]byte(text), &r) != nil || r.Ready != (code == http.StatusOK) {
		return Readiness{}
	}
	return r
}

func (m *member) link(role eventbus.Role, password string) *eventbus.Link {
	return bustest.Dial(m.t, eventbus.LinkConfig{
		URL: m.url, User: string(role), Password: password, InboxPrefix: role.InboxPrefix(), CAFile: m.caFile,
	})
}

func (m *member) open(role eventbus.Role) *eventbus.Bus {
	return bustest.Open(m.t, m.link(role, "pw-"+string(role)), eventbus.Config{Namespace: "team", Name: "main", Managed: true})
}

func TestAMember(t *testing.T) {
	m := newMember(t)
	stop := m.run()
	r := m.ready()
	if r.Server != "localhost" || r.Leader != "localhost" || len(r.Streams) != 3 || len(r.Problems) > 0 {
		t.Errorf("ready: %+v", r)
	}
	if code, _ := m.get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	source, sensor := m.open(eventbus.RoleEventSource), m.open(eventbus.RoleSensor)
	publish := func(id string) error {
		return source.Publish(t.Context(), eventbus.Address{Source: "s", Event: "e"}, id, bustest.Event(id))
	}
	if err := publish("1"); err != nil {
		t.Fatal(err)
	}
	if err := sensor.DeadLetters().Put(t.Context(), &eventbus.DeadLetter{ID: "0123456789", Sensor: "s", Trigger: "t"}); err != nil {
		t.Fatal(err)
	}
	_, text := m.get("/metrics")
	labels := `eventbus_name="main",namespace="team"`
	for _, line := range []string{
		"signalbox_bus_ready{" + labels + "} 1", "signalbox_bus_cluster_leader{" + labels + "} 1",
		"signalbox_bus_stream_messages{" + labels + `,stream="events"} 1`, "signalbox_bus_stream_messages{" + labels + `,stream="dead"} 1`,
		"signalbox_bus_stream_replicas_in_sync{" + labels + `,stream="state"} 1`, "signalbox_bus_dead_letters{" + labels + "} 1",
		"signalbox_bus_members_connected{" + labels + "} 0", "signalbox_bus_slow_consumers_total{" + labels + "} 0",
		"signalbox_bus_connections{" + labels + "} 3", "signalbox_bus_store_used_bytes{", "signalbox_bus_store_limit_bytes{",
		"signalbox_bus_stream_bytes{", "signalbox_bus_stream_consumers{", `build_info{commit="c",version="v"} 1`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("metrics lack %s", line)
		}
	}

	put(t, m.file, object("maxMsgs: 7"))
	n := 0
	eventually(t, "the changed limit counts", func() bool {
		for range 20 {
			n++
			_ = publish(fmt.Sprint("x", n)) // may be refused, as others are in work
		}
		u, err := source.Usage(t.Context())
		return err == nil && u.Events <= 7
	})
	put(t, m.file, "kind: EventBus\n")
	put(t, filepath.Join(m.auth, "sensor"), "another")
	eventually(t, "the changed password counts", func() bool { return m.link(eventbus.RoleSensor, "another").Connected() })
	if m.link(eventbus.RoleSensor, "wrong").Connected() {
		t.Error("any password will do")
	}
	put(t, m.file, object("maxMsgs: 7"))
	stop()
	if !strings.Contains(m.out.String(), "bus listens on ") {
		t.Errorf("printed: %s", m.out.String())
	}
	if code, text := m.get("/healthz"); code != 0 {
		t.Errorf("admin stays: %d %s", code, text)
	}

	m.run() // again, with the data
	eventually(t, "the events are there", func() bool {
		u, err := source.Usage(t.Context())
		return err == nil && u.Events > 0 && u.DeadLetters == 1
	})
}

func TestAMemberWithoutOthersIsNotReady(t *testing.T) {
	m := newMember(t)
	m.cfg.Server.Cluster.Routes = append(m.cfg.Server.Cluster.Routes, "nats://other-1.invalid:6222", "nats://other-2.invalid:6222")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, m.cfg) }()
	eventually(t, "it says why", func() bool {
		code, text := m.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "0 of 2 other members are connected") &&
			strings.Contains(text, "JetStream is still recovering")
	})
	if code, _ := m.get("/healthz"); code != http.StatusOK {
		t.Error("it is alive all the same")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestWrongConfigurations(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(t *testing.T, m *member)
	}{
		{"no file", "want one valid EventBus", func(_ *testing.T, m *member) { m.cfg.EventBus += "x" }},
		{"another kind of bus", "names a server elsewhere", func(t *testing.T, m *member) {
			put(t, m.file, strings.Replace(object("x"), "spec:\n  jetstream:\n    version: latest\n    streamConfig: |\n      x\n", "spec:\n  jetstreamExotic:\n    url: nats://x:4222\n", 1))
		}},
		{"broken", "want one valid EventBus", func(t *testing.T, m *member) { put(t, m.file, object("maxMsgs: [")) }},
		{"no password", "sensor", func(t *testing.T, m *member) {
			if err := os.Remove(filepath.Join(m.auth, "sensor")); err != nil {
				t.Fatal(err)
			}
		}},
		{"empty password", "client is empty", func(t *testing.T, m *member) { put(t, filepath.Join(m.auth, "client"), "\n") }},
		{"no users", "nobody could connect", func(_ *testing.T, m *member) { m.cfg.AuthDir = "" }},
		{"admin address", "--admin-addr", func(_ *testing.T, m *member) { m.cfg.AdminAddr = "nowhere" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMember(t)
			c.change(t, m)
			if err := Run(t.Context(), m.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestNamesInRoutes(t *testing.T) {
	const domain = ".eventbus-main.team.svc:6222"
	for _, c := range []struct {
		name                 string
		routes               []string
		listen               string
		alone                bool
		advertise, toClients string
	}{
		{"one", []string{"eventbus-main-0" + domain}, ":4222", true, "eventbus-main-0" + domain, "eventbus-main-0.eventbus-main.team.svc:4222"},
		{
			"three",
			[]string{"eventbus-main-0" + domain, "eventbus-main-1" + domain, "eventbus-main-2" + domain},
			":4222", false,
			"eventbus-main-0" + domain, "eventbus-main-0.eventbus-main.team.svc:4222",
		},
		{"only another", []string{"eventbus-main-00" + domain}, ":4222", false, "", ""},
		{"random port", []string{"eventbus-main-0" + domain}, ":0", true, "eventbus-main-0" + domain, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMember(t)
			s := &m.cfg.Server
			s.Name, s.Listen, s.Cluster.Routes = "eventbus-main-0", c.listen, nil
			for _, r := range c.routes {
				s.Cluster.Routes = append(s.Cluster.Routes, "nats://"+r)
			}
			n := &node{cfg: m.cfg}
			if err := n.prepare(); err != nil {
				t.Fatal(err)
			}
			got := n.cfg.Server
			if got.Cluster.Alone != c.alone || got.Cluster.Advertise != c.advertise || got.Advertise != c.toClients {
				t.Fatalf("alone %v, advertise %q, to clients %q", got.Cluster.Alone, got.Cluster.Advertise, got.Advertise)
			}
			if n.limits(eventbus.Limits{}).Replicas != len(c.routes) {
				t.Fatalf("replicas %d", n.limits(eventbus.Limits{}).Replicas)
			}
		})
	}
}
