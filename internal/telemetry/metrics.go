// Package telemetry holds the metrics of the process. Names that Argo Events has
// keep their names and labels; ours begin with signalbox_.
package telemetry

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are all counters of the process. Labels are names from manifests,
// never ids or URLs, so that their number is bounded.
type Metrics struct {
	Registry *prometheus.Registry

	// By eventsource_name (and event_name).
	SourcesRunning *prometheus.GaugeVec
	EventsSent     *prometheus.CounterVec
	EventsFailed   *prometheus.CounterVec
	EventsUnread   *prometheus.CounterVec
	EventsFiltered *prometheus.CounterVec
	EventDuration  *prometheus.HistogramVec
	// By these and code, the status of the answer; the names are empty for
	// requests that are for no source.
	Webhooks *prometheus.CounterVec
	// By sensor_name and trigger_name.
	Fired          *prometheus.CounterVec
	Failed         *prometheus.CounterVec
	RetriesFailed  *prometheus.CounterVec
	ActionDuration *prometheus.HistogramVec
	Rejected       *prometheus.CounterVec
	Undecided      *prometheus.CounterVec
	DeadLettered   *prometheus.CounterVec
	Outcomes       *prometheus.CounterVec
	Following      *prometheus.GaugeVec
	EventToAction  *prometheus.HistogramVec
}

var (
	sourceLabels  = []string{"namespace", "eventsource_name", "event_name"}
	triggerLabels = []string{"namespace", "sensor_name", "trigger_name"}
)

// New makes the metrics and their registry.
func New(version, commit string) *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.Registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, labels []string, buckets []float64) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.Registry.MustRegister(v)
		return v
	}
	m.SourcesRunning = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "argo_events_event_service_running_total",
		Help: "Entries of the EventSource that run at the moment.",
	}, []string{"namespace", "eventsource_name"})
	m.Registry.MustRegister(m.SourcesRunning)
	millis := []float64{1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000}
	m.EventsSent = counter("argo_events_events_sent_total", "Events stored on the bus.", sourceLabels)
	m.EventsFailed = counter("argo_events_events_sent_failed_total", "Events that the bus did not take.", sourceLabels)
	m.EventsUnread = counter("argo_events_events_processing_failed_total", "Events that could not be read or whose filter failed.", sourceLabels)
	m.EventsFiltered = counter("signalbox_events_filtered_total", "Events dropped by the entry's own filter.", sourceLabels)
	m.EventDuration = histogram("argo_events_event_processing_duration_milliseconds", "From receiving an event to its being stored.", sourceLabels, millis)
	m.Webhooks = counter("signalbox_webhook_requests_total", "HTTP requests answered, by status code.", append(slices.Clone(sourceLabels), "code"))
	m.Fired = counter("argo_events_action_triggered_total", "Actions done.", triggerLabels)
	m.Failed = counter("argo_events_action_failed_total", "Attempts that failed.", triggerLabels)
	m.RetriesFailed = counter("argo_events_action_retries_failed_total", "Firings that failed for good.", triggerLabels)
	m.ActionDuration = histogram("argo_events_action_duration_milliseconds", "Duration of one attempt.", triggerLabels, millis)
	m.Rejected = counter("signalbox_events_rejected_total", "Events that no dependency of the trigger let pass.", triggerLabels)
	m.Undecided = counter("signalbox_events_undecided_total", "Evaluations of a dependency that ended in an error: a missing path, a script that failed.", triggerLabels)
	m.DeadLettered = counter("signalbox_dead_letters_total", "Dead letters stored.", triggerLabels)
	m.Following = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "signalbox_actions_following", Help: "Actions whose outcome this process waits for.",
	}, triggerLabels)
	m.Registry.MustRegister(m.Following)
	m.Outcomes = counter("signalbox_outcomes_total", "Actions that were followed, by how they ended: succeeded, failed or timedout.", append(slices.Clone(triggerLabels), "outcome"))
	m.EventToAction = histogram("signalbox_event_to_action_seconds", "From an event's being stored to its action's being done.", triggerLabels,
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800})
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "build_info", Help: "What was built."}, []string{"version", "commit"})
	build.WithLabelValues(version, commit).Set(1)
	m.Registry.MustRegister(build)
	return m
}
