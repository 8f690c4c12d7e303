package argoworkflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// reference is the Follow of a Result.
type reference struct {
	Operation string     `json:"operation"`
	Namespace string     `json:"namespace"`
	Workflows []followed `json:"workflows"`
}

type followed struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// await is Kind.Follow.Await. The outcome's details are name, namespace, uid,
// phase, message, startedAt, finishedAt, progress, outputs.parameters and
// failedNodes of the workflow; if there are several, workflows with these of each.
func await(ctx context.Context, t trigger.Trigger, f trigger.Following) (trigger.Outcome, error) {
	a, ok := t.(*actor)
	if !ok {
		return trigger.Outcome{}, trigger.Permanent(fmt.Errorf("a %T follows no workflows", t))
	}
	var ref reference
	if err := json.Unmarshal(f.Ref, &ref); err != nil || len(ref.Workflows) == 0 {
		return trigger.Outcome{}, trigger.Permanent(errors.New("what is to be followed cannot be read"))
	}
	b, err := a.backend(ctx)
	if err != nil {
		return trigger.Outcome{}, err
	}
	var ended []*unstructured.Unstructured
	for _, w := range ref.Workflows {
		wf, err := end(ctx, b, ref.Namespace, w)
		if err != nil {
			return trigger.Outcome{}, err
		}
		ended = append(ended, wf)
	}
	return ref.outcome(ended), nil
}

// end waits until a workflow has finished. The label of the phase is not looked
// at: after a retry it still says how the workflow ended before.
func end(ctx context.Context, b backend, namespace string, w followed) (*unstructured.Unstructured, error) {
	var last *unstructured.Unstructured
	err := b.wait(ctx, namespace, w.Name, w.UID, func(wf *unstructured.Unstructured) (bool, error) {
		if w.UID != "" && string(wf.GetUID()) != w.UID {
			return false, cluster.ErrDeleted
		}
		last = wf
		return terminal(wf) && text(wf.Object, "status", "finishedAt") != "", nil
	})
	switch {
	case err == nil:
		return last, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isNotFound(err):
		return nil, trigger.Permanent(fmt.Errorf("workflow %s/%s has been deleted before its end was seen", namespace, w.Name))
	}
	return nil, fmt.Errorf("wait for workflow %s/%s: %w", namespace, w.Name, err)
}

// waitFor is --wait and --watch: the first fails if a workflow does.
func (act *action) waitFor(ctx context.Context, b backend, all []done) error {
	for i, d := range all {
		wf, err := end(ctx, b, act.namespace, followed{d.workflow.GetName(), string(d.workflow.GetUID())})
		if err != nil {
			return err
		}
		all[i].workflow = wf
		phase := text(wf.Object, "status", "phase")
		if act.options.wait && phase != phaseSucceeded {
			// Another attempt would find the same workflow.
			return trigger.Permanent(act.failed(wf, fmt.Errorf("it ended as %s: %s", phase, line(text(wf.Object, "status", "message")))))
		}
	}
	return nil
}

func (r *reference) outcome(all []*unstructured.Unstructured) trigger.Outcome {
	var out trigger.Outcome
	failed := 0
	var each []any
	budget := maxDetails
	for _, wf := range all {
		if text(wf.Object, "status", "phase") != phaseSucceeded {
			failed++
		}
		each = append(each, details(wf, &budget))
	}
	// A workflow that was stopped ends as Failed, as it was meant to.
	out.Failed = failed > 0 && r.Operation != opStop && r.Operation != opTerminate
	if len(all) == 1 {
		status := at(all[0].Object, "status")
		out.Summary = fmt.Sprintf("workflow %s/%s: %s", r.Namespace, all[0].GetName(), text(status, "phase"))
		if m := line(text(status, "message")); m != "" {
			out.Summary += ": " + m
		}
		out.Details = each[0].(map[string]any)
		return out
	}
	out.Summary = fmt.Sprintf("%d workflows of %s have ended, %d have not succeeded", len(all), r.Namespace, failed)
	out.Details = map[string]any{"workflows": each}
	return out
}

const (
	// maxDetails bounds the texts of an outcome, in bytes.
	maxDetails = 128 << 10
	// maxFailedNodes is how many failed nodes are told.
	maxFailedNodes = 20
	// maxMessage bounds a message.
	maxMessage = 1 << 10
)

// line is a text as one line of bounded length.
func line(s string) string {
	b := []byte(cut(s, maxMessage))
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return string(b)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most] + "..."
}

// details are what is told of a workflow that has ended. budget is what may yet
// be written of values.
func details(wf *unstructured.Unstructured, budget *int) map[string]any {
	status := at(wf.Object, "status")
	d := map[string]any{"name": wf.GetName(), "namespace": wf.GetNamespace(), "uid": string(wf.GetUID())}
	for _, key := range []string{"phase", "message", "startedAt", "finishedAt", "progress"} {
		if s := text(status, key); s != "" {
			d[key] = cut(s, maxMessage)
		}
	}
	values := map[string]any{}
	for _, v := range list(status, "outputs", "parameters") {
		p, ok := v.(map[string]any)
		value, isText := p["value"].(string)
		name := text(p, "name")
		if !ok || !isText || name == "" {
			continue
		}
		if *budget -= len(name) + len(value); *budget < 0 {
			d["truncated"] = true
			break
		}
		values[name] = value
	}
	if len(values) > 0 {
		d["outputs"] = map[string]any{"parameters": values}
	}
	all, _, err := readNodes(wf)
	if err != nil { // elsewhere, or not readable: the rest is worth telling
		return d
	}
	var bad []any
	for _, id := range all.sorted() {
		n := all[id]
		switch n.get("type") {
		case typePod, typeContainer, typeHTTP, typePlugin, typeSuspend:
		default:
			continue
		}
		if !n.failed() || len(bad) == maxFailedNodes {
			continue
		}
		told := map[string]any{"id": id}
		for _, key := range []string{"name", "displayName", "templateName", "phase", "message"} {
			if s := n.get(key); s != "" {
				told[key] = cut(s, maxMessage)
			}
		}
		bad = append(bad, told)
	}
	if len(bad) > 0 {
		d["failedNodes"] = bad
	}
	return d
}

// awaitLabels looks at a workflow until it has the policy's labels.
func awaitLabels(ctx context.Context, b backend, d done, p *v1alpha1.K8SResourcePolicy) error {
	if len(p.Labels) == 0 {
		return nil
	}
	backoff := p.Backoff
	if backoff == nil {
		backoff = &v1alpha1.Backoff{}
	}
	for look := 1; ; look++ {
		wf, err := b.get(ctx, d.workflow.GetNamespace(), d.workflow.GetName(), "")
		if err != nil {
			return fmt.Errorf("look for the labels of the policy: %w", err)
		}
		lack := ""
		for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
			if has, ok := wf.GetLabels()[name]; !ok || has != p.Labels[name] {
				lack = name + "=" + p.Labels[name]
			}
		}
		switch {
		case lack == "":
			return nil
		case look < backoff.Attempts():
		case p.ErrorOnBackoffTimeout:
			return fmt.Errorf("it has not got the label %s", lack)
		default:
			return nil
		}
		timer := time.NewTimer(backoff.Wait(look, rand.Float64()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
