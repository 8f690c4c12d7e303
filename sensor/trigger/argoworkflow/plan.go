package argoworkflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// action is one operation, as far as it is known before anybody is asked.
type action struct {
	operation string
	in        trigger.Input
	options   options
	namespace string
	// object is what is submitted but for the label of the time; of submit-from
	// it lacks what a CronWorkflow says. Of other operations it is that of the
	// source.
	object *unstructured.Unstructured
	// fromKind and fromName are those of the template of submit-from.
	fromKind, fromName string
	// names of the workflows that are acted on.
	names []string
	// follow tells that the outcome is of interest.
	follow bool
}

// badInput is an error that the same events give again.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

// action fetches the object and makes it what it is to be.
func (a *actor) action(ctx context.Context, in trigger.Input) (*action, error) {
	text, err := a.conf.Source.Fetch(ctx, a.env)
	if err != nil {
		return nil, err
	}
	act := &action{operation: a.conf.Operation, in: in, options: a.options, follow: a.conf.Follow != nil}
	if err := act.read(text, a); err != nil {
		if !a.conf.Source.Fixed() {
			err = fmt.Errorf("%s: %w", a.conf.Source, err)
		}
		if a.conf.Source.Fixed() || errors.As(err, new(badInput)) {
			err = trigger.Permanent(err)
		}
		return nil, err
	}
	return act, nil
}

func (act *action) read(text []byte, a *actor) error {
	raw, err := toJSON(text)
	if err != nil {
		return err
	}
	if raw, err = a.params.Apply(raw, act.in.Events); err != nil {
		return badInput{err}
	}
	if act.object, err = decode(raw); err != nil {
		return err
	}
	if found := lacks(act.object, act.operation, act.options); len(found) > 0 {
		return fmt.Errorf("the object's %s: %s", found[0].path, found[0].message)
	}
	o := &act.options
	// Like the argo command: a namespace in what is submitted wins over the flag,
	// which wins over that of an object that is only named.
	if act.namespace = cmp.Or(o.namespace, act.object.GetNamespace(), act.in.Namespace); act.operation == opSubmit {
		act.namespace = cmp.Or(act.object.GetNamespace(), o.namespace, act.in.Namespace)
	}
	switch act.operation {
	case opSubmit, opSubmitFrom:
	default:
		if name := act.object.GetName(); name != "" && (act.operation != opTerminate || !o.selects()) {
			act.names = append(act.names, name)
		}
		if act.operation != opTerminate || !o.selects() {
			act.names = append(act.names, o.names...)
		}
	}
	return nil
}

// complete makes what is submitted. Parameter files at URLs are fetched only if
// that is allowed; remote are those that were left out.
func (act *action) complete(ctx context.Context, a *actor, fetch bool) (remote []string, err error) {
	o := &act.options
	for _, file := range o.files {
		if !fetch && isURL(file) {
			remote = append(remote, shown(file))
			continue
		}
		ps, err := a.readParameters(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("parameter file %s: %w", shown(file), err)
		}
		o.parameters = append(o.parameters[:len(o.parameters):len(o.parameters)], ps...)
	}
	switch act.operation {
	case opSubmit:
		err = act.submitted()
	case opSubmitFrom:
		err = act.submittedFrom()
	}
	if err != nil {
		err = trigger.Permanent(err)
	}
	return remote, err
}

// submitted makes the workflow of the source what the options say.
func (act *action) submitted() error {
	wf, o := act.object, &act.options
	wf.SetNamespace(act.namespace)
	unstructured.RemoveNestedField(wf.Object, "status")
	if at(wf.Object, "spec") == nil {
		wf.Object["spec"] = map[string]any{}
	}
	spec := at(wf.Object, "spec")
	if o.priority != nil {
		spec["priority"] = *o.priority
	}
	return act.finish(spec)
}

// submittedFrom makes the workflow that refers to a template.
func (act *action) submittedFrom() error {
	o := &act.options
	act.fromKind, act.fromName = act.object.GetKind(), act.object.GetName()
	if o.fromKind != "" {
		act.fromKind, act.fromName = o.fromKind, o.fromName
	}
	spec := map[string]any{}
	wf := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kindWorkflow,
		"metadata": map[string]any{"generateName": act.fromName + "-", "namespace": act.namespace}, "spec": spec,
	}}
	ref := map[string]any{"name": act.fromName}
	switch act.fromKind {
	case kindTemplate:
		setLabel(wf, labelTemplate, asLabel(act.fromName))
		spec["workflowTemplateRef"] = ref
	case kindClusterTemplate:
		ref["clusterScope"] = true
		setLabel(wf, labelClusterTemplate, asLabel(act.fromName))
		spec["workflowTemplateRef"] = ref
	case kindCron:
		setLabel(wf, labelCron, asLabel(act.fromName))
		if o.scheduled != "" {
			setAnnotation(wf, annotationScheduled, o.scheduled)
		}
	}
	act.object = wf
	return act.finish(spec)
}

// finish applies the options that submit and submit-from have in common.
func (act *action) finish(spec map[string]any) error {
	wf, o := act.object, &act.options
	if o.entrypoint != "" {
		spec["entrypoint"] = o.entrypoint
	}
	if o.serviceAccount != "" {
		spec["serviceAccountName"] = o.serviceAccount
	}
	for name, value := range o.labels {
		setLabel(wf, name, value)
	}
	if err := setParameters(spec, o.parameters); err != nil {
		return fmt.Errorf("the object's spec.arguments: %w", err)
	}
	if o.generateName != "" {
		wf.SetGenerateName(o.generateName)
	}
	if o.name != "" {
		wf.SetName(o.name)
	}
	if wf.GetName() == "" {
		wf.SetName(generated(wf.GetGenerateName(), act.in.ID))
	}
	act.mark(wf)
	return nil
}

// mark says who made a workflow.
func (act *action) mark(wf *unstructured.Unstructured) {
	if act.options.instance != "" {
		setLabel(wf, labelInstance, act.options.instance)
	}
	setLabel(wf, labelSensor, asLabel(act.in.Sensor))
	setLabel(wf, labelTrigger, asLabel(act.in.Trigger))
	setAnnotation(wf, annotationFiring, act.in.ID)
}

func isURL(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }

// shown is a file's name without the secrets that a URL may hold.
func shown(name string) string {
	u, err := url.Parse(name)
	switch {
	case !isURL(name):
		return name
	case err != nil:
		return "at a URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// withoutURL is an error of a request that does not quote the URL.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

const (
	// maxFile bounds a file of parameters.
	maxFile = 3 << 20
	// fileTimeout bounds the time to fetch it.
	fileTimeout = 30 * time.Second
)

// readParameters reads a file, or what a web server has, with a map of
// parameters, YAML or JSON.
func (a *actor) readParameters(ctx context.Context, name string) ([]parameter, error) {
	raw, err := a.readFile(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("is larger than %d MiB", maxFile>>20)
	}
	var m map[string]json.RawMessage
	if err := yaml.Unmarshal(raw, &m); err != nil {
		return nil, errors.New("is no map of parameters, YAML or JSON")
	}
	var ps []parameter
	for _, key := range slices.Sorted(maps.Keys(m)) {
		value := string(m[key])
		var s string
		if json.Unmarshal(m[key], &s) == nil && strings.HasPrefix(value, `"`) {
			value = s
		}
		ps = append(ps, parameter{key, value})
	}
	return ps, nil
}

func (a *actor) readFile(ctx context.Context, name string) ([]byte, error) {
	if !isURL(name) {
		f, err := os.Open(name)
		if err != nil {
			return nil, errors.Unwrap(err)
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxFile+1))
	}
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	client, err := a.env.HTTP.Client(ctx, nil)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxFile+1))
}
