package workload

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// statusOf is what is written as the status of an object. children are nil if
// none were written: then what the status says of them stays.
func statusOf(u *unstructured.Unstructured, o *manifest.Object, c *apply.Conditions, p pods, children *Children) any {
	if o.Kind == v1alpha1.KindEventSource {
		s := v1alpha1.EventSourceStatus{Status: c.Status(), Pods: p.short()}
		s.State = state(s.Status)
		if children == nil {
			s.URLs = before[v1alpha1.EventSourceStatus](u).URLs
		} else {
			s.URLs = urls(o, children.Service)
		}
		return s
	}
	s := v1alpha1.SensorStatus{Status: c.Status(), Pods: p.short()}
	s.State = state(s.Status)
	if children == nil {
		was := before[v1alpha1.SensorStatus](u)
		s.Dependencies, s.Triggers = was.Dependencies, was.Triggers
	} else {
		s.Dependencies, s.Triggers = waitsFor(o.Sensor)
	}
	return s
}

// before is the status that an object has; empty if it is not ours.
func before[T any](u *unstructured.Unstructured) T {
	var s T
	m, _, _ := unstructured.NestedMap(u.Object, "status")
	if runtime.DefaultUnstructuredConverter.FromUnstructured(m, &s) != nil {
		var none T
		return none
	}
	return s
}

func waitsFor(s *v1alpha1.Sensor) (dependencies string, triggers []v1alpha1.TriggerState) {
	var events, names []string
	for _, d := range s.Spec.Dependencies {
		names = append(names, d.Name)
		if e := d.EventSourceName + "/" + d.EventName; !slices.Contains(events, e) {
			events = append(events, e)
		}
	}
	for _, t := range s.Spec.Triggers {
		if t.Template != nil {
			triggers = append(triggers, v1alpha1.TriggerState{
				Name: t.Template.Name, Kind: strings.Join(slices.Sorted(maps.Keys(t.Template.Kinds)), ","),
				When: cmp.Or(t.Template.Conditions, strings.Join(names, " && ")),
			})
		}
	}
	return strings.Join(events, ","), triggers
}

// isNew tells whether no condition is about this generation yet.
func isNew(u *unstructured.Unstructured) bool {
	return !slices.ContainsFunc(before[v1alpha1.Status](u).Conditions, func(c v1alpha1.Condition) bool {
		return c.ObservedGeneration == u.GetGeneration()
	})
}
