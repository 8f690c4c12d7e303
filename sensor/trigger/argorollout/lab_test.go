package argorollout_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argorollout"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

var (
	rollouts    = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	podTmpls    = schema.GroupVersionResource{Version: "v1", Resource: "podtemplates"}
)

// wire is what goes between a trigger and the API.
type wire struct {
	mu      sync.Mutex
	patches []patch
	// before and after are asked around a PATCH; an error stands for the answer.
	before, after func(*http.Request) error
	answer        func(*http.Request) (*http.Response, error)
}

type patch struct{ path, body string }

type tapped struct {
	w    *wire
	next http.RoundTripper
}

func (t *tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	t.w.mu.Lock()
	answer, before, after := t.w.answer, t.w.before, t.w.after
	t.w.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if answer != nil {
		if resp, err := answer(r); resp != nil || err != nil {
			return resp, err
		}
	}
	if r.Method != http.MethodPatch {
		return t.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	if before != nil {
		if err := before(r); err != nil {
			return nil, err
		}
	}
	resp, err := t.next.RoundTrip(r)
	if err == nil && resp.StatusCode < 300 {
		t.w.mu.Lock()
		t.w.patches = append(t.w.patches, patch{r.URL.Path, string(body)})
		t.w.mu.Unlock()
		if after != nil {
			if err := after(r); err != nil {
				resp.Body.Close()
				return nil, err
			}
		}
	}
	return resp, err
}

// CloseIdleConnections is what http.Client looks for.
func (t *tapped) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (w *wire) set(f func(*wire)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

func (w *wire) sent() []patch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]patch(nil), w.patches...)
}

// lab is a namespace for one test.
type lab struct {
	t    *testing.T
	env  *triggertest.Env
	ns   string
	kube *kube.Cluster
	api  dynamic.Interface
	wire *wire
}

var define sync.Once

// defined is the cluster of all tests, with the kinds.
func defined(t *testing.T) *kube.Cluster {
	t.Helper()
	c := kube.Start(t)
	define.Do(func() { argotest.Define(t, c, "rollouts-rollout") })
	return c
}

func newLab(t *testing.T) *lab { return labOf(t, triggertest.NewEnv(t)) }

func labOf(t *testing.T, e *triggertest.Env) *lab {
	t.Helper()
	c := defined(t)
	l := &lab{t: t, env: e, kube: c, wire: &wire{}}
	config := c.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &tapped{l.wire, next} })
	own := cluster.Of(config)
	t.Cleanup(own.Close)
	e.Kubernetes = own
	admin := cluster.Of(c.Config())
	t.Cleanup(admin.Close)
	var err error
	if l.api, err = admin.Dynamic(); err != nil {
		t.Fatal(err)
	}
	l.ns = l.newNamespace()
	return l
}

// newNamespace makes one that ends with the API server: to delete it would take
// longer than most tests here.
func (l *lab) newNamespace() string {
	l.t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "test-"}}}
	o, err := l.api.Resource(namespaces).Create(l.t.Context(), o, metav1.CreateOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return o.GetName()
}

func (l *lab) play(options ...argotest.RolloutOption) *argotest.Rollouts {
	return argotest.PlayRollouts(l.t, l.kube.Config(), l.ns, options...)
}

func (l *lab) input(n int) trigger.Input {
	in := triggertest.Input(n)
	in.Namespace, in.Policy = l.ns, nil
	return in
}

func (l *lab) build(config string) trigger.Trigger {
	l.t.Helper()
	return triggertest.Build(l.t, argorollout.Kind, config, l.env)
}

// fire wants a summary; NS in it is the namespace.
func (l *lab) fire(config string, n int, want string) trigger.Result {
	l.t.Helper()
	r, err := l.build(config).Fire(l.t.Context(), l.input(n))
	if err != nil {
		l.t.Fatalf("%s: %v", config, err)
	}
	if want = strings.ReplaceAll(want, "NS", l.ns); r.Summary != want {
		l.t.Errorf("%s: got %q, want %q", config, r.Summary, want)
	}
	return r
}

func (l *lab) fails(config string, n int, want string) {
	l.t.Helper()
	_ = l.failure(config, n, want)
}

// failure wants an error that begins so.
func (l *lab) failure(config string, n int, want string) error {
	l.t.Helper()
	_, err := l.build(config).Fire(l.t.Context(), l.input(n))
	if want = strings.ReplaceAll(want, "NS", l.ns); err == nil || !strings.HasPrefix(err.Error(), want) {
		l.t.Errorf("%s: got %v, want %s", config, err, want)
	}
	return err
}

func (l *lab) create(r schema.GroupVersionResource, text string) *unstructured.Unstructured {
	l.t.Helper()
	o := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = o.UnmarshalJSON(raw)
	}
	if err == nil {
		o, err = l.api.Resource(r).Namespace(l.ns).Create(l.t.Context(), o, metav1.CreateOptions{})
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

func (l *lab) get(r schema.GroupVersionResource, name string) *unstructured.Unstructured {
	l.t.Helper()
	o, err := l.api.Resource(r).Namespace(l.ns).Get(l.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

func (l *lab) merge(r schema.GroupVersionResource, name, body string, sub ...string) {
	l.t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(body))
	if err == nil {
		_, err = l.api.Resource(r).Namespace(l.ns).Patch(l.t.Context(), name, types.MergePatchType, raw, metav1.PatchOptions{}, sub...)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// template is a pod template with the containers app and side, and an init container.
func template(image string) string {
	return "{metadata: {labels: {app: web}}, spec: {initContainers: [{name: init, image: 'init:1'}], containers: [{name: app, image: '" + image + "'}, {name: side, image: 'side:1'}]}}"
}

const steps = "[{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {}}, {setWeight: 80}]"

// canary makes a Rollout with two pauses.
func (l *lab) canary(name, steps string) {
	l.t.Helper()
	l.create(rollouts, "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: "+name+"}, spec: {selector: {matchLabels: {app: web}}, strategy: {canary: {steps: "+steps+"}}, template: "+template("app:1")+"}}")
}

// at tells what is at a path of an object, as JSON; null if there is nothing.
func at(o *unstructured.Unstructured, path ...string) string {
	var v any = o.Object
	for _, p := range path {
		if l, ok := v.([]any); ok {
			i := 0
			_, _ = fmt.Sscan(p, &i)
			if v = nil; i < len(l) {
				v = l[i]
			}
			continue
		}
		m, _ := v.(map[string]any)
		v = m[p]
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// is tells whether fields, by their dotted paths below status or spec, have values, as JSON.
func is(fields map[string]string) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool {
		for path, want := range fields {
			if at(o, strings.Split(path, ".")...) != want {
				return false
			}
		}
		return true
	}
}

func (l *lab) wantFields(o *unstructured.Unstructured, fields map[string]string) {
	l.t.Helper()
	for path, want := range fields {
		if got := at(o, strings.Split(path, ".")...); got != want {
			l.t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// healthy and pausedAt are what tests wait for.
func healthy(p *argotest.Rollouts, name string) *unstructured.Unstructured {
	return p.Await(name, "healthy", func(o *unstructured.Unstructured) bool {
		return at(o, "status", "phase") == `"Healthy"` && at(o, "status", "observedGeneration") == `"`+at(o, "metadata", "generation")+`"`
	})
}

func pausedAt(p *argotest.Rollouts, name string, step int) *unstructured.Unstructured {
	return p.Await(name, fmt.Sprintf("paused at step %d", step), func(o *unstructured.Unstructured) bool {
		return at(o, "status", "phase") == `"Paused"` && at(o, "status", "pauseConditions") != "null" && at(o, "status", "currentStepIndex") == fmt.Sprint(step)
	})
}

func (l *lab) remove(name string) {
	l.t.Helper()
	if err := l.api.Resource(rollouts).Namespace(l.ns).Delete(l.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		l.t.Fatal(err)
	}
}
