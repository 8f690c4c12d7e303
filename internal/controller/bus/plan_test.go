package bus

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
)

// built is what is made of the spec of an EventBus team/main.
type built struct {
	*plan
	config  *corev1.ConfigMap
	service *corev1.Service
	set     *appsv1.StatefulSet
	budget  *policyv1.PodDisruptionBudget
}

func busObject(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main, namespace: team}, spec: "+spec+"}")
}

func planOf(t *testing.T, spec string, live *appsv1.StatefulSet) (*plan, *unstructured.Unstructured, error) {
	t.Helper()
	u := busObject(t, spec)
	b, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	var bus v1alpha1.EventBus
	if err := yaml.UnmarshalStrict(b, &bus); err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(&bus, live)
	return p, u, err
}

func build(t *testing.T, spec string, live *appsv1.StatefulSet) *built {
	t.Helper()
	p, u, err := planOf(t, spec, live)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := p.objects(u, &controller.Options{Image: "signalbox:test", PullPolicy: corev1.PullAlways, LogFormat: "json"})
	if err != nil {
		t.Fatal(err)
	}
	b := &built{plan: p}
	for _, o := range objects {
		switch o := o.(type) {
		case *corev1.ConfigMap:
			b.config = o
		case *corev1.Service:
			b.service = o
		case *appsv1.StatefulSet:
			b.set = o
		case *policyv1.PodDisruptionBudget:
			b.budget = o
		}
	}
	return b
}

func (b *built) pod() *corev1.PodSpec         { return &b.set.Spec.Template.Spec }
func (b *built) container() *corev1.Container { return &b.pod().Containers[0] }

func TestThreeReplicasByDefault(t *testing.T) {
	b := build(t, `{jetstream: {version: latest}}`, nil)
	if *b.set.Spec.Replicas != 3 || b.set.Name != "eventbus-main" || b.set.Spec.ServiceName != "eventbus-main" {
		t.Errorf("got %+v", b.set)
	}
	want := strings.Fields(`bus --eventbus /etc/signalbox/eventbus/eventbus.yaml --auth-dir /etc/signalbox/auth --data-dir /data
		--server-name $(POD_NAME) --listen :4222 --advertise $(POD_NAME).eventbus-main.team.svc:4222
		--cluster-name eventbus-main --cluster-listen :6222 --cluster-advertise $(POD_NAME).eventbus-main.team.svc:6222
		--route nats://eventbus-main-0.eventbus-main.team.svc:6222 --route nats://eventbus-main-1.eventbus-main.team.svc:6222
		--route nats://eventbus-main-2.eventbus-main.team.svc:6222 --admin-addr :7777 --log-format json`)
	if got := b.container().Args; !slices.Equal(got, want) {
		t.Errorf("arguments\n%s\nwant\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
	if b.budget == nil || b.budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("budget %+v", b.budget)
	}
	if s := b.pod().TopologySpreadConstraints; len(s) == 0 || s[0].TopologyKey != corev1.LabelHostname || s[0].WhenUnsatisfiable != corev1.ScheduleAnyway {
		t.Errorf("spread %+v", s)
	}
	if !b.service.Spec.PublishNotReadyAddresses || b.service.Spec.ClusterIP != "None" || len(b.service.Spec.Ports) != 3 {
		t.Errorf("service %+v", b.service.Spec)
	}
	if b.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		t.Error("pods start one by one")
	}
	for _, m := range []map[string]string{b.set.Spec.Selector.MatchLabels, b.service.Spec.Selector, b.budget.Spec.Selector.MatchLabels} {
		if m["app.kubernetes.io/managed-by"] != "signalbox" || m["app.kubernetes.io/component"] != "eventbus" || m["app.kubernetes.io/instance"] != "main" || len(m) != 3 {
			t.Errorf("selector %v", m)
		}
	}
	labels := b.set.Spec.Template.Labels
	for k, v := range map[string]string{"controller": "eventbus-controller", "eventbus-name": "main", "owner-name": "main", "app.kubernetes.io/instance": "main"} {
		if labels[k] != v {
			t.Errorf("label %s: %s", k, labels[k])
		}
	}
	if len(b.ignored)+len(b.refused) != 0 {
		t.Errorf("%q %q", b.ignored, b.refused)
	}
}

func TestOneReplicaSyncsEachEvent(t *testing.T) {
	b := build(t, `{jetstream: {version: latest, replicas: 1, persistence: {volumeSize: 10Gi, storageClassName: fast, accessMode: ReadWriteOncePod}, maxPayload: 2MB}}`, nil)
	args := strings.Join(b.container().Args, " ")
	for _, want := range []string{"--fsync always", "--max-payload 2097152", "--max-store 9663676416", "--cluster-name eventbus-main"} {
		if !strings.Contains(args, want) {
			t.Errorf("%s is not in %s", want, args)
		}
	}
	if strings.Count(args, "--route") != 1 || b.budget != nil || len(b.pod().TopologySpreadConstraints) != 0 {
		t.Errorf("%s, %+v", args, b.budget)
	}
	claim := b.set.Spec.VolumeClaimTemplates[0].Spec
	if *claim.StorageClassName != "fast" || claim.AccessModes[0] != "ReadWriteOncePod" || claim.Resources.Requests.Storage().String() != "10Gi" {
		t.Errorf("claim %+v", claim)
	}
	for _, v := range b.pod().Volumes {
		if v.EmptyDir != nil {
			t.Error("an emptyDir too")
		}
	}
}

func TestManifestOfThePods(t *testing.T) {
	b := build(t, `{jetstream: {version: latest, persistence: {}, streamConfig: "maxAge: 1h"}}`, nil)
	var got v1alpha1.EventBus
	if err := yaml.UnmarshalStrict([]byte(b.config.Data["eventbus.yaml"]), &got); err != nil {
		t.Fatal(err)
	}
	j := got.Spec.JetStream
	if got.Name != "main" || got.Namespace != "team" || *j.Replicas != 3 || j.Persistence.VolumeSize.String() != "20Gi" || *j.StreamConfig != "maxAge: 1h" {
		t.Errorf("got %s", b.config.Data["eventbus.yaml"])
	}
}

func TestPodsAreRestricted(t *testing.T) {
	b := build(t, `{jetstream: {version: latest}}`, nil)
	pod, c := b.pod(), b.container()
	if *pod.AutomountServiceAccountToken || !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 ||
		pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod %+v", pod.SecurityContext)
	}
	if s := c.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("container %+v", s)
	}
	if c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/healthz" {
		t.Error("probes")
	}
}

func TestFieldsOfPods(t *testing.T) {
	fields := `
  metadata: {annotations: {a: b}, labels: {team: x, owner-name: mine}}
  nodeSelector: {disk: ssd}
  tolerations: [{key: t, operator: Exists}]
  securityContext: {runAsUser: 1234, fsGroup: 7}
  imagePullSecrets: [{name: pull}]
  serviceAccountName: robot
  priorityClassName: high
  priority: 5
  affinity: {podAntiAffinity: {}}
  containerTemplate:
    resources: {limits: {memory: 1000Mi}, requests: {cpu: 10m}}
    imagePullPolicy: Never
    securityContext: {readOnlyRootFilesystem: false}
`
	for name, spec := range map[string]string{
		"jetstream":   "\n jetstream:" + fields,
		"nats.native": "\n nats:\n  native:" + strings.ReplaceAll(fields, "\n", "\n "),
	} {
		t.Run(name, func(t *testing.T) {
			text := "apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata: {name: main, namespace: team}\nspec:" + spec
			u := object(t, text)
			var bus v1alpha1.EventBus
			if err := yaml.UnmarshalStrict([]byte(text), &bus); err != nil {
				t.Fatal(err)
			}
			p, err := newPlan(&bus, nil)
			if err != nil {
				t.Fatal(err)
			}
			tmpl := p.pod(u, &controller.Options{Image: "i", PullPolicy: corev1.PullAlways})
			s, c := tmpl.Spec, tmpl.Spec.Containers[0]
			for what, ok := range map[string]bool{
				"annotations":       tmpl.Annotations["a"] == "b",
				"labels":            tmpl.Labels["team"] == "x" && tmpl.Labels["owner-name"] == "main",
				"nodeSelector":      s.NodeSelector["disk"] == "ssd",
				"tolerations":       len(s.Tolerations) == 1 && s.Tolerations[0].Key == "t",
				"securityContext":   *s.SecurityContext.RunAsUser == 1234 && *s.SecurityContext.FSGroup == 7 && *s.SecurityContext.RunAsNonRoot,
				"imagePullSecrets":  len(s.ImagePullSecrets) == 1,
				"serviceAccount":    s.ServiceAccountName == "robot",
				"priority":          s.PriorityClassName == "high" && *s.Priority == 5,
				"affinity":          s.Affinity.PodAntiAffinity != nil && len(s.TopologySpreadConstraints) == 0,
				"resources":         c.Resources.Limits.Memory().String() == "1000Mi" && c.Resources.Requests.Cpu().String() == "10m",
				"memory limit":      slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" && e.Value == "943718400" }),
				"imagePullPolicy":   c.ImagePullPolicy == "Never",
				"container context": !*c.SecurityContext.ReadOnlyRootFilesystem && !*c.SecurityContext.AllowPrivilegeEscalation,
			} {
				if !ok {
					t.Errorf("%s: %+v", what, tmpl)
				}
			}
		})
	}
}

func TestIgnoredFields(t *testing.T) {
	for _, test := range []struct {
		name, spec string
		ignored    []string // beginnings
		args       string
	}{
		{
			"jetstream", `{jetstream: {version: 2.9.1, reloaderContainerTemplate: {}, metricsContainerTemplate: {}, startArgs: [-DV]}}`,
			[]string{"spec.jetstream.version", "spec.jetstream.reloaderContainerTemplate", "spec.jetstream.startArgs", "spec.jetstream.metricsContainerTemplate"},
			"",
		},
		{
			"settings", `{jetstream: {version: latest, settings: "max_memory_store: -1 # memory\nmax_file_store = 2GB\n\nsync_interval: 1s\nmax_file: x\nnonsense"}}`,
			[]string{
				"spec.jetstream.settings is ignored: max_memory_store: streams", "spec.jetstream.settings is ignored: sync_interval is not",
				`spec.jetstream.settings is ignored: max_file: "x" is no size`, `spec.jetstream.settings is ignored: "nonsense"`,
			},
			"--max-store 2147483648",
		},
		{"no limit of the store", `{jetstream: {version: latest, settings: "max_file_store: -1"}}`, nil, ""},
		{
			"native", `{nats: {native: {replicas: 3, auth: none, maxSubs: 5, raftLeaseTimeout: 1s, maxPayload: 4MB}}}`,
			[]string{"spec.nats.native.auth", "spec.nats.native.maxSubs", "spec.nats.native.raftLeaseTimeout"},
			"--max-payload 4194304",
		},
		{"native, too many", `{nats: {native: {replicas: 7, auth: token}}}`, []string{"spec.nats.native.replicas is taken as 5"}, "eventbus-main-4."},
		{"native, too few", `{nats: {native: {replicas: 1}}}`, nil, "eventbus-main-2."},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := build(t, test.spec, nil)
			if len(b.ignored) != len(test.ignored) {
				t.Fatalf("got %q", b.ignored)
			}
			for i, want := range test.ignored {
				if !strings.HasPrefix(b.ignored[i], want) {
					t.Errorf("got %q, want %q", b.ignored[i], want)
				}
			}
			if args := strings.Join(b.container().Args, " "); !strings.Contains(args, test.args) {
				t.Errorf("%q is not in %s", test.args, args)
			}
		})
	}
}

func TestReplicasThatCannotBe(t *testing.T) {
	for _, spec := range []string{`{jetstream: {version: latest, replicas: 4}}`, `{jetstream: {version: latest, replicas: 7}}`} {
		if _, _, err := planOf(t, spec, nil); err == nil || !strings.Contains(err.Error(), "1, 3 or 5") {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

func TestChangesOfABusThatRuns(t *testing.T) {
	const onDisk = `{jetstream: {version: latest, replicas: 3, persistence: {volumeSize: 10Gi}}}`
	const inMemory = `{jetstream: {version: latest, replicas: 3}}`
	for _, test := range []struct {
		name, before, after string
		replicas            int32
		size                string // of the volumes; empty: none
		refused             string
	}{
		{"nothing", onDisk, onDisk, 3, "10Gi", ""},
		{"the same in other words", onDisk, `{jetstream: {version: latest, persistence: {volumeSize: 10240Mi, accessMode: ReadWriteOnce}}}`, 3, "10Gi", ""},
		{"larger", onDisk, `{jetstream: {version: latest, replicas: 5, persistence: {volumeSize: 10Gi}}}`, 5, "10Gi", ""},
		{"smaller", onDisk, `{jetstream: {version: latest, replicas: 1, persistence: {volumeSize: 10Gi}}}`, 3, "10Gi", "stays at 3 replicas rather than 1"},
		{"other volumes", onDisk, `{jetstream: {version: latest, replicas: 3, persistence: {volumeSize: 20Gi}}}`, 3, "10Gi", "stay at 10Gi"},
		{"volumes of another class", onDisk, `{jetstream: {version: latest, persistence: {volumeSize: 10Gi, storageClassName: z}}}`, 3, "10Gi", "cannot be changed"},
		{"no volumes any more", onDisk, inMemory, 3, "10Gi", "cannot be taken"},
		{"volumes now", inMemory, onDisk, 3, "", "cannot be added"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := build(t, test.after, build(t, test.before, nil).set)
			if *b.set.Spec.Replicas != test.replicas {
				t.Errorf("%d replicas", *b.set.Spec.Replicas)
			}
			size := ""
			if claims := b.set.Spec.VolumeClaimTemplates; len(claims) > 0 {
				size = claims[0].Spec.Resources.Requests.Storage().String()
			}
			if size != test.size {
				t.Errorf("volumes of %q", size)
			}
			if got := strings.Join(b.refused, "; "); !strings.Contains(got, test.refused) || (test.refused == "") != (got == "") {
				t.Errorf("refused: %q", got)
			}
			var m v1alpha1.EventBus
			if err := yaml.UnmarshalStrict([]byte(b.config.Data["eventbus.yaml"]), &m); err != nil {
				t.Fatal(err)
			}
			if *m.Spec.JetStream.Replicas != test.replicas || (m.Spec.JetStream.Persistence != nil) != (test.size != "") {
				t.Errorf("the pods read %s", b.config.Data["eventbus.yaml"])
			}
		})
	}
}
