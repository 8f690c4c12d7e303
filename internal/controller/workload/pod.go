package workload

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

const (
	// container is the name that Argo Events gives to it.
	container = "main"

	home          = "/etc/signalbox"
	manifestsDir  = home + "/manifests"
	busDir        = home + "/bus"
	secretsDir    = home + "/secrets"
	configMapsDir = home + "/configmaps"
	tmpDir        = "/tmp"

	manifestsVolume  = "signalbox-manifests"
	busVolume        = "signalbox-bus"
	secretsVolume    = "signalbox-secrets"
	configMapsVolume = "signalbox-configmaps"
	tmpVolume        = "signalbox-tmp"

	// drainDelay is longer than it takes until nobody sends to a pod that ends.
	drainDelay = "8s"
	// gracePeriod leaves time for the drain and for actions that have begun.
	gracePeriod = 60
	// user is the image's.
	user = 65532
)

// pod is the template of the pods. Nothing in it may change with what the pods
// read anew by themselves.
func (w *workload) pod(bus *Bus, refs references, received bool) corev1.PodTemplateSpec {
	grace, token, links := int64(gracePeriod), w.needsKubernetes(), false
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: w.podLabels()}}
	if m := w.template.Metadata; m != nil {
		t.Annotations = maps.Clone(m.Annotations)
		t.Labels = merged(m.Labels, t.Labels)
	}
	t.Spec = corev1.PodSpec{
		ServiceAccountName:            w.template.ServiceAccountName,
		AutomountServiceAccountToken:  &token,
		EnableServiceLinks:            &links,
		TerminationGracePeriodSeconds: &grace,
		SecurityContext:               w.podSecurity(),
		NodeSelector:                  w.template.NodeSelector,
		Tolerations:                   w.template.Tolerations,
		ImagePullSecrets:              w.template.ImagePullSecrets,
		PriorityClassName:             w.template.PriorityClassName,
		Priority:                      w.template.Priority,
		Affinity:                      w.template.Affinity,
		TopologySpreadConstraints:     w.spread(),
	}
	c := corev1.Container{
		Name:                     container,
		Image:                    w.opts.Image,
		ImagePullPolicy:          w.opts.PullPolicy,
		Args:                     w.args(bus, refs, received),
		Env:                      w.env(),
		EnvFrom:                  w.container.EnvFrom,
		Ports:                    w.ports(),
		Resources:                w.resources(),
		SecurityContext:          w.containerSecurity(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		// A large manifest and a slow node may take their time; nothing is
		// asked of the bus.
		StartupProbe:   probe("/healthz", 1, 120),
		LivenessProbe:  probe("/healthz", 10, 6),
		ReadinessProbe: probe("/readyz", 3, 3),
	}
	if p := w.container.ImagePullPolicy; p != "" {
		c.ImagePullPolicy = p
	}
	volumes, mounts := w.mounted(bus, refs)
	t.Spec.Volumes = append(volumes, w.template.Volumes...)
	c.VolumeMounts = append(mounts, w.container.VolumeMounts...)
	t.Spec.Containers = []corev1.Container{c}
	return t
}

// podLabels are Argo Events' and ours.
func (w *workload) podLabels() map[string]string {
	name := apply.LabelValue(w.Name)
	return merged(w.selector(), map[string]string{
		"controller":          w.component + "-controller",
		w.component + "-name": name,
		"owner-name":          name,
	})
}

func (w *workload) args(bus *Bus, refs references, received bool) []string {
	args := []string{"run", manifestsDir, "--namespace", w.Namespace, "--admin-addr", ":" + strconv.Itoa(controller.PortAdmin), "--log-format", cmp.Or(w.opts.LogFormat, "json")}
	if level := w.logLevel(); level != "" {
		args = append(args, "--log-level", level)
	}
	if bus.exotic != nil {
		args = append(args, "--no-embedded-bus")
	}
	args = append(args, w.busArgs(bus, refs)...)
	if received {
		args = append(args, "--drain-delay", drainDelay)
	}
	if w.runsPrograms() {
		for _, dir := range w.opts.Exec {
			args = append(args, "--allow-exec", dir)
		}
	}
	return args
}

// busArgs say where the bus and the secrets are.
func (w *workload) busArgs(bus *Bus, refs references) []string {
	var args []string
	if bus.exotic == nil {
		args = append(args, "--bus", bus.URL, "--bus-managed", "--bus-user", w.component,
			"--bus-password-file", busDir+"/"+controller.KeyPassword, "--bus-ca", busDir+"/"+controller.KeyCA)
	}
	if len(refs.secrets) > 0 {
		args = append(args, "--secrets", secretsDir)
	}
	if len(refs.configMaps) > 0 {
		args = append(args, "--configmaps", configMapsDir)
	}
	return args
}

// logLevel is what users of Argo Events set it by.
func (w *workload) logLevel() string {
	for _, e := range w.container.Env {
		if e.Name == "LOG_LEVEL" && slices.Contains([]string{"debug", "info", "warn", "error"}, e.Value) {
			return e.Value
		}
	}
	return w.opts.LogLevel
}

// env tells Go of a limit on memory, so that it collects garbage rather than
// being killed.
func (w *workload) env() []corev1.EnvVar {
	env := slices.Clone(w.container.Env)
	limit, ok := w.container.Resources.Limits[corev1.ResourceMemory]
	given := slices.ContainsFunc(env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if ok && !given {
		env = append(env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: strconv.FormatInt(limit.Value()/10*9, 10)})
	}
	return env
}

func (w *workload) ports() []corev1.ContainerPort {
	ports := []corev1.ContainerPort{{Name: "metrics", ContainerPort: controller.PortAdmin, Protocol: corev1.ProtocolTCP}}
	for _, p := range w.routePorts() {
		ports = append(ports, corev1.ContainerPort{ContainerPort: p, Protocol: corev1.ProtocolTCP})
	}
	return ports
}

// resources are the user's. Without any, a small request keeps the pod from
// being the first to be evicted.
func (w *workload) resources() corev1.ResourceRequirements {
	r := w.container.Resources
	if len(r.Requests)+len(r.Limits)+len(r.Claims) > 0 {
		return r
	}
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("10m"),
		corev1.ResourceMemory: resource.MustParse("48Mi"),
	}}
}

// spread keeps pods on different nodes where there are some.
func (w *workload) spread() []corev1.TopologySpreadConstraint {
	if w.template.Affinity != nil {
		return nil
	}
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector: &metav1.LabelSelector{MatchLabels: w.selector()},
	}}
}

func probe(path string, every, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(controller.PortAdmin)}},
		PeriodSeconds: every, FailureThreshold: failures, TimeoutSeconds: 5,
	}
}
