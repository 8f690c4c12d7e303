package argotest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// WorkflowServer plays an Argo Server over workflows of its own. It fails the
// test for requests that the real one would not understand.
type WorkflowServer struct {
	// URL of the server.
	URL string

	t     testing.TB
	token string

	mu        sync.Mutex
	workflows map[string]*unstructured.Unstructured // by namespace/name
	templates map[string]*unstructured.Unstructured // by kind/namespace/name
	archive   map[string]*unstructured.Unstructured // by uid
	requests  []ServerRequest
	answer    http.HandlerFunc
	count     int
}

// ServerRequest is a request to a WorkflowServer that changed something.
type ServerRequest struct {
	// What is METHOD PATH.
	What string
	Body map[string]any
}

// ServeWorkflows starts one that wants this bearer token.
func ServeWorkflows(t testing.TB, token string) *WorkflowServer {
	t.Helper()
	s := &WorkflowServer{t: t, token: token}
	s.workflows, s.templates, s.archive = map[string]*unstructured.Unstructured{}, map[string]*unstructured.Unstructured{}, map[string]*unstructured.Unstructured{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Put adds a workflow, or a template if it has the kind of one, YAML.
func (s *WorkflowServer) Put(text string) {
	s.t.Helper()
	var wf unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(text), &wf.Object); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind := wf.GetKind(); kind {
	case "", "Workflow":
		s.add(&wf)
	default:
		s.templates[kind+"/"+wf.GetNamespace()+"/"+wf.GetName()] = &wf
	}
}

func (s *WorkflowServer) add(wf *unstructured.Unstructured) {
	s.count++
	if wf.GetUID() == "" {
		set(wf.Object, fmt.Sprintf("uid-%d", s.count), "metadata", "uid")
	}
	s.workflows[wf.GetNamespace()+"/"+wf.GetName()] = wf
}

// Archive moves a workflow out of the cluster.
func (s *WorkflowServer) Archive(namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wf := s.workflows[namespace+"/"+name]
	delete(s.workflows, namespace+"/"+name)
	s.archive[string(wf.GetUID())] = wf
}

// Get gives a copy of a workflow; nil if there is none.
func (s *WorkflowServer) Get(namespace, name string) *unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wf := s.workflows[namespace+"/"+name]; wf != nil {
		return wf.DeepCopy()
	}
	return nil
}

// Names are those of the workflows of a namespace, in order.
func (s *WorkflowServer) Names(namespace string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, key := range sortedKeys(s.workflows) {
		if name, ok := strings.CutPrefix(key, namespace+"/"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Change changes a workflow.
func (s *WorkflowServer) Change(namespace, name string, f func(*unstructured.Unstructured)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.workflows[namespace+"/"+name])
}

// Requests are those that changed something, oldest first.
func (s *WorkflowServer) Requests() []ServerRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Answer has all requests answered by f from now on; nil ends that.
func (s *WorkflowServer) Answer(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// ServeHTTP implements http.Handler.
func (s *WorkflowServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	if got := r.Header.Get("Authorization"); got != "Bearer "+s.token {
		complain(w, http.StatusUnauthorized, 16, "token not valid")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body := map[string]any{}
	if r.Method != http.MethodGet {
		raw, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(raw, &body)
		}
		if err != nil || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("%s %s: %v, content type %q", r.Method, r.URL.Path, err, r.Header.Get("Content-Type"))
		}
		s.requests = append(s.requests, ServerRequest{r.Method + " " + r.URL.Path, body})
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/")
	switch {
	case parts[0] == "archived-workflows" && len(parts) >= 2:
		s.archived(w, r, parts[1:], body)
	case parts[0] != "workflows" || len(parts) < 2:
		s.t.Errorf("there is no %s %s", r.Method, r.URL.Path)
		complain(w, http.StatusNotFound, 5, "no such path")
	case r.Method == http.MethodPost:
		s.create(w, parts[1], parts[2:], body)
	case r.Method == http.MethodGet && len(parts) == 2:
		s.list(w, r, parts[1])
	case len(parts) < 3 || s.workflows[parts[1]+"/"+parts[2]] == nil:
		complain(w, http.StatusNotFound, 5, fmt.Sprintf("workflows.argoproj.io %q not found", strings.Join(parts[2:], "/")))
	case r.Method == http.MethodGet && len(parts) == 3:
		wf := s.workflows[parts[1]+"/"+parts[2]].DeepCopy()
		if r.URL.Query().Get("fields") == "-status.nodes" {
			unstructured.RemoveNestedField(wf.Object, "status", "nodes")
		}
		reply(w, wf.Object)
	case r.Method == http.MethodPut && len(parts) == 4:
		s.operate(w, s.workflows[parts[1]+"/"+parts[2]], parts[3], body)
	default:
		s.t.Errorf("there is no %s %s", r.Method, r.URL.Path)
	}
}

func (s *WorkflowServer) archived(w http.ResponseWriter, r *http.Request, parts []string, body map[string]any) {
	wf := s.archive[parts[0]]
	switch q := r.URL.Query(); {
	case wf == nil:
		complain(w, http.StatusNotFound, 5, "not in the archive")
	case q.Get("namespace") != wf.GetNamespace() || q.Get("name") != wf.GetName():
		s.t.Errorf("the archive is asked for %s", r.URL)
	case r.Method == http.MethodGet:
		reply(w, wf.Object)
	default:
		wf = wf.DeepCopy() // the archive keeps its own, and the cluster gives a new uid
		wf.SetUID("")
		s.add(wf)
		s.operate(w, wf, parts[1], body)
	}
}

func (s *WorkflowServer) list(w http.ResponseWriter, r *http.Request, namespace string) {
	byLabel, err := labels.Parse(r.URL.Query().Get("listOptions.labelSelector"))
	byField, fieldErr := fields.ParseSelector(r.URL.Query().Get("listOptions.fieldSelector"))
	if err != nil || fieldErr != nil {
		complain(w, http.StatusBadRequest, 3, fmt.Sprint(err, fieldErr))
		return
	}
	var items []any
	for _, key := range sortedKeys(s.workflows) {
		wf := s.workflows[key]
		if wf.GetNamespace() == namespace && byLabel.Matches(labels.Set(wf.GetLabels())) && byField.Matches(fields.Set{"metadata.name": wf.GetName(), "metadata.namespace": namespace}) {
			items = append(items, map[string]any{"metadata": map[string]any{"name": wf.GetName(), "annotations": wf.Object["metadata"].(map[string]any)["annotations"]}})
		}
	}
	reply(w, map[string]any{"items": items})
}

// only checks that a body has no other keys.
func (s *WorkflowServer) only(body map[string]any, keys ...string) {
	for _, key := range sortedKeys(body) {
		if !slices.Contains(keys, key) {
			s.t.Errorf("the server knows no %s: %v", key, body)
		}
	}
}

func set(o map[string]any, v any, path ...string) {
	for _, key := range path[:len(path)-1] {
		next, ok := o[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			o[key] = next
		}
		o = next
	}
	o[path[len(path)-1]] = v
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func complain(w http.ResponseWriter, status, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "message": message})
}
