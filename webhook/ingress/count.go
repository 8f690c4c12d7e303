package ingress

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/telemetry"
)

// answers counts what the requests of one route, or of none, are answered with.
// The zero value counts nothing.
type answers struct {
	ok  prometheus.Counter // of 200, which nearly all are
	all *prometheus.CounterVec
}

func countOf(m *telemetry.Metrics, o eventsource.Owner) answers {
	if m == nil {
		return answers{}
	}
	all := m.Webhooks.MustCurryWith(prometheus.Labels{"namespace": o.Namespace, "eventsource_name": o.EventSource, "event_name": o.Event})
	a := answers{all: all}
	if o != (eventsource.Owner{}) {
		a.ok = all.WithLabelValues("200") // which begins at 0
	}
	return a
}

func (a answers) count(status int) {
	switch {
	case status == http.StatusOK && a.ok != nil:
		a.ok.Inc()
	case a.all != nil:
		a.all.WithLabelValues(strconv.Itoa(status)).Inc()
	}
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

var recorders = sync.Pool{New: func() any { return new(recorder) }}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
