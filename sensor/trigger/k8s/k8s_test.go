package k8s_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const order = "apiVersion: v1, kind: ConfigMap, metadata: {name: order}"

func TestCreate(t *testing.T) {
	l := newLab(t)
	tr := l.build("source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: order, labels: {team: north}, annotations: {note: it}}, data: {a: b}}}")
	before := time.Now().UnixMilli()
	l.fire(tr, l.input(1), "created configmap NS/order")
	o := l.get(configMaps, "order")
	wantFields(t, o, map[string]string{
		"data": `{"a":"b"}`, "metadata/labels/team": `"north"`, "metadata/labels/events.argoproj.io~1sensor": "null",
		"metadata/annotations/note": `"it"`, "metadata/ownerReferences": "null",
	})
	labels := o.GetLabels()
	at, err := strconv.ParseInt(labels["events.argoproj.io/action-timestamp"], 10, 64)
	if labels["events.argoproj.io/sensor"] != "orders" || labels["events.argoproj.io/trigger"] != "make-it" || err != nil || at < before || at > time.Now().UnixMilli() {
		t.Errorf("labels are %v", labels)
	}
	if got := o.GetAnnotations()["signalbox.dev/firing"]; got != l.input(1).ID {
		t.Errorf("the firing is %q", got)
	}

	again := l.input(1)
	again.Attempt = 2
	l.fire(tr, again, "found an earlier attempt's configmap NS/order")
	l.fails(tr, l.input(2), false, "create configmap NS/order: it exists already, made by other events: configmaps \"order\" already exists")
	l.put(configMaps, "{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}")
	l.fails(l.build("source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: other}}}"), l.input(1), false,
		"create configmap NS/other: it exists already, made by somebody else: ")
}

// suffix is what a generated name ends in.
func suffix(in trigger.Input) string { return in.ID[len(in.ID)-12:] }

// TestCreateAfterCrash has an API whose answer never arrives, as if the process
// had died after it sent the request.
func TestCreateAfterCrash(t *testing.T) {
	l := newLab(t)
	tr := l.build("source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {generateName: order-}}}")
	l.wire.mu.Lock()
	l.wire.after = func(r *http.Request) {
		if r.Method == http.MethodPost {
			panic(http.ErrAbortHandler)
		}
	}
	l.wire.mu.Unlock()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the process has not died")
			}
		}()
		_, _ = tr.Fire(t.Context(), l.input(1))
	}()
	l.wire.mu.Lock()
	l.wire.after = nil
	l.wire.mu.Unlock()
	name := "order-" + suffix(l.input(1))
	l.fire(tr, l.input(1), "found an earlier attempt's configmap NS/"+name)
	l.fire(tr, l.input(2), "created configmap NS/order-"+suffix(l.input(2)))
	list, err := l.api.Resource(configMaps).Namespace(l.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "events.argoproj.io/sensor=orders"})
	if err != nil || len(list.Items) != 2 {
		t.Errorf("%d objects, %v", len(list.Items), err)
	}
}

func TestLongNames(t *testing.T) {
	l := newLab(t)
	in := l.input(1)
	in.Sensor, in.Trigger = strings.Repeat("s", 70), "-Ä é/"
	long := strings.Repeat("n", 80)
	l.fire(l.build("source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {generateName: "+long+"}}}"), in,
		"created configmap NS/"+long[:51]+suffix(in))
	labels := l.get(configMaps, long[:51]+suffix(in)).GetLabels()
	if labels["events.argoproj.io/sensor"] != in.Sensor[:63] || labels["events.argoproj.io/trigger"] != "" {
		t.Errorf("labels are %v", labels)
	}
}

func TestParameters(t *testing.T) {
	l := newLab(t)
	tr := l.build(`
source: {inline: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web-}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: old}]}}}"}
parameters:
  - {src: {dependencyName: dep, dataKey: number, useRawData: true}, dest: spec.replicas}
  - {src: {dependencyName: dep, dataKey: number}, dest: metadata.name, operation: append}
  - {src: {dependencyName: dep, dataTemplate: "{{ .Input.body.a }}:latest"}, dest: spec.template.spec.containers.0.image}
`)
	l.fire(tr, l.input(7), "created deployment NS/web-7")
	wantFields(t, l.get(deployments, "web-7"), map[string]string{"spec/replicas": "7"})
	c, _, _ := unstructured.NestedSlice(l.get(deployments, "web-7").Object, "spec", "template", "spec", "containers")
	if c[0].(map[string]any)["image"] != "x:latest" {
		t.Errorf("got %v", c)
	}
	text := strings.Replace(`
source: {resource: {apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {}}}
parameters: [{src: {dependencyName: dep, dataKey: KEY}, dest: spec.replicas}]
`, "KEY", "number", 1)
	l.fails(l.build(text), l.input(1), false, "create deployment NS/a: ") // text where a number should be: the API says 400
	l.fails(l.build(strings.Replace(text, "number", "none", 1)), l.input(1), true, `parameter 0, to "spec.replicas": `)
	l.fails(l.build("source: {resource: {apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: -1}}}"), l.input(1), true, "create deployment NS/a: Deployment.apps \"a\" is invalid")
	l.fails(l.build("{source: {resource: {apiVersion: v1, metadata: {name: a}}}, parameters: [{src: {dependencyName: none}, dest: kind}]}"), l.input(1), true, "the object has no kind")
}

func TestUpdate(t *testing.T) {
	l := newLab(t)
	tr := l.build("{operation: update, source: {resource: {" + order + ", data: {a: new, c: ''}}}}")
	l.fire(tr, l.input(1), "created configmap NS/order")
	if o := l.get(configMaps, "order"); len(o.GetLabels()) != 0 || len(o.GetAnnotations()) != 0 {
		t.Errorf("update has marked %v", o)
	}
	if got := l.wire.methods(); got != "GET POST" {
		t.Errorf("requests are %s", got)
	}
	l.put(configMaps, "{apiVersion: v1, kind: ConfigMap, metadata: {name: two, labels: {x: 'yes'}}, data: {a: old, b: stays, c: goes}}")
	tr = l.build("{operation: update, source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: two}, data: {a: new, c: ''}}}}")
	l.fire(tr, l.input(1), "updated configmap NS/two")
	wantFields(t, l.get(configMaps, "two"), map[string]string{"data": `{"a":"new","b":"stays","c":""}`, "metadata/labels": `{"x":"yes"}`, "metadata/annotations": "null"})
}

// TestUpdateConflict has somebody else write between reading and writing.
func TestUpdateConflict(t *testing.T) {
	l := newLab(t)
	l.put(configMaps, "{"+order+", data: {a: old}}")
	once := sync.OnceFunc(func() {
		if _, err := l.api.Resource(configMaps).Namespace(l.ns).Patch(t.Context(), "order", "application/merge-patch+json", []byte(`{"data":{"z":"meanwhile"}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	})
	l.wire.mu.Lock()
	l.wire.after = func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/configmaps/order") {
			once()
		}
	}
	l.wire.mu.Unlock()
	l.fire(l.build("{operation: update, source: {resource: {"+order+", data: {a: new}}}}"), l.input(1), "updated configmap NS/order")
	wantFields(t, l.get(configMaps, "order"), map[string]string{"data": `{"a":"new","z":"meanwhile"}`})
	if got := l.wire.methods(); got != "GET PUT GET PUT" {
		t.Errorf("requests are %s", got)
	}
}

func TestLiveObject(t *testing.T) {
	l := newLab(t)
	tr := l.build(`
operation: update
liveObject: true
source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: order}, data: {not: used}}}
parameters:
  - {src: {dependencyName: dep, dataKey: number}, dest: data.numbers, operation: append}
`)
	l.fails(tr, l.input(1), false, "update configmap NS/order: configmaps \"order\" not found")
	l.put(configMaps, "{"+order+", data: {numbers: '0', other: stays}}")
	l.fire(tr, l.input(1), "updated configmap NS/order")
	l.fire(tr, l.input(1), "found an earlier attempt's change of configmap NS/order")
	l.fire(tr, l.input(2), "updated configmap NS/order")
	wantFields(t, l.get(configMaps, "order"), map[string]string{"data": `{"numbers":"012","other":"stays"}`})
}

func TestMergePatch(t *testing.T) {
	l := newLab(t)
	text := "{operation: patch, source: {resource: {" + order + ", data: {a: new, b: null}}}}"
	l.fire(l.build(strings.Replace(text, ", b: null", "", 1)), l.input(1), "created configmap NS/order")
	l.fire(l.build("{operation: patch, source: {resource: {"+order+", data: {b: x, c: stays}}}}"), l.input(2), "patched configmap NS/order")
	l.fire(l.build(text), l.input(3), "patched configmap NS/order")
	wantFields(t, l.get(configMaps, "order"), map[string]string{"data": `{"a":"new","c":"stays"}`, "metadata/labels": "null", "metadata/annotations": "null"})
}

const web = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}},
	spec: {containers: [{name: one, image: one:1}, {name: two, image: two:1}]}}}}`

func images(o *unstructured.Unstructured) string {
	var all []string
	cs, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	for _, c := range cs {
		all = append(all, c.(map[string]any)["image"].(string))
	}
	return strings.Join(all, " ")
}

func TestStrategicPatch(t *testing.T) {
	l := newLab(t)
	l.put(deployments, strings.ReplaceAll(web, "\t", " "))
	l.fire(l.build(`
operation: patch
patchStrategy: application/strategic-merge-patch+json
source: {resource: {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {spec: {containers: [{name: two, image: two}]}}}}}
parameters: [{src: {dependencyName: dep, dataTemplate: ":{{ .Input.number }}"}, dest: spec.template.spec.containers.0.image, operation: append}]
`), l.input(5), "patched deployment NS/web")
	if got := images(l.get(deployments, "web")); got != "two:5 one:1" && got != "one:1 two:5" {
		t.Errorf("images are %s", got)
	}
}

// define makes a resource definition of a group of the test's own.
func define(l *lab, plural, kind, scope string) schema.GroupVersionResource {
	l.t.Helper()
	group := l.ns + ".example.com"
	var o unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(strings.NewReplacer("GROUP", group, "PLURAL", plural, "KIND", kind, "SCOPE", scope, "SINGULAR", strings.ToLower(kind)).Replace(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.GROUP}
spec:
  group: GROUP
  scope: SCOPE
  names: {plural: PLURAL, singular: SINGULAR, kind: KIND}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`)), &o.Object); err != nil {
		l.t.Fatal(err)
	}
	definitions := l.api.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := definitions.Create(l.t.Context(), &o, metav1.CreateOptions{}); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := definitions.Delete(context.Background(), o.GetName(), metav1.DeleteOptions{}); err != nil {
			l.t.Error(err)
		}
	})
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: plural}
}

// fireUntil fires until it is done; what was defined is served a moment later.
func (l *lab) fireUntil(tr trigger.Trigger, in trigger.Input) {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := tr.Fire(l.t.Context(), in)
		if err == nil {
			return
		}
		if trigger.IsPermanent(err) || time.Now().After(deadline) {
			l.t.Fatal(err)
		}
		select {
		case <-l.t.Context().Done():
			l.t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestDefinedLaterAndJSONPatch has a kind with a plural that cannot be guessed,
// which is defined after the trigger has run.
func TestDefinedLaterAndJSONPatch(t *testing.T) {
	l := newLab(t)
	group := l.ns + ".example.com"
	gear := "apiVersion: " + group + "/v1, kind: Gear, metadata: {name: g}"
	make_ := l.build("source: {resource: {" + gear + ", spec: {list: [1]}}}")
	l.fails(make_, l.input(1), false, `create Gear: no matches for kind "Gear" in version "`+group+`/v1"`)
	gears := define(l, "gearz", "Gear", "Namespaced")
	l.fireUntil(make_, l.input(1))

	patch := func(ops string) trigger.Trigger {
		return l.build("{operation: patch, patchStrategy: application/json-patch+json, source: {resource: {" + gear + ", patch: [" + ops + "]}}, parameters: [{src: {dependencyName: dep, dataKey: number, useRawData: true}, dest: patch.0.value}]}")
	}
	add := patch("{op: add, path: /spec/list/-, value: 0}")
	l.fire(add, l.input(2), "patched gear NS/g")
	l.fire(add, l.input(2), "found an earlier attempt's change of gear NS/g")
	l.fire(add, l.input(3), "patched gear NS/g")
	wantFields(t, l.get(gears, "g"), map[string]string{"spec/list": "[1,2,3]"})
	l.fails(patch("{op: test, path: /spec/list/0, value: 0}"), l.input(4), false, "patch gear NS/g: ")
	if _, err := l.api.Resource(gears).Namespace(l.ns).Patch(t.Context(), "g", "application/merge-patch+json", []byte(`{"metadata":{"annotations":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	l.fire(patch("{op: add, path: /metadata/labels, value: 0}, {op: replace, path: /metadata/labels, value: {a: b}}"), l.input(5), "patched gear NS/g")
	wantFields(t, l.get(gears, "g"), map[string]string{"metadata/labels": `{"a":"b"}`})
	l.fails(l.build("{operation: patch, patchStrategy: application/strategic-merge-patch+json, source: {resource: {"+gear+"}}}"), l.input(6), true, "patch gear NS/g: ")
	l.fails(l.build("{operation: patch, patchStrategy: application/json-patch+json, source: {resource: {"+strings.Replace(gear, "name: g", "name: none", 1)+", patch: [{op: remove, path: /a}]}}}"), l.input(7), false, "patch gear NS/none: ")
}

func TestClusterScope(t *testing.T) {
	l := newLab(t)
	all := define(l, "worlds", "World", "Cluster")
	tr := l.build("source: {resource: {apiVersion: " + all.Group + "/v1, kind: World, metadata: {name: w, namespace: nowhere}}}")
	l.fireUntil(tr, l.input(1))
	if _, err := l.api.Resource(all).Get(t.Context(), "w", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	l.fire(l.build("{operation: delete, source: {resource: {apiVersion: "+all.Group+"/v1, kind: World, metadata: {name: w}}}}"), l.input(2), "deleted world w")
}

func TestApply(t *testing.T) {
	l := newLab(t)
	tr := l.build("{operation: patch, patchStrategy: application/apply-patch+yaml, source: {resource: {" + order + ", data: {a: mine}}}}")
	l.put(configMaps, "{"+order+", data: {a: theirs, b: stays}}")
	l.fire(tr, l.input(1), "applied configmap NS/order")
	o := l.get(configMaps, "order")
	wantFields(t, o, map[string]string{"data": `{"a":"mine","b":"stays"}`})
	owner := ""
	for _, f := range o.GetManagedFields() {
		if f.Operation == metav1.ManagedFieldsOperationApply {
			owner = f.Manager
		}
	}
	if owner != "signalbox" {
		t.Errorf("fields are owned by %q", owner)
	}
	l.fire(l.build("{operation: patch, patchStrategy: application/apply-patch+yaml, source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: fresh}}}}"), l.input(2), "applied configmap NS/fresh")
	l.get(configMaps, "fresh")
}

func TestDelete(t *testing.T) {
	l := newLab(t)
	l.put(configMaps, "{"+order+"}")
	tr := l.build("{operation: delete, source: {resource: {" + order + "}}}")
	in := l.input(1)
	in.Policy = &v1alpha1.TriggerPolicy{K8s: &v1alpha1.K8SResourcePolicy{Labels: map[string]string{"a": "b"}, ErrorOnBackoffTimeout: true}}
	l.fire(tr, in, "deleted configmap NS/order")
	l.absent(configMaps, "order")
	l.fire(tr, in, "found deleted: configmap NS/order")
}

func TestPolicy(t *testing.T) {
	l := newLab(t)
	policy := &v1alpha1.K8SResourcePolicy{Labels: map[string]string{"done": "yes"}, Backoff: &v1alpha1.Backoff{
		Steps: 3, Duration: &v1alpha1.Duration{Duration: 10 * time.Millisecond},
	}}
	in := l.input(1)
	in.Policy = &v1alpha1.TriggerPolicy{K8s: policy}
	tr := l.build("source: {resource: {" + order + "}}")
	l.fire(tr, in, "created configmap NS/order")
	if got := l.wire.methods(); got != "POST GET GET GET" {
		t.Errorf("requests are %s", got)
	}
	policy.ErrorOnBackoffTimeout = true
	l.fails(tr, in, false, "create configmap NS/order: it has not got the label done=yes")
	looks := 0
	l.wire.mu.Lock()
	l.wire.after = func(r *http.Request) {
		if looks++; looks == 3 {
			if _, err := l.api.Resource(configMaps).Namespace(l.ns).Patch(t.Context(), "order", "application/merge-patch+json", []byte(`{"metadata":{"labels":{"done":"yes"}}}`), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
	l.wire.mu.Unlock()
	policy.Backoff.Steps = 10
	l.fire(tr, in, "found an earlier attempt's configmap NS/order")
	l.fire(l.build("source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: two, labels: {done: 'yes'}}}}"), in, "created configmap NS/two")
	gone := l.input(2)
	gone.Policy = in.Policy
	l.wire.mu.Lock()
	l.wire.after = func(r *http.Request) {
		if r.Method == http.MethodPost {
			if err := l.api.Resource(configMaps).Namespace(l.ns).Delete(t.Context(), "three", metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
	l.wire.mu.Unlock()
	l.fails(l.build("source: {resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: three}}}"), gone, false, "create configmap NS/three: look for the labels of the policy: ")
}
