package argocd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	annotationFiring  = "signalbox.dev/firing"
	annotationEarlier = "signalbox.dev/earlier-firings"
	mostEarlier       = 9
	// longestID is longer than the id of any firing.
	longestID = 64
)

// firings that have written to the application, as far as it remembers, the
// latest first.
func (a *application) firings() []string {
	annotations := a.GetAnnotations()
	all := strings.Fields(annotations[annotationFiring] + " " + annotations[annotationEarlier])
	return slices.DeleteFunc(all, func(id string) bool { return len(id) > longestID })
}

// signed are annotations that go with what a firing writes, so that it is found
// when fired again, even if others have written since. Without an application
// they are those of the first firing.
func signed(app *application, id string) map[string]any {
	out := map[string]any{annotationFiring: id}
	if app == nil {
		return out
	}
	if earlier := app.firings(); len(earlier) > 0 {
		out[annotationEarlier] = strings.Join(earlier[:min(len(earlier), mostEarlier)], " ")
	}
	return out
}

// intent is what a firing was about to do to an application, kept in the
// trigger's state because the application has no place for it: what is fired
// again goes to the same entry of the history, and ends the same operation, not
// the next one.
type intent struct {
	Firing string `json:"firing"`
	App    string `json:"app"`
	// Entry of the history that a rollback goes to.
	Entry int64 `json:"entry,omitempty"`
	// Started is when the operation began that is to be ended.
	Started string    `json:"started,omitempty"`
	At      time.Time `json:"at"`
}

const (
	stateRollbacks    = "rollbacks"
	stateTerminations = "terminations"
	maxIntents        = 200
)

func intents(raw []byte) []intent {
	var all []intent
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	return all
}

func (r *request) intent(app *application) intent {
	return intent{Firing: r.mark.id, App: app.key(), At: time.Now().UTC()}
}

func (i intent) same(j intent) bool { return i.Firing == j.Firing && i.App == j.App }

// intended is what an earlier attempt was about to do; ok is false if none was.
func (r *request) intended(ctx context.Context, key string, app *application) (i intent, ok bool, err error) {
	if r.state == nil {
		return intent{}, false, nil
	}
	raw, err := r.state.Get(ctx, key)
	if err != nil {
		return intent{}, false, fmt.Errorf("look for an earlier attempt: %w", err)
	}
	all := intents(raw)
	at := slices.IndexFunc(all, r.intent(app).same)
	if at < 0 {
		return intent{}, false, nil
	}
	return all[at], true, nil
}

// intend remembers what is about to be done, and returns what is to be done: that
// of an earlier attempt, if there was one.
func (r *request) intend(ctx context.Context, key string, want intent) (intent, error) {
	if r.state == nil {
		return want, nil
	}
	err := r.state.Change(ctx, key, func(old []byte) ([]byte, error) {
		all := intents(old)
		if i := slices.IndexFunc(all, want.same); i >= 0 {
			want = all[i]
			return nil, trigger.ErrKeep
		}
		all = append(all, want)
		return json.Marshal(all[max(0, len(all)-maxIntents):])
	})
	if err != nil {
		return want, fmt.Errorf("remember the attempt: %w", err)
	}
	return want, nil
}
