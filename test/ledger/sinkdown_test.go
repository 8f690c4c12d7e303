package ledger_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/test/proc"
)

const smallBus = `
apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {name: default}
spec:
  jetstream:
    version: latest
    streamConfig: |
      maxBytes: 4MB
`

func TestFullStore(t *testing.T) {
	s := newSite(t)
	s.write("bus.yaml", smallBus)
	s.writeBoth(patient)
	s.start()
	s.sink.down()
	l := (&load{url: s.hookURL(), rate: 400, padding: 8 << 10}).start(t, 0)
	until(t, "the webhook answers 503", func() bool { return l.status(http.StatusServiceUnavailable) > 0 })
	l.mu.Lock()
	retryAfter, full := l.retryAfter, len(l.accepted)
	l.mu.Unlock()
	if n, err := strconv.Atoi(retryAfter); err != nil || n < 1 {
		t.Errorf("Retry-After of the 503 is %q, want seconds", retryAfter)
	}
	t.Logf("full after %d events", full)
	s.sink.up()
	until(t, "the webhook accepts again", func() bool { return l.count() >= full+300 })
	l.finish()
	s.settle(l, 40*time.Second)
	if acted := s.sink.count(); acted < full {
		t.Errorf("%d acted on, fewer than were accepted when the store was full", acted)
	}
}

func TestSinkDownWithRetries(t *testing.T) {
	s := newSite(t)
	s.writeBoth(patient)
	s.start()
	l := startLoad(t, s.hookURL(), 200, 0)
	until(t, "events arrive", func() bool { return s.sink.count() >= 50 })
	s.sink.down()
	before := l.count()
	until(t, "events are accepted meanwhile", func() bool { return l.count() >= before+600 })
	s.sink.up()
	l.finish()
	s.settle(l, 40*time.Second)
	if dead := s.dead(); len(dead) > 0 {
		t.Errorf("%d dead letters, such as %+v", len(dead), dead[0])
	}
	if l.refused > 0 {
		t.Errorf("%d requests refused, last: %s", l.refused, l.failure)
	}
}

// letter is what these tests want to know of a dead letter.
type letter struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Action struct {
		Spec string `json:"spec"`
	} `json:"action"`
}

func (s *site) dead() []letter {
	s.t.Helper()
	var letters []letter
	decode(s.t, command(s.t, "dead", "list", "-o", "json", "--data-dir", s.data), &letters)
	return letters
}

func TestSinkDownWithoutRetries(t *testing.T) {
	s := newSite(t)
	s.writeBoth("")
	s.start()
	s.sink.down()
	l := startLoad(t, s.hookURL(), 200, 300)
	l.done(t, time.Minute)
	var dead []letter
	err := proc.Until(30*time.Second, func() bool { dead = s.dead(); return len(dead) >= l.count() })
	if err != nil || len(dead) != l.count() {
		t.Fatalf("%d accepted, %d dead letters", l.count(), len(dead))
	}
	bodies := map[string]bool{}
	for _, d := range dead {
		if !strings.Contains(d.Reason, "refused") {
			t.Errorf("reason of dead letter %s is %q", d.ID, d.Reason)
		}
		var spec struct {
			Body struct {
				ID string `json:"id"`
			} `json:"body"`
		}
		decode(t, d.Action.Spec, &spec)
		bodies[spec.Body.ID] = true
	}
	for id := range l.accepted {
		if !bodies[id] {
			t.Errorf("event %s is not among the dead letters", id)
		}
	}
	s.sink.up()
	t.Log(strings.TrimSpace(command(t, "dead", "redrive", "--all", "--data-dir", s.data)))
	s.settle(l, 30*time.Second)
	until(t, "the list of dead letters is empty", func() bool { return len(s.dead()) == 0 })
}
