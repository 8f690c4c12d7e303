package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// Reasons beside those of package apply.
const (
	// UnsupportedKind: a part of the object is of a kind that this version does
	// not have. The other parts run.
	UnsupportedKind = "UnsupportedKind"
	// PodsFailing: the Deployment has given up on the new pods.
	PodsFailing = "PodsFailing"
	// Ready is the state of an object of which all conditions are True.
	Ready = "Ready"
)

// mostLines is how many problems a message tells.
const mostLines = 10

// summary is one problem a line.
func summary(problems []*v1alpha1.Problem) string {
	var lines []string
	for i, p := range problems {
		if i == mostLines {
			lines = append(lines, fmt.Sprintf("and %d more", len(problems)-i))
			break
		}
		lines = append(lines, strings.ReplaceAll(p.Error(), "\n", " "))
	}
	return strings.Join(lines, "\n")
}

func ofSeverity(problems []*v1alpha1.Problem, s v1alpha1.Severity) []*v1alpha1.Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p *v1alpha1.Problem) bool { return p.Severity != s })
}

// hold says why an object's children are not written; what is there goes on.
// The zero value is no hold.
type hold struct{ reason, message string }

// provided sets the conditions on what the object says, and holds it if that is
// not valid or nothing of it can run.
func provided(c *apply.Conditions, o *manifest.Object, problems []*v1alpha1.Problem, opts controller.Options) hold {
	errs := ofSeverity(problems, v1alpha1.Error)
	missing, runs := unsupported(o, opts)
	rest := errs
	if o.Kind == v1alpha1.KindEventSource {
		rest = provide(c, apply.SourcesProvided, apply.InvalidEventSource, "spec", errs, missing)
		// An endpoint that anybody may use, say: it runs, and somebody ought to know.
		if warnings := ofSeverity(problems, v1alpha1.Warning); len(errs) == 0 && len(missing) == 0 && len(warnings) > 0 {
			c.True(apply.SourcesProvided, apply.Succeeded, "%s", summary(warnings))
		}
	} else {
		rest = provide(c, apply.DependenciesProvided, apply.InvalidDependencies, "spec.dependencies", rest, nil)
		rest = provide(c, apply.TriggersProvided, apply.InvalidTriggers, "spec.triggers", rest, missing)
	}
	switch {
	case len(rest) > 0:
		return hold{apply.InvalidSpec, summary(rest)}
	case len(errs) > 0:
		return hold{apply.InvalidSpec, "the object is not valid, see the other conditions"}
	case !runs:
		return hold{UnsupportedKind, "nothing of this object is supported by this version"}
	}
	return hold{}
}

// provide sets one condition by the problems below a path and returns the others.
func provide(c *apply.Conditions, aspect, reason, path string, errs []*v1alpha1.Problem, missing []string) []*v1alpha1.Problem {
	var here, others []*v1alpha1.Problem
	for _, p := range errs {
		if rest, ok := strings.CutPrefix(p.Path, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			here = append(here, p)
		} else {
			others = append(others, p)
		}
	}
	switch {
	case len(here) > 0:
		c.False(aspect, reason, "%s", summary(here))
	case len(missing) > 0:
		c.False(aspect, UnsupportedKind, "not supported by this version, the rest runs: %s", strings.Join(missing, ", "))
	default:
		c.True(aspect, apply.Succeeded, "")
	}
	return others
}

// unsupported are the paths of kinds that this version does not have; runs
// tells whether there are others.
func unsupported(o *manifest.Object, opts controller.Options) (missing []string, runs bool) {
	if es := o.EventSource; es != nil {
		for _, name := range slices.Sorted(maps.Keys(es.Spec.Sources)) {
			if _, ok := opts.Sources.Named(name); !ok {
				missing = append(missing, v1alpha1.Join("spec", v1alpha1.Key(name)))
			}
		}
		return missing, len(o.Entries) > 0
	}
	if o.Sensor == nil {
		return nil, false
	}
	for i := range o.Sensor.Spec.Triggers {
		path := "spec.triggers" + v1alpha1.Index(i)
		for t := &o.Sensor.Spec.Triggers[i]; t != nil; t, path = t.DLQTrigger, path+".dlqTrigger" {
			if t.Template == nil {
				continue
			}
			here := true
			for _, name := range slices.Sorted(maps.Keys(t.Template.Kinds)) {
				if _, ok := opts.Triggers.Named(name); !ok {
					here = false
					missing = append(missing, path+".template."+v1alpha1.Key(name))
				}
			}
			runs = runs || here && t == &o.Sensor.Spec.Triggers[i]
		}
	}
	return missing, runs
}

// pods is how the Deployment is; live may be nil.
type pods struct {
	ready, want int32
	// done means that all pods are of the newest version and ready.
	done bool
	// failing is why the Deployment has given up; empty if it has not.
	failing string
}

// podsOf reads the Deployment; written says that it has just been written, so
// that live may be from before.
func podsOf(live *appsv1.Deployment, written bool) pods {
	if live == nil {
		return pods{want: 1}
	}
	p := pods{want: 1, ready: live.Status.ReadyReplicas}
	if live.Spec.Replicas != nil {
		p.want = *live.Spec.Replicas
	}
	current := !written && live.Status.ObservedGeneration >= live.Generation
	p.done = current && live.Status.UpdatedReplicas >= p.want && p.ready >= p.want && live.Status.AvailableReplicas >= p.want
	p.ready = min(p.ready, p.want)
	for _, c := range live.Status.Conditions {
		gaveUp := c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse
		refused := c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue
		if current && (gaveUp || refused) {
			p.failing = c.Message
		}
	}
	return p
}

// String is "1 of 1 pods ready".
func (p pods) String() string { return fmt.Sprintf("%d of %d pods ready", p.ready, p.want) }

// short is "1/1".
func (p pods) short() string { return fmt.Sprintf("%d/%d", p.ready, p.want) }

// deployed sets the condition on the pods.
func (p pods) deployed(c *apply.Conditions) {
	switch {
	case p.done:
		c.True(apply.Deployed, apply.Succeeded, "%s", p)
	case p.failing != "":
		c.False(apply.Deployed, PodsFailing, "%s: %s", p, p.failing)
	case p.ready >= p.want:
		c.Unknown(apply.Deployed, apply.PodsNotReady, "%s, not all of the newest version yet", p)
	default:
		c.Unknown(apply.Deployed, apply.PodsNotReady, "%s", p)
	}
}

// state is Ready, or the reason of the first condition that is not True, that
// of the pods last.
func state(s v1alpha1.Status) string {
	first := Ready
	for _, c := range slices.Backward(s.Conditions) {
		if c.Status != corev1.ConditionTrue && (c.Type != apply.Deployed || first == Ready) {
			first = c.Reason
		}
	}
	return first
}
