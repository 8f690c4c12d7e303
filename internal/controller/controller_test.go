package controller_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/test/kube"
)

// The library that watches metadata leaves a goroutine behind where an event comes
// while it stops.
func TestMain(m *testing.M) {
	os.Exit(kube.Run(m, goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop")))
}

// begin gives a cluster with our kinds.
func begin(t *testing.T) *kube.Cluster {
	t.Helper()
	c := kube.Start(t)
	c.Define(t, "-k", "../../config/crd")
	return c
}

// within runs do inside of a controller that works in the namespaces.
func within(t *testing.T, c *kube.Cluster, namespaces []string, do func(context.Context, manager.Manager, controller.Options) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var result error
	setup := func(mgr manager.Manager, o controller.Options) error {
		return mgr.Add(manager.RunnableFunc(func(context.Context) error {
			defer cancel()
			result = do(ctx, mgr, o)
			return nil
		}))
	}
	err := controller.Run(ctx, c.Config(), controller.Options{
		Image: "i", Namespaces: namespaces, MetricsAddr: "0", HealthAddr: "0", Log: slog.New(slog.DiscardHandler),
	}, setup)
	if err := errors.Join(err, result); err != nil {
		t.Error(err)
	}
}

func create(t *testing.T, api client.Client, ns, name string, labels map[string]string) {
	t.Helper()
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: ns, Name: name, Labels: labels,
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "long", "kept": "yes"},
	}}
	if err := api.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestCacheHasOursOfTheNamespacesOnly(t *testing.T) {
	c := begin(t)
	api, err := client.New(c.Config(), client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]string{apply.ManagedByLabel: "signalbox"}
	in, out := c.Namespace(t), c.Namespace(t)
	create(t, api, in, "ours", ours)
	create(t, api, in, "theirs", nil)
	create(t, api, out, "ours", ours)
	within(t, c, []string{in}, func(ctx context.Context, mgr manager.Manager, o controller.Options) error {
		if o.Applier == nil {
			t.Error("no Applier")
		}
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
		if err := mgr.GetClient().List(ctx, list); err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Namespace != in || list.Items[0].Name != "ours" {
			t.Errorf("got %+v", list.Items)
		}
		for _, o := range list.Items {
			if o.ManagedFields != nil || len(o.Annotations) != 1 {
				t.Errorf("takes room: %+v", o.ObjectMeta)
			}
		}
		return nil
	})
}

func TestHealth(t *testing.T) {
	c := begin(t)
	ns := c.Namespace(t)
	const addr = "127.0.0.1:18081"
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- controller.Run(ctx, c.Config(), controller.Options{
			Image: "i", Namespaces: []string{ns}, MetricsAddr: "127.0.0.1:17777", HealthAddr: addr, Log: slog.New(slog.DiscardHandler),
		})
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, url := range []string{"http://" + addr + "/healthz", "http://" + addr + "/readyz", "http://127.0.0.1:17777/metrics"} {
		var last string
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			r, err := client.Get(url)
			if err == nil {
				last = r.Status
				_ = r.Body.Close()
				if r.StatusCode == http.StatusOK {
					break
				}
			}
			if time.Now().After(end) {
				t.Errorf("%s: %s %v", url, last, err)
				break
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestImageIsNeeded(t *testing.T) {
	if _, err := controller.New(begin(t).Config(), controller.Options{}); err == nil || !strings.Contains(err.Error(), "image") {
		t.Errorf("got %v", err)
	}
}

func TestMissingCRDsAreNamed(t *testing.T) {
	_, err := controller.New(kube.Start(t, kube.Own()).Config(), controller.Options{Image: "i", MetricsAddr: "0", HealthAddr: "0"})
	if err == nil || !strings.Contains(err.Error(), "CRDs") {
		t.Errorf("got %v", err)
	}
}

func TestFailingSetupIsTold(t *testing.T) {
	_, err := controller.New(begin(t).Config(), controller.Options{Image: "i", MetricsAddr: "0", HealthAddr: "0"},
		func(manager.Manager, controller.Options) error { return errors.New("no luck") })
	if err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("got %v", err)
	}
}

func TestWanted(t *testing.T) {
	base := controller.Object("EventBus")
	base.SetGeneration(1)
	now := metav1.Now()
	for name, test := range map[string]struct {
		change func(o client.Object)
		want   bool
	}{
		"nothing":    {func(client.Object) {}, false},
		"status":     {func(o client.Object) { o.SetResourceVersion("2") }, false},
		"spec":       {func(o client.Object) { o.SetGeneration(2) }, true},
		"label":      {func(o client.Object) { o.SetLabels(map[string]string{"a": "b"}) }, true},
		"annotation": {func(o client.Object) { o.SetAnnotations(map[string]string{"a": "b"}) }, true},
		"finalizer":  {func(o client.Object) { o.SetFinalizers([]string{"a"}) }, true},
		"deletion":   {func(o client.Object) { o.SetDeletionTimestamp(&now) }, true},
		"recreation": {func(o client.Object) { o.SetUID("other") }, true},
	} {
		o := base.DeepCopy()
		test.change(o)
		if got := controller.Wanted().Update(event.UpdateEvent{ObjectOld: base, ObjectNew: o}); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 100)
	for got, want := range map[string]string{
		controller.BusName("main"):                       "eventbus-main",
		controller.BusSecret("main", "sensor"):           "eventbus-main-sensor",
		controller.BusURL("team", "main"):                "nats://eventbus-main.team.svc:4222",
		controller.BusName("a.b")[:len("eventbus-a-b-")]: "eventbus-a-b-",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	// Pods have "-0", their label controller-revision-hash has eleven bytes more.
	if n := len(controller.BusName(long)); n > 52 {
		t.Errorf("%d bytes", n)
	}
	if n := len(controller.BusSecret(long, "eventsource")); n > 63 {
		t.Errorf("%d bytes", n)
	}
}

func TestLibrariesAreQuiet(t *testing.T) {
	var out bytes.Buffer
	c := begin(t)
	ns := c.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := controller.Run(ctx, c.Config(), controller.Options{
		Image: "i", Namespaces: []string{ns}, MetricsAddr: "0", HealthAddr: "0", Log: slog.New(slog.NewTextHandler(&out, nil)),
	}, func(mgr manager.Manager, _ controller.Options) error {
		return mgr.Add(manager.RunnableFunc(func(context.Context) error {
			mgr.GetLogger().Info("per object")
			mgr.GetLogger().Error(errors.New("oh"), "must be seen")
			cancel()
			return nil
		}))
	})
	if err != nil {
		t.Error(err)
	}
	if text := out.String(); strings.Contains(text, "per object") || !strings.Contains(text, "must be seen") {
		t.Errorf("got %s", text)
	}
}
