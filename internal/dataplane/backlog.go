package dataplane

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// backlog reads, at each scrape, what the buses hold.
type backlog struct{ p *Process }

var (
	triggerLabels = []string{"namespace", "sensor_name", "trigger_name"}
	busLabels     = []string{"namespace", "eventbus_name"}

	descWaiting = prometheus.NewDesc("signalbox_trigger_events_waiting", "Events that the trigger has not been given yet.", triggerLabels, nil)
	descInWork  = prometheus.NewDesc("signalbox_trigger_events_in_work", "Events given to the trigger and not acknowledged, waits for a retry included.", triggerLabels, nil)
	descAge     = prometheus.NewDesc("signalbox_trigger_oldest_event_age_seconds", "Age of the oldest event that the trigger has not acknowledged; 0 if there is none.", triggerLabels, nil)
	descEvents  = prometheus.NewDesc("signalbox_bus_events", "Events stored, processed ones included.", busLabels, nil)
	descBytes   = prometheus.NewDesc("signalbox_bus_bytes", "Bytes that the stored events take.", busLabels, nil)
	descLimit   = prometheus.NewDesc("signalbox_bus_bytes_limit", "Limit of signalbox_bus_bytes; 0 if there is none.", busLabels, nil)
	descDead    = prometheus.NewDesc("signalbox_bus_dead_letters", "Dead letters stored.", busLabels, nil)
	descUp      = prometheus.NewDesc("signalbox_bus_connected", "1 if the bus is connected.", busLabels, nil)
)

// Describe implements prometheus.Collector.
func (backlog) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descWaiting, descInWork, descAge, descEvents, descBytes, descLimit, descDead, descUp} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A bus that does not answer in time
// has only signalbox_bus_connected.
func (c backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, b := range c.p.runs() {
		b.mu.Lock()
		bus := b.bus
		b.mu.Unlock()
		if bus == nil || !bus.Connected() {
			gauge(descUp, 0, b.key.namespace, b.key.name)
			continue
		}
		gauge(descUp, 1, b.key.namespace, b.key.name)
		if u, err := bus.Usage(ctx); err == nil {
			gauge(descEvents, float64(u.Events), b.key.namespace, b.key.name)
			gauge(descBytes, float64(u.Bytes), b.key.namespace, b.key.name)
			gauge(descLimit, float64(u.MaxBytes), b.key.namespace, b.key.name)
			gauge(descDead, float64(u.DeadLetters), b.key.namespace, b.key.name)
		}
		if c.p.cfg.Managed && len(b.sensorRuns()) == 0 {
			continue // sources have no right to look
		}
		infos, err := bus.Consumers(ctx)
		if err != nil {
			continue
		}
		for _, i := range infos {
			labels := []string{b.key.namespace, i.Sensor, i.Trigger}
			gauge(descWaiting, float64(i.Waiting), labels...)
			gauge(descInWork, float64(i.InWork), labels...)
			age := 0.0
			if !i.Oldest.IsZero() {
				age = time.Since(i.Oldest).Seconds()
			}
			gauge(descAge, age, labels...)
		}
	}
}
