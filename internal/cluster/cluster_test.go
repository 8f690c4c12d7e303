package cluster_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

func TestNone(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, c := range map[string]*cluster.Cluster{"no file, no pod": cluster.New("", "v"), "nil": nil} {
		_, err := c.Config()
		_, err2 := c.Dynamic()
		_, err3 := c.Mapper()
		_, err4 := c.HTTP()
		for _, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, cluster.ErrNone) || !strings.Contains(err.Error(), "--kubeconfig") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		c.Close()
	}
}

func TestPodWithoutAToken(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	if _, err := cluster.New("", "v").Config(); !errors.Is(err, cluster.ErrNone) || !strings.Contains(err.Error(), "token") {
		t.Errorf("got %v", err)
	}
}

func TestFileThatComesLater(t *testing.T) {
	path := t.TempDir() + "/kubeconfig"
	c := cluster.New(path, "v1.2.3")
	if _, err := c.Config(); err == nil || errors.Is(err, cluster.ErrNone) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	text := "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: c, namespace: team}}]\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	if config.UserAgent != "signalbox/v1.2.3" || config.QPS < 100 || config.Host != "https://127.0.0.1:1" {
		t.Errorf("got %v", config)
	}
	if ns, err := c.Namespace(); ns != "team" || err != nil {
		t.Errorf("namespace %q, %v", ns, err)
	}
}

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.mapper.example}
spec:
  group: mapper.example
  names: {kind: Lamp, plural: lamps, singular: lamp, listKind: LampList}
  scope: Cluster
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

func TestClients(t *testing.T) {
	k := kube.Start(t)
	c := cluster.New(k.Kubeconfig(t), "v1.2.3")
	t.Cleanup(c.Close)
	if ns, err := c.Namespace(); ns != "default" || err != nil {
		t.Errorf("namespace %q, %v", ns, err)
	}
	m, err := c.Mapper()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := m.RESTMapping(schema.GroupKind{Kind: "Endpoints"}); err != nil || r.Resource.Resource != "endpoints" {
		t.Errorf("got %+v, %v", r, err)
	}
	lamp := schema.GroupKind{Group: "mapper.example", Kind: "Lamp"}
	if _, err := m.RESTMapping(lamp); !meta.IsNoMatchError(err) {
		t.Errorf("got %v", err)
	}
	var crd unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(definition), &crd.Object); err != nil {
		t.Fatal(err)
	}
	d, err := c.Dynamic()
	if err != nil {
		t.Fatal(err)
	}
	crds := d.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := crds.Create(t.Context(), &crd, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, err := m.RESTMapping(lamp)
		if err == nil && r.Resource.Resource == "lamps" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the new resource is not found: %v", err)
		}
	}
}
