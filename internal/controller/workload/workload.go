// Package workload makes pods of EventSources and Sensors: it says what an
// object's children are to be, and reconciles them.
//
// The pods run "signalbox run" on a mounted ConfigMap. What is only in the
// manifest reaches them without a restart; see docs/adr/0010-in-kubernetes.md.
package workload

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// Children are what an EventSource or a Sensor is made of in the cluster.
type Children struct {
	ConfigMap  *corev1.ConfigMap
	Deployment *appsv1.Deployment
	// Service is nil if nothing is received.
	Service *corev1.Service
	// Ingress is nil if it is not asked for.
	Ingress *netv1.Ingress
	// Budget is nil if there is one pod.
	Budget *policyv1.PodDisruptionBudget
}

// list are those that there are, in the order in which they are needed.
func (c *Children) list() []client.Object {
	out := []client.Object{c.ConfigMap, c.Deployment}
	if c.Service != nil {
		out = append(out, c.Service)
	}
	if c.Ingress != nil {
		out = append(out, c.Ingress)
	}
	if c.Budget != nil {
		out = append(out, c.Budget)
	}
	return out
}

// Build says what the children of o, a valid EventSource or Sensor, are to be.
// The error, of Problems, tells what cannot be put into a pod.
func Build(o *manifest.Object, bus *Bus, opts controller.Options) (*Children, error) {
	w := workloadOf(o, opts)
	refs, err := w.references(bus)
	errs := []error{err, w.clashes()}
	c := &Children{}
	c.ConfigMap, err = w.configMap(bus)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.Service = w.service()
	c.Ingress = w.ingress(c.Service)
	c.Deployment = w.deployment(bus, refs, c.Service != nil)
	c.Budget = w.budget()
	return c, nil
}

// workload is what an EventSource and a Sensor have in common.
type workload struct {
	*manifest.Object
	opts controller.Options
	// component is eventsource or sensor: a part of names, a label, and the
	// user of the bus.
	component string
	template  v1alpha1.Template
	container v1alpha1.Container
	replicas  *int32
	history   *int32
	// configs are those of the kinds that run.
	configs []config
}

func workloadOf(o *manifest.Object, opts controller.Options) *workload {
	w := &workload{Object: o, opts: opts}
	var template *v1alpha1.Template
	if es := o.EventSource; es != nil {
		w.component = componentEventSource
		template, w.replicas = es.Spec.Template, es.Spec.Replicas
		w.configs = sourceConfigs(o.Entries)
	} else {
		s := o.Sensor
		w.component = componentSensor
		template, w.replicas, w.history = s.Spec.Template, s.Spec.Replicas, s.Spec.RevisionHistoryLimit
		w.configs = triggerConfigs(s, opts.Triggers)
	}
	if template != nil {
		w.template = *template
	}
	if w.template.Container != nil {
		w.container = *w.template.Container
	}
	return w
}

const (
	componentEventSource = controller.RoleEventSource
	componentSensor      = controller.RoleSensor
)

// deploymentName is the name of the Deployment, the ConfigMap and the
// PodDisruptionBudget of an object.
func deploymentName(kind, name string) string {
	return apply.Name(name+"-"+strings.ToLower(kind), apply.MostName)
}

func (w *workload) selector() map[string]string { return apply.LabelsOf(w.Kind, w.Name) }

func (w *workload) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: deploymentName(w.Kind, w.Name), Namespace: w.Namespace, Labels: w.selector()}
}

func (w *workload) deployment(bus *Bus, refs references, received bool) *appsv1.Deployment {
	surge, none := intstr.FromString("25%"), intstr.FromInt32(0)
	meta := w.meta()
	meta.Labels = merged(w.userLabels(), meta.Labels)
	return &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas:             w.replicas, // none: whoever scales the Deployment
			RevisionHistoryLimit: w.history,
			Selector:             &metav1.LabelSelector{MatchLabels: w.selector()},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &surge},
			},
			Template: w.pod(bus, refs, received),
		},
	}
}

// userLabels are those of the object, which Argo Events puts on the Deployment
// too; without those by which tools tell what is theirs.
func (w *workload) userLabels() map[string]string {
	labels := map[string]string{}
	if w.EventSource != nil {
		maps.Copy(labels, w.EventSource.Labels)
	} else {
		maps.Copy(labels, w.Sensor.Labels)
	}
	maps.DeleteFunc(labels, func(k, _ string) bool {
		return strings.HasPrefix(k, "app.kubernetes.io/") || strings.HasPrefix(k, "argocd.argoproj.io/")
	})
	return labels
}

// budget lets nodes be drained one pod at a time.
func (w *workload) budget() *policyv1.PodDisruptionBudget {
	if w.replicas == nil || *w.replicas < 2 {
		return nil
	}
	one, always := intstr.FromInt32(1), policyv1.AlwaysAllow
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: w.meta(),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable:             &one,
			Selector:                   &metav1.LabelSelector{MatchLabels: w.selector()},
			UnhealthyPodEvictionPolicy: &always,
		},
	}
}

// invalid is a Problem of the object that has nothing to do with its sources
// and triggers.
func invalid(path, format string, args ...any) *v1alpha1.Problem {
	return v1alpha1.Invalid(path, "%s", fmt.Sprintf(format, args...))
}
