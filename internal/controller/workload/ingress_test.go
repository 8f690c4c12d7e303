package workload

import (
	"fmt"
	"strings"
	"testing"
)

func TestIngress(t *testing.T) {
	if c := build(t, es("")); c.Ingress != nil {
		t.Error("an Ingress that nobody asked for")
	}
	c, o, err := tryBuild(t, es(`    team: {port: "13000", endpoint: "/teams/{team}/push"}
    same: {port: "12000", endpoint: /order, method: PUT}
  service: {ports: [{name: a, port: 80, targetPort: 12000}, {name: b, port: 81, targetPort: 13000}]}
  ingress:
    host: hooks.example.com
    className: nginx
    tlsSecret: hooks-tls
    metadata: {annotations: {a: b}, labels: {cost: green}}`), managedBus, options())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.Ingress.Spec.Rules {
		for _, p := range r.HTTP.Paths {
			got = append(got, fmt.Sprintf("%s%s %s %s:%d", r.Host, p.Path, *p.PathType, p.Backend.Service.Name, p.Backend.Service.Port.Number))
		}
	}
	want := "hooks.example.com/order Exact shop-eventsource-svc:80; hooks.example.com/teams/ Prefix shop-eventsource-svc:81"
	if strings.Join(got, "; ") != want {
		t.Errorf("paths are %s", strings.Join(got, "; "))
	}
	if in := c.Ingress; *in.Spec.IngressClassName != "nginx" || in.Spec.TLS[0].SecretName != "hooks-tls" || in.Spec.TLS[0].Hosts[0] != "hooks.example.com" ||
		in.Annotations["a"] != "b" || in.Labels["cost"] != "green" || in.Labels["app.kubernetes.io/instance"] != "shop" {
		t.Errorf("the Ingress is %+v", in)
	}
	var public []string
	for _, u := range urls(o, c.Service) {
		public = append(public, u.PublicURL)
	}
	if got := strings.Join(public, " "); got != "https://hooks.example.com/order https://hooks.example.com/order https://hooks.example.com/teams/{team}/push" {
		t.Errorf("public URLs are %s", got)
	}
}
