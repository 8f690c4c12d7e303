package argoworkflow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

// defined is done once for all tests, as they share the API.
var defined sync.Once

// wire is what goes between a trigger and the API.
type wire struct {
	mu sync.Mutex
	// sent are the requests that change something.
	sent []sent
	// answer stands in for the API where it gives something.
	answer func(*http.Request) (*http.Response, error)
	// after is called when the API has answered.
	after func(*http.Request)
}

type sent struct {
	method, path, kind string
	body               []byte
}

func (w *wire) RoundTrip(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	w.mu.Lock()
	answer, after := w.answer, w.after
	if r.Method != http.MethodGet {
		w.sent = append(w.sent, sent{r.Method, r.URL.Path, r.Header.Get("Content-Type"), body})
	}
	w.mu.Unlock()
	if answer != nil {
		if resp, err := answer(r); resp != nil || err != nil {
			return resp, err
		}
	}
	resp, err := next.RoundTrip(r)
	if after != nil {
		after(r)
	}
	return resp, err
}

type tapped struct {
	w    *wire
	next http.RoundTripper
}

func (t *tapped) RoundTrip(r *http.Request) (*http.Response, error) { return t.w.RoundTrip(r, t.next) }

// CloseIdleConnections is what http.Client looks for.
func (t *tapped) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (w *wire) set(answer func(*http.Request) (*http.Response, error), after func(*http.Request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer, w.after = answer, after
}

// methods are those of the requests that changed something since the last call.
func (w *wire) methods() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, s := range w.sent {
		all = append(all, s.method)
	}
	w.sent = nil
	return strings.Join(all, " ")
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

func newLab(t *testing.T) *lab {
	t.Helper()
	l := labOf(t, triggertest.NewEnv(t))
	l.use(l.kube.Granted(t, l.ns, "builds", "README.md")) // what users are told is enough
	return l
}

func labOf(t *testing.T, e *triggertest.Env) *lab {
	t.Helper()
	c := kube.Start(t)
	defined.Do(func() { argotest.Define(t, c) })
	l := &lab{t: t, env: e, kube: c, wire: &wire{}}
	admin := cluster.Of(c.Config())
	t.Cleanup(admin.Close) // after the namespace has been deleted
	l.ns = c.Namespace(t)
	l.use(c.Config())
	var err error
	if l.api, err = admin.Dynamic(); err != nil {
		t.Fatal(err)
	}
	return l
}

// use makes triggers from now on act as somebody.
func (l *lab) use(config *rest.Config) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &tapped{l.wire, next} })
	c := cluster.Of(config)
	l.t.Cleanup(c.Close)
	l.env.Kubernetes = c
}

func (l *lab) input(n int) trigger.Input {
	in := triggertest.Input(n)
	in.Namespace, in.Sensor, in.Trigger = l.ns, "builds", "run it"
	in.Policy = nil
	return in
}

func (l *lab) build(config string) trigger.Trigger {
	l.t.Helper()
	return triggertest.Build(l.t, argoworkflow.Kind, config, l.env)
}

// named is a configuration that acts on a workflow that is there.
func (l *lab) named(operation, name, args string) trigger.Trigger {
	l.t.Helper()
	return l.build("{operation: " + operation + ", source: {resource: {metadata: {name: " + name + "}}}, args: [" + args + "], follow: {}}")
}

// fire wants a summary; NS in it is the namespace.
func (l *lab) fire(tr trigger.Trigger, in trigger.Input, want string) trigger.Result {
	l.t.Helper()
	r, err := tr.Fire(l.t.Context(), in)
	if err != nil {
		l.t.Fatal(err)
	}
	if want = strings.ReplaceAll(want, "NS", l.ns); r.Summary != want {
		l.t.Errorf("got %q, want %q", r.Summary, want)
	}
	return r
}

// fails wants an error that begins so.
func (l *lab) fails(tr trigger.Trigger, in trigger.Input, permanent bool, want string) {
	l.t.Helper()
	r, err := tr.Fire(l.t.Context(), in)
	if want = strings.ReplaceAll(want, "NS", l.ns); err == nil || !strings.HasPrefix(err.Error(), want) || trigger.IsPermanent(err) != permanent {
		l.t.Errorf("got %q, %v (permanent: %v), want %s", r.Summary, err, trigger.IsPermanent(err), want)
	}
}

// killed fires, and dies when the API has answered a request of this method.
func (l *lab) killed(tr trigger.Trigger, in trigger.Input, method string) {
	l.t.Helper()
	l.wire.set(nil, func(r *http.Request) {
		if r.Method == method {
			panic(http.ErrAbortHandler)
		}
	})
	defer l.wire.set(nil, nil)
	defer func() {
		if recover() == nil {
			l.t.Errorf("there was no %s to die after", method)
		}
	}()
	_, _ = tr.Fire(l.t.Context(), in)
}

func (l *lab) in(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	if resource == argotest.ClusterWorkflowTemplates {
		return l.api.Resource(resource)
	}
	return l.api.Resource(resource).Namespace(l.ns)
}

func (l *lab) get(name string) *unstructured.Unstructured {
	l.t.Helper()
	o, err := l.in(argotest.Workflows).Get(l.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

func (l *lab) names() string {
	l.t.Helper()
	all, err := l.in(argotest.Workflows).List(l.t.Context(), metav1.ListOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	var names []string
	for _, o := range all.Items {
		names = append(names, o.GetName())
	}
	return strings.Join(names, " ")
}

func (l *lab) put(resource schema.GroupVersionResource, text string) *unstructured.Unstructured {
	l.t.Helper()
	var o unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		l.t.Fatal(err)
	}
	o.SetAPIVersion("argoproj.io/v1alpha1")
	made, err := l.in(resource).Create(l.t.Context(), &o, metav1.CreateOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return made
}

func (l *lab) deleteClusterTemplate(name string) {
	l.t.Helper()
	err := l.in(argotest.ClusterWorkflowTemplates).Delete(context.WithoutCancel(l.t.Context()), name, metav1.DeleteOptions{})
	if err != nil {
		l.t.Error(err)
	}
}

// change rewrites a workflow, as its controller does.
func (l *lab) change(name string, f func(*unstructured.Unstructured)) {
	l.t.Helper()
	for {
		o := l.get(name)
		f(o)
		_, err := l.in(argotest.Workflows).Update(l.t.Context(), o, metav1.UpdateOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			l.t.Fatal(err)
		}
	}
}

// until waits until a workflow is as it should be.
func (l *lab) until(name string, ready func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	var last *unstructured.Unstructured
	err := cluster.Until(ctx, l.in(argotest.Workflows), name, func(o *unstructured.Unstructured) (bool, error) {
		last = o
		return ready(o), nil
	})
	if err != nil {
		b, _ := json.Marshal(last)
		l.t.Fatalf("%v: %s", err, b)
	}
	return last
}

func (l *lab) untilPhase(name, phase string) *unstructured.Unstructured {
	l.t.Helper()
	return l.until(name, func(o *unstructured.Unstructured) bool {
		got, _, _ := unstructured.NestedString(o.Object, "status", "phase")
		return got == phase
	})
}

// follow gives what a result's follow comes to.
func (l *lab) follow(tr trigger.Trigger, r trigger.Result) trigger.Outcome {
	l.t.Helper()
	if r.Follow == nil {
		l.t.Fatal("there is nothing to follow")
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	out, err := argoworkflow.Kind.Follow.Await(ctx, tr, trigger.Following{Ref: r.Follow})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// wantFields compares parts of an object, by path with slashes, with JSON.
func wantFields(t *testing.T, o map[string]any, want map[string]string) {
	t.Helper()
	for path, w := range want {
		parts := strings.Split(path, "/")
		for i := range parts {
			parts[i] = strings.ReplaceAll(parts[i], "~", "/")
		}
		v, _, err := unstructured.NestedFieldNoCopy(o, parts...)
		if err != nil {
			t.Error(err)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil || strings.TrimSpace(b.String()) != w {
			t.Errorf("%s is %s, %v, want %s", path, b.String(), err, w)
		}
	}
}
