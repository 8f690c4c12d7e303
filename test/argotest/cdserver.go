package argotest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
)

// CDServer plays Argo CD's API server together with its controller. It reports
// requests that the real one would refuse for their form.
type CDServer struct {
	*CD
	// URL of the server, and Token that it wants.
	URL, Token string

	t    testing.TB
	mu   sync.Mutex
	apps map[string]object
	// Calls are requests to change something, as METHOD PATH BODY.
	calls []string
	// After is called when a request has been carried out, before it is answered.
	after func(*http.Request)
}

// PlayCDServer starts a server that ends with the test.
func PlayCDServer(t testing.TB, opts ...CDOption) *CDServer {
	t.Helper()
	s := &CDServer{CD: newCD(opts), Token: "token-of-argo-cd", t: t, apps: map[string]object{}} //nolint:gosec // nobody's token
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/applications", s.list)
	mux.HandleFunc("GET /api/v1/applications/{name}", s.one(s.get))
	mux.HandleFunc("PATCH /api/v1/applications/{name}", s.one(s.patch))
	mux.HandleFunc("POST /api/v1/applications/{name}/sync", s.one(s.sync))
	mux.HandleFunc("POST /api/v1/applications/{name}/rollback", s.one(s.rollback))
	mux.HandleFunc("DELETE /api/v1/applications/{name}/operation", s.one(s.terminate))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+s.Token:
			refuse(w, http.StatusUnauthorized, 16, "no session information")
		case r.Method != http.MethodGet && r.Header.Get("Content-Type") != "application/json":
			refuse(w, http.StatusUnsupportedMediaType, 0, "Invalid content type")
		default:
			s.mu.Lock()
			s.work()
			after := s.after
			s.mu.Unlock()
			rec := httptest.NewRecorder()
			mux.ServeHTTP(rec, r)
			if after != nil {
				after(r)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		}
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Put makes an application of JSON or replaces it.
func (s *CDServer) Put(app map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[word(app, "metadata", "name")] = runtime.DeepCopyJSON(app)
}

// App is an application as it is now.
func (s *CDServer) App(name string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work()
	return runtime.DeepCopyJSON(s.apps[name])
}

// Work has the controller do what is to be done.
func (s *CDServer) Work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work()
}

// Calls are the requests to change something, as METHOD PATH BODY.
func (s *CDServer) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// After has f called when a request has been carried out, before it is answered.
func (s *CDServer) After(f func(*http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = f
}

// mostSteps is more than the controller ever has to do for one application at once.
const mostSteps = 100

// work does what the controller does meanwhile. An application with which it
// does not come to an end fails the test.
func (s *CDServer) work() {
	for name, app := range s.apps {
		for n := 0; ; n++ {
			patch, _ := s.next(app)
			if patch == nil {
				break
			}
			if n == mostSteps {
				raw, _ := json.Marshal(app)
				last, _ := json.Marshal(patch)
				s.t.Errorf("the player of Argo CD does not come to an end with %s: after %d steps it would do %s to %s", name, n, last, raw)
				return
			}
			mergeInto(app, patch)
		}
	}
}

// mergeInto applies a merge patch.
func mergeInto(o, patch object) {
	for key, v := range runtime.DeepCopyJSON(patch) {
		m, isMap := v.(object)
		switch {
		case v == nil:
			delete(o, key)
		case isMap:
			if _, ok := o[key].(object); !ok {
				o[key] = object{}
			}
			mergeInto(o[key].(object), m)
		default:
			o[key] = v
		}
	}
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{"error": message, "code": code, "message": message})
}

func (s *CDServer) answer(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

// one finds the application and reads the body.
func (s *CDServer) one(do func(w http.ResponseWriter, r *http.Request, app, body object)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		body := object{}
		if err == nil && len(raw) > 0 {
			err = kjson.UnmarshalCaseSensitivePreserveInts(raw, &body)
		}
		if err != nil {
			s.t.Errorf("%s %s: %v in %s", r.Method, r.URL, err, raw)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Method != http.MethodGet {
			s.calls = append(s.calls, r.Method+" "+r.URL.RequestURI()+" "+string(raw))
		}
		project, namespace := r.URL.Query().Get("project"), r.URL.Query().Get("appNamespace")
		if r.Method == http.MethodPost || r.Method == http.MethodPatch {
			project, namespace = word(body, "project"), word(body, "appNamespace")
		}
		app := s.apps[r.PathValue("name")]
		missing := app == nil || namespace != "" && namespace != word(app, "metadata", "namespace") || project != "" && project != word(app, "spec", "project")
		switch {
		case missing && project == "":
			refuse(w, http.StatusForbidden, 7, "permission denied")
		case missing:
			refuse(w, http.StatusNotFound, 5, "applications.argoproj.io not found")
		default:
			do(w, r, app, body)
		}
	}
}

// known reports keys of a body that the server has no use for.
func (s *CDServer) known(r *http.Request, body object, keys ...string) {
	for key := range body {
		if !slices.Contains(append(keys, "appNamespace", "project"), key) {
			s.t.Errorf("%s %s: the server knows no %s", r.Method, r.URL.Path, key)
		}
	}
}

func (s *CDServer) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	selector, err := labels.Parse(q.Get("selector"))
	if err != nil {
		refuse(w, http.StatusBadRequest, 3, err.Error())
		return
	}
	var items []any // null if there are none, as there
	for _, app := range s.apps {
		set := labels.Set{}
		for k, v := range part(app, "metadata", "labels") {
			set[k], _ = v.(string)
		}
		if selector.Matches(set) && (q.Get("name") == "" || q.Get("name") == word(app, "metadata", "name")) &&
			(len(q["projects"]) == 0 || slices.Contains(q["projects"], word(app, "spec", "project"))) {
			items = append(items, app)
		}
	}
	s.answer(w, object{"metadata": object{}, "items": items})
}

func (s *CDServer) get(w http.ResponseWriter, r *http.Request, app, _ object) {
	if how := r.URL.Query().Get("refresh"); how != "" {
		mergeInto(app, object{"metadata": object{"annotations": object{"argocd.argoproj.io/refresh": how}}})
		s.work()
		s.calls = append(s.calls, "GET "+r.URL.RequestURI())
	}
	s.answer(w, app)
}

func (s *CDServer) patch(w http.ResponseWriter, r *http.Request, app, body object) {
	s.known(r, body, "name", "patch", "patchType")
	var patch object
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(word(body, "patch")), &patch); err != nil || word(body, "patchType") != "merge" {
		s.t.Errorf("the patch is %v, %v", body, err)
	}
	for key := range patch { // what is not changed this way
		if key != "spec" && key != "metadata" {
			delete(patch, key)
		}
	}
	mergeInto(app, patch)
	s.answer(w, app)
}

const inProgress = "another operation is already in progress"

func autoSynced(app object) bool {
	auto := part(app, "spec", "syncPolicy", "automated")
	return auto != nil && auto["enabled"] != false
}

func (s *CDServer) sync(w http.ResponseWriter, r *http.Request, app, body object) {
	s.known(r, body, "revision", "revisions", "sourcePositions", "prune", "dryRun", "strategy", "resources", "syncOptions", "retryStrategy", "infos")
	target := word(app, "spec", "source", "targetRevision")
	if target == "" {
		target = "HEAD"
	}
	revision := word(body, "revision")
	switch {
	case revision != "" && revision != target && autoSynced(app) && body["dryRun"] != true:
		refuse(w, http.StatusBadRequest, 9, "Cannot sync to "+revision+": auto-sync currently set to "+target)
		return
	case part(app, "operation") != nil:
		refuse(w, http.StatusBadRequest, 9, inProgress)
		return
	}
	sync := object{}
	for from, to := range map[string]string{"revision": "revision", "prune": "prune", "dryRun": "dryRun", "strategy": "syncStrategy", "resources": "resources"} {
		if v, ok := body[from]; ok {
			sync[to] = v
		}
	}
	if positions, _ := body["sourcePositions"].([]any); len(positions) > 0 {
		sources, _ := at(app, "spec", "sources").([]any)
		revisions, _ := body["revisions"].([]any)
		all := make([]any, len(sources))
		for i := range all {
			all[i] = ""
		}
		for i, p := range positions {
			all[p.(int64)-1] = revisions[i]
		}
		sync["revisions"] = all
	}
	if options := part(body, "syncOptions"); options != nil {
		sync["syncOptions"] = options["items"]
	}
	s.start(w, app, object{"initiatedBy": object{"username": "robot"}, "info": body["infos"], "sync": sync})
}

func (s *CDServer) start(w http.ResponseWriter, app, op object) {
	mergeInto(app, object{"status": object{"operationState": nil}})
	app["operation"] = op
	s.answer(w, app)
}

func (s *CDServer) rollback(w http.ResponseWriter, r *http.Request, app, body object) {
	s.known(r, body, "id", "dryRun", "prune")
	switch {
	case part(app, "operation") != nil:
		refuse(w, http.StatusBadRequest, 9, inProgress)
		return
	case autoSynced(app):
		refuse(w, http.StatusBadRequest, 9, "rollback cannot be initiated when auto-sync is enabled")
		return
	}
	history, _ := at(app, "status", "history").([]any)
	for _, v := range history {
		e, _ := v.(object)
		if e["id"] == body["id"] {
			sync := object{"syncStrategy": object{"apply": object{}}}
			for _, key := range []string{"revision", "source", "revisions", "sources"} {
				if e[key] != nil {
					sync[key] = e[key]
				}
			}
			s.start(w, app, object{"initiatedBy": object{"username": "robot"}, "sync": sync})
			return
		}
	}
	refuse(w, http.StatusBadRequest, 3, "application does not have deployment with id")
}

func (s *CDServer) terminate(w http.ResponseWriter, _ *http.Request, app, _ object) {
	if part(app, "operation") == nil || !strings.HasPrefix(word(app, "status", "operationState", "phase"), "Running") {
		refuse(w, http.StatusBadRequest, 3, "Unable to terminate operation. No operation is in progress")
		return
	}
	mergeInto(app, object{"status": object{"operationState": object{"phase": "Terminating"}}})
	s.answer(w, object{})
}
