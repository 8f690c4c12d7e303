package dataplane

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// writeTable tells what is running, and what is not and why.
func (p *Process) writeTable(set *manifest.Set) {
	w := tabwriter.NewWriter(p.cfg.Out, 0, 4, 2, ' ', 0)
	if p.nothing() {
		fmt.Fprintf(p.cfg.Out, "NOTHING IS RUNNING: %s. Changes of the manifests are followed.\n", p.whyNothing(set))
		p.writeProblems(p.cfg.Out, set)
		return
	}
	fmt.Fprintln(w, "EVENT SOURCE\tEVENT\tKIND\tWHERE")
	for _, o := range set.OfKind(v1alpha1.KindEventSource) {
		for _, e := range o.Entries {
			where := p.where(e)
			if why := p.trouble(o, e.Event); why != "" {
				where = "NOT RUNNING: " + why
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.shown(o), e.Event, e.Kind.Name, where)
		}
	}
	_ = w.Flush()
	fmt.Fprintln(p.cfg.Out)
	fmt.Fprintln(w, "SENSOR\tTRIGGER\tKIND\tWHEN")
	for _, b := range p.runs() {
		for _, r := range b.sensorRuns() {
			for _, t := range r.plan.Triggers {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.shown(r.object), t.Name, t.Kind, t.Condition)
			}
		}
	}
	_ = w.Flush()
	p.writeProblems(p.cfg.Out, set)
}

// nothing tells whether no entry of a source and no sensor has been started.
func (p *Process) nothing() bool {
	for _, b := range p.runs() {
		if len(b.sensorRuns()) > 0 {
			return false
		}
		for _, r := range b.sourceRuns() {
			if len(r.runners) > 0 {
				return false
			}
		}
	}
	return true
}

func (p *Process) whyNothing(set *manifest.Set) string {
	objects := slices.Concat(set.OfKind(v1alpha1.KindEventSource), set.OfKind(v1alpha1.KindSensor))
	if len(objects) == 0 {
		return "there is no EventSource and no Sensor among the manifests"
	}
	for _, o := range objects {
		if o.Broken {
			continue
		}
		for _, b := range p.runs() {
			if err := b.failure(); err != nil {
				return err.Error()
			}
		}
	}
	return "each EventSource and Sensor has errors or is of a kind that is not supported yet"
}

// failure is why the bus is not open; nil if it is, or has not been tried yet.
func (b *busRun) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (p *Process) shown(o *manifest.Object) string {
	if o.Namespace == p.namespace() {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// trouble is why an entry does not run at the moment; "" if it does.
func (p *Process) trouble(o *manifest.Object, event string) string {
	for _, b := range p.runs() {
		if b.key != (busKey{o.Namespace, o.EventSource.Spec.Bus()}) {
			continue
		}
		if err := b.failure(); err != nil {
			return err.Error()
		}
		b.mu.Lock()
		run := b.sources[o.ID]
		b.mu.Unlock()
		if run == nil {
			continue
		}
		for _, e := range run.runners {
			if s := e.Status(); e.Event() == event && !s.Running {
				return s.Error
			}
		}
	}
	return ""
}

// where is the address at which an entry can be reached: the public one if it is known.
func (p *Process) where(e manifest.Entry) string {
	var urls []string
	for _, r := range e.Routes {
		urls = append(urls, p.url(r))
	}
	if public := eventsource.PublicURL(e.Config); public != "" {
		urls = []string{public}
	}
	if len(urls) == 0 {
		return "-"
	}
	return strings.Join(urls, " ")
}

func (p *Process) url(r eventsource.Route) string {
	scheme := "http"
	if r.ServerCert != nil {
		scheme = "https"
	}
	host := p.cfg.Host
	if host == "" {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, r.Port) + r.Path
}

func (p *Process) writeProblems(w io.Writer, set *manifest.Set) {
	var shown []manifest.Problem
	for _, pr := range set.Problems {
		if pr.Severity != v1alpha1.Note {
			shown = append(shown, pr)
		}
	}
	if len(shown) == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintln(w, "\nPROBLEMS")
	_ = manifest.WriteText(w, shown)
	fmt.Fprintln(w)
}

func (p *Process) logProblem(pr manifest.Problem) {
	level := slog.LevelError
	switch pr.Severity {
	case v1alpha1.Warning:
		level = slog.LevelWarn
	case v1alpha1.Note:
		level = slog.LevelDebug
	}
	p.cfg.Log.Log(noContext, level, "manifest problem", "file", fmt.Sprintf("%s:%d", pr.File, pr.Line), "object", pr.Object, "problem", pr.Error())
}
