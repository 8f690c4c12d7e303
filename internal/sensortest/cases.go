package sensortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/sensor"
)

// Case is a checked-in case. It stands among the manifests as
//
//	apiVersion: signalbox.dev/v1alpha1
//	kind: SensorTest
//	metadata: {name: merged pull requests are deployed}
//	spec: ...
type Case struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace,omitempty"`
	} `json:"metadata"`
	Spec CaseSpec `json:"spec"`
}

// CaseSpec says what goes in and what has to come out.
type CaseSpec struct {
	// Sensor is the name of the sensor.
	Sensor string `json:"sensor"`
	// Events arrive in this order.
	Events []CaseEvent `json:"events"`
	// Expect says what the triggers do; those that are not named have to stay silent.
	Expect []Expectation `json:"expect,omitempty"`
}

// CaseEvent is one event. It has data, body, or file.
type CaseEvent struct {
	// EventSourceName and EventName say where it comes from; they may be left
	// out if the sensor listens to one event only.
	EventSourceName string `json:"eventSourceName,omitempty"`
	EventName       string `json:"eventName,omitempty"`
	// Data of the event, or a whole CloudEvent.
	Data json.RawMessage `json:"data,omitempty"`
	// Body of a webhook request.
	Body json.RawMessage `json:"body,omitempty"`
	// As is the sender of the body: see Input.
	As string `json:"as,omitempty"`
	// File with the data (or, with bodyFile, the body), relative to the case's file.
	File     string `json:"file,omitempty"`
	BodyFile string `json:"bodyFile,omitempty"`
}

// Expectation is what a trigger has to do with all the events of the case.
type Expectation struct {
	// Trigger by name.
	Trigger string `json:"trigger"`
	// Fires is how often. Defaults to 1.
	Fires *int `json:"fires,omitempty"`
	// Action has to be a part of the last action: every key it has is there
	// with that value; lists are compared whole.
	Action json.RawMessage `json:"action,omitempty"`
	// Fails is a text that the error contains, where the action cannot be made
	// or the event cannot be transformed.
	Fails string `json:"fails,omitempty"`
}

// Result is how a case went.
type Result struct {
	Name     string          `json:"name"`
	Place    string          `json:"place"`
	Failures []string        `json:"failures,omitempty"`
	Reports  []sensor.Report `json:"reports,omitempty"`
}

// RunCases runs all cases among the manifests. What cannot be read fails too:
// it may be a case.
func (r *Runner) RunCases(ctx context.Context) ([]Result, error) {
	var results []Result
	for _, p := range r.Set.Problems {
		if p.Object == "" && p.Severity == v1alpha1.Error {
			results = append(results, Result{Name: p.File, Place: place(p.File, p.Line), Failures: []string{p.Error()}})
		}
	}
	for _, o := range r.Set.Others("SensorTest") {
		results = append(results, r.runCase(ctx, o))
	}
	if len(results) == 0 && len(r.Set.Objects) == 0 {
		return nil, errors.New("there are no manifests, and no cases (kind: SensorTest) among them")
	}
	if len(results) == 0 {
		return nil, errors.New("there are no cases (kind: SensorTest) among the manifests; give --event to explain one event")
	}
	return results, nil
}

func place(file string, line int) string {
	if line == 0 { // the file as a whole
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func (r *Runner) runCase(ctx context.Context, o manifest.Other) Result {
	res := Result{Name: o.Name, Place: place(o.File, o.Line)}
	for _, p := range v1alpha1.Problems(manifestCheck(o.Raw)) {
		res.Failures = append(res.Failures, p.Error())
	}
	if len(res.Failures) > 0 {
		return res
	}
	var c Case
	if err := json.Unmarshal(o.Raw, &c); err != nil {
		res.Failures = append(res.Failures, err.Error())
		return res
	}
	reports, err := r.reports(ctx, o, c)
	if err != nil {
		res.Failures = append(res.Failures, err.Error())
		return res
	}
	res.Failures = compare(c.Spec.Expect, reports)
	if len(res.Failures) > 0 {
		res.Reports = reports
	}
	return res
}

func (r *Runner) reports(ctx context.Context, o manifest.Other, c Case) ([]sensor.Report, error) {
	obj := r.Set.Find(manifest.ID{Kind: v1alpha1.KindSensor, Namespace: o.Namespace, Name: c.Spec.Sensor})
	if obj == nil {
		return nil, fmt.Errorf("spec.sensor: there is no Sensor %q in namespace %s among the manifests", c.Spec.Sensor, o.Namespace)
	}
	plan, err := r.plan(obj)
	if err != nil {
		return nil, err
	}
	var inputs []Input
	for i, e := range c.Spec.Events {
		in, err := e.input(filepath.Dir(o.File))
		if err != nil {
			return nil, fmt.Errorf("spec.events[%d]: %w", i, err)
		}
		in.Name = fmt.Sprintf("spec.events[%d]", i)
		inputs = append(inputs, in)
	}
	arrivals, err := r.arrivals(ctx, obj, inputs, false)
	if err != nil {
		return nil, err
	}
	return plan.Explain(ctx, arrivals, r.Secrets(obj.Namespace)), nil
}

func (e CaseEvent) input(dir string) (Input, error) {
	in := Input{From: eventbus.Address{Source: e.EventSourceName, Event: e.EventName}, As: e.As}
	given := 0
	for _, set := range []bool{e.Data != nil, e.Body != nil, e.File != "", e.BodyFile != ""} {
		if set {
			given++
		}
	}
	if given != 1 {
		return in, errors.New("want exactly one of data, body, file, bodyFile")
	}
	var err error
	switch {
	case e.Data != nil:
		in.Data = e.Data
	case e.Body != nil:
		in.Data, in.IsBody = e.Body, true
	case e.File != "":
		in.Data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.File)))
	default:
		in.IsBody = true
		in.Data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.BodyFile)))
	}
	return in, err
}

// compare tells where the reports differ from what is expected.
func compare(expected []Expectation, reports []sensor.Report) []string {
	var failures []string
	fired := map[string][]sensor.PlannedFiring{}
	var triggers []string
	for _, r := range reports {
		if !slices.Contains(triggers, r.Trigger) {
			triggers = append(triggers, r.Trigger)
		}
		fired[r.Trigger] = append(fired[r.Trigger], r.Firings...)
		for _, why := range unevaluated(r) { // counts as a firing that fails
			fired[r.Trigger] = append(fired[r.Trigger], sensor.PlannedFiring{Err: why})
		}
	}
	named := map[string]bool{}
	for _, x := range expected {
		named[x.Trigger] = true
		if !slices.Contains(triggers, x.Trigger) {
			failures = append(failures, fmt.Sprintf("trigger %s: there is no such trigger; there are %s", x.Trigger, strings.Join(triggers, ", ")))
			continue
		}
		failures = append(failures, x.check(fired[x.Trigger])...)
	}
	for _, t := range triggers {
		if !named[t] && len(fired[t]) > 0 {
			failures = append(failures, fmt.Sprintf("trigger %s: fires %d times, and is not expected to%s", t, len(fired[t]), lost(fired[t])))
		}
	}
	return failures
}

func (x Expectation) check(fired []sensor.PlannedFiring) []string {
	want := 1
	if x.Fires != nil {
		want = *x.Fires
	}
	if len(fired) != want {
		return []string{fmt.Sprintf("trigger %s: fires %d times, want %d%s", x.Trigger, len(fired), want, lost(fired))}
	}
	if len(fired) == 0 {
		return nil
	}
	last := fired[len(fired)-1]
	switch {
	case x.Fails != "" && !strings.Contains(last.Err, x.Fails):
		return []string{fmt.Sprintf("trigger %s: want an error with %q, got %q", x.Trigger, x.Fails, last.Err)}
	case x.Fails == "" && last.Err != "":
		return []string{fmt.Sprintf("trigger %s: would become a dead letter: %s", x.Trigger, last.Err)}
	case x.Action == nil || last.Action == nil:
		return nil
	}
	var wantValue, got any
	if err := json.Unmarshal(x.Action, &wantValue); err != nil {
		return []string{fmt.Sprintf("trigger %s: action: %v", x.Trigger, err)}
	}
	if err := json.Unmarshal(last.Action.Spec, &got); err != nil {
		return []string{fmt.Sprintf("trigger %s: action: %v", x.Trigger, err)}
	}
	var failures []string
	for _, d := range differences("action", wantValue, got) {
		failures = append(failures, fmt.Sprintf("trigger %s: %s", x.Trigger, d))
	}
	return failures
}

// lost tells the first error among firings.
func lost(fired []sensor.PlannedFiring) string {
	for _, f := range fired {
		if f.Err != "" {
			return "; would become a dead letter: " + f.Err
		}
	}
	return ""
}

// differences tells where got lacks what want has.
func differences(path string, want, got any) []string {
	w, isObject := want.(map[string]any)
	if !isObject {
		if reflect.DeepEqual(want, got) {
			return nil
		}
		return []string{fmt.Sprintf("%s: want %s, got %s", path, show(want), show(got))}
	}
	g, ok := got.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s: want an object, got %s", path, show(got))}
	}
	var out []string
	for _, k := range sortedKeys(w) {
		v, there := g[k]
		if !there {
			out = append(out, fmt.Sprintf("%s: is missing; there are %s", v1alpha1.Join(path, v1alpha1.Key(k)), strings.Join(sortedKeys(g), ", ")))
			continue
		}
		out = append(out, differences(v1alpha1.Join(path, v1alpha1.Key(k)), w[k], v)...)
	}
	return out
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
