package argorollout

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// plan is what has been decided to do for a firing, before any of it is done. It is
// kept in the trigger's state, so that the same firing does just that again
// after a crash, and no more.
type plan struct {
	Firing string `json:"firing"`
	// Order is the operation and the Rollout: the manifest may change between two attempts.
	Order string `json:"order"`
	// Did says in one line what is done.
	Did string `json:"did"`
	// Steps are done one after the other.
	Steps []step `json:"steps"`
	// PodHash is the version that it was decided for.
	PodHash string `json:"podHash,omitempty"`
	// RestartAt is the time of a restart.
	RestartAt string `json:"restartAt,omitempty"`
	// Done says that all has been done.
	Done bool `json:"done,omitempty"`
}

// What a step changes.
const (
	onRollout  = "rollout"  // all but its status
	onStatus   = "status"   // the Rollout's status
	onWorkload = "workload" // what workloadRef refers to
)

// step is one request.
type step struct {
	On string `json:"on"`
	// Settle waits first until the controller has seen the step before.
	Settle bool `json:"settle,omitempty"`
	// Guard are tests on the Rollout before something else is changed.
	Guard []op `json:"guard,omitempty"`
	// Tests are part of the patch. Once its changes are made they fail.
	Tests   []op `json:"tests,omitempty"`
	Changes []op `json:"changes,omitempty"`
	// Unpause ends the pause that there is; if Since is set, only that of this time.
	Unpause bool   `json:"unpause,omitempty"`
	Since   string `json:"since,omitempty"`
	// Template is the ReplicaSet whose pod template is put back.
	Template string `json:"template,omitempty"`
}

const (
	memoKey = "firings"
	// mostMemos is how many firings are remembered. A firing that is repeated after
	// as many others is taken for a new one.
	mostMemos = 64
)

// recall finds the plan of an earlier attempt; nil if there is none.
func (w *work) recall(ctx context.Context) (*plan, error) {
	if w.state == nil {
		return nil, nil
	}
	b, err := w.state.Get(ctx, memoKey)
	if err != nil {
		return nil, fmt.Errorf("look for an earlier attempt: %w", err)
	}
	all, err := readMemos(b)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Firing == w.firing && all[i].Order == w.what() {
			return &all[i], nil
		}
	}
	return nil, nil
}

// what is to be done to what.
func (o *order) what() string { return o.conf.Operation + " " + o.String() }

func readMemos(b []byte) ([]plan, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var all []plan
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("the trigger's state is damaged: %w", err)
	}
	return all, nil
}

// remember keeps the plan as it is now.
func (w *work) remember(ctx context.Context, p *plan) error {
	return w.changeMemos(ctx, func(all []plan) []plan { return append(all, *p) })
}

// forget drops a plan of which nothing has been done.
func (w *work) forget(ctx context.Context) error {
	return w.changeMemos(ctx, func(all []plan) []plan { return all })
}

func (w *work) changeMemos(ctx context.Context, f func(others []plan) []plan) error {
	if w.state == nil {
		return nil
	}
	err := w.state.Change(ctx, memoKey, func(b []byte) ([]byte, error) {
		all, err := readMemos(b)
		if err != nil {
			return nil, err
		}
		all = f(slices.DeleteFunc(all, func(p plan) bool { return p.Firing == w.firing }))
		return json.Marshal(all[max(0, len(all)-mostMemos):])
	})
	if err != nil {
		return fmt.Errorf("write down what is done: %w", err)
	}
	return nil
}
