package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

// place is a namespace of the test's own, and what a source sees of it.
type place struct {
	kube *kube.Cluster
	ns   string
	maps typed.ConfigMapInterface
	api  *kubernetes.Clientset
	env  *sourcetest.Env
}

func newPlace(t *testing.T) *place {
	t.Helper()
	k := kube.Start(t)
	c := connection(t, k.Config()) // closed after the namespace is gone
	config, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	client, err := c.HTTP()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{kube: k, ns: k.Namespace(t), env: sourcetest.NewEnv(t)}
	p.use(t, k.Config())
	if p.api, err = kubernetes.NewForConfigAndClient(config, client); err != nil {
		t.Fatal(err)
	}
	p.maps = p.api.CoreV1().ConfigMaps(p.ns)
	// What is in each namespace does not belong to the tests.
	sourcetest.Eventually(t, "the namespace to be empty", func() bool {
		l, err := p.maps.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range l.Items {
			p.delete(t, m.Name)
		}
		return len(l.Items) == 0
	})
	return p
}

func connection(t *testing.T, config *rest.Config) *cluster.Cluster {
	t.Helper()
	c := cluster.Of(config)
	t.Cleanup(c.Close)
	return c
}

// use makes sources that are built from now on reach the API in another way.
func (p *place) use(t *testing.T, config *rest.Config) {
	t.Helper()
	p.env.Kubernetes = connection(t, config)
}

// through is the API over a line, under the address that others use.
func (p *place) through(l *kube.Line) *rest.Config {
	config := p.kube.Config()
	address := strings.TrimPrefix(l.Over(config).Host, "https://")
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return config
}

// entry is the configuration of a source of the place's ConfigMaps.
func (p *place) entry(more string) string {
	text := "version: v1\nresource: configmaps\nnamespace: " + p.ns + "\n" + more
	if !strings.Contains(more, "eventTypes") {
		text += "\neventTypes: [ADD, UPDATE, DELETE]"
	}
	return text
}

func (p *place) start(t *testing.T, more string) *sourcetest.Running {
	t.Helper()
	r := sourcetest.Start(t, Kind, p.entry(more), p.env)
	p.settled(t)
	return r
}

// settled waits until the source has looked at all objects.
func (p *place) settled(t *testing.T) {
	t.Helper()
	sourcetest.Eventually(t, "the source to be ready", func() bool { return p.recorded().Version != "" })
}

// recorded is the head on record.
func (p *place) recorded() head {
	for key, value := range p.env.Memory.All() {
		var h head
		if strings.HasSuffix(key, "/head") && json.Unmarshal([]byte(value), &h) == nil {
			return h
		}
	}
	return head{}
}

func (p *place) create(t *testing.T, name, v string, labels ...string) *corev1.ConfigMap {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"v": v}}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		m.Labels = map[string]string{key: value}
	}
	m, err := p.maps.Create(t.Context(), m, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (p *place) patch(t *testing.T, name, patch string) *corev1.ConfigMap {
	t.Helper()
	m, err := p.maps.Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (p *place) set(t *testing.T, name, v string) *corev1.ConfigMap {
	t.Helper()
	return p.patch(t, name, fmt.Sprintf(`{"data":{"v":%q}}`, v))
}

func (p *place) delete(t *testing.T, name string) {
	t.Helper()
	if err := p.maps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// payload is what the tests look at of an event's data.
type payload struct {
	Type     string
	Body     *corev1.ConfigMap
	OldBody  *corev1.ConfigMap
	Resource string
}

func decode(t *testing.T, e eventsource.Event) payload {
	t.Helper()
	var p payload
	if err := json.Unmarshal(e.Data, &p); err != nil {
		t.Fatalf("%v: %s", err, e.Data)
	}
	return p
}

// line is an event on one line: UPDATE name old>new.
func line(t *testing.T, e eventsource.Event) string {
	p := decode(t, e)
	s := p.Type + " " + p.Body.Name
	if p.Body.Data != nil {
		s += " "
		if p.OldBody != nil {
			s += p.OldBody.Data["v"] + ">"
		}
		s += p.Body.Data["v"]
	}
	return s
}

// expect waits for events and fails if they are others, or more. An object
// "end" that comes and goes tells that nothing else is to come.
func (p *place) expect(t *testing.T, r *sourcetest.Running, want ...string) {
	t.Helper()
	p.create(t, "end", "")
	var got []string
	for {
		switch l := strings.TrimSpace(line(t, r.Next(t))); l {
		case "ADD end":
			p.delete(t, "end")
			continue
		case "DELETE end":
		default:
			got = append(got, l)
			continue
		}
		break
	}
	want = slices.Sorted(slices.Values(want))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// replicas are sources that run side by side and emit to one bus.
type replicas []eventsource.Source

func (rs replicas) Run(ctx context.Context, emit eventsource.Emit) error {
	var wg sync.WaitGroup
	for _, s := range rs {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = s.Run(ctx, emit) //nolint:errcheck // as under a runner, it is called again
			}
		})
	}
	wg.Wait()
	return nil
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"v": "1"}}
}
