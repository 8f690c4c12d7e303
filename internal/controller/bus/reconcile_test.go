package bus

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

const mainBus = `{metadata: {name: main}, apiVersion: argoproj.io/v1alpha1, kind: EventBus, spec: {jetstream: {version: latest, replicas: 3, streamConfig: "maxAge: 1h"}}}`

func TestBusIsMade(t *testing.T) {
	w := newWorld(t)
	w.create(mainBus)
	_, s := w.reconcile("main")
	if c := condition(s, "Configured"); c.Status != "True" || c.ObservedGeneration != 1 {
		t.Errorf("got %+v", c)
	}
	if c := condition(s, "Deployed"); c.Status != "False" || c.Reason != apply.PodsNotReady || s.State != apply.PodsNotReady {
		t.Errorf("got %+v", c)
	}
	j := s.Config.JetStream
	if j.URL != "nats://eventbus-main."+w.ns+".svc:4222" || j.StreamConfig != "maxAge: 1h" {
		t.Errorf("got %+v", j)
	}
	client := named[corev1.Secret]("eventbus-main-client")
	w.get(client)
	if ref := j.AccessSecret; ref.Name != client.Name {
		t.Errorf("got %+v", ref)
	}
	var access struct{ Username, Password string }
	if err := yaml.UnmarshalStrict(client.Data[j.AccessSecret.Key], &access); err != nil || access.Username != "client" || access.Password != string(client.Data["password"]) {
		t.Errorf("got %+v, %v", access, err)
	}
	if ref := j.TLS.CACertSecret; ref.Name != client.Name || len(client.Data[ref.Key]) == 0 {
		t.Errorf("got %+v", ref)
	}
	server := named[corev1.Secret]("eventbus-main-server")
	w.get(server)
	seen := map[string]bool{}
	for _, role := range []string{"controller", "eventsource", "sensor", "client", "cluster-password"} {
		if p := string(server.Data[role]); len(p) < 40 || seen[p] {
			t.Errorf("password of %s: %d characters", role, len(p))
		} else {
			seen[p] = true
		}
	}
	if string(server.Data["sensor"]) == "" || !bytes.Equal(server.Data["client"], client.Data["password"]) {
		t.Error("the roles' Secrets differ from the server's")
	}
	w.get(named[corev1.Secret]("eventbus-main-eventsource"))
	w.get(named[corev1.Secret]("eventbus-main-sensor"))
	w.get(named[corev1.Service]("eventbus-main"))
	w.get(named[corev1.ConfigMap]("eventbus-main"))
	w.get(named[policyv1.PodDisruptionBudget]("eventbus-main"))

	w.run("eventbus-main", 2)
	_, s = w.reconcile("main")
	if c := condition(s, "Deployed"); c.Status != "False" || c.Message != "2 of 3 pods ready" || s.Pods != "2/3" {
		t.Errorf("got %+v", c)
	}
	w.run("eventbus-main", 3)
	_, s = w.reconcile("main")
	if c := condition(s, "Deployed"); c.Status != "True" || c.Message != "3 of 3 pods ready" || s.State != "Ready" {
		t.Errorf("got %+v", c)
	}

	before := time.Now()
	for range 3 {
		w.reconcile("main")
	}
	if got := w.written(before); got != nil {
		t.Errorf("written without a change: %q", got)
	}
	w.Applier = apply.New(apply.Config{Client: w.api, Reader: w.api, Recorder: w.events, Now: func() time.Time { return w.now }})
	w.reconcile("main")
	if got := w.written(before); got != nil {
		t.Errorf("written by a new controller: %q", got)
	}
}

// The API server itself says whether pods as in the template are restricted.
func TestPodsPassTheRestrictedProfile(t *testing.T) {
	w := newWorld(t)
	w.create(mainBus)
	w.reconcile("main")
	if _, stderr, err := w.cluster.Kubectl(t, "label", "namespace", w.ns, "pod-security.kubernetes.io/enforce=restricted"); err != nil {
		t.Fatal(err, stderr)
	}
	s := named[appsv1.StatefulSet]("eventbus-main")
	w.get(s)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "try", Namespace: w.ns, Labels: s.Spec.Template.Labels}, Spec: s.Spec.Template.Spec}
	if err := w.api.Create(t.Context(), pod); err != nil {
		t.Error(err)
	}
}

func TestCertificatesAndPasswords(t *testing.T) {
	w := newWorld(t)
	w.create(mainBus)
	res, _ := w.reconcile("main")
	day := 24 * time.Hour
	if res.RequeueAfter < 200*day || res.RequeueAfter > 250*day {
		t.Errorf("looked at again after %s", res.RequeueAfter)
	}
	read := func() (server, ca map[string][]byte) {
		s, c := named[corev1.Secret]("eventbus-main-server"), named[corev1.Secret]("eventbus-main-ca")
		w.get(s)
		w.get(c)
		return s.Data, c.Data
	}
	server, ca := read()

	w.now = start.Add(res.RequeueAfter).Add(time.Second)
	res, _ = w.reconcile("main")
	server2, ca2 := read()
	if bytes.Equal(server["tls.crt"], server2["tls.crt"]) || !bytes.Equal(ca["ca.crt"], ca2["ca.crt"]) || res.RequeueAfter < 200*day {
		t.Error("after two thirds of a year: the server's certificate is to change, and it alone")
	}
	w.now = start.Add(7 * 365 * day)
	w.reconcile("main")
	server3, ca3 := read()
	if bytes.Equal(ca2["ca.crt"], ca3["ca.crt"]) || !bytes.Equal(ca2["ca.key"], ca3["ca.key"]) {
		t.Error("after seven years: the authority is to be renewed, with its key")
	}
	for key := range server {
		if !strings.HasSuffix(key, ".crt") && key != "tls.key" && !bytes.Equal(server[key], server3[key]) {
			t.Errorf("%s has changed", key)
		}
	}
	client := named[corev1.Secret]("eventbus-main-client")
	w.get(client)
	if !bytes.Equal(client.Data["ca.crt"], ca3["ca.crt"]) {
		t.Error("clients have another authority")
	}
	block, _ := pem.Decode(server3["tls.crt"])
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"eventbus-main." + w.ns + ".svc", "eventbus-main-0.eventbus-main." + w.ns + ".svc", "eventbus-main"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

func TestDeletedAndSpoiltSecretsComeBack(t *testing.T) {
	w := newWorld(t)
	w.create(mainBus)
	w.reconcile("main")
	server := named[corev1.Secret]("eventbus-main-server")
	w.get(server)
	password := string(server.Data["sensor"])
	sensor := named[corev1.Secret]("eventbus-main-sensor")
	w.get(sensor)
	if err := w.api.Delete(t.Context(), sensor); err != nil {
		t.Fatal(err)
	}
	ca := named[corev1.Secret]("eventbus-main-ca")
	w.get(ca)
	ca.Data["ca.key"] = []byte("spoilt")
	if err := w.api.Update(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	w.reconcile("main")
	sensor = named[corev1.Secret]("eventbus-main-sensor")
	w.get(sensor)
	w.get(ca)
	if string(sensor.Data["password"]) != password {
		t.Error("another password")
	}
	if string(ca.Data["ca.key"]) == "spoilt" || !bytes.Equal(sensor.Data["ca.crt"], ca.Data["ca.crt"]) {
		t.Error("the authority is not made anew")
	}
}

func TestManualEditIsReverted(t *testing.T) {
	w := newWorld(t)
	w.create(mainBus)
	w.reconcile("main")
	if _, stderr, err := w.cluster.Kubectl(t, "scale", "-n", w.ns, "statefulset/eventbus-main", "--replicas=1"); err != nil {
		t.Fatal(err, stderr)
	}
	w.reconcile("main")
	s := named[appsv1.StatefulSet]("eventbus-main")
	w.get(s)
	if *s.Spec.Replicas != 3 {
		t.Errorf("%d replicas", *s.Spec.Replicas)
	}
}

func TestGrowthAndShrinking(t *testing.T) {
	w := newWorld(t)
	w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main}, spec: {jetstream: {version: latest, replicas: 1, persistence: {volumeSize: 1Gi}}}}`)
	w.reconcile("main")
	budget := named[policyv1.PodDisruptionBudget]("eventbus-main")
	if w.has(budget) {
		t.Error("a budget for one pod, so that its node can never be drained")
	}
	grow := func(n string) {
		w.update("main", `{spec: {jetstream: {version: latest, replicas: `+n+`, persistence: {volumeSize: 1Gi}}}}`)
	}
	grow("3")
	w.reconcile("main")
	s := named[appsv1.StatefulSet]("eventbus-main")
	w.get(s)
	if *s.Spec.Replicas != 3 || !w.has(budget) {
		t.Errorf("%d replicas", *s.Spec.Replicas)
	}
	uid := s.UID
	grow("1")
	_, status := w.reconcile("main")
	w.get(s)
	if *s.Spec.Replicas != 3 || s.UID != uid {
		t.Errorf("%d replicas", *s.Spec.Replicas)
	}
	if c := condition(status, "Configured"); c.Status != "False" || c.Reason != apply.ShrinkRefused || status.Config.JetStream == nil {
		t.Errorf("got %+v", c)
	}
	grow("5")
	_, status = w.reconcile("main")
	w.get(s)
	if *s.Spec.Replicas != 5 || condition(status, "Configured").Status != "True" {
		t.Errorf("%d replicas, %+v", *s.Spec.Replicas, status)
	}
}

func TestNameOfAChildIsTaken(t *testing.T) {
	for _, object := range []string{
		`{apiVersion: v1, kind: Secret, metadata: {name: eventbus-main-ca}, stringData: {ca.key: theirs}}`,
		`{apiVersion: v1, kind: Secret, metadata: {name: eventbus-main-server}, stringData: {ca.key: theirs}}`,
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: eventbus-main}, data: {a: b}}`,
	} {
		w := newWorld(t)
		theirs := w.create(object)
		w.create(mainBus)
		res, s := w.reconcile("main")
		c := condition(s, "Deployed")
		if c.Status != "False" || c.Reason != apply.NameTaken || !strings.Contains(c.Message, theirs.GetKind()+"/"+theirs.GetName()) || res.RequeueAfter == 0 {
			t.Errorf("got %+v", c)
		}
		before := theirs.GetResourceVersion()
		w.get(theirs)
		if theirs.GetResourceVersion() != before {
			t.Error("it was changed")
		}
		if err := w.api.Delete(t.Context(), theirs); err != nil {
			t.Fatal(err)
		}
		if _, s = w.reconcile("main"); condition(s, "Deployed").Reason != apply.PodsNotReady {
			t.Errorf("after it has gone: %+v", s)
		}
	}
}

func TestKindsOfBuses(t *testing.T) {
	for _, test := range []struct {
		name, spec                   string
		configured, deployed, reason string // of Deployed
		message                      string // of Configured
		made                         bool
	}{
		{"native", `{nats: {native: {replicas: 3, auth: token, maxSubs: 5}}}`, "True", "False", apply.PodsNotReady, "NATS Streaming is gone", true},
		{"exotic JetStream", `{jetstreamExotic: {url: "nats://mine:4222"}}`, "True", "True", apply.Skipped, "", false},
		{"nats.exotic", `{nats: {exotic: {url: "nats://mine:4222", clusterID: c}}}`, "False", "False", apply.InvalidSpec, "spec.nats.exotic", false},
		{"kafka", `{kafka: {url: "mine:9092"}}`, "False", "False", apply.InvalidSpec, "spec.kafka", false},
		{"four replicas", `{jetstream: {version: latest, replicas: 4}}`, "False", "False", apply.InvalidSpec, "has to be 1, 3 or 5, got 4", false},
		{"nothing", `{}`, "False", "False", apply.InvalidSpec, "no kind of bus", false},
		{"ignored fields", `{jetstream: {version: 2.9.1, startArgs: [-D]}}`, "True", "False", apply.PodsNotReady, "spec.jetstream.startArgs is ignored: ", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main}, spec: ` + test.spec + `}`)
			_, s := w.reconcile("main")
			c, d := condition(s, "Configured"), condition(s, "Deployed")
			if string(c.Status) != test.configured || string(d.Status) != test.deployed || d.Reason != test.reason || !strings.Contains(c.Message, test.message) {
				t.Errorf("got %+v, %+v", c, d)
			}
			if made := w.has(named[appsv1.StatefulSet]("eventbus-main")); made != test.made {
				t.Errorf("made: %v", made)
			}
			if (s.Config.JetStream != nil) != (test.configured == "True") {
				t.Errorf("config %+v", s.Config)
			}
		})
	}
}

func TestInvalidChangeLeavesTheBusAlone(t *testing.T) {
	w := newWorld(t)
	w.create(mainBus)
	w.reconcile("main")
	w.run("eventbus-main", 3)
	_, before := w.reconcile("main")
	for _, spec := range []string{`{spec: {jetstream: {version: latest, replicas: 4}}}`, `{spec: {kafka: {url: k}}}`, `{spec: {jetstreamExotic: {url: "nats://mine:4222"}}}`} {
		w.update("main", spec)
		since := time.Now()
		_, s := w.reconcile("main")
		if c, d := condition(s, "Configured"), condition(s, "Deployed"); c.Status != "False" || d.Status != "True" {
			t.Errorf("%s: %+v, %+v", spec, c, d)
		}
		if s.Config.JetStream == nil || s.Config.JetStream.URL != before.Config.JetStream.URL {
			t.Errorf("%s: clients lose the bus: %+v", spec, s.Config)
		}
		if got := w.written(since); !slices.Equal(got, []string{"patch eventbus/main status"}) {
			t.Errorf("%s: written %q", spec, got)
		}
	}
}

func TestLeftoversOfArgoEvents(t *testing.T) {
	w := newWorld(t)
	u := w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main, finalizers: [eventbus-controller]}, spec: {nats: {native: {}}}}`)
	meta := `labels: {controller: eventbus-controller, eventbus-name: main, owner-name: main}, ownerReferences: [
		{apiVersion: argoproj.io/v1alpha1, kind: EventBus, name: main, uid: ` + string(u.GetUID()) + `, controller: true}]`
	w.create(`{apiVersion: v1, kind: Service, metadata: {name: eventbus-main-stan-svc, ` + meta + `}, spec: {clusterIP: None, ports: [{port: 4222}]}}`)
	w.create(`{apiVersion: v1, kind: ConfigMap, metadata: {name: eventbus-main-stan-configmap, ` + meta + `}}`)
	w.create(`{apiVersion: v1, kind: Secret, metadata: {name: eventbus-main-client, ` + meta + `}, stringData: {client-auth: "token: x"}}`)
	w.reconcile("main") // takes the finalizer
	_, s := w.reconcile("main")
	if d := condition(s, "Deployed"); d.Reason != apply.PodsNotReady {
		t.Fatalf("got %+v", d)
	}
	if w.get(u); len(u.GetFinalizers()) != 0 {
		t.Errorf("finalizers %v", u.GetFinalizers())
	}
	old := []string{"eventbus-main-stan-svc"}
	if !w.has(named[corev1.Service](old[0])) {
		t.Error("it is removed before ours works")
	}
	w.run("eventbus-main", 3)
	w.now = w.now.Add(time.Hour)
	w.reconcile("main")
	if w.has(named[corev1.Service](old[0])) || w.has(named[corev1.ConfigMap]("eventbus-main-stan-configmap")) {
		t.Error("it is left")
	}
	client := named[corev1.Secret]("eventbus-main-client")
	w.get(client)
	if len(client.Data["password"]) == 0 {
		t.Error("the Secret of the same name is not ours")
	}
}

func TestDeletionHangsNowhere(t *testing.T) {
	w := newWorld(t)
	u := w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main, finalizers: [eventbus-controller]}, spec: {kafka: {url: x}}}`)
	if err := w.api.Delete(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reconcile(t.Context(), requestOf(u)); err != nil {
		t.Fatal(err)
	}
	if w.has(u) {
		t.Error("it is still there")
	}
	if _, err := w.Reconcile(t.Context(), requestOf(u)); err != nil {
		t.Fatal(err)
	}
}

// TestNamespaceEnds has nothing made in a namespace that is being deleted, and no
// error that somebody would look into.
func TestNamespaceEnds(t *testing.T) {
	w := newWorld(t)
	u := w.create(mainBus)
	if _, trouble, err := w.cluster.Kubectl(t, "delete", "namespace", w.ns, "--wait=false"); err != nil {
		t.Fatal(trouble)
	}
	if _, err := w.Reconcile(t.Context(), requestOf(u)); err != nil {
		t.Errorf("got %v", err)
	}
	err := w.api.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "eventbus-main"}, &appsv1.StatefulSet{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the StatefulSet: %v", err)
	}
}
