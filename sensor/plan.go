// Package sensor goes from events to firings: it evaluates the dependencies of
// a Sensor, waits until a trigger's condition is met, fires the trigger, tries
// again what failed and keeps as a dead letter what failed for good.
package sensor

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/condition"
	"github.com/signalbox-events/signalbox/sensor/filter"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/transform"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Plan is a Sensor made ready: parsed, checked and compiled, without any
// connection. It does not change and is safe for concurrent use.
type Plan struct {
	Namespace, Name string
	// Bus is the name of its EventBus.
	Bus string
	// Triggers that can run, in the manifest's order.
	Triggers []*TriggerPlan

	loggingFields map[string]string
}

// TriggerPlan is one trigger of a Plan.
type TriggerPlan struct {
	Name string
	// Kind is the key under template, such as "http".
	Kind string
	// Condition over the names of Dependencies.
	Condition *condition.Expr
	// Dependencies that the condition names.
	Dependencies []*Dependency

	conditionText string
	resets        []reset
	action        *actionPlan
	limit         *v1alpha1.RateLimit
	inFlight      int // actions at once
}

const defaultInFlight = 64

// actionPlan is what a trigger does; its dead-letter trigger follows it.
type actionPlan struct {
	name     string
	kind     trigger.Kind
	config   kind.Config // nil if parameters change the template for each firing
	template []byte      // JSON of the template, for parameters
	params   *param.List // nil if there are none
	policy   *v1alpha1.TriggerPolicy
	retry    *v1alpha1.Backoff
	next     *actionPlan // fired when this one has failed for good
	// mayFollow is false if nothing that the parameters do makes it be followed.
	mayFollow bool
}

// Dependency is one dependency of a Plan.
type Dependency struct {
	Name string
	From eventbus.Address

	transform *transform.Transform
	filter    *filter.Filter
	hash      string // changes with the definition
}

// From are the addresses that the trigger listens to.
func (t *TriggerPlan) From() []eventbus.Address {
	seen := map[eventbus.Address]bool{}
	var from []eventbus.Address
	for _, d := range t.Dependencies {
		if !seen[d.From] {
			seen[d.From] = true
			from = append(from, d.From)
		}
	}
	return from
}

// mayFollow tells whether an action of the trigger may be followed.
func (t *TriggerPlan) mayFollow() bool {
	for a := t.action; a != nil; a = a.next {
		if a.mayFollow {
			return true
		}
	}
	return false
}

// Compile makes a Plan of a Sensor. The error holds everything that is wrong,
// as v1alpha1.Problems. A trigger that is wrong, or whose kind there is not, is
// left out of the Plan while the others stay; the Plan is nil if no trigger is left.
func Compile(s *v1alpha1.Sensor, kinds trigger.Kinds) (*Plan, error) {
	p := &Plan{Namespace: s.Namespace, Name: s.Name, Bus: s.Spec.Bus(), loggingFields: s.Spec.LoggingFields}
	deps := map[string]*Dependency{}
	var names []string
	var errs []error
	for i := range s.Spec.Dependencies {
		d, err := compileDependency(&s.Spec.Dependencies[i])
		errs = append(errs, v1alpha1.At("spec.dependencies"+v1alpha1.Index(i), err))
		if d != nil {
			deps[d.Name] = d
		}
		names = append(names, s.Spec.Dependencies[i].Name)
	}
	for i := range s.Spec.Triggers {
		t, err := compileTrigger(&s.Spec.Triggers[i], deps, names, kinds)
		errs = append(errs, v1alpha1.At("spec.triggers"+v1alpha1.Index(i), err))
		if t != nil {
			p.Triggers = append(p.Triggers, t)
		}
	}
	if len(p.Triggers) == 0 {
		return nil, errors.Join(append(errs, v1alpha1.Invalid("spec.triggers", "none of the triggers can run"))...)
	}
	return p, errors.Join(errs...)
}

func compileDependency(d *v1alpha1.EventDependency) (*Dependency, error) {
	out := &Dependency{
		Name: d.Name,
		From: eventbus.Address{Source: d.EventSourceName, Event: d.EventName},
		hash: hashOf(d),
	}
	var errs []error
	var err error
	if d.Transform != nil {
		out.transform, err = transform.Compile(d.Transform)
		errs = append(errs, v1alpha1.At("transform", err))
	}
	if d.Filters != nil {
		out.filter, err = filter.Compile(d.Filters, d.FiltersLogicalOperator)
		errs = append(errs, err)
	}
	err = errors.Join(errs...)
	if v1alpha1.Fatal(err) != nil {
		return nil, err
	}
	return out, err
}

func compileTrigger(t *v1alpha1.Trigger, deps map[string]*Dependency, names []string, kinds trigger.Kinds) (*TriggerPlan, error) {
	if t.Template == nil {
		return nil, v1alpha1.Invalid("template", "is required")
	}
	out := &TriggerPlan{Name: t.Template.Name, conditionText: t.Template.Conditions, limit: t.RateLimit, inFlight: defaultInFlight}
	if t.MaxInFlight != nil {
		out.inFlight = int(*t.MaxInFlight)
	}
	var errs []error
	var err error
	if t.Template.Conditions == "" {
		out.Condition = condition.Default(names)
	} else if out.Condition, err = condition.Parse(t.Template.Conditions, names); err != nil {
		errs = append(errs, v1alpha1.At("template.conditions", err))
	}
	if out.Condition != nil {
		for _, name := range out.Condition.Names() {
			d, ok := deps[name]
			if !ok {
				errs = append(errs, v1alpha1.Invalid("template.conditions", "dependency %q cannot be used, see its own problem", name))
				continue
			}
			out.Dependencies = append(out.Dependencies, d)
		}
	}
	for i, r := range t.Template.ConditionsReset {
		parsed, err := parseReset(r)
		errs = append(errs, v1alpha1.At("template.conditionsReset"+v1alpha1.Index(i), err))
		if err == nil {
			out.resets = append(out.resets, parsed)
		}
	}
	if t.RateLimit != nil && t.RateLimit.RequestsPerUnit < 1 {
		errs = append(errs, v1alpha1.Invalid("rateLimit.requestsPerUnit", "has to be 1 or more"))
	}
	out.action, err = compileAction(t, kinds)
	errs = append(errs, err)
	if err = errors.Join(errs...); v1alpha1.Fatal(err) != nil || out.action == nil {
		return nil, err
	}
	out.Kind = out.action.kind.Name
	return out, err
}

func compileAction(t *v1alpha1.Trigger, kinds trigger.Kinds) (*actionPlan, error) {
	if t.Template == nil {
		return nil, v1alpha1.Invalid("template", "is required")
	}
	a := &actionPlan{name: t.Template.Name, policy: t.Policy, retry: t.RetryStrategy}
	var errs []error
	var err error
	if a.template, err = json.Marshal(t.Template); err != nil {
		return nil, v1alpha1.Invalid("template", "%v", err)
	}
	name, raw, err := theKind(t.Template)
	if err != nil {
		return nil, err
	}
	var known bool
	if a.kind, known = kinds.Named(name); !known {
		return nil, v1alpha1.Invalid("template."+name, "there is no trigger of kind %q in this version", name)
	}
	a.mayFollow = a.kind.Follow != nil
	if len(t.Parameters) > 0 {
		a.params, err = param.Compile(t.Parameters)
		errs = append(errs, v1alpha1.At("parameters", err))
	} else {
		c, err := a.kind.Decode(raw)
		errs = append(errs, v1alpha1.At("template."+name, err))
		a.config = c
		a.mayFollow = a.kind.FollowOf(c) != nil
	}
	errs = append(errs, v1alpha1.At("retryStrategy", t.RetryStrategy.Validate()))
	if t.DLQTrigger != nil {
		a.next, err = compileAction(t.DLQTrigger, kinds)
		errs = append(errs, v1alpha1.At("dlqTrigger", err))
	}
	if err = errors.Join(errs...); v1alpha1.Fatal(err) != nil {
		return nil, err
	}
	return a, err
}

// theKind is the one kind that a template names, with its configuration.
func theKind(t *v1alpha1.TriggerTemplate) (string, []byte, error) {
	var name string
	var raw []byte
	for k, v := range t.Kinds {
		if string(v.Raw) == "null" {
			continue
		}
		if name != "" {
			return "", nil, v1alpha1.Invalid("template", "has more than one kind of trigger: %s and %s", min(name, k), max(name, k))
		}
		name, raw = k, v.Raw
	}
	if name == "" {
		return "", nil, v1alpha1.Invalid("template", "has no kind of trigger").Hinted("give one, such as http: {url: ...}")
	}
	return name, raw, nil
}

func hashOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	return fmt.Sprintf("%016x", h.Sum64())
}

// Has tells whether the plan has a trigger of that name.
func (p *Plan) Has(triggerName string) bool {
	for _, t := range p.Triggers {
		if t.Name == triggerName {
			return true
		}
	}
	return false
}
