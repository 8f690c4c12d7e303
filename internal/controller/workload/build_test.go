package workload

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/manifest"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

func options() controller.Options {
	return controller.Options{
		Image: "example.com/signalbox:v1", PullPolicy: corev1.PullIfNotPresent, LogFormat: "json",
		Sources: sources.Kinds, Triggers: triggers.Kinds,
	}
}

const managedBus = `
apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {name: default, namespace: team}
spec: {jetstream: {version: latest}}
status: {config: {jetstream: {url: "nats://eventbus-default.team.svc:4222"}}}`

const exoticBus = `
apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {name: default, namespace: team}
spec:
  jetstreamExotic:
    url: nats://nats.example.com:4222
    accessSecret: {name: nats-login, key: auth}
    tls: {caCertSecret: {name: nats-ca, key: ca.crt}}`

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func tryBuild(t *testing.T, text, busText string, opts controller.Options) (*Children, *manifest.Object, error) {
	t.Helper()
	u := object(t, text)
	if u.GetNamespace() == "" {
		u.SetNamespace("team")
	}
	raw, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	o, err := manifest.Check(raw, opts.Manifest("team"))
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	bus, err := BusOf(object(t, busText))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Build(o, bus, opts)
	return c, o, err
}

func build(t *testing.T, text string) *Children {
	t.Helper()
	c, _, err := tryBuild(t, text, managedBus, options())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// es is an EventSource with more lines in its spec.
func es(lines string) string {
	return `
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata:
  name: shop
  namespace: team
  resourceVersion: "12"
  uid: 1b2
  labels: {cost: blue, app.kubernetes.io/instance: app}
  annotations: {a: b}
spec:
  webhook:
    order: {port: "12000", endpoint: /order}
` + lines + `
status: {conditions: []}`
}

func sensor(triggers string) string {
	return `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: orders, namespace: team}
spec:
  dependencies: [{name: order, eventSourceName: shop, eventName: order}]
` + triggers
}

const logTrigger = "  triggers: [{template: {name: print, log: {}}}]\n"

func pod(c *Children) corev1.PodSpec { return c.Deployment.Spec.Template.Spec }

func main(c *Children) corev1.Container { return pod(c).Containers[0] }

func TestFeatures(t *testing.T) {
	tests := map[string]struct {
		manifest string
		// got is what is looked at.
		got  func(*Children) any
		want string
	}{
		"image":                    {es(""), func(c *Children) any { return main(c).Image }, "example.com/signalbox:v1"},
		"policy of the controller": {es(""), func(c *Children) any { return main(c).ImagePullPolicy }, "IfNotPresent"},
		"policy of the object": {
			es("  template: {container: {imagePullPolicy: Never}}"),
			func(c *Children) any { return main(c).ImagePullPolicy }, "Never",
		},
		"no replicas: whoever scales": {es(""), func(c *Children) any { return c.Deployment.Spec.Replicas == nil && c.Budget == nil }, "true"},
		"replicas":                    {es("  replicas: 3"), func(c *Children) any { return *c.Deployment.Spec.Replicas }, "3"},
		"budget":                      {es("  replicas: 3"), func(c *Children) any { return fmt.Sprint(c.Budget.Name, c.Budget.Spec.MaxUnavailable) }, "shop-eventsource1"},
		"roll without a gap": {es(""), func(c *Children) any {
			r := c.Deployment.Spec.Strategy.RollingUpdate
			return fmt.Sprint(r.MaxUnavailable.String(), " ", r.MaxSurge.String(), " ", *pod(c).TerminationGracePeriodSeconds)
		}, "0 25% 60"},
		"history": {sensor(logTrigger + "  revisionHistoryLimit: 2"), func(c *Children) any { return *c.Deployment.Spec.RevisionHistoryLimit }, "2"},
		"labels of the Deployment": {
			es(""), func(c *Children) any { return flat(c.Deployment.Labels) },
			"app.kubernetes.io/component=eventsource app.kubernetes.io/instance=shop app.kubernetes.io/managed-by=signalbox cost=blue",
		},
		"labels of pods": {
			es("  template: {metadata: {labels: {team: red, owner-name: mine}}}"), func(c *Children) any { return flat(c.Deployment.Spec.Template.Labels) },
			"app.kubernetes.io/component=eventsource app.kubernetes.io/instance=shop app.kubernetes.io/managed-by=signalbox " +
				"controller=eventsource-controller eventsource-name=shop owner-name=shop team=red",
		},
		"labels of a sensor's pods": {
			sensor(logTrigger), func(c *Children) any { return flat(c.Deployment.Spec.Template.Labels) },
			"app.kubernetes.io/component=sensor app.kubernetes.io/instance=orders app.kubernetes.io/managed-by=signalbox " +
				"controller=sensor-controller owner-name=orders sensor-name=orders",
		},
		"selector": {
			es(""), func(c *Children) any { return flat(c.Deployment.Spec.Selector.MatchLabels) },
			"app.kubernetes.io/component=eventsource app.kubernetes.io/instance=shop app.kubernetes.io/managed-by=signalbox",
		},
		"annotations of pods": {
			es("  template: {metadata: {annotations: {scrape: \"yes\"}}}"),
			func(c *Children) any { return flat(c.Deployment.Spec.Template.Annotations) }, "scrape=yes",
		},
		"command": {
			es(""), func(c *Children) any { return strings.Join(main(c).Args, " ") },
			"run /etc/signalbox/manifests --namespace team --admin-addr :7777 --log-format json --bus nats://eventbus-default.team.svc:4222 --bus-managed " +
				"--bus-user eventsource --bus-password-file /etc/signalbox/bus/password --bus-ca /etc/signalbox/bus/ca.crt --drain-delay 8s",
		},
		"command of a sensor": {
			sensor(logTrigger), func(c *Children) any { return strings.Join(main(c).Args, " ") },
			"run /etc/signalbox/manifests --namespace team --admin-addr :7777 --log-format json --bus nats://eventbus-default.team.svc:4222 --bus-managed " +
				"--bus-user sensor --bus-password-file /etc/signalbox/bus/password --bus-ca /etc/signalbox/bus/ca.crt",
		},
		"programs of nobody": {
			sensor("  triggers: [{template: {name: p, exec: {command: deploy}}}]\n"), func(c *Children) any { return strings.Contains(strings.Join(main(c).Args, " "), "exec") }, "false",
		},
		"log level of Argo Events": {
			es("  template: {container: {env: [{name: LOG_LEVEL, value: debug}]}}"),
			func(c *Children) any {
				return slices.Contains(main(c).Args, "debug") && main(c).Env[0].Name == "LOG_LEVEL"
			}, "true",
		},
		"env": {
			es("  template: {container: {env: [{name: A, value: b}], envFrom: [{secretRef: {name: s}}]}}"),
			func(c *Children) any { return fmt.Sprint(main(c).Env[0].Name, main(c).EnvFrom[0].SecretRef.Name) }, "As",
		},
		"own resources": {
			es("  template: {container: {resources: {limits: {memory: 100Mi}}}}"),
			func(c *Children) any {
				r := main(c).Resources
				return fmt.Sprint(r.Requests.Memory(), " ", r.Limits.Memory(), " ", main(c).Env)
			},
			"0 100Mi [{GOMEMLIMIT 94371840 nil}]",
		},
		"default resources": {es(""), func(c *Children) any {
			r := main(c).Resources
			return fmt.Sprint(r.Requests.Cpu(), " ", r.Requests.Memory(), " ", len(r.Limits))
		}, "10m 48Mi 0"},
		"no token": {es("  template: {serviceAccountName: robot}"), func(c *Children) any {
			return fmt.Sprint(pod(c).ServiceAccountName, " ", *pod(c).AutomountServiceAccountToken)
		}, "robot false"},
		"where pods go": {
			es(`  template:
    nodeSelector: {disk: fast}
    tolerations: [{key: a, operator: Exists}]
    imagePullSecrets: [{name: pull}]
    priorityClassName: high
    priority: 7
    affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]}}`),
			func(c *Children) any {
				p := pod(c)
				return fmt.Sprint(p.NodeSelector, p.Tolerations[0].Key, p.ImagePullSecrets[0].Name, p.PriorityClassName, *p.Priority,
					p.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].TopologyKey, len(p.TopologySpreadConstraints))
			}, "map[disk:fast]apullhigh7zone0",
		},
		"spread": {es(""), func(c *Children) any {
			return pod(c).TopologySpreadConstraints[0].WhenUnsatisfiable
		}, "ScheduleAnyway"},
		"volumes of the user": {
			es(`  template:
    volumes: [{name: data, emptyDir: {}}]
    container: {volumeMounts: [{name: data, mountPath: /data}, {name: data, mountPath: /tmp/}]}`),
			func(c *Children) any { return mounts(c) },
			"signalbox-manifests:/etc/signalbox/manifests signalbox-bus:/etc/signalbox/bus data:/data data:/tmp/",
		},
		"volumes": {
			es(""), func(c *Children) any { return mounts(c) },
			"signalbox-manifests:/etc/signalbox/manifests signalbox-bus:/etc/signalbox/bus signalbox-tmp:/tmp",
		},
		"login to the bus": {sensor(logTrigger), func(c *Children) any {
			s := pod(c).Volumes[1].Secret
			return []string{s.SecretName, s.Items[0].Path, s.Items[1].Path}
		}, "[eventbus-default-sensor ca.crt password]"},
		"container's ports": {es("    hook: {port: \"80\", endpoint: /}"), func(c *Children) any {
			var out []int32
			for _, p := range main(c).Ports {
				out = append(out, p.ContainerPort)
			}
			return fmt.Sprint(out, pod(c).SecurityContext.Sysctls)
		}, "[7777 80 12000] [{net.ipv4.ip_unprivileged_port_start 0}]"},
		"pod security of the user": {es("  template: {securityContext: {runAsUser: 1000, fsGroup: 5}}"), func(c *Children) any {
			s := pod(c).SecurityContext
			return fmt.Sprint(*s.RunAsUser, *s.RunAsGroup, *s.FSGroup, *s.RunAsNonRoot, s.SeccompProfile.Type)
		}, "1000 1000 5 trueRuntimeDefault"},
		"root, if the user says so": {es("  template: {securityContext: {runAsUser: 0}}"), func(c *Children) any {
			return pod(c).SecurityContext.RunAsNonRoot == nil
		}, "true"},
		"container security of the user": {es("  template: {container: {securityContext: {readOnlyRootFilesystem: false}}}"), func(c *Children) any {
			s := main(c).SecurityContext
			return fmt.Sprint(*s.ReadOnlyRootFilesystem, *s.AllowPrivilegeEscalation, s.Capabilities.Drop)
		}, "false false [ALL]"},
		"service from routes": {es(""), func(c *Children) any { return service(c) }, "shop-eventsource-svc/ ClusterIP  12000>12000"},
		"service as written": {es(`  service:
    clusterIP: None
    metadata: {labels: {a: b}, annotations: {lb: internal}}
    ports: [{port: 80, targetPort: 12000}, {port: 443, targetPort: 12000, name: tls}]`), func(c *Children) any {
			return service(c) + " " + flat(c.Service.Annotations) + " " + c.Service.Labels["a"]
		}, "shop-eventsource-svc/ ClusterIP None 80>12000(port-80) 443>12000(tls) lb=internal b"},
		"no service for who listens to nobody": {`
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: clock, namespace: team}
spec: {calendar: {tick: {interval: 10s}}}`, func(c *Children) any {
			return c.Service == nil && !slices.Contains(main(c).Args, "--drain-delay")
		}, "true"},
		"manifest": {es(""), func(c *Children) any { return c.ConfigMap.Data["eventsource.json"] }, `{
  "apiVersion": "argoproj.io/v1alpha1",
  "kind": "EventSource",
  "metadata": {
    "name": "shop",
    "namespace": "team"
  },
  "spec": {
    "webhook": {
      "order": {
        "endpoint": "/order",
        "port": "12000"
      }
    }
  }
}
`},
		"manifest of the bus": {es(""), func(c *Children) any { return strings.Contains(c.ConfigMap.Data["eventbus.json"], "status") }, "false"},
		"names with dots": {strings.Replace(es(""), "name: shop", "name: shop.v1", 1), func(c *Children) any {
			return strings.HasPrefix(c.Deployment.Name, "shop-v1-eventsource-") && strings.HasPrefix(c.Service.Name, "shop-v1-eventsource-svc-") &&
				c.Deployment.Spec.Template.Labels["eventsource-name"] == "shop.v1"
		}, "true"},
		"long names": {strings.Replace(es(""), "name: shop", "name: "+strings.Repeat("a", 200), 1), func(c *Children) any {
			return fmt.Sprint(len(c.Deployment.Name), len(c.Service.Name), len(c.Deployment.Spec.Template.Labels["owner-name"]))
		}, "63 63 63"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(tt.got(build(t, tt.manifest))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func flat(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, " ")
}

func mounts(c *Children) string {
	var out []string
	for _, m := range main(c).VolumeMounts {
		out = append(out, m.Name+":"+m.MountPath)
	}
	return strings.Join(out, " ")
}

func service(c *Children) string {
	s := c.Service
	out := fmt.Sprintf("%s/%s %s %s", s.Name, s.GenerateName, s.Spec.Type, s.Spec.ClusterIP)
	for _, p := range s.Spec.Ports {
		out += fmt.Sprintf(" %d>%s", p.Port, p.TargetPort.String())
		if p.Name != "" {
			out += "(" + p.Name + ")"
		}
	}
	return out
}

func TestPrograms(t *testing.T) {
	opts := options()
	opts.Exec = []string{"/opt/a", "/opt/b"}
	for text, want := range map[string]bool{
		sensor("  triggers: [{template: {name: p, exec: {command: deploy}}}]\n"):                                             true,
		sensor("  triggers: [{template: {name: p, log: {}}, dlqTrigger: {template: {name: d, exec: {command: deploy}}}}]\n"): true,
		sensor(logTrigger): false,
		es(""):             false,
	} {
		c, _, err := tryBuild(t, text, managedBus, opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.HasSuffix(strings.Join(main(c).Args, " "), "--allow-exec /opt/a --allow-exec /opt/b"); got != want {
			t.Errorf("%v, want %v: %v", got, want, main(c).Args)
		}
	}
}
