package manifest

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/condition"
	"github.com/signalbox-events/signalbox/sensor/filter"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/transform"
)

// sensor checks a Sensor. It takes out of the templates what is no kind of trigger.
func (c *checker) sensor(s *v1alpha1.Sensor) error {
	var errs []error
	if r := s.Spec.Replicas; r != nil && *r < 0 {
		errs = append(errs, v1alpha1.Invalid("spec.replicas", "is negative"))
	}
	if len(s.Spec.Dependencies) == 0 {
		errs = append(errs, v1alpha1.Invalid("spec.dependencies", "at least one is required"))
	}
	var names []string
	for i := range s.Spec.Dependencies {
		d := &s.Spec.Dependencies[i]
		err := dependency(d)
		if j := slices.Index(names, d.Name); j >= 0 && d.Name != "" {
			err = errors.Join(err, v1alpha1.Invalid("name", "%q is the name of dependencies[%d] too", d.Name, j).
				Hinted("dependency names are unique in a sensor"))
		}
		names = append(names, d.Name)
		errs = append(errs, v1alpha1.At("spec.dependencies"+v1alpha1.Index(i), err))
	}
	if len(s.Spec.Triggers) == 0 {
		errs = append(errs, v1alpha1.Invalid("spec.triggers", "at least one is required"))
	}
	taken := map[string]int{}
	for i := range s.Spec.Triggers {
		t := &s.Spec.Triggers[i]
		err := c.trigger(t, names)
		if t.Template != nil && t.Template.Name != "" {
			if j, ok := taken[t.Template.Name]; ok {
				err = errors.Join(err, v1alpha1.Invalid("template.name", "%q is the name of triggers[%d] too", t.Template.Name, j).
					Hinted("trigger names are unique in a sensor"))
			} else {
				taken[t.Template.Name] = i
			}
		}
		errs = append(errs, v1alpha1.At("spec.triggers"+v1alpha1.Index(i), err))
	}
	return errors.Join(errs...)
}

func dependency(d *v1alpha1.EventDependency) error {
	errs := []error{
		required("name", d.Name),
		required("eventSourceName", d.EventSourceName),
		required("eventName", d.EventName),
	}
	if d.Transform != nil {
		_, err := transform.Compile(d.Transform)
		errs = append(errs, err)
	}
	_, err := filter.Compile(d.Filters, d.FiltersLogicalOperator)
	errs = append(errs, err)
	return errors.Join(errs...)
}

func required(path, value string) error {
	if value == "" {
		return v1alpha1.Invalid(path, "is required")
	}
	return nil
}

// trigger checks a trigger of spec.triggers or a dlqTrigger; paths are from it.
func (c *checker) trigger(t *v1alpha1.Trigger, names []string) error {
	var errs []error
	if t.Template == nil {
		errs = append(errs, v1alpha1.Invalid("template", "is required"))
	} else {
		errs = append(errs, v1alpha1.At("template", c.template(t, names)))
	}
	_, err := param.Compile(t.Parameters)
	errs = append(errs, v1alpha1.At("parameters", err), v1alpha1.At("retryStrategy", t.RetryStrategy.Validate()))
	if t.RateLimit != nil {
		errs = append(errs, v1alpha1.At("rateLimit", rateLimit(t.RateLimit)))
	}
	if n := t.MaxInFlight; n != nil && (*n < 1 || *n > mostInFlight) {
		errs = append(errs, v1alpha1.Invalid("maxInFlight", "has to be from 1 to %d", mostInFlight).Hinted("leave it out for 64"))
	}
	if t.Policy != nil {
		errs = append(errs, v1alpha1.At("policy", policy(t.Policy)))
	}
	if t.DLQTrigger != nil {
		errs = append(errs, v1alpha1.At("dlqTrigger", c.trigger(t.DLQTrigger, names)))
		if t.DLQTrigger.MaxInFlight != nil {
			errs = append(errs, v1alpha1.Warn("dlqTrigger.maxInFlight", "has no effect").Hinted("a dead-letter trigger runs in the place of its trigger"))
		}
	}
	return errors.Join(errs...)
}

// mostInFlight keeps a typing error from taking all memory.
const mostInFlight = 4096

func rateLimit(r *v1alpha1.RateLimit) error {
	var errs []error
	if r.RequestsPerUnit < 1 {
		errs = append(errs, v1alpha1.Invalid("requestsPerUnit", "has to be 1 or more"))
	}
	if !slices.Contains([]string{"", "Second", "Minute", "Hour"}, r.Unit) {
		errs = append(errs, v1alpha1.Warn("unit", "%q means Second", r.Unit).Hinted("there are Second, Minute, Hour"))
	}
	return errors.Join(errs...)
}

func policy(p *v1alpha1.TriggerPolicy) error {
	var errs []error
	if p.Status != nil && len(p.Status.Allow) == 0 {
		errs = append(errs, v1alpha1.Invalid("status.allow", "is required").Hinted("list the statuses that mean success, such as [200, 201]"))
	}
	if p.K8s != nil {
		if len(p.K8s.Labels) == 0 {
			errs = append(errs, v1alpha1.Invalid("k8s.labels", "is required").Hinted("give the labels to wait for"))
		}
		errs = append(errs, v1alpha1.At("k8s.backoff", p.K8s.Backoff.Validate()))
	}
	return errors.Join(errs...)
}

// template checks a trigger's template; paths are from the template.
func (c *checker) template(t *v1alpha1.Trigger, names []string) error {
	written := overwritesOf(t.Parameters)
	var errs []error
	if !written.cover([]string{"name"}) {
		errs = append(errs, required("name", t.Template.Name))
	}
	if t.Template.Conditions != "" {
		_, err := condition.Parse(t.Template.Conditions, names)
		errs = append(errs, v1alpha1.At("conditions", err))
	}
	for i, r := range t.Template.ConditionsReset {
		errs = append(errs, v1alpha1.At("conditionsReset"+v1alpha1.Index(i), conditionsReset(r)))
	}
	return errors.Join(append(errs, c.templateKind(t, written))...)
}

// templateKind checks that there is one kind of trigger, and that one.
func (c *checker) templateKind(t *v1alpha1.Trigger, written overwrites) error {
	var errs []error
	var kinds, empty []string
	for _, key := range slices.Sorted(maps.Keys(t.Template.Kinds)) {
		switch {
		case !c.isTrigger(key):
			errs = append(errs, c.strayKey(key))
		case t.Template.Kinds[key].Raw == nil && !written.touch([]string{key}):
			empty = append(empty, key)
		default:
			kinds = append(kinds, key)
			continue
		}
		delete(t.Template.Kinds, key)
	}
	switch {
	case len(kinds) > 1:
		return errors.Join(append(errs, v1alpha1.Invalid("", "has more than one kind of trigger: %s", list(kinds)).Hinted("keep one"))...)
	case len(kinds) == 0 && len(empty) > 0:
		return errors.Join(append(errs, v1alpha1.Invalid(empty[0], "is empty").Hinted("write %s: {}", empty[0]))...)
	case len(kinds) == 0:
		for _, w := range written {
			if c.isTrigger(w[0]) {
				return errors.Join(errs...)
			}
		}
		return errors.Join(append(errs, v1alpha1.Invalid("", "has no kind of trigger").Hinted("give one, such as http"))...)
	}
	name := kinds[0]
	raw := t.Template.Kinds[name].Raw
	if raw == nil {
		raw = []byte("{}")
	}
	k, here := c.Triggers.Named(name)
	if !here {
		errs = append(errs, v1alpha1.Warn(name, "triggers of kind %s are not supported yet by this version", name).
			Hinted("the other triggers of the sensor are not held up"),
			v1alpha1.At(name, asWarnings(kind.Check(c.later.triggers[name].config, raw))))
		return errors.Join(errs...)
	}
	_, err := k.Decode(raw)
	errs = append(errs, c.placed(written.excuse(v1alpha1.At(name, err))))
	if k.StatusPolicy && (t.Policy == nil || t.Policy.Status == nil) {
		errs = append(errs, note(name, "any answer counts as done").Hinted("policy.status.allow, beside template, lists those that do"))
	}
	return errors.Join(errs...)
}

// strayKey is the warning for a key of a template that is no kind.
func (c *checker) strayKey(key string) *v1alpha1.Problem {
	known := slices.Concat(fixedKeys[v1alpha1.TriggerTemplate](), slices.Collect(maps.Keys(c.later.triggers)))
	for _, k := range c.Triggers {
		known = append(known, k.Name)
	}
	slices.Sort(known)
	p := kind.UnknownKey(v1alpha1.Key(key), key, known)
	if slices.Contains(fixedKeys[v1alpha1.Trigger](), key) {
		p.Hinted("%s belongs beside template, one level up", key)
	}
	return p
}

// placed says of unknown keys in a kind's configuration where they belong, if
// they are keys of the trigger around it.
func (c *checker) placed(err error) error {
	for _, p := range v1alpha1.Problems(err) {
		segs := segments(p.Path)
		switch {
		case p.Severity != v1alpha1.Warning || len(segs) != 2:
		case slices.Contains(fixedKeys[v1alpha1.Trigger](), segs[1]):
			p.Hinted("%s belongs beside template, two levels up", segs[1])
		case slices.Contains([]string{"conditions", "conditionsReset"}, segs[1]):
			p.Hinted("%s belongs beside %s, one level up", segs[1], segs[0])
		}
	}
	return err
}

func (c *checker) isTrigger(name string) bool {
	_, here := c.Triggers.Named(name)
	_, later := c.later.triggers[name]
	return here || later
}

func conditionsReset(r v1alpha1.ConditionsResetCriteria) error {
	if r.ByTime == nil {
		return v1alpha1.Invalid("byTime", "is required")
	}
	var errs []error
	if _, err := time.LoadLocation(r.ByTime.Timezone); err != nil {
		errs = append(errs, v1alpha1.Invalid("byTime.timezone", "unknown time zone %q", r.ByTime.Timezone).
			Hinted("use an IANA name such as Europe/Berlin"))
	}
	fields := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	switch s, err := fields.Parse(r.ByTime.Cron); {
	case err != nil:
		errs = append(errs, v1alpha1.Invalid("byTime.cron", "%q is no schedule: %v", r.ByTime.Cron, err).
			Hinted("five fields: minute hour day month weekday"))
	case s.Next(time.Now()).IsZero():
		errs = append(errs, v1alpha1.Invalid("byTime.cron", "%q never occurs", r.ByTime.Cron))
	}
	return errors.Join(errs...)
}
