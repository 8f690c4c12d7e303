package sensortest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/sensor"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// WriteReports prints reports for people.
func WriteReports(w io.Writer, reports []SensorReport) error {
	var b bytes.Buffer
	for _, r := range reports {
		fmt.Fprintf(&b, "Sensor %s\n", r.Sensor)
		for _, t := range r.Reports {
			writeReport(&b, t)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeReport(w io.Writer, r sensor.Report) {
	fmt.Fprintf(w, "  trigger %s, event %d\n", r.Trigger, r.Event)
	if len(r.Dependencies) == 0 {
		fmt.Fprintln(w, "    not interested: no dependency of this trigger listens to the event's source")
		return
	}
	for _, d := range r.Dependencies {
		fmt.Fprintf(w, "    dependency %s: %s\n", d.Name, d.Outcome)
		if d.Transform != nil {
			writeClause(w, *d.Transform)
		}
		for _, c := range d.Filters {
			writeClause(w, c)
		}
	}
	if c := r.Condition; c != nil {
		state := "met"
		if !c.Met {
			state = "not met, waiting for " + strings.Join(c.Missing, ", ")
		}
		fmt.Fprintf(w, "    condition %s: %s\n", c.Expression, state)
	}
	lost := unevaluated(r)
	for _, why := range lost {
		fmt.Fprintf(w, "    would become a dead letter: %s\n", why)
	}
	if len(r.Firings)+len(lost) == 0 {
		fmt.Fprintln(w, "    does not fire")
	}
	for _, f := range r.Firings {
		writeFiring(w, f)
	}
}

func writeClause(w io.Writer, c verdict.Clause) {
	fmt.Fprintf(w, "      %-7s %s\n", c.Outcome, strings.ReplaceAll(c.String(), "\n", " "))
}

func writeFiring(w io.Writer, f sensor.PlannedFiring) {
	var events []string
	for _, dep := range slices.Sorted(maps.Keys(f.Events)) {
		events = append(events, dep+"="+f.Events[dep])
	}
	if f.Err != "" {
		fmt.Fprintf(w, "    fires with %s, and would become a dead letter: %s\n", strings.Join(events, ", "), f.Err)
		return
	}
	fmt.Fprintf(w, "    fires with %s\n", strings.Join(events, ", "))
	var pretty bytes.Buffer
	if json.Indent(&pretty, f.Action.Spec, "      ", "  ") != nil {
		pretty.Reset()
		pretty.Write(f.Action.Spec)
	}
	fmt.Fprintf(w, "      %s %s\n", f.Action.Kind, pretty.String())
}

// title names a case and its place, which may be the same.
func (r Result) title() string {
	if r.Name == r.Place || r.Name == "" {
		return r.Place
	}
	return fmt.Sprintf("%s (%s)", r.Name, r.Place)
}

// WriteResults prints the results of cases for people.
func WriteResults(w io.Writer, results []Result) error {
	var b bytes.Buffer
	failed := 0
	for _, r := range results {
		if len(r.Failures) == 0 {
			fmt.Fprintf(&b, "ok    %s\n", r.Name)
			continue
		}
		failed++
		fmt.Fprintf(&b, "FAIL  %s\n", r.title())
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(f, "\n", "\n      "))
		}
		if len(r.Reports) > 0 {
			fmt.Fprintln(&b, "      what happened:")
			for _, rep := range r.Reports {
				var one bytes.Buffer
				writeReport(&one, rep)
				fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(strings.TrimRight(one.String(), "\n"), "\n", "\n      "))
			}
		}
	}
	fmt.Fprintf(&b, "%d passed, %d failed\n", len(results)-failed, failed)
	_, err := w.Write(b.Bytes())
	return err
}
