package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/sensor"
)

const (
	// sweepEvery finds what was deleted while no controller ran.
	sweepEvery = 10 * time.Minute
	// sweepSoon is for pods that are ending and for a bus that is away.
	sweepSoon    = 15 * time.Second
	sweepTimeout = 20 * time.Second
)

// Swept is a trigger that was removed from a bus.
type Swept struct {
	Sensor, Trigger string
	// Dropped is how many events waited for it.
	Dropped int64
}

// sweep removes what deleted sensors have on a bus, and triggers that were taken
// out of sensors: nobody else does, and a consumer that nobody reads holds processed
// events back from being purged.
type sweep struct {
	*Reconciler
	// open connects to a bus as the role controller.
	open func(ctx context.Context, bus *unstructured.Unstructured) (*eventbus.Bus, func(), error)
}

func setupSweep(mgr manager.Manager, r *Reconciler) error {
	s := &sweep{Reconciler: r}
	s.open = s.connect
	deleted := predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
	return builder.ControllerManagedBy(mgr).Named("eventbus-sweep").
		For(controller.Object(v1alpha1.KindEventBus), builder.WithPredicates(predicate.Funcs{
			UpdateFunc: func(event.UpdateEvent) bool { return false }, DeleteFunc: func(event.DeleteEvent) bool { return false },
		})).
		Watches(controller.Object(v1alpha1.KindSensor), handler.EnqueueRequestsFromMapFunc(busOf), builder.WithPredicates(deleted)).
		Complete(s)
}

// busOf is the bus of a Sensor.
func busOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: busName(o)}}}
}

func busName(o client.Object) string {
	if u, ok := o.(*unstructured.Unstructured); ok {
		if name, _, _ := unstructured.NestedString(u.Object, "spec", "eventBusName"); name != "" {
			return name
		}
	}
	return v1alpha1.DefaultEventBusName
}

// Reconcile implements reconcile.Reconciler. A bus that is away is no error: it is
// tried again.
func (s *sweep) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	u := controller.Object(v1alpha1.KindEventBus)
	if err := s.Get(ctx, req.NamespacedName, u); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if _, exotic := nested(u, "spec", "jetstreamExotic"); exotic || !u.GetDeletionTimestamp().IsZero() {
		return reconcile.Result{}, nil // a server of the user's is none of our business
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	bus, closeBus, err := s.open(ctx, u)
	if err != nil {
		s.Log.Debug("bus not swept", "eventbus", req.String(), "error", err)
		return reconcile.Result{RequeueAfter: sweepSoon}, nil
	}
	defer closeBus()
	swept, waiting, err := s.sweep(ctx, req.Namespace, req.Name, bus)
	for _, w := range swept {
		s.Log.Info("removed from the bus what is gone from the sensors", "eventbus", req.String(), "sensor", w.Sensor, "trigger", w.Trigger, "dropped", w.Dropped)
	}
	if len(swept) > 0 {
		s.Applier.Event(u, false, "Swept", "%s", tell(swept))
	}
	switch {
	case err != nil:
		s.Log.Warn("bus not swept", "eventbus", req.String(), "error", err)
		return reconcile.Result{RequeueAfter: sweepSoon}, nil
	case waiting:
		return reconcile.Result{RequeueAfter: sweepSoon}, nil
	}
	return reconcile.Result{RequeueAfter: sweepEvery}, nil
}

func nested(u *unstructured.Unstructured, path ...string) (any, bool) {
	v, ok, err := unstructured.NestedFieldNoCopy(u.Object, path...)
	return v, ok && err == nil
}

func tell(swept []Swept) string {
	var parts []string
	for _, w := range swept {
		parts = append(parts, fmt.Sprintf("trigger %s of sensor %s, which is gone, with %d events that waited for it", w.Trigger, w.Sensor, w.Dropped))
	}
	return "removed from the bus: " + strings.Join(parts, "; ")
}

// sweep tells what it removed, and whether pods of deleted sensors are left.
func (s *sweep) sweep(ctx context.Context, namespace, eventBus string, bus *eventbus.Bus) (swept []Swept, waiting bool, err error) {
	have, err := sensor.OnBus(ctx, bus)
	if err != nil {
		return nil, false, err
	}
	uses := map[string]use{}
	for _, t := range have {
		if _, ok := uses[t.Sensor]; ok {
			continue
		}
		u, err := s.sensor(ctx, namespace, eventBus, t.Sensor)
		if err != nil {
			return nil, false, err
		}
		waiting = waiting || u.ending
		uses[t.Sensor] = u
	}
	var errs []error
	for _, t := range have {
		if uses[t.Sensor].of(t.Trigger) {
			continue
		}
		dropped, err := sensor.Remove(ctx, bus, t.Sensor, t.Trigger)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		swept = append(swept, Swept{t.Sensor, t.Trigger, dropped})
	}
	return swept, waiting, errors.Join(errs...)
}

// use is what a sensor needs of a bus.
type use struct {
	ending   bool     // the sensor is gone, but its pods are not
	all      bool     // everything that it has there
	triggers []string // only what these have
}

func (u use) of(trigger string) bool { return u.all || slices.Contains(u.triggers, trigger) }

// sensor asks the API server itself: what it says has been deleted has been. A
// sensor that is not as it should be, or whose pods may still run an earlier
// version, keeps what it has.
func (s *sweep) sensor(ctx context.Context, namespace, eventBus, name string) (use, error) {
	u := controller.Object(v1alpha1.KindSensor)
	err := s.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u)
	switch {
	case apierrors.IsNotFound(err):
		return s.deleted(ctx, namespace, name)
	case err != nil:
		return use{}, fmt.Errorf("read sensor %s: %w", name, err)
	case !deployed(u):
		return use{all: true}, nil
	case busName(u) != eventBus:
		return use{}, nil // it has moved
	}
	triggers, _, _ := unstructured.NestedSlice(u.Object, "spec", "triggers")
	var need use
	for _, t := range triggers {
		t, _ := t.(map[string]any)
		name, ok, err := unstructured.NestedString(t, "template", "name")
		if err != nil || !ok {
			return use{all: true}, nil
		}
		need.triggers = append(need.triggers, name)
	}
	return need, nil
}

// deployed tells whether all conditions are true for the present version.
func deployed(u *unstructured.Unstructured) bool {
	var status v1alpha1.Status
	have, _, _ := unstructured.NestedMap(u.Object, "status")
	if runtime.DefaultUnstructuredConverter.FromUnstructured(have, &status) != nil || len(status.Conditions) == 0 {
		return false
	}
	return !slices.ContainsFunc(status.Conditions, func(c v1alpha1.Condition) bool {
		return c.Status != corev1.ConditionTrue || c.ObservedGeneration != u.GetGeneration()
	})
}

func (s *sweep) deleted(ctx context.Context, namespace, name string) (use, error) {
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	labels := apply.LabelsOf(v1alpha1.KindSensor, name)
	if err := s.Reader.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels(labels), client.Limit(1)); err != nil {
		return use{}, fmt.Errorf("list the pods of sensor %s: %w", name, err)
	}
	left := len(pods.Items) > 0
	return use{ending: left, all: left}, nil
}

// connect opens a bus that the controller runs.
func (s *sweep) connect(ctx context.Context, u *unstructured.Unstructured) (*eventbus.Bus, func(), error) {
	data, err := s.ownSecret(ctx, u, serverSecret(u.GetName()))
	if err != nil {
		return nil, nil, err
	}
	if data == nil {
		return nil, nil, errors.New("it has not been made")
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(data[controller.KeyCA]) {
		return nil, nil, errors.New("its certificate authority cannot be read")
	}
	quiet := slog.New(slog.DiscardHandler)
	link, err := eventbus.Dial(ctx, eventbus.LinkConfig{
		URL:  controller.BusURL(u.GetNamespace(), u.GetName()),
		User: controller.RoleController, Password: string(data[controller.RoleController]),
		InboxPrefix: eventbus.RoleController.InboxPrefix(),
		TLS:         &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted},
		Name:        "signalbox-controller", Log: quiet,
	})
	if err != nil {
		return nil, nil, err
	}
	bus, err := eventbus.Open(ctx, link, eventbus.Config{Namespace: u.GetNamespace(), Name: u.GetName(), AsIs: true, Log: quiet})
	if err != nil {
		return nil, nil, errors.Join(err, link.Close())
	}
	return bus, func() { _ = bus.Close(); _ = link.Close() }, nil
}
