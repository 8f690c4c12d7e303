package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// Types of conditions, those of Argo Events.
const (
	Configured           = "Configured"           // EventBus
	Deployed             = "Deployed"             // all
	SourcesProvided      = "SourcesProvided"      // EventSource
	DependenciesProvided = "DependenciesProvided" // Sensor
	TriggersProvided     = "TriggersProvided"     // Sensor
)

// Reasons of conditions, those of Argo Events first.
const (
	Succeeded           = "Succeeded"
	Skipped             = "Skipped"
	InvalidSpec         = "InvalidSpec"
	InvalidEventSource  = "InvalidEventSource"
	InvalidDependencies = "InvalidDependencies"
	InvalidTriggers     = "InvalidTriggers"
	EventBusNotFound    = "EventBusNotFound"
	EventBusNotReady    = "EventBusNotReady"

	// NameTaken: a child's name belongs to another object.
	NameTaken = "NameTaken"
	// WriteFailed: the API server did not take a child.
	WriteFailed = "WriteFailed"
	// PodsNotReady: the children are written, and some pods are not ready.
	PodsNotReady = "PodsNotReady"
	// ShrinkRefused: the bus stays larger than the manifest says.
	ShrinkRefused = "ShrinkRefused"
)

// Conditions collects conditions of one generation of an object.
type Conditions struct {
	generation int64
	list       []v1alpha1.Condition
}

// NewConditions is for obj as it is now.
func NewConditions(obj client.Object) *Conditions {
	return &Conditions{generation: obj.GetGeneration()}
}

// True says that the aspect is as it should be.
func (c *Conditions) True(aspect, reason, format string, args ...any) {
	c.set(aspect, corev1.ConditionTrue, reason, format, args)
}

// False says that it is not.
func (c *Conditions) False(aspect, reason, format string, args ...any) {
	c.set(aspect, corev1.ConditionFalse, reason, format, args)
}

// Unknown says that something else has to be put right first.
func (c *Conditions) Unknown(aspect, reason, format string, args ...any) {
	c.set(aspect, corev1.ConditionUnknown, reason, format, args)
}

func (c *Conditions) set(aspect string, status corev1.ConditionStatus, reason, format string, args []any) {
	c.list = slices.DeleteFunc(c.list, func(o v1alpha1.Condition) bool { return o.Type == aspect })
	c.list = append(c.list, v1alpha1.Condition{
		Type: aspect, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...), ObservedGeneration: c.generation,
	})
}

// Ready tells whether all are True.
func (c *Conditions) Ready() bool {
	return !slices.ContainsFunc(c.list, func(o v1alpha1.Condition) bool { return o.Status != corev1.ConditionTrue })
}

// State is Ready, or the reason of the first condition that is not True.
func (c *Conditions) State() string {
	for _, o := range c.Status().Conditions {
		if o.Status != corev1.ConditionTrue {
			return o.Reason
		}
	}
	return "Ready"
}

// Status is the part of a status that all kinds have, sorted by type.
func (c *Conditions) Status() v1alpha1.Status {
	list := slices.Clone(c.list)
	slices.SortFunc(list, func(a, b v1alpha1.Condition) int { return strings.Compare(a.Type, b.Type) })
	return v1alpha1.Status{Conditions: list}
}

// Failed is the reason for an error of Apply.
func Failed(err error) string {
	var taken *ForeignError
	if errors.As(err, &taken) {
		return NameTaken
	}
	return WriteFailed
}

// Status writes status, a struct such as v1alpha1.EventBusStatus, as the status
// of obj if it differs, whole. lastTransitionTime of the conditions is set here:
// it is kept where the condition's status has not changed. A condition that
// became False, or gives another reason while it is False, and one that became
// True again, are events on obj.
func (a *Applier) Status(ctx context.Context, obj *unstructured.Unstructured, status any) error {
	want, err := toMap(status)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	seen, _, _ := unstructured.NestedMap(obj.Object, "status") // a copy; nil if it is no map
	have := a.memory.status(obj, seen)
	changes := a.conditions(have, want)
	if reflect.DeepEqual(have, want) {
		return nil
	}
	// Not an apply: it has to remove what another controller left in the status,
	// and to work on objects that do not fit the schema.
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": string(obj.GetUID())},
		{"op": "add", "path": "/status", "value": want},
	})
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	result := &unstructured.Unstructured{}
	result.SetGroupVersionKind(obj.GroupVersionKind())
	result.SetNamespace(obj.GetNamespace())
	result.SetName(obj.GetName())
	err = a.Client.Status().Patch(ctx, result, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(Manager))
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	a.memory.setStatus(obj, want, result.GetResourceVersion())
	for _, c := range changes {
		a.Event(obj, c.warning, c.reason, "%s: %s", c.aspect, c.message)
	}
	return nil
}

type change struct {
	warning                 bool
	aspect, reason, message string
}

// conditions sets the times of those of want, and tells what is worth an event.
func (a *Applier) conditions(have, want map[string]any) []change {
	before := map[string]map[string]any{}
	old, _ := have["conditions"].([]any)
	for _, c := range old {
		if c, ok := c.(map[string]any); ok {
			if t, ok := c["type"].(string); ok {
				before[t] = c
			}
		}
	}
	var changes []change
	list, _ := want["conditions"].([]any)
	for _, item := range list {
		c, ok := item.(map[string]any)
		if !ok {
			continue
		}
		aspect, _ := c["type"].(string)
		was := before[aspect]
		same := was != nil && was["status"] == c["status"]
		when, hasTime := was["lastTransitionTime"].(string)
		if same && hasTime {
			c["lastTransitionTime"] = when
		} else {
			c["lastTransitionTime"] = a.Now().UTC().Format(time.RFC3339)
		}
		reason, _ := c["reason"].(string)
		message, _ := c["message"].(string)
		switch c["status"] {
		case string(corev1.ConditionFalse):
			if !same || was["reason"] != c["reason"] {
				changes = append(changes, change{reason != PodsNotReady, aspect, reason, message})
			}
		case string(corev1.ConditionTrue):
			if was != nil && !same {
				changes = append(changes, change{false, aspect, reason, message})
			}
		}
	}
	return changes
}

// toMap is v as it comes back from the API.
func toMap(v any) (map[string]any, error) {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p.Interface())
	if err != nil {
		return nil, err
	}
	dropEmpty(m)
	return m, nil
}
