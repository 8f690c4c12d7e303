package workload

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
)

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
		"own service":      {"", "[{order http://shop-eventsource-svc.team.svc:12000/order }]"},
		"another port":     {"  service: {ports: [{port: 80, targetPort: 12000}]}", "[{order http://shop-eventsource-svc.team.svc:80/order }]"},
		"headless":         {"  service: {clusterIP: None, ports: [{port: 80, targetPort: 12000}]}", "[{order http://shop-eventsource-svc.team.svc:12000/order }]"},
		"port not served":  {"  service: {ports: [{port: 9}]}", "[]"},
		"with certificate": {"    tls: {port: \"13000\", endpoint: /, serverCertSecret: {name: c, key: c}, serverKeySecret: {name: c, key: k}}", "[{order http://shop-eventsource-svc.team.svc:12000/order } {tls https://shop-eventsource-svc.team.svc:13000/ }]"},
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
