package resource

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestConformance(t *testing.T) {
	kube.Start(t) // so that the goroutines of its processes are there before the checks
	places := map[*sourcetest.Env]*place{}
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Remembers: true,
		Setup: func(t *testing.T, e *sourcetest.Env) string {
			if places[e] == nil {
				p := newPlace(t)
				p.env, e.Kubernetes = e, p.env.Kubernetes
				places[e] = p
			}
			return places[e].entry("")
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			places[e].create(t, fmt.Sprintf("m%d", n), "1")
			return nil
		},
	})
}

func TestEachChangeIsSeenOnce(t *testing.T) {
	p := newPlace(t)
	p.create(t, "there", "0")
	r := p.start(t, "metadata: {a: b}")
	first := p.create(t, "a", "1")
	second := p.set(t, "a", "2")
	p.delete(t, "a")
	want := map[string]string{
		"ADD there 0": "", "ADD a 1": string(first.UID) + "-ADD",
		"UPDATE a 1>2": string(first.UID) + "-UPDATE-" + second.ResourceVersion, "DELETE a 2": string(first.UID) + "-DELETE",
	}
	for range len(want) {
		e := r.Next(t)
		id, known := want[line(t, e)]
		if !known || id != "" && e.ID != id {
			t.Errorf("%s with the id %q: %s", line(t, e), e.ID, e.Data)
		}
		delete(want, line(t, e))
		if text := string(e.Data); !strings.HasSuffix(text, `"group":"","version":"v1","resource":"configmaps","metadata":{"a":"b"}}`) ||
			!strings.Contains(text, `"kind":"ConfigMap"`) || !strings.Contains(text, `"apiVersion":"v1"`) || !strings.Contains(text, "managedFields") {
			t.Errorf("data %s", text)
		}
	}
	p.expect(t, r)
}

func TestFirstStart(t *testing.T) {
	for name, tc := range map[string]struct {
		more string
		want []string
	}{
		"adds what is there":      {"", []string{"ADD old 1", "ADD new 1"}},
		"afterStart adds nothing": {"filter: {afterStart: true}", []string{"ADD new 1", "UPDATE old 1>2"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.create(t, "old", "1")
			r := p.start(t, tc.more)
			p.create(t, "new", "1")
			if strings.Contains(tc.more, "afterStart") {
				p.set(t, "old", "2")
			}
			p.expect(t, r, tc.want...)
		})
	}
}

func TestOnlyWantedTypes(t *testing.T) {
	p := newPlace(t)
	r := p.start(t, "eventTypes: [DELETE]")
	p.create(t, "a", "1")
	p.set(t, "a", "2")
	p.delete(t, "a")
	if got := line(t, r.Next(t)); got != "DELETE a 2" {
		t.Errorf("got %s", got)
	}
}

// gap changes things in each way while nobody looks.
func (p *place) gap(t *testing.T) {
	t.Helper()
	p.set(t, "changed", "2")
	p.set(t, "changed", "3")
	p.delete(t, "deleted")
	p.delete(t, "replaced")
	p.create(t, "replaced", "2")
	p.create(t, "new", "1")
	p.create(t, "short", "1")
	p.delete(t, "short")
}

func (p *place) beforeGap(t *testing.T) {
	t.Helper()
	for _, name := range []string{"same", "changed", "deleted", "replaced"} {
		p.create(t, name, "1")
	}
}

// With the history at hand, a restart misses nothing at all.
var replayed = []string{
	"UPDATE changed 1>2", "UPDATE changed 2>3", "DELETE deleted 1", "DELETE replaced 1", "ADD replaced 2", "ADD new 1",
	"ADD short 1", "DELETE short 1",
}

// Without it, the difference is told.
var difference = []string{"UPDATE changed 3", "DELETE deleted", "DELETE replaced", "ADD replaced 2", "ADD new 1"}

func TestRestart(t *testing.T) {
	p := newPlace(t)
	p.beforeGap(t)
	r := p.start(t, "")
	p.expect(t, r, "ADD same 1", "ADD changed 1", "ADD deleted 1", "ADD replaced 1")
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	p.gap(t)
	p.expect(t, p.start(t, ""), replayed...)
}

func TestRestartAfterTheHistoryIsGone(t *testing.T) {
	p := newPlace(t)
	p.beforeGap(t)
	r := p.start(t, "")
	p.expect(t, r, "ADD same 1", "ADD changed 1", "ADD deleted 1", "ADD replaced 1")
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	p.gap(t)
	p.forget(t)
	p.expect(t, p.start(t, ""), difference...)
}

// An update alone does not write down the object's new version.
func TestUpdateIsNotRepeatedAfterTheHistoryIsGone(t *testing.T) {
	p := newPlace(t)
	p.create(t, "a", "1")
	r := p.start(t, "")
	p.set(t, "a", "2")
	p.expect(t, r, "ADD a 1", "UPDATE a 1>2")
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	p.forget(t)
	p.expect(t, p.start(t, ""))
}

// forget makes the API server forget what objects were like.
func (p *place) forget(t *testing.T) {
	t.Helper()
	p.kube.Compact(t)
	p.kube.Restart(t) // its cache remembers
}

func TestHistoryIsGoneWhileCutOff(t *testing.T) {
	p := newPlace(t)
	l := p.kube.Line(t)
	p.use(t, l.Over(p.kube.Config()))
	p.beforeGap(t)
	r := p.start(t, "")
	p.expect(t, r, "ADD same 1", "ADD changed 1", "ADD deleted 1", "ADD replaced 1")
	l.Cut()
	p.gap(t)
	p.forget(t)
	l.Mend()
	// The process had the objects in mind.
	p.expect(t, r, "UPDATE changed 1>3", "DELETE deleted 1", "DELETE replaced 1", "ADD replaced 2", "ADD new 1")
}

func TestServerRestarts(t *testing.T) {
	p := newPlace(t)
	r := p.start(t, "")
	p.create(t, "a", "1")
	p.expect(t, r, "ADD a 1")
	p.kube.Restart(t)
	p.set(t, "a", "2")
	p.create(t, "b", "1")
	p.expect(t, r, "UPDATE a 1>2", "ADD b 1")
}

func TestReplicasEmitOnce(t *testing.T) {
	p := newPlace(t)
	p.create(t, "old", "1")
	one, two := sourcetest.Build(t, Kind, p.entry(""), p.env), sourcetest.Build(t, Kind, p.entry(""), p.env)
	r := sourcetest.Go(t, replicas{one, two})
	p.settled(t)
	for i := range 10 {
		name := fmt.Sprintf("m%d", i)
		p.create(t, name, "1")
		p.set(t, name, "2")
		p.delete(t, name)
	}
	want := []string{"ADD old 1"}
	for i := range 10 {
		want = append(want, fmt.Sprintf("ADD m%d 1", i), fmt.Sprintf("UPDATE m%d 1>2", i), fmt.Sprintf("DELETE m%d 2", i))
	}
	p.expect(t, r, want...)
}

// A replica that was cut off does not repeat what the others emitted meanwhile,
// even though the bus may have forgotten the ids.
func TestReplicaThatWasAwayIsQuiet(t *testing.T) {
	p := newPlace(t)
	l := p.kube.Line(t)
	away := *p.env
	away.Kubernetes = connection(t, p.through(l))
	other := sourcetest.Start(t, Kind, p.entry(""), &away)
	r := p.start(t, "")
	p.create(t, "a", "1")
	p.expect(t, r, "ADD a 1")
	sourcetest.Eventually(t, "the other replica to be there too", func() bool { return len(other.Stored()) == 3 })
	before := len(other.Stored())
	l.Cut()
	p.create(t, "b", "1")
	p.expect(t, r, "ADD b 1")
	version := decode(t, r.Stored()[len(r.Stored())-1]).Body.ResourceVersion
	sourcetest.Eventually(t, "the version to be on record", func() bool { return upTo(version, p.recorded().Version) })
	l.Mend()
	sourcetest.Eventually(t, "the other replica to be back", func() bool {
		p.create(t, "c", "1")
		p.delete(t, "c")
		return len(other.Stored()) > before
	})
	for _, e := range other.Stored()[before:] {
		if !strings.HasPrefix(line(t, e), "ADD c") && !strings.HasPrefix(line(t, e), "DELETE c") {
			t.Errorf("the replica repeated %s", line(t, e))
		}
	}
}

func TestForbidden(t *testing.T) {
	p := newPlace(t)
	p.use(t, p.kube.ServiceAccount(t, p.ns, "watcher"))
	r := sourcetest.Start(t, Kind, p.entry(""), p.env)
	sourcetest.Eventually(t, "an error", func() bool { return r.Err() != nil })
	for _, want := range []string{"list configmaps in namespace " + p.ns, "watcher", "forbidden", "needs list and watch"} {
		if !strings.Contains(r.Err().Error(), want) {
			t.Errorf("the error lacks %q: %v", want, r.Err())
		}
	}
	rules := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list", "watch"}}}
	meta := metav1.ObjectMeta{Name: "watcher"}
	if _, err := p.api.RbacV1().Roles(p.ns).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := p.api.RbacV1().RoleBindings(p.ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "watcher"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "watcher", Namespace: p.ns}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.settled(t)
	p.create(t, "a", "1")
	p.set(t, "a", "2")
	p.expect(t, r, "ADD a 1", "UPDATE a 1>2")
}

func TestWithoutACluster(t *testing.T) {
	e := sourcetest.NewEnv(t)
	s := sourcetest.Build(t, Kind, "version: v1\nresource: pods\neventTypes: [ADD]", e)
	err := s.Run(t.Context(), nil)
	if !eventsource.IsPermanent(err) || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("got %v", err)
	}
}

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.late.example}
spec:
  group: late.example
  names: {kind: Lamp, plural: lamps, singular: lamp, listKind: LampList}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

func TestDefinitionThatComesLater(t *testing.T) {
	p := newPlace(t)
	d, err := p.env.Kubernetes.Dynamic()
	if err != nil {
		t.Fatal(err)
	}
	r := sourcetest.Start(t, Kind, "group: late.example\nversion: v1\nresource: lamps\neventTypes: [ADD, UPDATE]", p.env)
	sourcetest.Eventually(t, "an error", func() bool { return r.Err() != nil })
	if want := "list lamps.late.example: the Kubernetes API does not have it in late.example/v1"; !strings.Contains(r.Err().Error(), want) {
		t.Errorf("got %v", r.Err())
	}
	var crd unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(definition), &crd.Object); err != nil {
		t.Fatal(err)
	}
	crds := d.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := crds.Create(t.Context(), &crd, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.api.RESTClient().Delete().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lamps.late.example").
			Do(t.Context()).Error(); err != nil {
			t.Log(err)
		}
	})
	p.settled(t)
	lamps := d.Resource(schema.GroupVersionResource{Group: "late.example", Version: "v1", Resource: "lamps"})
	lamp := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "late.example/v1", "kind": "Lamp", "metadata": map[string]any{"name": "a"}, "on": int64(9007199254740993),
	}}
	if _, err := lamps.Create(t.Context(), lamp, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if data := string(r.Next(t).Data); !strings.Contains(data, `"on":9007199254740993`) || !strings.Contains(data, `"group":"late.example"`) {
		t.Errorf("data %s", data)
	}
}
