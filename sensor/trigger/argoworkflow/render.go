package argoworkflow

import (
	"context"
	"encoding/json"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// spec is what Render shows.
type spec struct {
	// Operation is one of the eight.
	Operation string `json:"operation"`
	// Server is the Argo Server it goes through, if any, with the headers that
	// are sent to it, masked.
	Server  string            `json:"server,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// As is the user who does it, if that is not the sensor's.
	As string `json:"as,omitempty"`
	// Namespace of the workflow.
	Namespace string `json:"namespace,omitempty"`
	// DryRun tells that nothing is done.
	DryRun bool `json:"dryRun,omitempty"`
	// From is the KIND/NAME whose spec is taken.
	From string `json:"from,omitempty"`
	// Object is the workflow that is created, but for the label of the time.
	Object map[string]any `json:"object,omitempty"`
	// Workflows are acted on, and those that Selector and FieldSelector select.
	Workflows     []string `json:"workflows,omitempty"`
	Selector      string   `json:"selector,omitempty"`
	FieldSelector string   `json:"fieldSelector,omitempty"`
	// Patch is sent for each of them. An Argo Server makes its own.
	Patch any `json:"patch,omitempty"`
	// Nodes selects the nodes that are acted on.
	Nodes string `json:"nodes,omitempty"`
	// Message that such a node gets.
	Message string `json:"message,omitempty"`
	// Memoized and RestartSuccessful are the flags.
	Memoized          bool `json:"memoized,omitempty"`
	RestartSuccessful bool `json:"restartSuccessful,omitempty"`
	// Arguments replace parameters of the workflow's.
	Arguments []parameter `json:"arguments,omitempty"`
	// ParameterFiles are fetched for further ones.
	ParameterFiles []string `json:"parameterFiles,omitempty"`
	// Labels and annotations that a resubmitted workflow gets.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Source is where the object is fetched from, if that is elsewhere.
	Source string `json:"source,omitempty"`
	// Parameters are what is put into an object that is fetched from elsewhere.
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// Render implements trigger.Trigger. The Spec is a spec; of an object that
// comes from a url, git or s3 it has the source and not the object.
func (a *actor) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	if err := a.ready(ctx); err != nil {
		return trigger.Action{}, err
	}
	o := &a.options
	out := spec{
		Operation: a.conf.Operation, As: o.as, DryRun: o.dryRun || o.serverDryRun, Selector: o.selector, FieldSelector: o.fields,
		Message: o.message, Memoized: o.memoized, RestartSuccessful: o.restart,
	}
	if o.hasNodes {
		out.Nodes = o.nodesText
	}
	if s := a.server(); s != nil {
		out.Server, out.Headers = s.url, s.masked()
	}
	if a.conf.Source.Remote() {
		out.Source, out.Namespace = a.conf.Source.String(), o.namespace
		if out.Namespace == "" {
			out.Namespace = in.Namespace
		}
		raw, err := a.params.Apply([]byte("{}"), in.Events)
		if err != nil {
			return trigger.Action{}, trigger.Permanent(err)
		}
		if !a.params.Empty() {
			out.Parameters = raw
		}
		out.Arguments, out.Workflows = o.parameters, o.names
		for _, f := range o.files {
			out.ParameterFiles = append(out.ParameterFiles, shown(f))
		}
		b, err := encode(out)
		return trigger.Action{Kind: "argoWorkflow", Spec: b}, err
	}
	act, err := a.action(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	if out.ParameterFiles, err = act.complete(ctx, a, false); err != nil {
		return trigger.Action{}, err
	}
	out.Namespace, out.Workflows = act.namespace, act.names
	switch act.operation {
	case opSubmitFrom:
		out.From = act.fromKind + "/" + act.fromName
		out.Object = act.object.Object
	case opSubmit:
		out.Object = act.object.Object
	case opResubmit:
		marks := named("", "")
		act.mark(marks)
		out.Labels, out.Annotations, out.Arguments = marks.GetLabels(), marks.GetAnnotations(), o.parameters
	case opRetry:
		out.Arguments = o.parameters
		if out.Server == "" {
			out.Annotations = map[string]string{annotationFiring: in.ID}
		}
	default:
		if out.Server == "" {
			out.Patch = act.renderedPatch()
		}
	}
	b, err := encode(out)
	return trigger.Action{Kind: "argoWorkflow", Spec: b}, err
}

// renderedPatch is the patch as far as it is known without the workflow.
func (act *action) renderedPatch() any {
	if act.options.hasNodes {
		return map[string]any{"metadata": act.firing()}
	}
	return act.patch()
}
