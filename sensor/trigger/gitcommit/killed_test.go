package gitcommit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// killed is a state whose process dies before it can write that a push is done.
type killed struct{ trigger.State }

func (k killed) Change(ctx context.Context, key string, f func([]byte) ([]byte, error)) error {
	return k.State.Change(ctx, key, func(value []byte) ([]byte, error) {
		next, err := f(value)
		if err == nil && strings.Contains(string(next), `"done":true`) {
			return nil, fmt.Errorf("killed")
		}
		return next, err
	})
}

func TestKilledBetweenPushAndState(t *testing.T) {
	r := newRig(t, oneApp)
	state := r.env.Env.State
	r.env.Env.State = killed{state}
	fire(t, r.build(t, ""), push(1, "app", "v1", 1))
	at := r.At(t, main)
	r.Commit(t, main, "by hand", oneApp)
	r.env.Env.State = state
	tr := r.build(t, "")
	wantSummary(t, fire(t, tr, push(1, "app", "v1", 1)), "already in commit "+at[:7])
	r.wantCommits(t, 3)
	r.wantFile(t, "deploy/app.yaml", values("v0", 1))
	// The order is known all the same.
	wantSummary(t, fire(t, tr, push(2, "app", "v2", 0)), "superseded by ")
}

// A firing that has to wait for somebody else's keeps nobody else waiting.
func TestPendingHarmsNobodyElse(t *testing.T) {
	r := newRig(t, map[string]string{"deploy/a.yaml": values("v0", 1), "deploy/b.yaml": values("v0", 1)})
	// Killed after it has claimed the target, before its push.
	r.http.Before(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "git-receive-pack") {
			http.Error(w, "", http.StatusInternalServerError)
		}
	})
	state := r.env.Env.State
	ctx, kill := context.WithCancel(t.Context())
	r.env.Env.State = killedAfter{state, kill}
	if _, err := r.build(t, "").Fire(ctx, push(1, "a", "v1", 1)); err == nil {
		t.Fatal("fired")
	}
	r.http.Before(func(http.ResponseWriter, *http.Request) {})
	r.env.Env.State = state
	tr := r.build(t, "window: 500ms")
	var wg sync.WaitGroup
	wg.Go(func() { // the value is there already, but the other one may be about to change it
		res, err := tr.Fire(t.Context(), push(2, "a", "v0", 2))
		if _, _, postponed := trigger.Postponed(err); !postponed {
			t.Errorf("another firing may push: %v, %v", res, err)
		}
	})
	fire(t, tr, push(3, "b", "v1", 1))
	r.wantFile(t, "deploy/b.yaml", values("v1", 1))
	wg.Wait()
	// The killed one is fired again.
	wantSummary(t, fire(t, tr, push(1, "a", "v1", 1)), "v0 -> v1")
	wantSummary(t, fire(t, tr, push(2, "a", "v0", 2)), "v1 -> v0")
}

// killedAfter is a state whose process dies when something was claimed.
type killedAfter struct {
	trigger.State
	kill context.CancelFunc
}

func (k killedAfter) Change(ctx context.Context, key string, f func([]byte) ([]byte, error)) error {
	if ctx.Err() != nil {
		return context.Canceled
	}
	err := k.State.Change(ctx, key, func(value []byte) ([]byte, error) {
		next, err := f(value)
		if next == nil && err == nil {
			return nil, errors.New("killed") // it does not come to take anything back
		}
		return next, err
	})
	k.kill()
	return err
}
