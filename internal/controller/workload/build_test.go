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
	"github.com/signalbox-events/signalbox/eventsource"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/kind"
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

// What reaches the pods by the ConfigMap does not touch the template, or they
// would be rolled for nothing.
func TestManifestIsNotInTheTemplate(t *testing.T) {
	a := build(t, es(""))
	b := build(t, strings.Replace(es(""), "/order", "/other", 1))
	if text(t, a.Deployment) != text(t, b.Deployment) {
		t.Error("another endpoint changes the Deployment")
	}
	if a.ConfigMap.Data["eventsource.json"] == b.ConfigMap.Data["eventsource.json"] {
		t.Error("another endpoint does not change the ConfigMap")
	}
	c := build(t, strings.Replace(es(""), "annotations: {a: b}", "annotations: {a: c}", 1))
	if c.ConfigMap.Data["eventsource.json"] != a.ConfigMap.Data["eventsource.json"] {
		t.Error("another annotation changes the ConfigMap")
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct{ manifest, want string }{
		"volume of ours": {
			es("  template: {volumes: [{name: signalbox-bus, emptyDir: {}}]}"),
			`spec.template.volumes[0].name: "signalbox-bus" is the name of a volume that every pod has (give it another name)`,
		},
		"volume twice": {
			es("  template: {volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]}"),
			`spec.template.volumes[1].name: "a" is there twice`,
		},
		"mount in our folder": {
			es("  template: {volumes: [{name: a, emptyDir: {}}], container: {volumeMounts: [{name: a, mountPath: /etc/signalbox/x}]}}"),
			`spec.template.container.volumeMounts[0].mountPath: /etc/signalbox holds what every pod needs (mount it elsewhere)`,
		},
		"mount of nothing": {
			es("  template: {container: {volumeMounts: [{name: a, mountPath: /a}]}}"),
			`spec.template.container.volumeMounts[0].name: there is no volume "a" (spec.template.volumes has the volumes)`,
		},
		"port of metrics":          {es("    m: {port: \"7777\", endpoint: /}"), `spec.webhook.m: port 7777 serves metrics in every pod (use another port)`},
		"secret that cannot exist": {es("    m: {port: \"1\", endpoint: /, authSecret: {name: My_Secret, key: k}}"), `spec.webhook.m.authSecret.name: "My_Secret" cannot exist: `},
		"key that cannot exist":    {es("    m: {port: \"1\", endpoint: /, authSecret: {name: s, key: a/b}}"), `spec.webhook.m.authSecret.key: "a/b" cannot exist: `},
		"too large": {
			es("    m: {port: \"1\", endpoint: /, metadata: {text: " + strings.Repeat("x", 1<<20) + "}}"),
			`is too large: with its EventBus it does not fit into a ConfigMap of 1024 KiB (split it`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := tryBuild(t, tt.manifest, managedBus, options())
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestReferences(t *testing.T) {
	const two = `  triggers:
  - template:
      name: a
      http:
        url: http://example.com
        basicAuth: {username: {name: login, key: user}, password: {name: login, key: pass}}
        secureHeaders:
        - {name: X, valueFrom: {configMapKeyRef: {name: login, key: header}}}
        - {name: Z, valueFrom: {secretKeyRef: {name: b.c, key: header}}}
    dlqTrigger:
      template: {name: b, http: {url: http://example.com, tls: {caCertSecret: {name: ca, key: ca.crt, optional: true}}}}
  - template:
      name: c
      http: {url: http://example.com, basicAuth: {password: {name: login, key: pass}}}
`
	t.Run("each once, all optional", func(t *testing.T) {
		c := build(t, sensor(two))
		want := "signalbox-secrets: b.c[b.c/header] ca[ca/ca.crt] login[login/pass login/user]; signalbox-configmaps: login[login/header]"
		if got := projections(t, c); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		args := strings.Join(main(c).Args, " ")
		if !strings.Contains(args, "--secrets /etc/signalbox/secrets --configmaps /etc/signalbox/configmaps") {
			t.Errorf("arguments: %s", args)
		}
	})
	t.Run("the same every time", func(t *testing.T) {
		first := text(t, build(t, sensor(two)).Deployment)
		for range 20 {
			if text(t, build(t, sensor(two)).Deployment) != first {
				t.Fatal("the order changes")
			}
		}
	})
	t.Run("of a source", func(t *testing.T) {
		c := build(t, es("    m: {port: \"1\", endpoint: /, authSecret: {name: token, key: t}}"))
		if got := projections(t, c); got != "signalbox-secrets: token[token/t]" {
			t.Error(got)
		}
	})
	t.Run("of the user's own server", func(t *testing.T) {
		c, _, err := tryBuild(t, sensor(logTrigger), exoticBus, options())
		if err != nil {
			t.Fatal(err)
		}
		if got := projections(t, c); got != "signalbox-secrets: nats-ca[nats-ca/ca.crt] nats-login[nats-login/auth]" {
			t.Error(got)
		}
		args := strings.Join(main(c).Args, " ")
		if !strings.Contains(args, "--no-embedded-bus") || strings.Contains(args, "--bus ") || strings.Contains(mounts(c), "signalbox-bus") {
			t.Errorf("arguments %s, mounts %s", args, mounts(c))
		}
		if !strings.Contains(c.ConfigMap.Data["eventbus.json"], "nats.example.com") {
			t.Error("the pods do not know the server")
		}
	})
}

func projections(t *testing.T, c *Children) string {
	t.Helper()
	var out []string
	for _, v := range pod(c).Volumes {
		if v.Projected == nil {
			continue
		}
		var sources []string
		for _, s := range v.Projected.Sources {
			var name string
			var items []corev1.KeyToPath
			var optional *bool
			if s.Secret != nil {
				name, items, optional = s.Secret.Name, s.Secret.Items, s.Secret.Optional
			} else {
				name, items, optional = s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional
			}
			if optional == nil || !*optional {
				t.Errorf("%s is not optional", name)
			}
			var paths []string
			for _, i := range items {
				if !strings.HasSuffix(i.Path, "/"+i.Key) {
					t.Errorf("%s at %s", i.Key, i.Path)
				}
				paths = append(paths, i.Path)
			}
			sources = append(sources, name+fmt.Sprint(paths))
		}
		out = append(out, v.Name+": "+strings.Join(sources, " "))
	}
	return strings.Join(out, "; ")
}

// apiConfig is of a kind that may need the API.
type apiConfig struct {
	API    bool                      `json:"api,omitempty"`
	Object map[string]any            `json:"object,omitempty"`
	Login  *corev1.SecretKeySelector `json:"login,omitempty"`
}

func (*apiConfig) Default()        {}
func (*apiConfig) Validate() error { return nil }

func TestTokenForKindsThatNeedOne(t *testing.T) {
	opts := options()
	opts.Sources = append(slices.Clone(opts.Sources), eventsource.Kind{
		Kind:            kind.Of("cluster", func(apiConfig, eventsource.Env) (eventsource.Source, error) { return nil, nil }),
		NeedsKubernetes: func(c kind.Config) bool { return c.(*apiConfig).API },
	})
	for text, want := range map[string]bool{"{api: true}": true, "{api: false}": false} {
		c, _, err := tryBuild(t, es("  cluster: {a: "+text+"}"), managedBus, opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := *pod(c).AutomountServiceAccountToken; got != want {
			t.Errorf("%s: token %v", text, got)
		}
	}
	c, _, err := tryBuild(t, es("  cluster: {a: {object: {secretKeyRef: {name: inner, key: k}}, login: {name: outer, key: k}}}"), managedBus, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := projections(t, c); got != "signalbox-secrets: outer[outer/k]" {
		t.Errorf("secrets: %s", got)
	}
}

func TestURLs(t *testing.T) {
	tests := map[string]struct{ spec, want string }{
		"own service":      {"", "[{order http://shop-eventsource-svc.team.svc:12000/order}]"},
		"another port":     {"  service: {ports: [{port: 80, targetPort: 12000}]}", "[{order http://shop-eventsource-svc.team.svc:80/order}]"},
		"headless":         {"  service: {clusterIP: None, ports: [{port: 80, targetPort: 12000}]}", "[{order http://shop-eventsource-svc.team.svc:12000/order}]"},
		"port not served":  {"  service: {ports: [{port: 9}]}", "[]"},
		"with certificate": {"    tls: {port: \"13000\", endpoint: /, serverCertSecret: {name: c, key: c}, serverKeySecret: {name: c, key: k}}", "[{order http://shop-eventsource-svc.team.svc:12000/order} {tls https://shop-eventsource-svc.team.svc:13000/}]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, o, err := tryBuild(t, es(tt.spec), managedBus, options())
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(urls(o, c.Service)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestBusOf(t *testing.T) {
	tests := map[string]struct{ bus, want string }{
		"not set up":       {strings.Split(managedBus, "status:")[0], "EventBus default is not ready: it has no status.config yet"},
		"refused":          {strings.Replace(managedBus, "jetstream: {version: latest}", "kafka: {url: a}", 1), "EventBus default is not valid: spec.kafka: Kafka is not supported"},
		"run for the user": {managedBus, "<nil>"},
		"the user's":       {exoticBus, "<nil>"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := BusOf(object(t, tt.bus)); !strings.HasPrefix(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
