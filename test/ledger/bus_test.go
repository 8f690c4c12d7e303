package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/test/proc"
)

// bus is a "signalbox bus" that can be started again at the same address.
type bus struct {
	t    *testing.T
	addr string
	args []string
}

func newBus(t *testing.T, args ...string) *bus {
	b := &bus{t: t, addr: freeAddr(t)}
	b.args = append([]string{"bus", "--listen", b.addr, "--data-dir", t.TempDir()}, args...)
	return b
}

func (b *bus) url() string { return "nats://" + b.addr }

func (b *bus) start() *proc.Process {
	b.t.Helper()
	p := startProcess(b.t, b.args...)
	until(b.t, "bus listens", func() bool { return strings.Contains(p.Out(), "bus listens on") || p.Exited() })
	return p
}

// replica makes a sensor's actions tell which process did them: a header from a
// folder of secrets that each process has its own of.
const replica = `
            - {src: {dependencyName: push, dataKey: body.id}, dest: id}
          secureHeaders:
            - {name: X-Replica, valueFrom: {secretKeyRef: {name: replica, key: name}}}`

func secretsDir(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "replica"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "replica", "name"), []byte(name), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTwoProcessesShareASensor(t *testing.T) {
	b := newBus(t)
	b.start()
	front := newSite(t)
	front.sink.delay = 100 * time.Millisecond // so that the kill cuts off some actions
	front.args = []string{"--bus", b.url()}
	front.write("source.yaml", front.source("1"))
	text := strings.Replace(front.sensor("1", patient), `
            - {src: {dependencyName: push, dataKey: body.id}, dest: id}`, replica, 1)
	var back []*proc.Process
	for _, name := range []string{"a", "b"} {
		s := &site{t: t, dir: t.TempDir(), data: t.TempDir(), admin: freeAddr(t), sink: front.sink}
		s.args = []string{"--bus", b.url(), "--secrets", secretsDir(t, name)}
		s.write("sensor.yaml", text)
		back = append(back, s.start())
	}
	front.start()
	l := startLoad(t, front.hookURL(), 200, 0)
	until(t, "both processes act", func() bool {
		by := front.sink.byReplica()
		return by["a"] >= 20 && by["b"] >= 20
	})
	t.Logf("shared: %v", front.sink.byReplica())
	back[0].Kill()
	killed := front.sink.byReplica()
	before := l.count()
	until(t, "load goes on", func() bool { return l.count() >= before+200 })
	l.finish()
	front.settle(l, 40*time.Second)
	now := front.sink.byReplica()
	if now["a"] != killed["a"] {
		t.Errorf("the killed process acted %d times more", now["a"]-killed["a"])
	}
	if now["b"] <= killed["b"] {
		t.Error("the other process did nothing after the kill")
	}
}

func TestBusKilledUnderLoad(t *testing.T) {
	kills := 3
	if testing.Short() {
		kills = 1
	}
	b := newBus(t)
	p := b.start()
	s := newSite(t)
	s.args = []string{"--bus", b.url()}
	s.writeBoth(patient)
	run := s.start()
	l := startLoad(t, s.hookURL(), 200, 0)
	for range kills {
		before := l.count()
		until(t, "load goes on", func() bool { return l.count() >= before+300 })
		p.Kill()
		p = b.start()
		if err := run.Ready(s.admin, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	before := l.count()
	until(t, "load goes on after the restart", func() bool { return l.count() >= before+200 })
	l.finish()
	s.settle(l, 40*time.Second)
	if run.Exited() {
		t.Error("signalbox run has ended")
	}
}

func TestClusterLosesANode(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers; not with -short")
	}
	var routes, urls []string
	var clusterAddrs [3]string
	for i := range clusterAddrs {
		clusterAddrs[i] = freeAddr(t)
		routes = append(routes, "--route", "nats://"+clusterAddrs[i])
	}
	var nodes []*bus
	var running []*proc.Process
	for i, addr := range clusterAddrs {
		n := newBus(t, append([]string{"--server-name", fmt.Sprintf("n%d", i), "--cluster-name", "c", "--cluster-listen", addr}, routes...)...)
		nodes, urls = append(nodes, n), append(urls, n.url())
	}
	for _, n := range nodes {
		running = append(running, n.start())
	}
	s := newSite(t)
	s.args = []string{"--bus", strings.Join(urls, ",")}
	s.writeBoth(patient)
	s.start()
	l := startLoad(t, s.hookURL(), 200, 0)
	for i := range running {
		before := l.count()
		until(t, "load goes on", func() bool { return l.count() >= before+300 })
		running[i].Kill()
		before = l.count()
		until(t, "load goes on with two nodes", func() bool { return l.count() >= before+300 })
		running[i] = nodes[i].start()
		if i == 1 {
			break // one of the two was, or was not, the leader; the third may be slow to catch up
		}
	}
	l.finish()
	s.settle(l, 40*time.Second)
}
