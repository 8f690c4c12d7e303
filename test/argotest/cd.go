package argotest

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/signalbox-events/signalbox/internal/cluster"
)

// Applications is the resource of Argo CD's applications.
var Applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}

// PlayCD has the applications of a namespace be looked after until the test ends.
// Their kind has to be known, see Define.
func PlayCD(t testing.TB, config *rest.Config, namespace string, opts ...CDOption) *CD {
	t.Helper()
	c := newCD(opts)
	k := cluster.Of(config)
	client, err := k.Dynamic()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p := &cdPlayer{CD: c, t: t, api: client.Resource(Applications).Namespace(namespace), newest: map[string]*unstructured.Unstructured{}}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			p.play(ctx)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		k.Close()
	})
	return c
}

// cdPlayer is a CD on a Kubernetes API.
type cdPlayer struct {
	*CD
	t      testing.TB
	api    dynamic.ResourceInterface
	newest map[string]*unstructured.Unstructured
}

// play watches until the watch ends.
func (p *cdPlayer) play(ctx context.Context) {
	list, err := p.api.List(ctx, metav1.ListOptions{})
	if err != nil {
		p.complain(ctx, err)
		return
	}
	clear(p.newest)
	for i := range list.Items {
		p.newest[list.Items[i].GetName()] = &list.Items[i]
	}
	w, err := p.api.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		p.complain(ctx, err)
		return
	}
	defer w.Stop()
	for {
		again := time.NewTimer(p.step(ctx))
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-p.wake:
		case <-again.C:
		case e, open := <-w.ResultChan():
			o, ok := e.Object.(*unstructured.Unstructured)
			if !open || !ok {
				again.Stop()
				return
			}
			if e.Type == "DELETED" {
				delete(p.newest, o.GetName())
			} else {
				p.learn(o)
			}
		}
		again.Stop()
	}
}

// complain reports what goes wrong, and waits a little.
func (p *cdPlayer) complain(ctx context.Context, err error) {
	if ctx.Err() == nil && !apierrors.IsNotFound(err) {
		p.t.Log("the player of Argo CD: ", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

func version(o *unstructured.Unstructured) int64 {
	n, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (p *cdPlayer) learn(o *unstructured.Unstructured) {
	if old := p.newest[o.GetName()]; old == nil || version(o) > version(old) {
		p.newest[o.GetName()] = o
	}
}

// step does all that is to be done, and says when there may be more.
func (p *cdPlayer) step(ctx context.Context) time.Duration {
	soonest := time.Hour
	for name := range p.newest {
		for ctx.Err() == nil {
			patch, again := p.next(p.newest[name].Object)
			if patch == nil {
				if again > 0 {
					soonest = min(soonest, again)
				}
				break
			}
			raw, err := json.Marshal(patch)
			if err != nil {
				p.t.Error(err)
				return soonest
			}
			o, err := p.api.Patch(ctx, name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: "argocd-controller"})
			if err != nil {
				p.complain(ctx, err)
				if ctx.Err() == nil && apierrors.IsInvalid(err) {
					p.t.Errorf("the player of Argo CD sent %s", raw)
				}
				break
			}
			if version(o) == version(p.newest[name]) {
				break // nothing has changed by it
			}
			p.learn(o)
		}
	}
	return soonest
}
