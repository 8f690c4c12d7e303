package bus

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

const (
	dataVolume   = "data"
	configVolume = "eventbus"
	authVolume   = "auth"

	dataDir   = "/data"
	configDir = "/etc/signalbox/eventbus"
	authDir   = "/etc/signalbox/auth"
	// manifestFile is the key of the ConfigMap.
	manifestFile = "eventbus.yaml"

	// nobody is the user of the image.
	nobody = 65532
	// stopSeconds are for handing over leaderships and writing what is left.
	stopSeconds = 60
)

// objects are all children but the Secrets.
func (p *plan) objects(u *unstructured.Unstructured, o *controller.Options) ([]client.Object, error) {
	config, err := p.configMap(u)
	if err != nil {
		return nil, err
	}
	list := []client.Object{config, p.service(u), p.statefulSet(u, o)}
	if p.replicas > 1 {
		list = append(list, p.budget(u))
	}
	return list, nil
}

// configMap has the manifest with what the bus really gets.
func (p *plan) configMap(u *unstructured.Unstructured) (*corev1.ConfigMap, error) {
	spec, _, err := unstructured.NestedMap(u.Object, "spec")
	if err != nil {
		return nil, err
	}
	object := map[string]any{
		"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(),
		"metadata": map[string]any{"name": u.GetName(), "namespace": u.GetNamespace()},
		"spec":     spec,
	}
	if err := unstructured.SetNestedField(object, int64(p.replicas), append(p.section, "replicas")...); err != nil {
		return nil, err
	}
	persistence := append(append([]string{}, p.section...), "persistence")
	if p.volume == nil {
		unstructured.RemoveNestedField(object, persistence...)
	} else if err := unstructured.SetNestedMap(object, map[string]any{"volumeSize": p.volume.VolumeSize.String()}, persistence...); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(object)
	if err != nil {
		return nil, err
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: controller.BusName(u.GetName())},
		Data:       map[string]string{manifestFile: string(text)},
	}, nil
}

// service gives each pod a name, before it is ready too, since pods get ready by
// finding each other.
func (p *plan) service(u *unstructured.Unstructured) *corev1.Service {
	port := func(name string, n int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: n, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(n)}
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: controller.BusName(u.GetName())},
		Spec: corev1.ServiceSpec{
			ClusterIP:                corev1.ClusterIPNone,
			PublishNotReadyAddresses: true,
			Selector:                 apply.Labels(u),
			Ports: []corev1.ServicePort{
				port("client", controller.PortClients), port("cluster", controller.PortMembers), port("admin", controller.PortAdmin),
			},
		},
	}
}

// budget lets nodes be drained one after the other.
func (p *plan) budget(u *unstructured.Unstructured) *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: controller.BusName(u.GetName())},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &one,
			Selector:       &metav1.LabelSelector{MatchLabels: apply.Labels(u)},
		},
	}
}

func (p *plan) statefulSet(u *unstructured.Unstructured, o *controller.Options) *appsv1.StatefulSet {
	name := controller.BusName(u.GetName())
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas:    &p.replicas,
			ServiceName: name,
			Selector:    &metav1.LabelSelector{MatchLabels: apply.Labels(u)},
			// Members need each other in order to become ready. Updates go one by one all the same.
			PodManagementPolicy: appsv1.ParallelPodManagement,
			UpdateStrategy:      appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
			Template:            p.pod(u, o),
		},
	}
	if p.volume != nil {
		s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: dataVolume, Labels: apply.Labels(u)},
			Spec: corev1.PersistentVolumeClaimSpec{
				StorageClassName: p.volume.StorageClassName,
				AccessModes:      []corev1.PersistentVolumeAccessMode{*p.volume.AccessMode},
				Resources: corev1.VolumeResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceStorage: *p.volume.VolumeSize},
				},
			},
		}}
	}
	return s
}

// podLabels are the user's, Argo Events', and ours, which win.
func (p *plan) podMeta(u *unstructured.Unstructured) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Labels: map[string]string{}}
	if m := p.pods.Metadata; m != nil {
		meta.Annotations = m.Annotations
		for k, v := range m.Labels {
			meta.Labels[k] = v
		}
	}
	name := apply.LabelValue(u.GetName())
	meta.Labels["controller"] = "eventbus-controller"
	meta.Labels["eventbus-name"] = name
	meta.Labels["owner-name"] = name
	for k, v := range apply.Labels(u) {
		meta.Labels[k] = v
	}
	return meta
}

func (p *plan) pod(u *unstructured.Unstructured, o *controller.Options) corev1.PodTemplateSpec {
	no, grace, mode := false, int64(stopSeconds), int32(0o440)
	spec := corev1.PodSpec{
		ServiceAccountName:            p.pods.ServiceAccountName,
		AutomountServiceAccountToken:  &no,
		EnableServiceLinks:            &no,
		TerminationGracePeriodSeconds: &grace,
		SecurityContext:               podSecurity(p.pods.SecurityContext),
		NodeSelector:                  p.pods.NodeSelector,
		Tolerations:                   p.pods.Tolerations,
		ImagePullSecrets:              p.pods.ImagePullSecrets,
		PriorityClassName:             p.pods.PriorityClassName,
		Priority:                      p.pods.Priority,
		Affinity:                      p.pods.Affinity,
		Containers:                    []corev1.Container{p.container(u, o)},
		Volumes: []corev1.Volume{
			{Name: configVolume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: controller.BusName(u.GetName())},
			}}},
			{Name: authVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: serverSecret(u.GetName()), DefaultMode: &mode,
			}}},
		},
	}
	if p.volume == nil {
		spec.Volumes = append(spec.Volumes, corev1.Volume{
			Name: dataVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
		})
	}
	if spec.Affinity == nil && p.replicas > 1 {
		spec.TopologySpreadConstraints = spread(apply.Labels(u))
	}
	return corev1.PodTemplateSpec{ObjectMeta: p.podMeta(u), Spec: spec}
}

// spread is a wish: a cluster of one node runs three pods too.
func spread(selector map[string]string) []corev1.TopologySpreadConstraint {
	var list []corev1.TopologySpreadConstraint
	for _, key := range []string{corev1.LabelHostname, corev1.LabelTopologyZone} {
		list = append(list, corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: selector},
		})
	}
	return list
}

func (p *plan) container(u *unstructured.Unstructured, o *controller.Options) corev1.Container {
	c := corev1.Container{
		Name: "main", Image: o.Image, ImagePullPolicy: o.PullPolicy,
		Args: p.args(u, o),
		Env: []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"},
		}}},
		Ports: []corev1.ContainerPort{
			{Name: "client", ContainerPort: controller.PortClients, Protocol: corev1.ProtocolTCP},
			{Name: "cluster", ContainerPort: controller.PortMembers, Protocol: corev1.ProtocolTCP},
			{Name: "admin", ContainerPort: controller.PortAdmin, Protocol: corev1.ProtocolTCP},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: configVolume, MountPath: configDir, ReadOnly: true},
			{Name: authVolume, MountPath: authDir, ReadOnly: true},
			{Name: dataVolume, MountPath: dataDir},
		},
		// A store that is read after a crash takes its time.
		StartupProbe:   probe("/healthz", 2, 300),
		LivenessProbe:  probe("/healthz", 10, 6),
		ReadinessProbe: probe("/readyz", 2, 2),
	}
	var own *corev1.SecurityContext
	if t := p.pods.ContainerTemplate; t != nil {
		c.Resources, own = t.Resources, t.SecurityContext
		if t.ImagePullPolicy != "" {
			c.ImagePullPolicy = t.ImagePullPolicy
		}
	}
	c.SecurityContext = containerSecurity(own)
	if limit := c.Resources.Limits.Memory(); !limit.IsZero() {
		// The collector has to work before the kernel does.
		c.Env = append(c.Env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: strconv.FormatInt(limit.Value()/10*9, 10)})
	}
	return c
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromInt32(controller.PortAdmin), Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 5, SuccessThreshold: 1,
	}
}

// args are those of signalbox bus. Names end in .svc, so that nothing has to be
// known of the cluster's domain.
func (p *plan) args(u *unstructured.Unstructured, o *controller.Options) []string {
	service := controller.BusName(u.GetName())
	domain := service + "." + u.GetNamespace() + ".svc"
	args := []string{
		"bus",
		"--eventbus", configDir + "/" + manifestFile,
		"--auth-dir", authDir,
		"--data-dir", dataDir,
		"--server-name", "$(POD_NAME)",
		"--listen", fmt.Sprintf(":%d", controller.PortClients),
		"--advertise", fmt.Sprintf("$(POD_NAME).%s:%d", domain, controller.PortClients),
		"--cluster-name", service,
		"--cluster-listen", fmt.Sprintf(":%d", controller.PortMembers),
		"--cluster-advertise", fmt.Sprintf("$(POD_NAME).%s:%d", domain, controller.PortMembers),
	}
	for i := range p.replicas {
		args = append(args, "--route", fmt.Sprintf("nats://%s-%d.%s:%d", service, i, domain, controller.PortMembers))
	}
	args = append(args, "--admin-addr", fmt.Sprintf(":%d", controller.PortAdmin))
	if p.replicas == 1 {
		args = append(args, "--fsync", "always")
	}
	if p.maxPayload > 0 {
		args = append(args, "--max-payload", strconv.FormatInt(p.maxPayload, 10))
	}
	if p.maxStore > 0 {
		args = append(args, "--max-store", strconv.FormatInt(p.maxStore, 10))
	}
	if o.LogLevel != "" {
		args = append(args, "--log-level", o.LogLevel)
	}
	if o.LogFormat != "" {
		args = append(args, "--log-format", o.LogFormat)
	}
	return args
}

// config is what clients need in order to connect.
func (p *plan) config(u *unstructured.Unstructured) *v1alpha1.JetStreamExotic {
	key := func(key string) *corev1.SecretKeySelector {
		return &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: controller.BusSecret(u.GetName(), controller.RoleClient)}, Key: key,
		}
	}
	c := &v1alpha1.JetStreamExotic{
		URL: controller.BusURL(u.GetNamespace(), u.GetName()), AccessSecret: key(controller.KeyAuth),
		TLS: &v1alpha1.TLSConfig{CACertSecret: key(controller.KeyCA)},
	}
	if j := p.bus.Spec.JetStream; j != nil && j.StreamConfig != nil {
		c.StreamConfig = *j.StreamConfig
	}
	return c
}
