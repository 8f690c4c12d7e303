package argoworkflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func workflowsPath(namespace string, more ...string) string {
	path := "/api/v1/workflows/" + url.PathEscape(namespace)
	for _, m := range more {
		path += "/" + url.PathEscape(m)
	}
	return path
}

func archivedPath(uid string, more ...string) string {
	return "/api/v1/archived-workflows/" + url.PathEscape(uid) + strings.Join(append([]string{""}, more...), "/")
}

// get asks the archive if the workflow is not in the cluster any more.
func (s *serverAPI) get(ctx context.Context, namespace, name, uid string) (*unstructured.Unstructured, error) {
	wf, err := s.workflow(ctx, http.MethodGet, workflowsPath(namespace, name), nil, nil)
	if uid != "" && apierrors.IsNotFound(err) {
		return s.archived(ctx, namespace, name, uid)
	}
	return wf, err
}

func (s *serverAPI) archived(ctx context.Context, namespace, name, uid string) (*unstructured.Unstructured, error) {
	return s.workflow(ctx, http.MethodGet, archivedPath(uid), url.Values{"namespace": {namespace}, "name": {name}}, nil)
}

func (s *serverAPI) list(ctx context.Context, namespace string, o *options) ([]*unstructured.Unstructured, error) {
	query := url.Values{"fields": {"items.metadata.name,items.metadata.namespace,items.metadata.annotations"}}
	selector := o.selector
	if o.instance != "" {
		selector = strings.Trim(selector+","+labelInstance+"="+o.instance, ",")
	}
	if selector != "" {
		query.Set("listOptions.labelSelector", selector)
	}
	if o.fields != "" {
		query.Set("listOptions.fieldSelector", o.fields)
	}
	var l struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := s.call(ctx, http.MethodGet, workflowsPath(namespace), query, nil, &l); err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, raw := range l.Items {
		wf, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("list workflows: %w", err)
		}
		wf.SetNamespace(namespace)
		all = append(all, wf)
	}
	return all, nil
}

func (s *serverAPI) create(ctx context.Context, act *action, wf *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	wf = wf.DeepCopy()
	setLabel(wf, labelTime, strconv.FormatInt(time.Now().UnixMilli(), 10))
	body := map[string]any{"namespace": wf.GetNamespace(), "workflow": wf.Object}
	if act.options.serverDryRun {
		body["serverDryRun"] = true
	}
	return s.made(ctx, act, wf, workflowsPath(wf.GetNamespace()), body)
}

func (s *serverAPI) made(ctx context.Context, act *action, wf *unstructured.Unstructured, path string, body any) (*unstructured.Unstructured, string, error) {
	made, err := s.workflow(ctx, http.MethodPost, path, nil, body)
	if apierrors.IsAlreadyExists(err) {
		old, getErr := s.get(ctx, wf.GetNamespace(), wf.GetName(), "")
		return act.madeBefore(old, err, getErr)
	}
	if act.options.serverDryRun {
		return made, "dry run:", err
	}
	return made, past(act.operation), err
}

func (s *serverAPI) submitFrom(ctx context.Context, act *action) (*unstructured.Unstructured, string, error) {
	o, wf := &act.options, act.object
	labels := wf.GetLabels()
	labels[labelTime] = strconv.FormatInt(time.Now().UnixMilli(), 10)
	submit := map[string]any{
		"name": wf.GetName(), "generateName": wf.GetGenerateName(), "labels": pairs(labels), "annotations": pairs(wf.GetAnnotations()),
	}
	if len(o.parameters) > 0 {
		submit["parameters"] = assignments(o.parameters)
	}
	if o.entrypoint != "" {
		submit["entryPoint"] = o.entrypoint
	}
	if o.serviceAccount != "" {
		submit["serviceAccount"] = o.serviceAccount
	}
	if o.serverDryRun {
		submit["serverDryRun"] = true
	}
	body := map[string]any{"namespace": act.namespace, "resourceKind": act.fromKind, "resourceName": act.fromName, "submitOptions": submit}
	return s.made(ctx, act, wf, workflowsPath(act.namespace, "submit"), body)
}

// assignments are parameters as the server reads them.
func assignments(ps []parameter) []string {
	var all []string
	for _, p := range ps {
		all = append(all, p.Name+"="+p.Value)
	}
	return all
}

func pairs(m map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, name+"="+m[name])
	}
	return strings.Join(all, ",")
}

// change has the server do it. As that leaves no mark on the workflow, what it
// was like before is kept in the trigger's state.
func (s *serverAPI) change(ctx context.Context, act *action, wf *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	changed, err := s.changedBefore(ctx, act, wf)
	if err != nil {
		return nil, "", err
	}
	if changed {
		return wf, "found an earlier attempt's change of", nil
	}
	if did, err := act.possible(wf); err != nil || did != "" {
		return wf, did, err
	}
	if err := s.remember(ctx, act, wf); err != nil {
		return nil, "", err
	}
	return s.operate(ctx, act, wf)
}

// operate sends the request.
func (s *serverAPI) operate(ctx context.Context, act *action, wf *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	o := &act.options
	body := map[string]any{"name": wf.GetName(), "namespace": act.namespace}
	if o.hasNodes {
		body["nodeFieldSelector"] = o.nodesText
	}
	switch act.operation {
	case opRetry:
		if o.restart {
			body["restartSuccessful"] = true
		}
		if len(o.parameters) > 0 {
			body["parameters"] = assignments(o.parameters)
		}
	case opStop:
		if o.message != "" {
			body["message"] = o.message
		}
	}
	changed, err := s.workflow(ctx, http.MethodPut, workflowsPath(act.namespace, wf.GetName(), act.operation), nil, body)
	if act.operation == opRetry && apierrors.IsNotFound(err) && wf.GetUID() != "" {
		query := url.Values{"namespace": {act.namespace}, "name": {wf.GetName()}}
		changed, err = s.workflow(ctx, http.MethodPut, archivedPath(string(wf.GetUID()), act.operation), query, body)
	}
	return changed, past(act.operation), err
}

// possible is already and its like for all operations.
func (act *action) possible(wf *unstructured.Unstructured) (string, error) {
	switch {
	case act.operation == opRetry:
		_, err := retryOf(wf, &act.options, time.Now())
		if errors.Is(err, errNotNow) {
			return "", err
		}
		return "", nil // the server knows better
	case act.operation == opResume, act.operation == opStop && act.options.hasNodes:
		ops, err := act.nodePatch(wf, time.Now())
		if err == nil && len(ops) == 0 {
			return "found nothing to resume in", nil
		}
		if errors.Is(err, errOffloaded) {
			return "", nil
		}
		return "", err
	}
	return act.already(wf)
}

const (
	// firstLook is the time after which a workflow is looked at again, and
	// longestLook what it grows to.
	firstLook   = 500 * time.Millisecond
	longestLook = 15 * time.Second
)

// wait asks the archive for a workflow that is not in the cluster any more.
func (s *serverAPI) wait(ctx context.Context, namespace, name, uid string, look func(*unstructured.Unstructured) (bool, error)) error {
	for pause := firstLook; ; pause = min(pause*3/2, longestLook) {
		query := url.Values{"fields": {"-status.nodes"}}
		wf, err := s.workflow(ctx, http.MethodGet, workflowsPath(namespace, name), query, nil)
		if uid != "" && apierrors.IsNotFound(err) {
			wf, err = s.archived(ctx, namespace, name, uid)
		}
		if err != nil {
			return err
		}
		enough, err := look(wf)
		if err != nil {
			return err
		}
		if enough {
			// With its nodes, for what is told of those that failed.
			if whole, err := s.get(ctx, namespace, name, uid); err == nil {
				_, err = look(whole)
				return err
			}
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
