package busnode

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// usageTime bounds the question how many dead letters there are.
const usageTime = 3 * time.Second

// metrics are read from the server at each scrape. Streams are called events,
// dead and state, so that labels are few.
type metrics struct {
	node *node

	ready, leader, routes, connections, slow, used, limit               *prometheus.Desc
	messages, bytes, consumers, replicas, inSync, streamLeader, letters *prometheus.Desc
}

func (n *node) registry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "build_info", Help: "What was built."}, []string{"version", "commit"})
	build.WithLabelValues(n.cfg.Version, n.cfg.Commit).Set(1)
	registry.MustRegister(newMetrics(n), build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

func newMetrics(n *node) *metrics {
	constant := prometheus.Labels{}
	if n.bus != nil {
		constant = prometheus.Labels{"namespace": n.bus.Namespace, "eventbus_name": n.bus.Name}
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("signalbox_bus_"+name, help, labels, constant)
	}
	return &metrics{
		node:         n,
		ready:        desc("ready", "1 if this member is in sync and the streams are what they should be."),
		leader:       desc("cluster_leader", "1 if this member leads the cluster."),
		routes:       desc("members_connected", "Other members that this one is connected to."),
		connections:  desc("connections", "Clients that are connected to this member."),
		slow:         desc("slow_consumers_total", "Clients disconnected because they did not read."),
		used:         desc("store_used_bytes", "Bytes that this member stores."),
		limit:        desc("store_limit_bytes", "Most bytes that this member stores."),
		messages:     desc("stream_messages", "Messages in the stream, processed ones included.", "stream"),
		bytes:        desc("stream_bytes", "Bytes in the stream.", "stream"),
		consumers:    desc("stream_consumers", "Consumers of the stream.", "stream"),
		replicas:     desc("stream_replicas", "Replicas that the stream is to have.", "stream"),
		inSync:       desc("stream_replicas_in_sync", "Replicas that are up to date; only the stream's leader has it.", "stream"),
		streamLeader: desc("stream_leader", "1 if this member leads the stream.", "stream"),
		letters:      desc("dead_letters", "Dead letters stored; only the leader of their stream has it."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.ready, m.leader, m.routes, m.connections, m.slow, m.used, m.limit,
		m.messages, m.bytes, m.consumers, m.replicas, m.inSync, m.streamLeader, m.letters,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := m.node.server.Status()
	gauge(m.ready, number(m.node.readiness().Ready))
	gauge(m.leader, number(s.MetaLeader != "" && s.MetaLeader == s.Name))
	gauge(m.routes, float64(len(s.Members)))
	gauge(m.connections, float64(s.Connections))
	ch <- prometheus.MustNewConstMetric(m.slow, prometheus.CounterValue, float64(s.SlowConsumers))
	gauge(m.used, float64(s.StoreUsed))
	gauge(m.limit, float64(s.StoreLimit))
	if m.node.keeper == nil {
		return // streams have names that clients choose
	}
	for _, one := range s.Streams {
		kind := kindOf(one.Name)
		if kind == "" {
			continue
		}
		gauge(m.messages, float64(one.Messages), kind)
		gauge(m.bytes, float64(one.Bytes), kind)
		gauge(m.consumers, float64(one.Consumers), kind)
		gauge(m.replicas, float64(one.Replicas), kind)
		gauge(m.streamLeader, number(one.Leader), kind)
		if !one.Leader {
			continue
		}
		gauge(m.inSync, float64(one.InSync), kind)
		if kind == "dead" {
			m.collectLetters(gauge)
		}
	}
}

func (m *metrics) collectLetters(gauge func(*prometheus.Desc, float64, ...string)) {
	bus := m.node.keeper.Bus()
	if bus == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), usageTime)
	defer cancel()
	if u, err := bus.Usage(ctx); err == nil {
		gauge(m.letters, float64(u.DeadLetters))
	}
}

// kindOf is the label of a stream; empty if it is none of the bus's.
func kindOf(stream string) string {
	for prefix, kind := range map[string]string{"EVENTS_": "events", "DEAD_": "dead", "KV_STATE_": "state"} {
		if strings.HasPrefix(stream, prefix) {
			return kind
		}
	}
	return ""
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
