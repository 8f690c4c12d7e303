package registrypoll

import (
	"context"
	"errors"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource"
)

// A process that dies between storing an event and noting that emits it again
// with the same id.
func TestKilledBetweenEmitAndRemember(t *testing.T) {
	r := newRig(t, "")
	r.reg.Push(t, "acme/api:v1")
	r.want()
	r.reg.Push(t, "acme/api:v2")
	before := r.env.Memory.All()
	r.want("push api:v2 image")
	first := r.ids[0]
	// The state is as it was between the two writes: found, and not yet told.
	found := r.pending(before)
	r.again("")
	r.ids = nil
	r.want("push api:v2 image")
	if r.ids[0] != first {
		t.Errorf("the id is %s, and was %s", r.ids[0], first)
	}
	if !found {
		t.Error("nothing was pending")
	}
	r.want()
}

// pending puts the memory back to where the last change is pending.
func (r *rig) pending(before map[string]string) bool {
	r.t.Helper()
	ctx := r.t.Context()
	rec := newRecord(r.env.Memory, r.reg.Host+"/acme/api")
	after, err := rec.Load(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.env.Memory.Put(ctx, rec.Key, []byte(before[rec.Key])); err != nil {
		r.t.Fatal(err)
	}
	m, err := rec.Load(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	m.Tags["v2"] = after.Tags["v2"]
	m.add([]change{{Tag: "v2", After: after.Tags["v2"], MediaType: "application/vnd.docker.distribution.manifest.v2+json"}})
	if err := rec.Save(ctx, m); err != nil {
		r.t.Fatal(err)
	}
	return len(m.Pending) == 1
}

func TestAnEventThatCanNeverBeStored(t *testing.T) {
	r := newRig(t, "")
	r.reg.Push(t, "acme/api:v1")
	r.want()
	r.reg.Push(t, "acme/api:v2")
	r.fail = eventsource.ErrTooLarge
	r.want()
	r.fail = nil
	r.reg.Push(t, "acme/api:v3")
	r.want("push api:v3 image")
}

// deaf is a state that takes nothing.
type deaf struct{ eventsource.State }

func (deaf) Put(context.Context, string, []byte) error { return errors.New("no") }

func TestNothingIsToldThatIsNotWrittenDown(t *testing.T) {
	r := newRig(t, "")
	r.reg.Push(t, "acme/api:v1")
	r.want()
	r.reg.Push(t, "acme/api:v2")
	r.s.state = deaf{r.env.Memory}
	if got, err := r.tryLook(); err == nil || len(got) > 0 {
		t.Fatalf("emitted %q, error %v", got, err)
	}
	r.s.state = r.env.Memory
	r.want("push api:v2 image")
}
