package dataplane

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/sensor"
)

var noContext = context.Background()

// admin serves health and metrics.
type admin struct {
	listener net.Listener
	server   *http.Server
}

func (p *Process) listenAdmin(ctx context.Context) (*admin, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.cfg.AdminAddr)
	if err != nil {
		return nil, fmt.Errorf("listen on --admin-addr: %w", err)
	}
	if err := p.metrics.Registry.Register(backlog{p}); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("/readyz", p.serveReady)
	mux.Handle("/metrics", promhttp.HandlerFor(p.metrics.Registry, promhttp.HandlerOpts{}))
	p.cfg.Log.Info("admin open", "address", l.Addr().String())
	return &admin{l, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}}, nil
}

func (a *admin) serve(ctx context.Context, log *slog.Logger) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		_ = a.server.Close()
	}()
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("admin ended", "error", err)
	}
	<-stopped
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready bool `json:"ready"`
	// Buses by namespace/name.
	Buses   []BusStatus    `json:"buses"`
	Sources []SourceStatus `json:"sources"`
	Sensors []SensorStatus `json:"sensors"`
	// Problems of the manifests, without notes, and what needs a restart.
	Problems []string `json:"problems,omitempty"`
}

// BusStatus is the state of one EventBus.
type BusStatus struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
	Error     string `json:"error,omitempty"`
}

// SourceStatus is the state of one entry of an EventSource.
type SourceStatus struct {
	Namespace   string `json:"namespace"`
	EventSource string `json:"eventSource"`
	Event       string `json:"event"`
	eventsource.Status
}

// SensorStatus is the state of one trigger of a Sensor.
type SensorStatus struct {
	Namespace string `json:"namespace"`
	Sensor    string `json:"sensor"`
	sensor.TriggerStatus
}

func (p *Process) readiness() Readiness {
	r := Readiness{Ready: p.ready.Load()}
	var all, routed tally
	for _, b := range p.runs() {
		s := BusStatus{Namespace: b.key.namespace, Name: b.key.name}
		b.mu.Lock()
		s.Connected = b.bus != nil && b.bus.Connected()
		if b.err != nil {
			s.Error = b.err.Error()
		}
		b.mu.Unlock()
		r.Ready = r.Ready && s.Connected
		r.Buses = append(r.Buses, s)
		for _, run := range b.sourceRuns() {
			for _, e := range run.runners {
				s := SourceStatus{run.object.Namespace, run.object.Name, e.Event(), e.Status()}
				all.count(s.Running)
				if receives(run.object, e.Event()) {
					routed.count(s.Running)
				}
				r.Sources = append(r.Sources, s)
			}
		}
		for _, run := range b.sensorRuns() {
			for _, t := range run.sensor.Status() {
				r.Ready = r.Ready && t.Running
				r.Sensors = append(r.Sensors, SensorStatus{run.object.Namespace, run.object.Name, t})
			}
		}
	}
	// Readiness decides who gets requests: an entry that cannot run must not
	// keep them from the others.
	r.Ready = r.Ready && (all.running == all.entries || routed.running > 0)
	set := p.set.Load()
	meant := len(set.OfKind(v1alpha1.KindEventSource)) + len(set.OfKind(v1alpha1.KindSensor))
	if len(r.Sources)+len(r.Sensors) == 0 && (meant > 0 || !set.Complete()) {
		r.Ready = false // all of them are broken
	}
	for _, pr := range append(set.Problems[:len(set.Problems):len(set.Problems)], p.restarts()...) {
		if pr.Severity != v1alpha1.Note {
			r.Problems = append(r.Problems, pr.String())
		}
	}
	return r
}

// tally counts entries of EventSources.
type tally struct{ entries, running int }

func (t *tally) count(running bool) {
	t.entries++
	if running {
		t.running++
	}
}

// receives tells whether an entry receives HTTP requests.
func receives(o *manifest.Object, event string) bool {
	return slices.ContainsFunc(o.Entries, func(e manifest.Entry) bool { return e.Event == event && len(e.Routes) > 0 })
}

// restarts are the changes of the manifests that only a restart applies.
func (p *Process) restarts() []manifest.Problem {
	var found []manifest.Problem
	for _, b := range p.runs() {
		b.mu.Lock()
		why := b.restart
		b.mu.Unlock()
		if why != "" {
			found = append(found, manifest.Problem{Object: busID(b.key).String(), Problem: v1alpha1.Warn("", "%s", why)})
		}
	}
	return found
}

func (p *Process) serveReady(w http.ResponseWriter, _ *http.Request) {
	r := p.readiness()
	w.Header().Set("Content-Type", "application/json")
	if !r.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(r)
}

// runs are the buses in a fixed order.
func (p *Process) runs() []*busRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*busRun, 0, len(p.buses))
	for _, b := range p.buses {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b *busRun) int {
		return cmp.Or(cmp.Compare(a.key.namespace, b.key.namespace), cmp.Compare(a.key.name, b.key.name))
	})
	return out
}

func (b *busRun) sensorRuns() []*sensorRun {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]*sensorRun, 0, len(b.sensors))
	for _, r := range b.sensors {
		out = append(out, r)
	}
	slices.SortFunc(out, func(x, y *sensorRun) int { return cmp.Compare(x.object.Name, y.object.Name) })
	return out
}

func (b *busRun) sourceRuns() []*sourceRun {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]*sourceRun, 0, len(b.sources))
	for _, r := range b.sources {
		out = append(out, r)
	}
	slices.SortFunc(out, func(x, y *sourceRun) int { return cmp.Compare(x.object.Name, y.object.Name) })
	return out
}
