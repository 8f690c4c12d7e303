package argocd_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argocd"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

var define sync.Once

// wire is between the trigger and the API.
type wire struct {
	mu sync.Mutex
	// answer instead of the API's, if it is not nil.
	answer func(*http.Request) (*http.Response, error)
	// after is called when the API has answered.
	after   func(*http.Request)
	patches []json.RawMessage
	paths   []string
}

type tapped struct {
	w    *wire
	next http.RoundTripper
}

func (t *tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	t.w.mu.Lock()
	answer, after := t.w.answer, t.w.after
	t.w.mu.Unlock()
	if answer != nil {
		if resp, err := answer(r); resp != nil || err != nil {
			return resp, err
		}
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	resp, err := t.next.RoundTrip(r)
	if err == nil && r.Method == http.MethodPatch && resp.StatusCode == http.StatusOK {
		t.w.mu.Lock()
		t.w.patches = append(t.w.patches, body)
		t.w.paths = append(t.w.paths, r.URL.Path)
		t.w.mu.Unlock()
	}
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

func (w *wire) set(answer func(*http.Request) (*http.Response, error), after func(*http.Request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer, w.after = answer, after
}

func (w *wire) writes() []json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]json.RawMessage{}, w.patches...)
}

// lab is a namespace for one test.
type lab struct {
	t    testing.TB
	env  *triggertest.Env
	kube *kube.Cluster
	ns   string
	api  dynamic.ResourceInterface
	wire *wire
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := labOf(t, triggertest.NewEnv(t))
	l.use(l.kube.Granted(t, l.ns, "deploy", "README.md")) // what users are told is enough
	return l
}

func labOf(t *testing.T, e *triggertest.Env) *lab {
	t.Helper()
	c := kube.Start(t)
	define.Do(func() { argotest.Define(t, c, "argocd-application") }) // takes seconds, and all tests share the API
	l := &lab{t: t, env: e, kube: c, wire: &wire{}}
	admin := cluster.Of(c.Config())
	t.Cleanup(admin.Close) // after the namespace has been deleted
	l.ns = c.Namespace(t)
	l.use(c.Config())
	d, err := admin.Dynamic()
	if err != nil {
		t.Fatal(err)
	}
	l.api = d.Resource(argotest.Applications).Namespace(l.ns)
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
	in.Namespace, in.Sensor, in.Trigger, in.Policy = l.ns, "deploy", "sync", nil
	in.Since = time.Now()
	for name, e := range in.Events {
		later := e.Clone()
		later.SetTime(e.Time().Add(time.Duration(n) * time.Minute))
		in.Events[name] = &later
	}
	return in
}

func (l *lab) build(config string) trigger.Trigger {
	l.t.Helper()
	if !strings.Contains(config, "namespace: '*'") {
		config = strings.Replace(config, "{", "{namespace: "+l.ns+", ", 1)
	}
	tr := triggertest.Build(l.t, argocd.Kind, config, l.env)
	argocd.Hasten(tr)
	return tr
}

// fire wants a summary.
func (l *lab) fire(tr trigger.Trigger, in trigger.Input, want string) trigger.Result {
	l.t.Helper()
	r, err := tr.Fire(l.t.Context(), in)
	if err != nil {
		l.t.Fatal(err)
	}
	if r.Summary != want {
		l.t.Errorf("got  %s\nwant %s", r.Summary, want)
	}
	return r
}

// fails wants an error that begins so, and gives it.
func (l *lab) fails(tr trigger.Trigger, in trigger.Input, permanent bool, want string) error {
	l.t.Helper()
	r, err := tr.Fire(l.t.Context(), in)
	if err == nil || !strings.HasPrefix(err.Error(), want) || trigger.IsPermanent(err) != permanent {
		l.t.Errorf("got %q, %v (permanent: %v), want %s", r.Summary, err, trigger.IsPermanent(err), want)
	}
	return err
}

// isBusy wants the firing to be postponed.
func (l *lab) isBusy(tr trigger.Trigger, in trigger.Input, want string) {
	l.t.Helper()
	err := l.fails(tr, in, false, want)
	if _, most, ok := trigger.Postponed(err); !ok || most != 15*time.Minute {
		l.t.Errorf("%v is no postponement", err)
	}
}

const plain = `{apiVersion: argoproj.io/v1alpha1, kind: Application, spec: {project: default, destination: {server: here, namespace: there},
	source: {repoURL: https://github.com/acme/shop, path: deploy, targetRevision: main}}}`

// app makes an application of YAML, with things merged over it.
func (l *lab) app(name string, more ...string) *unstructured.Unstructured {
	l.t.Helper()
	o := parse(l.t, plain)
	o["metadata"] = map[string]any{"name": name}
	for _, m := range more {
		over(o, parse(l.t, m))
	}
	out, err := l.api.Create(l.t.Context(), &unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func over(o, more map[string]any) {
	for k, v := range more {
		if v == nil {
			delete(o, k)
			continue
		}
		m, isMap := v.(map[string]any)
		if old, wasMap := o[k].(map[string]any); isMap && wasMap {
			over(old, m)
		} else {
			o[k] = v
		}
	}
}

func (l *lab) get(name string) *unstructured.Unstructured {
	l.t.Helper()
	o, err := l.api.Get(l.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

func (l *lab) patch(name, text string) {
	l.t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.api.Patch(l.t.Context(), name, types.MergePatchType, raw, metav1.PatchOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

// until waits for an application to be so.
func (l *lab) until(name string, so func(o map[string]any) bool) *unstructured.Unstructured {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	var last *unstructured.Unstructured
	err := cluster.Until(ctx, l.api, name, func(o *unstructured.Unstructured) (bool, error) {
		last = o
		return so(o.Object), nil
	})
	if err != nil {
		l.t.Fatalf("%v: %v", err, last)
	}
	return last
}

func phase(is string) func(map[string]any) bool {
	return func(o map[string]any) bool {
		p, _, _ := unstructured.NestedString(o, "status", "operationState", "phase")
		return p == is
	}
}

func rested(o map[string]any) bool {
	_, busy := o["operation"]
	s, _, _ := unstructured.NestedString(o, "status", "sync", "status")
	return !busy && s != ""
}

// has wants fields, by path with slashes, to have a value of YAML. A slash of a
// key is a tilde there.
func has(t testing.TB, o *unstructured.Unstructured, want map[string]string) {
	t.Helper()
	for path, text := range want {
		wanted := parse(t, "v: "+text)["v"]
		keys := strings.Split(path, "/")
		for i := range keys {
			keys[i] = strings.ReplaceAll(keys[i], "~", "/")
		}
		got, _, _ := unstructured.NestedFieldNoCopy(o.Object, keys...)
		if !reflect.DeepEqual(got, wanted) {
			g, _ := json.Marshal(got)
			t.Errorf("%s is\n%s, want\n%s", path, g, text)
		}
	}
}

var deleteNow = metav1.DeleteOptions{}

// answerWith is an answer of the API.
func answerWith(r *http.Request, o any) *http.Response {
	raw, _ := json.Marshal(o)
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Request: r, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(raw))),
	}
}

func unstructuredString(o map[string]any, path ...string) (string, bool, error) {
	return unstructured.NestedString(o, path...)
}

// newServer is the URL of a server that ends with the test.
func newServer(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
