package k8s_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/k8s"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

// wire is what goes between a trigger and the API.
type wire struct {
	mu sync.Mutex
	// created are the bodies of POST requests to ConfigMaps and their paths.
	created []created
	// answer stands in for the API where it gives something.
	answer func(*http.Request) (*http.Response, error)
	// after is called when the API has answered.
	after func(*http.Request)
	seen  []string
}

type created struct {
	path string
	body []byte
}

func (w *wire) wrap(next http.RoundTripper) http.RoundTripper { return &tapped{w, next} }

type tapped struct {
	w    *wire
	next http.RoundTripper
}

func (t *tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	t.w.mu.Lock()
	answer, after := t.w.answer, t.w.after
	if strings.Contains(r.URL.Path, "/namespaces/") {
		t.w.seen = append(t.w.seen, r.Method)
	}
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/configmaps") {
		t.w.created = append(t.w.created, created{r.URL.Path, body})
	}
	t.w.mu.Unlock()
	if answer != nil {
		if resp, err := answer(r); resp != nil || err != nil {
			return resp, err
		}
	}
	resp, err := t.next.RoundTrip(r)
	if after != nil {
		after(r)
	}
	return resp, err
}

// CloseIdleConnections is what http.Client looks for.
func (t *tapped) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (w *wire) set(answer func(*http.Request) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// methods are those of the requests for objects since the last call.
func (w *wire) methods() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := strings.Join(w.seen, " ")
	w.seen = nil
	return seen
}

// lab is a namespace for one test.
type lab struct {
	t       *testing.T
	env     *triggertest.Env
	ns      string
	kube    *kube.Cluster
	api     dynamic.Interface
	wire    *wire
	cluster *cluster.Cluster
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return labOf(t, triggertest.NewEnv(t))
}

func labOf(t *testing.T, e *triggertest.Env) *lab {
	t.Helper()
	c := kube.Start(t)
	l := &lab{t: t, env: e, kube: c, wire: &wire{}}
	config := c.Config()
	config.Wrap(l.wire.wrap)
	l.use(config)
	admin := cluster.Of(c.Config())
	t.Cleanup(admin.Close) // after the namespace has been deleted
	l.ns = c.Namespace(t)
	var err error
	if l.api, err = admin.Dynamic(); err != nil {
		t.Fatal(err)
	}
	return l
}

// use makes triggers from now on act as somebody.
func (l *lab) use(config *rest.Config) {
	l.cluster = cluster.Of(config)
	l.t.Cleanup(l.cluster.Close)
	l.env.Kubernetes = l.cluster
}

func (l *lab) input(n int) trigger.Input {
	in := triggertest.Input(n)
	in.Namespace, in.Sensor, in.Trigger = l.ns, "orders", "make it"
	in.Policy = nil
	return in
}

func (l *lab) build(config string) trigger.Trigger {
	l.t.Helper()
	return triggertest.Build(l.t, k8s.Kind, config, l.env)
}

// fire wants a summary; NS in it is the namespace.
func (l *lab) fire(tr trigger.Trigger, in trigger.Input, want string) {
	l.t.Helper()
	r, err := tr.Fire(l.t.Context(), in)
	if err != nil {
		l.t.Fatal(err)
	}
	if want = strings.ReplaceAll(want, "NS", l.ns); r.Summary != want {
		l.t.Errorf("got %q, want %q", r.Summary, want)
	}
}

// fails wants an error that begins so.
func (l *lab) fails(tr trigger.Trigger, in trigger.Input, permanent bool, want string) {
	l.t.Helper()
	_ = l.failure(tr, in, permanent, want)
}

// failure is fails, and gives the error.
func (l *lab) failure(tr trigger.Trigger, in trigger.Input, permanent bool, want string) error {
	l.t.Helper()
	r, err := tr.Fire(l.t.Context(), in)
	if want = strings.ReplaceAll(want, "NS", l.ns); err == nil || !strings.HasPrefix(err.Error(), want) || trigger.IsPermanent(err) != permanent {
		l.t.Errorf("got %q, %v (permanent: %v), want %s", r.Summary, err, trigger.IsPermanent(err), want)
	}
	return err
}

func (l *lab) get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	l.t.Helper()
	o, err := l.api.Resource(resource).Namespace(l.ns).Get(l.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

func (l *lab) absent(resource schema.GroupVersionResource, name string) {
	l.t.Helper()
	if _, err := l.api.Resource(resource).Namespace(l.ns).Get(l.t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		l.t.Errorf("%s: got %v", name, err)
	}
}

func (l *lab) put(resource schema.GroupVersionResource, text string) *unstructured.Unstructured {
	l.t.Helper()
	var o unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		l.t.Fatal(err)
	}
	made, err := l.api.Resource(resource).Namespace(l.ns).Create(l.t.Context(), &o, metav1.CreateOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return made
}

// wantFields compares parts of an object, by dotted path, with JSON.
func wantFields(t *testing.T, o *unstructured.Unstructured, want map[string]string) {
	t.Helper()
	for path, w := range want {
		v, _, err := unstructured.NestedFieldNoCopy(o.Object, strings.Split(path, "/")...)
		if err != nil {
			t.Error(err)
		}
		if b, err := json.Marshal(v); err != nil || string(b) != w {
			t.Errorf("%s is %s, %v, want %s", path, b, err, w)
		}
	}
}

func noLeaks(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}
