package argocd_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/argocd"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// TestHealth has the server show certain states one after the other.
func TestHealth(t *testing.T) {
	state := func(health, reconciled string) string {
		return `{status: {sync: {status: Synced}, health: {status: ` + health + `}, reconciledAt: "` + reconciled + `"}}`
	}
	const (
		done   = "2026-01-01T00:01:00Z"
		before = "2026-01-01T00:00:59Z"
	)
	type shown struct {
		times int // 0 is for ever
		state string
	}
	for _, tc := range []struct {
		name            string
		healthy, ailing bool // that they have to last for ever
		states          []shown
		failed          bool
		want            string
	}{
		{"what was before the sync says nothing", false, false, []shown{{40, state("Healthy", before)}, {5, state("Progressing", done)}, {0, state("Healthy", done)}}, false, "shop: Succeeded, Synced, Healthy"},
		{"nor does what was bad", false, false, []shown{{40, state("Degraded", before)}, {0, state("Healthy", done)}}, false, "shop: Succeeded, Synced, Healthy"},
		{"Degraded for a moment", false, true, []shown{{3, state("Degraded", done)}, {3, state("Progressing", done)}, {0, state("Healthy", done)}}, false, "shop: Succeeded, Synced, Healthy"},
		{"Healthy for a moment", true, false, []shown{{3, state("Healthy", done)}, {3, state("Progressing", done)}, {0, state("Degraded", done)}}, true, "shop: Succeeded, Synced, Degraded"},
		{"Missing, Suspended and Unknown are no end", false, false, []shown{
			{30, state("Missing", done)}, {30, state("Suspended", done)}, {30, state("Unknown", done)}, {0, state("Healthy", done)},
		}, false, "shop: Succeeded, Synced, Healthy"},
		{"a retry by Argo CD is no end", false, false, []shown{
			{30, `{status: {operationState: {phase: Running, message: "Retrying attempt #1", retryCount: 1, finishedAt: "` + before + `"}}}`}, {0, state("Healthy", done)},
		}, false, "shop: Succeeded, Synced, Healthy"},
		{"the operation is still there", false, false, []shown{
			{30, `{operation: {info: [{name: signalbox, value: ID}], sync: {}}, status: {operationState: {phase: Failed}}}`}, {0, state("Healthy", done)},
		}, false, "shop: Succeeded, Synced, Healthy"},
		{"it has the wrong types", false, false, []shown{
			{30, `{status: {operationState: {phase: 7, finishedAt: [1]}, health: 5, history: {}, reconciledAt: {}}, operation: {info: [{name: signalbox, value: ID}], sync: 1}}`},
			{0, state("Healthy", done)},
		}, false, "shop: Succeeded, Synced, Healthy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &lab{t: t, env: triggertest.NewEnv(t), ns: "argocd"}
			l.env.PutSecret("argo", "token", "t")
			in := l.input(1)
			answer := func(text string) []byte {
				o := parse(t, plain)
				over(o, parse(t, `{metadata: {name: shop, namespace: argocd}}`))
				if text != "" {
					over(o, parse(t, `{status: {operationState: {phase: Succeeded, startedAt: "2026-01-01T00:00:00Z", finishedAt: "`+done+`", operation: {sync: {}, info: [{name: signalbox, value: `+in.ID+`}]}}}}`))
					over(o, parse(t, text))
				}
				raw, err := json.Marshal(o)
				if err != nil {
					t.Error(err)
				}
				return bytes.ReplaceAll(raw, []byte(`"ID"`), []byte(`"`+in.ID+`"`))
			}
			var looks atomic.Int64
			var following atomic.Bool
			server := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || !following.Load() {
					_, _ = w.Write(answer(""))
					return
				}
				n := int(looks.Add(1))
				for _, s := range tc.states {
					if s.times == 0 || n <= s.times {
						_, _ = w.Write(answer(s.state))
						return
					}
					n -= s.times
				}
			}))
			tr := l.build("{name: shop, " + follow + ", server: {url: '" + server + "', token: {name: argo, key: token}}}")
			argocd.Slow(tr, tc.healthy, tc.ailing)
			r := l.fire(tr, in, "sync of shop started")
			following.Store(true)
			l.outcome(awaitBy(t.Context(), tr, l.following(in, r)), tc.failed, tc.want)
			all := 0
			for _, s := range tc.states {
				all += s.times
			}
			if n := int(looks.Load()); n <= all {
				t.Errorf("it has ended after %d of %d states", n, all)
			}
		})
	}
}
