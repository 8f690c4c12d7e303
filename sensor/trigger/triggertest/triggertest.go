// Package triggertest is what every kind of trigger has to hold to, as tests.
package triggertest

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Case is what the suite has to know of a kind.
type Case struct {
	Kind trigger.Kind
	// Setup readies the other side (a server, a bus, secrets) for one check and
	// returns a configuration, YAML, that acts on it whatever the events are.
	// It should use as many features as it can. Required.
	Setup func(t *testing.T, e *Env) string
	// Effects are what has been done to the other side since Setup, oldest
	// first, each in the shape of the Spec that Render returns. Secrets that
	// arrived as they should are written as Render masks them. Required.
	Effects func(t *testing.T, e *Env) []json.RawMessage
	// Break makes the other side fail every action from now on; it may quote
	// what it was sent in its answers. Nil for kinds that cannot fail.
	Break func(t *testing.T, e *Env)
	// Hang makes the other side leave actions without an answer until the
	// check ends; the channel gets something, or is closed, when one has
	// arrived. Nil for kinds that wait for nobody.
	Hang func(t *testing.T, e *Env) (arrived <-chan struct{})
	// NoID says that the other side has no use for Input.ID, so that an effect
	// does not show it.
	NoID bool
	// Valid are further configurations, YAML, that must give no problem.
	Valid []string
	// Invalid are configurations, YAML, with the problems they must give, as
	// the beginnings of their texts (path first), in any order.
	Invalid map[string][]string
}

// Run is the conformance suite. It reads example.yaml in the kind's folder.
func Run(t *testing.T, c Case) {
	t.Helper()
	for _, check := range []struct {
		name string
		when bool
		run  func(*testing.T, Case)
	}{
		{"the example is valid", true, example},
		{"problems have their places", true, problems},
		{"Render does nothing", true, renderDoesNothing},
		{"Fire does what Render says", true, fireIsRendered},
		{"a repetition hands the same ID on", !c.NoID, sameID},
		{"fires side by side", true, sideBySide},
		{"does not change the events", true, eventsUnchanged},
		{"does nothing when its context is done", true, doneContext},
		{"ends when its context is done", c.Hang != nil, endsWithContext},
		{"a failure is an error and not for ever", c.Break != nil, failureIsError},
		{"secrets are not shown", true, secretsHidden},
		{"does nothing after Close", true, closed},
	} {
		if !check.when {
			continue
		}
		t.Run(check.name, func(t *testing.T) {
			ignore := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
			check.run(t, c)
		})
	}
}

// start makes the environment, readies the other side and builds the trigger.
func (c Case) start(t *testing.T) (*Env, trigger.Trigger) {
	t.Helper()
	e := NewEnv(t)
	return e, Build(t, c.Kind, c.Setup(t, e), e)
}

func (c Case) wantEffects(t *testing.T, e *Env, n int) []json.RawMessage {
	t.Helper()
	got := c.Effects(t, e)
	if len(got) != n {
		t.Fatalf("%d effects, want %d: %s", len(got), n, got)
	}
	return got
}
