package workload

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

const (
	source = v1alpha1.KindEventSource
	sink   = v1alpha1.KindSensor
)

// The pods are accepted where the restricted Pod Security Standard is enforced.
func TestRestrictedPods(t *testing.T) {
	w := newWorld(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))
	if err := w.api.Patch(t.Context(), ns, patch); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ manifest, refused string }{
		"event source":           {es("    m: {port: \"80\", endpoint: /, authSecret: {name: s, key: k}}"), ""},
		"sensor":                 {sensor(logTrigger), ""},
		"with a volume":          {es(`  template: {volumes: [{name: data, emptyDir: {}}], container: {volumeMounts: [{name: data, mountPath: /data}]}}`), ""},
		"what the user asks for": {es("  template: {container: {securityContext: {allowPrivilegeEscalation: true}}}"), "allowPrivilegeEscalation != false"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			template := build(t, tt.manifest).Deployment.Spec.Template
			p := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
			p.Name, p.Namespace = "p", w.ns
			err := w.api.Create(t.Context(), p, client.DryRunAll)
			if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("got %v, want %q", err, tt.refused)
			}
		})
	}
}

func TestChildrenAndState(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.create(es("  replicas: 2"))
	w.create(sensor(logTrigger))
	w.wants(source, "shop", deployed, `False EventBusNotFound: there is no EventBus "default" in namespace `+w.ns)
	w.wants(source, "shop", apply.SourcesProvided, "True Succeeded: spec.webhook.order: the endpoint takes requests from anybody who reaches it")
	w.wants(sink, "orders", deployed, "False EventBusNotFound")
	w.bus()
	w.wants(source, "shop", deployed, "Unknown PodsNotReady: 0 of 2 pods ready")
	w.wants(sink, "orders", deployed, "Unknown PodsNotReady: 0 of 1 pods ready")
	for _, c := range []struct {
		o    client.Object
		name string
	}{
		{&corev1.ConfigMap{}, "shop-eventsource"},
		{&corev1.Service{}, "shop-eventsource-svc"},
		{&policyv1.PodDisruptionBudget{}, "shop-eventsource"},
		{&corev1.ConfigMap{}, "orders-sensor"},
		{&appsv1.Deployment{}, "orders-sensor"},
	} {
		if !w.get(c.o, c.name) {
			t.Errorf("there is no %T %s", c.o, c.name)
		} else if metav1.GetControllerOf(c.o) == nil {
			t.Errorf("%T %s has no owner", c.o, c.name)
		}
	}
	w.ready("shop-eventsource")
	w.ready("orders-sensor")
	w.wants(source, "shop", deployed, "True Succeeded: 2 of 2 pods ready")
	w.wants(sink, "orders", deployed, "True Succeeded: 1 of 1 pods ready")
	u := controller.Object(source)
	w.get(u, "shop")
	s := before[v1alpha1.EventSourceStatus](u)
	want := fmt.Sprintf("Ready 2/2 [{order http://shop-eventsource-svc.%s.svc:12000/order }]", w.ns)
	if got := fmt.Sprint(s.State, " ", s.Pods, " ", s.URLs); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	u = controller.Object(sink)
	w.get(u, "orders")
	n := before[v1alpha1.SensorStatus](u)
	if got := fmt.Sprint(n.State, " ", n.Pods, " ", n.Dependencies, " ", n.Triggers); got != "Ready 1/1 shop/order [{print log order}]" {
		t.Errorf("got %s", got)
	}
	out, stderr, err := w.cluster.Kubectl(t, "get", "es,sn", "-n", w.ns)
	if err != nil || !strings.Contains(out, "http://shop-eventsource-svc") || !strings.Contains(out, "shop/order") {
		t.Errorf("kubectl get: %v %s\n%s", err, stderr, out)
	}

	w.quiet()
	begin := time.Now()
	w.edit(source, "shop", `{"metadata":{"annotations":{"note":"x"}}}`)
	w.quiet()
	if got := w.writes(begin); len(got) != 1 { // the edit itself
		t.Errorf("an annotation makes writes: %s", got)
	}
	w.edit(source, "shop", `{"spec":{"replicas":1}}`)
	w.until("the budget is gone", func() bool { return !w.get(&policyv1.PodDisruptionBudget{}, "shop-eventsource") })
}

// A bad edit leaves alone what runs, and says so.
func TestBadEdit(t *testing.T) {
	w := newWorld(t)
	w.bus()
	w.start()
	w.create(es(""))
	w.ready("shop-eventsource")
	w.wants(source, "shop", deployed, "True")
	var good, now corev1.ConfigMap
	w.get(&good, "shop-eventsource")
	w.edit(source, "shop", `{"spec":{"webhook":{"more":{"endpoint":"/order"}}}}`)
	w.wants(source, "shop", apply.SourcesProvided, "False InvalidEventSource: spec.webhook.order: receives requests at")
	w.wants(source, "shop", deployed, "False InvalidSpec: the object is not valid, see the other conditions\nwhat was deployed before goes on: 1 of 1 pods ready")
	w.get(&now, "shop-eventsource")
	if good.ResourceVersion != now.ResourceVersion {
		t.Error("the pods got the bad version")
	}
	u := controller.Object(source)
	w.get(u, "shop")
	if s := before[v1alpha1.EventSourceStatus](u); s.State != "InvalidEventSource" || len(s.URLs) != 1 {
		t.Errorf("state %s, %d URLs", s.State, len(s.URLs))
	}
	w.edit(source, "shop", `{"spec":{"webhook":{"order":{"endpoint":"/new"},"more":null}}}`)
	w.wants(source, "shop", deployed, "True")
	w.until("the good version is there", func() bool {
		return w.get(&now, "shop-eventsource") && strings.Contains(now.Data["eventsource.json"], "/new")
	})
	w.edit(source, "shop", `{"spec":{"template":{"volumes":[{"name":"signalbox-bus","emptyDir":{}}]}}}`)
	w.wants(source, "shop", deployed, "False InvalidSpec: spec.template.volumes[0].name")
}

func TestBadSensor(t *testing.T) {
	w := newWorld(t)
	w.bus()
	w.start()
	w.create(strings.Replace(sensor(logTrigger), "name: order,", "name: order, filters: {exprs: [{expr: '(', fields: [{name: a, path: b}]}]},", 1))
	w.wants(sink, "orders", apply.DependenciesProvided, "False InvalidDependencies: spec.dependencies[0].filters")
	w.wants(sink, "orders", apply.TriggersProvided, "True")
	w.wants(sink, "orders", deployed, "False InvalidSpec")
	w.edit(sink, "orders", `{"spec":{"dependencies":[{"name":"order","eventSourceName":"shop","eventName":"order"}],"triggers":[{"template":{"name":"a","conditions":"nobody","log":{}}}]}}`)
	w.wants(sink, "orders", apply.DependenciesProvided, "True")
	w.wants(sink, "orders", apply.TriggersProvided, "False InvalidTriggers: spec.triggers[0].template.conditions")
}

// Kinds that there are not yet hold up nobody else.
func TestUnsupportedKinds(t *testing.T) {
	w := newWorld(t)
	w.bus()
	w.start()
	w.create(es("  hdfs: {files: {directory: /a, type: CREATE, addresses: [\"a:1\"], hdfsUser: a}}"))
	w.wants(source, "shop", apply.SourcesProvided, "False UnsupportedKind: not supported by this version, the rest runs: spec.hdfs")
	w.ready("shop-eventsource")
	w.wants(source, "shop", deployed, "True")
	w.create(`
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: none}
spec: {hdfs: {files: {directory: /a, type: CREATE, addresses: ["a:1"], hdfsUser: a}}}`)
	w.wants(source, "none", deployed, "False UnsupportedKind: nothing of this object")
	if w.get(&appsv1.Deployment{}, "none-eventsource") {
		t.Error("pods for nothing")
	}
}

func TestWarningsAreToldOnce(t *testing.T) {
	w := newWorld(t)
	w.bus()
	w.start()
	w.create(es("  servise: {ports: []}"))
	w.ready("shop-eventsource")
	w.wants(source, "shop", deployed, "True")
	w.until("an event tells of the unknown key", func() bool {
		e := w.events("shop", "Warnings")
		return len(e) == 1 && strings.HasPrefix(e[0], "spec.servise:")
	})
	w.stop()
	w.start() // remembers nothing
	w.edit(source, "shop", `{"metadata":{"labels":{"a":"b"}}}`)
	d := &appsv1.Deployment{}
	w.until("the new controller is at work", func() bool { return w.get(d, "shop-eventsource") && d.Labels["a"] == "b" })
	w.quiet()
	if e := w.events("shop", "Warnings"); len(e) != 1 {
		t.Errorf("events: %q", e)
	}
}

// What Argo Events left serves until our pods do.
func TestTakeover(t *testing.T) {
	w := newWorld(t)
	w.bus()
	u := object(t, es(""))
	u.SetNamespace(w.ns)
	u.SetResourceVersion("")
	u.SetUID("")
	u.SetFinalizers([]string{"eventsource-controller"})
	if err := w.api.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	old := argoDeployment(u, w.ns)
	svc := foreignService(u, w.ns, "shop-eventsource-svc")
	for _, o := range []client.Object{old, svc} {
		if err := w.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.wants(source, "shop", deployed, "Unknown PodsNotReady")
	now := controller.Object(source)
	w.until("the finalizer is gone", func() bool { return w.get(now, "shop") && len(now.GetFinalizers()) == 0 })
	w.quiet()
	live := &corev1.Service{}
	if !w.get(&appsv1.Deployment{}, old.Name) || !w.get(live, svc.Name) || live.Labels[apply.ManagedByLabel] != "" {
		t.Error("what Argo Events left was touched too early")
	}
	w.ready("shop-eventsource")
	w.until("the old Deployment is gone", func() bool { return !w.get(&appsv1.Deployment{}, old.Name) })
	w.until("the Service leads to our pods", func() bool {
		return w.get(live, svc.Name) && live.Spec.Selector[apply.ManagedByLabel] == apply.Manager
	})
	if live.Spec.ClusterIP != svc.Spec.ClusterIP || live.UID != svc.UID {
		t.Error("the Service is another one, with another address")
	}
}

func TestServices(t *testing.T) {
	w := newWorld(t)
	w.bus()
	own := foreignService(nil, w.ns, "shop-eventsource-svc")
	if err := w.api.Create(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.create(es(""))
	w.wants(source, "shop", deployed, "Unknown PodsNotReady") // nobody has asked for another one
	w.edit(source, "shop", `{"spec":{"service":{"ports":[{"port":81}]}}}`)
	w.wants(source, "shop", deployed, "False NameTaken: Service/shop-eventsource-svc")
	if err := w.api.Delete(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	w.edit(source, "shop", `{"spec":{"service":{"ports":[{"port":80,"targetPort":12000}]}}}`)
	live := &corev1.Service{}
	w.until("there is a Service", func() bool { return w.get(live, "shop-eventsource-svc") && live.Spec.Ports[0].Port == 80 })
	for _, ip := range []string{`"None"`, `""`} {
		w.edit(source, "shop", `{"spec":{"service":{"clusterIP":`+ip+`}}}`)
		w.until("clusterIP "+ip, func() bool {
			return w.get(live, "shop-eventsource-svc") && (live.Spec.ClusterIP == "None") == (ip == `"None"`)
		})
	}
	w.edit(source, "shop", `{"spec":{"service":null,"webhook":null,"calendar":{"tick":{"interval":"10s"}}}}`)
	w.until("the Service is gone", func() bool { return !w.get(live, "shop-eventsource-svc") })
}

func TestDeletion(t *testing.T) {
	w := newWorld(t)
	w.bus()
	u := w.create(es(""))
	w.start()
	w.ready("shop-eventsource")
	w.wants(source, "shop", deployed, "True")
	w.edit(source, "shop", `{"metadata":{"finalizers":["eventsource-controller"]}}`)
	if err := w.api.Delete(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	w.until("it is gone", func() bool { return !w.get(controller.Object(source), "shop") })
	begin := time.Now()
	w.quiet()
	if got := w.writes(begin); len(got) > 0 { // the children are the garbage collector's
		t.Errorf("writes after the end: %s", got)
	}
}

// Many objects, one of which cannot be decoded.
func TestMany(t *testing.T) {
	n := 150
	if testing.Short() {
		n = 20
	}
	w := newWorld(t)
	w.bus()
	w.start()
	for i := range n {
		w.create(strings.Replace(es(""), "name: shop", fmt.Sprintf("name: shop-%d", i), 1))
		w.create(strings.Replace(sensor(logTrigger), "name: orders", fmt.Sprintf("name: orders-%d", i), 1))
	}
	w.create(strings.Replace(sensor("  triggers: [{template: {name: a, log: {}}, dlqTrigger: {template: {name: b, log: {}}, dlqTrigger: {template: nonsense}}}]"), "name: orders", "name: broken", 1))
	count := func(list client.ObjectList, items func() int) int {
		if err := w.api.List(t.Context(), list, client.InNamespace(w.ns)); err != nil {
			t.Fatal(err)
		}
		return items()
	}
	w.until("all have their Deployments", func() bool {
		l := &appsv1.DeploymentList{}
		return count(l, func() int { return len(l.Items) }) == 2*n
	})
	w.wants(sink, "broken", apply.TriggersProvided, "False InvalidTriggers: spec.triggers[0].dlqTrigger.dlqTrigger.template: want an object")
	w.until("all have their Services", func() bool {
		l := &corev1.ServiceList{}
		return count(l, func() int { return len(l.Items) }) == n
	})
	w.quiet()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d objects, heap %d MiB in this process", 2*n, m.HeapAlloc>>20)
	w.stop()
	begin := time.Now()
	w.start() // a new controller looks at everything again
	w.create(strings.Replace(es(""), "name: shop", "name: last", 1))
	w.wants(source, "last", deployed, "Unknown")
	w.quiet()
	var needless []string
	for _, wr := range w.writes(begin) {
		if !strings.Contains(wr, " last") {
			needless = append(needless, wr)
		}
	}
	if len(needless) > 0 {
		t.Errorf("%d needless writes, such as %s", len(needless), needless[0])
	}
}
