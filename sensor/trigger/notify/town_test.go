package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// town is people who get messages, and replicas of a trigger that share a state.
// Times are those since the beginning, by the fake clock.
type town struct {
	t     *testing.T
	env   *triggertest.Env
	begin time.Time

	mu   sync.Mutex
	got  []string
	fail func(d *dest, o outgoing) error
	wg   sync.WaitGroup
}

func newTown(t *testing.T) *town {
	return &town{t: t, env: triggertest.NewEnv(t), begin: time.Now()}
}

// replica makes one more trigger on the same state.
func (w *town) replica(config string) *notifier {
	w.t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(config))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if v1alpha1.Fatal(err) != nil {
		w.t.Fatal(err)
	}
	tr, err := Kind.Build(c, w.env.Env)
	if err != nil {
		w.t.Fatal(err)
	}
	n := tr.(*notifier)
	n.send = func(ctx context.Context, d *dest, o outgoing) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.fail != nil {
			if err := w.fail(d, o); err != nil {
				return err
			}
		}
		text := o.Text
		if o.body != "" {
			text = o.body
		}
		w.got = append(w.got, fmt.Sprintf("%v %s %s: %s", time.Since(w.begin).Round(time.Second), d.label(), o.Kind, strings.ReplaceAll(text, "\n", "|")))
		return nil
	}
	return n
}

func (w *town) messages() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// firing number n of a dependency.
func firingOf(dep string, n int, app string) trigger.Input {
	in := triggertest.Input(n)
	e := event.New()
	e.SetID(fmt.Sprint(n))
	e.SetSource("s")
	e.SetType("t")
	if err := e.SetData(event.ApplicationJSON, map[string]any{"app": app, "n": n}); err != nil {
		panic(err)
	}
	in.Events = map[string]*event.Event{dep: &e}
	in.Since = time.Now()
	return in
}

// fire fires, and starts the group's activity if the firing has opened it.
func (w *town) fire(ctx context.Context, n *notifier, in trigger.Input) {
	w.t.Helper()
	r, err := n.Fire(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Follow != nil {
		w.follow(ctx, n, in, r.Follow)
	}
}

func (w *town) follow(ctx context.Context, n *notifier, in trigger.Input, ref json.RawMessage) {
	w.wg.Go(func() {
		out, err := await(ctx, n, trigger.Following{ID: in.ID, Namespace: in.Namespace, Sensor: in.Sensor, Trigger: in.Trigger, Ref: ref, Since: time.Now()})
		if err != nil && ctx.Err() == nil {
			w.t.Errorf("await: %v", err)
		}
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.got = append(w.got, fmt.Sprintf("%v ended: failed %v, %v", time.Since(w.begin).Round(time.Second), out.Failed, out.Details["count"]))
		}
	})
}

// want compares what was said; a text of want may stop early.
func (w *town) want(want ...string) {
	w.t.Helper()
	got := w.messages()
	ok := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		ok = ok && strings.HasPrefix(got[i], want[i])
	}
	if !ok {
		w.t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// clean checks that nothing is left of any group.
func (w *town) clean() {
	w.t.Helper()
	keys, err := w.env.Env.State.Keys(context.Background(), "group/")
	if err != nil || len(keys) > 0 {
		w.t.Errorf("left in the state: %q, %v", keys, err)
	}
}
