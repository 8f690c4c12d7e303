package argocd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	maxAnswer = 64 << 20
	maxQuote  = 300
)

// Codes of gRPC in the errors of Argo CD's server.
const (
	codeInvalid      = 3
	codePrecondition = 9
)

// restAPI implements backend with Argo CD's API server.
type restAPI struct {
	base   string
	token  string
	client *http.Client
	pace   pace
}

func newREST(base string, token []byte, client *http.Client, p pace) *restAPI {
	own := *client
	// The token goes to the server that was named and to no other.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &restAPI{
		base: strings.TrimSuffix(base, "/") + "/api/v1", token: strings.TrimSpace(string(token)),
		client: &own, pace: p,
	}
}

// refusal is an answer that is none of success.
type refusal struct {
	status  int
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (r *refusal) Error() string {
	s := fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	if r.Message != "" {
		s += ": " + r.Message
	}
	return s
}

func (r *refusal) busy() bool {
	return r.Code == codePrecondition && strings.Contains(r.Message, "another operation is already in progress")
}

// call sends a request and reads the answer into out, if that is not nil.
func (s *restAPI) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	_, err := within(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.send(ctx, method, path, query, body, out)
	})
	return err
}

func (s *restAPI) send(ctx context.Context, method, path string, query url.Values, body, out any) error {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return trigger.Permanent(err)
		}
		content = bytes.NewReader(raw)
	}
	to := s.base + path
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, to, content)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if method != http.MethodGet { // one without a body needs it as well
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(raw) > maxAnswer:
		return fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20)
	case resp.StatusCode != http.StatusOK:
		return s.refused(resp, raw)
	case out == nil:
		return nil
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, out); err != nil {
		return fmt.Errorf("the answer is none of Argo CD's: %w", err)
	}
	return nil
}

func (s *restAPI) refused(resp *http.Response, raw []byte) error {
	r := &refusal{status: resp.StatusCode}
	if json.Unmarshal(raw, r) != nil || r.Message == "" {
		r.Message = string(raw)
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		r.Message = "the server sends elsewhere, where the token must not go"
	}
	if s.token != "" {
		r.Message = strings.ReplaceAll(r.Message, s.token, "***")
	}
	r.Message = strings.ToValidUTF8(strings.Join(strings.Fields(r.Message), " "), "")
	if len(r.Message) > maxQuote {
		r.Message = strings.ToValidUTF8(r.Message[:maxQuote], "") + "..."
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return trigger.After(r, min(time.Duration(seconds)*time.Second, v1alpha1.MaxWait))
	}
	return r
}

func pathOf(name string) string { return "/applications/" + url.PathEscape(name) }

// where is the query that says which application is meant.
func where(namespace, project string) url.Values {
	q := url.Values{}
	if namespace != "" && namespace != everywhere {
		q.Set("appNamespace", namespace)
	}
	if project != "" {
		q.Set("project", project)
	}
	return q
}

func (a *application) where() url.Values { return where(a.GetNamespace(), a.text("spec", "project")) }

// body is where as fields of a body.
func (a *application) body(more map[string]any) map[string]any {
	for key, v := range a.where() {
		more[key] = v[0]
	}
	return more
}

func asApplication(o map[string]any) (*application, error) {
	app := &application{&unstructured.Unstructured{Object: o}}
	_, _, labels := unstructured.NestedStringMap(o, "metadata", "labels")
	_, _, annotations := unstructured.NestedStringMap(o, "metadata", "annotations")
	if app.GetName() == "" || labels != nil || annotations != nil {
		return nil, errors.New("the answer is no application of Argo CD's")
	}
	return app, nil
}

func (s *restAPI) get(ctx context.Context, namespace, name string) (*application, error) {
	var o map[string]any
	if err := s.call(ctx, http.MethodGet, pathOf(name), where(namespace, ""), nil, &o); err != nil {
		return nil, err
	}
	return asApplication(o)
}

func (s *restAPI) list(ctx context.Context, r *request) ([]*application, error) {
	q := where(r.conf.Namespace, "")
	for key, v := range map[string]string{"name": r.conf.Name, "selector": r.conf.Selector, "projects": r.conf.Project} {
		if v != "" {
			q.Set(key, v)
		}
	}
	var answer struct {
		Items []map[string]any `json:"items"`
	}
	if err := s.call(ctx, http.MethodGet, "/applications", q, nil, &answer); err != nil {
		return nil, err
	}
	var all []*application
	for _, o := range answer.Items {
		app, err := asApplication(o)
		if err != nil {
			return nil, err
		}
		if !r.named() || app.GetName() == r.conf.Name {
			all = append(all, app)
		}
	}
	return all, nil
}

// syncBody is a sync in the words of the server.
func syncBody(op map[string]any) map[string]any {
	sync, _ := op["sync"].(map[string]any)
	body := map[string]any{"infos": op["info"]}
	for from, to := range map[string]string{"revision": "revision", "prune": "prune", "dryRun": "dryRun", "resources": "resources", "syncStrategy": "strategy"} {
		if v, ok := sync[from]; ok {
			body[to] = v
		}
	}
	if revisions := texts(sync, "revisions"); len(revisions) > 0 {
		var some, positions []any
		for i, revision := range revisions {
			if revision != "" {
				some, positions = append(some, revision), append(positions, int64(i+1))
			}
		}
		body["revisions"], body["sourcePositions"] = some, positions
	}
	if options, ok := sync["syncOptions"]; ok {
		body["syncOptions"] = map[string]any{"items": options}
	}
	if retry, ok := op["retry"]; ok {
		body["retryStrategy"] = retry
	}
	return body
}

// begin starts a sync or a rollback. The change of the spec goes first: the server
// takes no operation with it.
func (s *restAPI) begin(ctx context.Context, r *request, app *application, spec, operation map[string]any, e *entry) error {
	if e != nil {
		return s.rollback(ctx, r, app, e)
	}
	if spec != nil {
		if _, err := s.change(ctx, app, map[string]any{"spec": spec}); err != nil {
			return err
		}
	}
	return running(s.call(ctx, http.MethodPost, pathOf(app.GetName())+"/sync", nil, app.body(syncBody(operation)), nil))
}

// running makes errRunning of the answer that says so.
func running(err error) error {
	var r *refusal
	if errors.As(err, &r) && r.busy() {
		return fmt.Errorf("%w: %w", errRunning, err)
	}
	return err
}

// earlier finds a rollback: the server has no place for the firing's id in one.
func (s *restAPI) earlier(ctx context.Context, r *request, app *application) (bool, error) {
	if r.conf.Operation != opRollback {
		return false, nil
	}
	i, ok, err := r.intended(ctx, stateRollbacks, app)
	return ok && s.rolledBack(app, i), err
}

func (s *restAPI) rollback(ctx context.Context, r *request, app *application, e *entry) error {
	want := r.intent(app)
	want.Entry = e.id
	want, err := r.intend(ctx, stateRollbacks, want)
	if err != nil {
		return err
	}
	body := map[string]any{"id": want.Entry, "prune": r.sync().Prune, "dryRun": r.sync().DryRun}
	return running(s.call(ctx, http.MethodPost, pathOf(app.GetName())+"/rollback", nil, app.body(body), nil))
}

// rolledBack tells whether an earlier attempt's request arrived: an operation
// of that version has begun since.
func (s *restAPI) rolledBack(app *application, i intent) bool {
	started := app.time("status", "operationState", "startedAt")
	if started.IsZero() || started.Before(i.At.Add(-slack)) {
		return false
	}
	sync := versionOf(app.part("status", "operationState", "operation", "sync"))
	for _, e := range app.history() {
		if e.id == i.Entry {
			return slices.Equal(sync.revisions, e.revisions)
		}
	}
	return false
}

// terminate ends the operation. That none is running any more is no error.
func (s *restAPI) terminate(ctx context.Context, app *application) error {
	err := s.call(ctx, http.MethodDelete, pathOf(app.GetName())+"/operation", app.where(), nil, nil)
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusBadRequest && r.Code == codeInvalid {
		return nil
	}
	return err
}

// refresh is answered when Argo CD has compared. That it was asked for will do.
func (s *restAPI) refresh(ctx context.Context, r *request, app *application) error {
	q := app.where()
	q.Set("refresh", howFresh(r.hard()))
	bounded, cancel := context.WithTimeout(ctx, s.pace.refresh)
	defer cancel()
	err := s.call(bounded, http.MethodGet, pathOf(app.GetName()), q, nil, nil)
	if err == nil || bounded.Err() == nil || ctx.Err() != nil {
		return err
	}
	now, lookErr := s.get(ctx, app.GetNamespace(), app.GetName())
	if lookErr != nil {
		return lookErr
	}
	if now.GetAnnotations()[annotationRefresh] == "" && now.text("status", "reconciledAt") == app.text("status", "reconciledAt") {
		return fmt.Errorf("no answer within %v: %w", s.pace.refresh, context.DeadlineExceeded)
	}
	return nil
}

func (s *restAPI) change(ctx context.Context, app *application, merge map[string]any) (*application, error) {
	patch, err := json.Marshal(merge)
	if err != nil {
		return nil, trigger.Permanent(err)
	}
	var o map[string]any
	body := app.body(map[string]any{"name": app.GetName(), "patch": string(patch), "patchType": "merge"})
	if err := s.call(ctx, http.MethodPatch, pathOf(app.GetName()), nil, body, &o); err != nil {
		return nil, err
	}
	return asApplication(o)
}

// until asks again and again.
func (s *restAPI) until(ctx context.Context, namespace, name string, look func(*application) (bool, error)) error {
	for {
		app, err := s.get(ctx, namespace, name)
		if err != nil {
			return err
		}
		if enough, err := look(app); enough || err != nil {
			return err
		}
		if err := pause(ctx, s.pace.poll); err != nil {
			return err
		}
	}
}
