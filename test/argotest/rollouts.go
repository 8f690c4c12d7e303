package argotest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// The resources that the player reads and writes.
var (
	rollouts    = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
)

// Rollouts plays the controller of Argo Rollouts for one namespace: versions,
// steps, pauses, aborts, restarts and ReplicaSets with revisions. There are no
// pods: a version is up as soon as it is there.
type Rollouts struct {
	t         testing.TB
	client    dynamic.Interface
	namespace string
	analysis  func(rollout string, step int) string
	broken    func(image string) bool

	mu   sync.Mutex // held for a look at all Rollouts
	held bool

	looking sync.Mutex
	changed chan struct{} // closed when a Rollout may have changed
}

// RolloutOption changes what PlayRollouts plays.
type RolloutOption func(*Rollouts)

// WithAnalysis tells the status of the analysis of a step: Running, Successful
// (as without this option), Failed or Inconclusive. It is asked again and again.
func WithAnalysis(f func(rollout string, step int) string) RolloutOption {
	return func(p *Rollouts) { p.analysis = f }
}

// WithBroken tells which images do not come up: their versions become Degraded.
func WithBroken(f func(image string) bool) RolloutOption {
	return func(p *Rollouts) { p.broken = f }
}

// PlayRollouts plays until the test ends.
func PlayRollouts(t testing.TB, config *rest.Config, namespace string, options ...RolloutOption) *Rollouts {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	p := &Rollouts{
		t: t, client: client, namespace: namespace,
		analysis: func(string, int) string { return "Successful" }, broken: func(string) bool { return false },
		changed: make(chan struct{}),
	}
	for _, o := range options {
		o(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return p
}

// Hold stops playing, as if the controller were down; it returns when nothing is
// under way.
func (p *Rollouts) Hold() { p.set(true) }

// Go plays on.
func (p *Rollouts) Go() { p.set(false) }

func (p *Rollouts) set(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
}

// Await waits until a Rollout is as wanted, and returns it.
func (p *Rollouts) Await(name, what string, wanted func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	p.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		changed := p.change()
		o, err := p.client.Resource(rollouts).Namespace(p.namespace).Get(p.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			p.t.Fatal(err)
		}
		if wanted(o) {
			return o
		}
		select {
		case <-changed:
		case <-time.After(every): // it may have been missed
		case <-deadline.C:
			p.t.Fatalf("rollout %s does not become %s: %v", name, what, o.Object["status"])
		}
	}
}

// change is closed when a Rollout may have changed after the call.
func (p *Rollouts) change() <-chan struct{} {
	p.looking.Lock()
	defer p.looking.Unlock()
	return p.changed
}

func (p *Rollouts) wake() {
	p.looking.Lock()
	defer p.looking.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

// every is the time between two looks if nothing is heard of a change. Pauses
// end, and analyses and workloads change, without a word.
const every = 50 * time.Millisecond

func (p *Rollouts) run(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		w, err := p.client.Resource(rollouts).Namespace(p.namespace).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			w = watch.NewEmptyWatch()
		}
		err = p.listen(ctx, w.ResultChan(), ticker.C)
		w.Stop()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.t.Errorf("the player of Rollouts: %v", err)
			return
		}
	}
}

// listen looks whenever something has changed, and returns nil if it hears of no more.
func (p *Rollouts) listen(ctx context.Context, changes <-chan watch.Event, tick <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
		case _, ok := <-changes:
			if !ok {
				changes = nil
			}
			p.wake()
		}
		// A round is not broken off: the client would complain on its own.
		if err := p.round(context.WithoutCancel(ctx)); err != nil || changes == nil {
			return err
		}
	}
}

// round looks at each Rollout once.
func (p *Rollouts) round(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		return nil
	}
	list, err := p.client.Resource(rollouts).Namespace(p.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		err := p.reconcile(ctx, &list.Items[i])
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			continue // changed or deleted meanwhile: the next round knows more
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
