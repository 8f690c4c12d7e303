package log_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger/log"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// logged are the lines in the log, as Render writes them, one effect for each
// firing: lines of one trace belong together.
func logged(t *testing.T, e *triggertest.Env) (effects []json.RawMessage) {
	t.Helper()
	type context struct {
		ID      string    `json:"id"`
		Source  string    `json:"source"`
		Type    string    `json:"type"`
		Subject string    `json:"subject"`
		Time    time.Time `json:"time"`
	}
	type line struct {
		Level      string  `json:"level,omitempty"`
		Message    string  `json:"msg,omitempty"`
		Text       string  `json:"message"`
		Dependency string  `json:"dependencyName"`
		Context    context `json:"eventContext"`
	}
	var open []line
	for text := range strings.Lines(e.Logs()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if l.Level != "INFO" {
			t.Errorf("logged at %s", l.Level)
		}
		l.Level, l.Text, l.Message = "", l.Message, ""
		if l.Dependency != "other" && len(open) > 0 {
			effects = append(effects, effect(t, open))
			open = nil
		}
		open = append(open, l)
	}
	if len(open) > 0 {
		effects = append(effects, effect(t, open))
	}
	return effects
}

func effect(t *testing.T, lines any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(map[string]any{"lines": lines})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind:    log.Kind,
		Setup:   func(*testing.T, *triggertest.Env) string { return "intervalSeconds: 0" },
		Effects: logged,
		NoID:    true,
		Valid:   []string{`{}`, `{intervalSeconds: 20}`},
		Invalid: map[string][]string{
			`{intervalSeconds: -1}`:  {`intervalSeconds: want a whole number`},
			`{intervalSeconds: 20s}`: {`intervalSeconds: want a whole number`},
			`{interval: 20}`:         {`interval: unknown key "interval" is ignored`},
		},
	})
}

func TestInterval(t *testing.T) {
	for name, tc := range map[string]struct {
		config string
		at     []time.Duration // of the firings
		logs   int
	}{
		"all":             {"{}", []time.Duration{0, 0, 0}, 3},
		"within":          {"{intervalSeconds: 20}", []time.Duration{0, time.Second, 19 * time.Second}, 1},
		"one each":        {"{intervalSeconds: 20}", []time.Duration{0, 20 * time.Second, 39 * time.Second, 40 * time.Second}, 3},
		"from the last":   {"{intervalSeconds: 20}", []time.Duration{0, 30 * time.Second, 45 * time.Second, 50 * time.Second}, 3},
		"longer than all": {"{intervalSeconds: 18446744073709551615}", []time.Duration{0, 1000000 * time.Hour}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := triggertest.NewEnv(t)
				tr := triggertest.Build(t, log.Kind, tc.config, e)
				begin := time.Now()
				for i, at := range tc.at {
					time.Sleep(at - time.Since(begin))
					before := len(logged(t, e))
					r, err := tr.Fire(t.Context(), triggertest.Input(i))
					if err != nil {
						t.Fatal(err)
					}
					if did := len(logged(t, e)) > before; did == strings.HasPrefix(r.Summary, "not logged") {
						t.Errorf("logged: %v, but says %q", did, r.Summary)
					}
				}
				if got := len(logged(t, e)); got != tc.logs {
					t.Errorf("%d logs, want %d", got, tc.logs)
				}
			})
		})
	}
}

// TestJoinIsLoggedWhole has an interval that must not hold back the second
// event of a firing.
func TestJoinIsLoggedWhole(t *testing.T) {
	e := triggertest.NewEnv(t)
	tr := triggertest.Build(t, log.Kind, "{intervalSeconds: 3600}", e)
	if _, err := tr.Fire(t.Context(), triggertest.Join(1)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(e.Logs(), "\n"); got != 2 {
		t.Errorf("%d lines: %s", got, e.Logs())
	}
}
