package workload

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// Finalizer holds an EventSource until what it has set up elsewhere is undone.
const Finalizer = "signalbox.dev/finish"

// Finished is the condition on that; it is there while the EventSource is being deleted.
const Finished = "Finished"

// Reasons of Finished.
const (
	// Finishing: it is being worked on.
	Finishing = "Finishing"
	// FinishFails: it has been tried and goes on being tried.
	FinishFails = "FinishFails"
	// LeftBehind is the event on what could not be undone.
	LeftBehind = "LeftBehind"
)

const (
	// giveUp is after how long an EventSource is let go with what is left behind.
	giveUp = 10 * time.Minute
	// waitForPods is how long pods are waited for that do not end.
	waitForPods = 2 * time.Minute
	// askAgain is how often the Job is looked at.
	askAgain = 3 * time.Second
)

// needsFinish tells whether an entry asks for something to be undone.
func needsFinish(o *manifest.Object) bool { return len(toFinish(o)) > 0 }

// toFinish are the entries that do, as KIND.NAME.
func toFinish(o *manifest.Object) []string {
	var names []string
	for _, e := range o.Entries {
		if e.Kind.Finish != nil && e.Kind.NeedsFinish != nil && e.Kind.NeedsFinish(e.Config) {
			names = append(names, e.Kind.Name+"."+e.Event)
		}
	}
	return names
}

// guard puts the finalizer on an EventSource that needs it, before any of its
// pods can set up something, and takes it off one that does not need it.
func (r *reconciler) guard(ctx context.Context, u *unstructured.Unstructured, o *manifest.Object) error {
	has, needs := slices.Contains(u.GetFinalizers(), Finalizer), needsFinish(o)
	switch {
	case needs && !has:
		return r.finalizers(ctx, u, append(slices.Clone(u.GetFinalizers()), Finalizer))
	case has && !needs:
		return r.letGo(ctx, u)
	}
	return nil
}

func (r *reconciler) letGo(ctx context.Context, u *unstructured.Unstructured) error {
	return r.finalizers(ctx, u, slices.DeleteFunc(slices.Clone(u.GetFinalizers()), func(f string) bool { return f == Finalizer }))
}

func (r *reconciler) finalizers(ctx context.Context, u *unstructured.Unstructured, want []string) error {
	before := u.DeepCopy()
	u.SetFinalizers(want)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, u, patch, client.FieldOwner(apply.Manager)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("change the finalizers: %w", err)
	}
	return nil
}

// finish undoes what an EventSource that is being deleted has set up elsewhere:
// its pods go, a Job runs "signalbox finish", and the finalizer is removed, after
// giveUp in any case.
func (r *reconciler) finish(ctx context.Context, u *unstructured.Unstructured) (reconcile.Result, error) {
	if !slices.Contains(u.GetFinalizers(), Finalizer) {
		return reconcile.Result{}, nil
	}
	since, begun := finishingSince(u)
	if !begun {
		since = r.now()
	}
	state, err := r.finishing(ctx, u, r.now().Sub(since))
	switch {
	case ctx.Err() != nil:
		return reconcile.Result{}, nil // the next controller goes on
	case apply.NamespaceEnds(err):
		r.opts.Log.WarnContext(ctx, "what an EventSource has set up is left behind, as its namespace is being deleted", "eventsource", u.GetName(), "namespace", u.GetNamespace())
		return reconcile.Result{}, r.letGo(ctx, u)
	case err != nil:
		state = finishState{message: "what it has set up elsewhere cannot be undone: " + err.Error(), failed: true}
	}
	if state.done {
		r.opts.Applier.Event(u, false, Finished, "%s", state.message)
		return reconcile.Result{}, r.letGo(ctx, u)
	}
	if r.now().Sub(since) >= giveUp {
		r.opts.Applier.Event(u, true, LeftBehind, "given up after %s, undo by hand what is left: %s", giveUp, state.message)
		r.opts.Log.WarnContext(ctx, "what an EventSource has set up is left behind", "eventsource", u.GetName(), "namespace", u.GetNamespace(), "why", state.message)
		return reconcile.Result{}, r.letGo(ctx, u)
	}
	if err := r.opts.Applier.Status(ctx, u, state.status(u)); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: askAgain}, nil
}

func (r *reconciler) now() time.Time {
	if r.opts.Now != nil {
		return r.opts.Now()
	}
	return time.Now()
}

// finishState is how far undoing has come.
type finishState struct {
	message      string
	done, failed bool
}

func (s finishState) status(u *unstructured.Unstructured) v1alpha1.EventSourceStatus {
	status := before[v1alpha1.EventSourceStatus](u)
	c := apply.NewConditions(u)
	reason := Finishing
	if s.failed {
		reason = FinishFails
	}
	c.False(Finished, reason, "%s", s.message)
	others := slices.DeleteFunc(status.Conditions, func(c v1alpha1.Condition) bool { return c.Type == Finished })
	status.Conditions = append(others, c.Status().Conditions...)
	slices.SortFunc(status.Conditions, func(a, b v1alpha1.Condition) int { return strings.Compare(a.Type, b.Type) })
	status.State = reason
	return status
}

// finishingSince is when the condition was written first.
func finishingSince(u *unstructured.Unstructured) (time.Time, bool) {
	for _, c := range before[v1alpha1.Status](u).Conditions {
		if c.Type == Finished {
			at, err := time.Parse(time.RFC3339, c.LastTransitionTime)
			return at, err == nil
		}
	}
	return time.Time{}, false
}

// finishing does the next step.
func (r *reconciler) finishing(ctx context.Context, u *unstructured.Unstructured, took time.Duration) (finishState, error) {
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return finishState{}, err
	}
	o, err := manifest.Check(raw, r.opts.Manifest(u.GetNamespace()))
	if o == nil || o.EventSource == nil {
		return finishState{}, fmt.Errorf("the object cannot be read: %w", err)
	}
	if err := r.opts.Applier.Prune(ctx, u, []client.Object{&appsv1.Deployment{}}); err != nil {
		return finishState{}, err
	}
	if n, err := r.podsOf(ctx, o); err != nil {
		return finishState{}, err
	} else if n > 0 && took < waitForPods {
		return finishState{message: fmt.Sprintf("waiting for %d pods to end", n)}, nil
	}
	names := strings.Join(toFinish(o), ", ")
	switch {
	case o.Broken:
		names = "what it had before it had errors"
	case names == "":
		return finishState{done: true, message: "nothing is to be undone"}, nil
	}
	job, err := r.finishJob(ctx, u, o)
	if err != nil {
		return finishState{}, fmt.Errorf("%s: %w", names, err)
	}
	return r.judge(ctx, job, names)
}

func (r *reconciler) podsOf(ctx context.Context, o *manifest.Object) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err := r.reader.List(ctx, list, client.InNamespace(o.Namespace), client.MatchingLabels(apply.LabelsOf(o.Kind, o.Name)))
	if err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	return len(list.Items), nil
}

// finishJob is the Job as it is; it is made if there is none.
func (r *reconciler) finishJob(ctx context.Context, u *unstructured.Unstructured, o *manifest.Object) (*batchv1.Job, error) {
	bus, held, err := r.bus(ctx, o)
	if err != nil {
		return nil, err
	}
	if held != (hold{}) {
		bus = nil // hooks are known by their URL, too
	}
	cm, job, err := buildFinish(o, bus, r.opts)
	if err != nil {
		return nil, fmt.Errorf("no pod can be made for it: %w", err)
	}
	if (bus != nil && !o.Broken) || !r.has(ctx, cm) {
		if _, err := r.opts.Applier.Apply(ctx, u, cm); err != nil {
			return nil, err
		}
	}
	live := &batchv1.Job{}
	switch err := r.reader.Get(ctx, client.ObjectKeyFromObject(job), live); {
	case err == nil && metav1.IsControlledBy(live, u):
		return live, nil
	case err == nil && live.Labels[apply.ManagedByLabel] != apply.Manager:
		return nil, &apply.ForeignError{Child: "Job/" + job.Name}
	case err == nil:
		// Of an earlier EventSource of that name.
		if err := r.client.Delete(ctx, live, client.Preconditions{UID: &live.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("delete Job/%s of an earlier object: %w", job.Name, err)
		}
		return job, nil
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read Job/%s: %w", job.Name, err)
	}
	yes := true
	job.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Name: u.GetName(), UID: u.GetUID(), Controller: &yes,
	}}
	if err := r.client.Create(ctx, job, client.FieldOwner(apply.Manager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make Job/%s: %w", job.Name, err)
	}
	return job, nil
}

// has tells whether a ConfigMap is there already, with more than can be said now.
func (r *reconciler) has(ctx context.Context, cm *corev1.ConfigMap) bool {
	return r.client.Get(ctx, client.ObjectKeyFromObject(cm), apply.Watched(corev1.SchemeGroupVersion.WithKind("ConfigMap"))) == nil
}

// judge tells how the Job has come out.
func (r *reconciler) judge(ctx context.Context, job *batchv1.Job, names string) (finishState, error) {
	for _, c := range job.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return finishState{done: true, message: "undone: " + names}, nil
		case c.Type == batchv1.JobFailed:
			return finishState{failed: true, message: fmt.Sprintf("%s: %s: %s", names, cmp.Or(c.Message, c.Reason), r.lastWords(ctx, job))}, nil
		}
	}
	if job.Status.Failed > 0 {
		return finishState{failed: true, message: fmt.Sprintf("%s: failed, trying again: %s", names, r.lastWords(ctx, job))}, nil
	}
	return finishState{message: "undoing what it has set up elsewhere: " + names}, nil
}

// lastWords are what the pod of the Job that ended last has said.
func (r *reconciler) lastWords(ctx context.Context, job *batchv1.Job) string {
	pods := &corev1.PodList{}
	if err := r.reader.List(ctx, pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return "its pods cannot be listed: " + err.Error()
	}
	var last metav1.Time
	words := ""
	for _, p := range pods.Items {
		for _, s := range p.Status.ContainerStatuses {
			if t := s.State.Terminated; t != nil && s.Name == container && !t.FinishedAt.Before(&last) {
				last, words = t.FinishedAt, t.Message
			}
		}
	}
	// The error of the command comes last, a line for each thing that is left.
	_, after, found := strings.Cut(words, "signalbox: ")
	if found {
		words = after
	}
	words = strings.TrimSpace(words)
	const most = 800
	if len(words) > most {
		words = words[len(words)-most:]
	}
	return cmp.Or(words, "see the logs of Job/"+job.Name)
}
