// Package pipelines_test runs the examples that act on a cluster as a user
// does: the built binary, with the example's manifests and --kubeconfig. The
// API server, the registry and the Git server are real; the controllers of the Argo
// projects are played.
package pipelines_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/kube"
	"github.com/signalbox-events/signalbox/test/proc"
)

// binary is set by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "signalbox-pipelines-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if binary, err = proc.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// The registry of the tests leaves these behind, and nothing can stop them.
	return kube.Run(m,
		goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"),
		goleak.IgnoreAnyFunction("github.com/distribution/distribution/v3/notifications.(*eventQueue).run"))
}

const patience = 60 * time.Second

// line is an example that runs, and its surroundings.
type line struct {
	*testing.T
	cluster    *kube.Cluster
	api        dynamic.Interface
	kubeconfig string
	dir, data  string
	addr       string // of the endpoints
	admin      string
	process    *proc.Process
	chat, web  *httptest.Server

	mu     sync.Mutex
	said   []string // to people, oldest first
	asked  []string // bodies of requests to other servers
	answer func(w http.ResponseWriter, r *http.Request, body string)
}

func newLine(t *testing.T, namespaces ...string) *line {
	t.Helper()
	l := &line{T: t, cluster: kube.Start(t), dir: t.TempDir(), data: t.TempDir()}
	argotest.Define(t, l.cluster)
	l.kubeconfig = kube.Kubeconfig(t, l.cluster.Config())
	var err error
	if l.api, err = dynamic.NewForConfig(l.cluster.Config()); err != nil {
		t.Fatal(err)
	}
	for _, ns := range namespaces {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns}}}
		_, err := l.api.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).Create(t.Context(), o, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	for _, a := range []*string{&l.addr, &l.admin} {
		if *a, err = proc.FreeAddr(); err != nil {
			t.Fatal(err)
		}
	}
	l.chat = httptest.NewServer(http.HandlerFunc(l.hear))
	l.web = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.chat.Close)
	t.Cleanup(l.web.Close)
	return l
}

// hear is where the generic service of notify posts to.
func (l *line) hear(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct{ Title, Message string }
	if err := json.Unmarshal(body, &m); err != nil {
		l.Errorf("people were sent %s: %v", body, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, strings.TrimPrefix(m.Title+": "+m.Message, ": "))
}

func (l *line) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, r.URL.Path+" "+string(body))
	if l.answer != nil {
		l.answer(w, r, string(body))
	}
}

func (l *line) messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.said)
}

func (l *line) requests() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

// example copies an example, with addresses of this test in the place of its own.
func (l *line) example(name string, replace ...string) {
	l.Helper()
	_, port, _ := net.SplitHostPort(l.addr)
	replace = append(replace, `"12000"`, `"`+port+`"`, "127.0.0.1:9999", strings.TrimPrefix(l.chat.URL, "http://"), "127.0.0.1:8080", strings.TrimPrefix(l.web.URL, "http://"))
	files, err := filepath.Glob(filepath.Join("../../examples", name, "manifests.yaml"))
	if err != nil || len(files) == 0 {
		l.Fatal("no such example: ", name, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			l.Fatal(err)
		}
		out := strings.NewReplacer(replace...).Replace(string(text))
		if err := os.WriteFile(filepath.Join(l.dir, filepath.Base(f)), []byte(out), 0o600); err != nil {
			l.Fatal(err)
		}
	}
}

// manifest adds a file to the example.
func (l *line) manifest(name, text string) {
	l.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name+".yaml"), []byte(text), 0o600); err != nil {
		l.Fatal(err)
	}
}

// start runs the example; again after a kill, with what it has stored.
func (l *line) start() {
	l.Helper()
	p, err := proc.Start(binary, "run", l.dir, "--kubeconfig", l.kubeconfig, "--admin-addr", l.admin, "--host", "127.0.0.1", "--data-dir", l.data, "--fsync", "1m", "--log-level", "debug")
	if err != nil {
		l.Fatal(err)
	}
	l.process = p
	l.Cleanup(func() {
		if l.Failed() {
			l.Logf("%s\n%s", p.Out(), p.Log())
		}
		if !p.Exited() {
			if _, err := p.Terminate(30 * time.Second); err != nil {
				l.Error(err)
			}
		}
	})
	if err := p.Ready(l.admin, patience); err != nil {
		l.Fatal(err, p.Out(), p.Log())
	}
}

func (l *line) until(what string, ok func() bool) {
	l.Helper()
	if err := proc.Until(patience, ok); err != nil {
		l.Fatalf("%s: %v; people heard %q", what, err, l.messages())
	}
}

// signalbox runs a command of the program.
func (l *line) signalbox(args ...string) {
	l.Helper()
	p, err := proc.Start(binary, args...)
	if err != nil {
		l.Fatal(err)
	}
	l.until("the end of "+strings.Join(args, " "), p.Exited)
	if code, err := p.Terminate(patience); err != nil || code != 0 {
		l.Fatalf("signalbox %s: %d, %v\n%s%s", strings.Join(args, " "), code, err, p.Out(), p.Log())
	}
}

func argo(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: resource}
}

func (l *line) create(resource, namespace, text string) {
	l.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		l.Fatal(err)
	}
	o.SetAPIVersion("argoproj.io/v1alpha1")
	if _, err := l.api.Resource(argo(resource)).Namespace(namespace).Create(l.Context(), o, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		_ = l.api.Resource(argo(resource)).Namespace(namespace).Delete(context.Background(), o.GetName(), metav1.DeleteOptions{})
	})
}

func (l *line) get(resource, namespace, name string) *unstructured.Unstructured {
	l.Helper()
	o, err := l.api.Resource(argo(resource)).Namespace(namespace).Get(l.Context(), name, metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return o
}

func (l *line) patch(resource, namespace, name, body string) {
	l.Helper()
	if _, err := l.api.Resource(argo(resource)).Namespace(namespace).Patch(l.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
}

// list are the objects of a namespace whose names begin with prefix.
func (l *line) list(resource, namespace, prefix string) []unstructured.Unstructured {
	l.Helper()
	all, err := l.api.Resource(argo(resource)).Namespace(namespace).List(l.Context(), metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return slices.DeleteFunc(all.Items, func(o unstructured.Unstructured) bool { return !strings.HasPrefix(o.GetName(), prefix) })
}

// text is a field of an object as text.
func text(o *unstructured.Unstructured, path ...string) string {
	v, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
