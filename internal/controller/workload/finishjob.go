package workload

import (
	"cmp"
	"errors"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

const (
	// componentFinish is the label by which the Job's pods are no pods of the EventSource.
	componentFinish = "eventsource-finish"
	// finishTries and finishDeadline let the Job end before it is given up.
	finishTries    = 5
	finishDeadline = 8 * time.Minute
	// finishTimeout is how long one try lasts.
	finishTimeout = "1m0s"
)

// finishName is the name of the Job.
func finishName(name string) string { return apply.Name(name+"-eventsource-finish", apply.MostName) }

// buildFinish says what the Job that finishes o is to be, and the ConfigMap that it
// needs. It is a pod like those of o, as far as that can be: o may have errors
// by now, and bus may be nil.
func buildFinish(o *manifest.Object, bus *Bus, opts controller.Options) (*corev1.ConfigMap, *batchv1.Job, error) {
	w := workloadOf(o, opts)
	if bus == nil {
		bus = &Bus{Name: busName(o), exotic: &v1alpha1.JetStreamExotic{}}
	}
	refs, err := w.references(bus)
	cm, cmErr := w.configMap(bus)
	if err := errors.Join(err, cmErr); err != nil {
		return nil, nil, err
	}
	tries, deadline := int32(finishTries), int64(finishDeadline/time.Second)
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: finishName(o.Name), Namespace: o.Namespace, Labels: merged(w.selector(), finishLabel())},
		Spec: batchv1.JobSpec{
			BackoffLimit: &tries, ActiveDeadlineSeconds: &deadline,
			Template: w.finishPod(bus, refs),
		},
	}
	return cm, job, nil
}

func finishLabel() map[string]string { return map[string]string{apply.ComponentLabel: componentFinish} }

// finishPod is the pod of o without what receives and is looked at.
func (w *workload) finishPod(bus *Bus, refs references) corev1.PodTemplateSpec {
	t := w.pod(bus, refs, false)
	labels := merged(w.selector(), finishLabel())
	if m := w.template.Metadata; m != nil {
		labels = merged(m.Labels, labels)
	}
	t.Labels = maps.Clone(labels)
	t.Spec.RestartPolicy = corev1.RestartPolicyNever
	t.Spec.TopologySpreadConstraints = nil
	t.Spec.TerminationGracePeriodSeconds = nil
	c := &t.Spec.Containers[0]
	c.Args = w.finishArgs(bus, refs)
	c.Ports, c.StartupProbe, c.LivenessProbe, c.ReadinessProbe = nil, nil, nil, nil
	return t
}

func (w *workload) finishArgs(bus *Bus, refs references) []string {
	args := []string{"finish", manifestsDir, "--namespace", w.Namespace, "--timeout", finishTimeout, "--log-format", cmp.Or(w.opts.LogFormat, "json")}
	if level := w.logLevel(); level != "" {
		args = append(args, "--log-level", level)
	}
	return append(args, w.busArgs(bus, refs)...)
}
