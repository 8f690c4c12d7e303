package ledger_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/test/proc"
)

func TestSensorReloadedUnderLoad(t *testing.T) {
	reloads := 12
	if testing.Short() {
		reloads = 5
	}
	s := newSite(t)
	s.writeBoth(patient)
	p := s.start()
	l := startLoad(t, s.hookURL(), 200, 0)
	for i := range reloads {
		v := strconv.Itoa(i + 2)
		s.write("sensor.yaml", s.sensor(v, patient))
		until(t, "version "+v+" acts", func() bool { return s.sink.hasVersion(v) })
	}

	broken := strings.Replace(s.sensor("broken", patient), "eventName: push", "eventNmae: push", 1)
	broken = strings.Replace(broken, "name: call", "name: call\n        conditions: push &&", 1)
	s.write("sensor.yaml", broken)
	until(t, "the problem is on /readyz", func() bool {
		var r struct{ Problems []string }
		decode(t, s.get("/readyz"), &r)
		return strings.Contains(strings.Join(r.Problems, "\n"), "conditions")
	})
	until(t, "the problem is in the log", func() bool { return strings.Contains(p.Log(), "conditions") })
	before := s.sink.count()
	until(t, "the old version goes on", func() bool { return s.sink.count() >= before+100 })
	if s.sink.hasVersion("broken") {
		t.Error("the broken version acts")
	}
	s.write("sensor.yaml", s.sensor("mended", patient))
	until(t, "the mended version acts", func() bool { return s.sink.hasVersion("mended") })
	l.finish()
	r := s.settle(l, 30*time.Second)
	if r.refused > 0 {
		t.Errorf("%d requests refused, last: %s", r.refused, l.failure)
	}
	if r.repeated > 0 {
		t.Errorf("%d actions repeated", r.repeated)
	}
}

func TestSourceReloadedUnderLoad(t *testing.T) {
	reloads := 8
	if testing.Short() {
		reloads = 3
	}
	s := newSite(t)
	s.writeBoth(patient)
	p := s.start()
	l := startLoad(t, s.hookURL(), 200, 0)
	until(t, "load goes on", func() bool { return l.count() >= 50 })
	for i := range reloads {
		s.write("source.yaml", s.source(fmt.Sprint(i+2)))
		until(t, "the new version runs", func() bool { return strings.Count(p.Log(), "event source changed") > i })
		before := l.count()
		until(t, "load goes on", func() bool { return l.count() >= before+150 })
	}
	l.finish()
	r := s.settle(l, 30*time.Second)
	if r.refused > 0 {
		t.Errorf("%d requests refused, last: %s", r.refused, l.failure)
	}
	if r.repeated > 0 {
		t.Errorf("%d actions repeated", r.repeated)
	}
}

func TestReloadsLeaveNothingBehind(t *testing.T) {
	s := newSite(t)
	s.writeBoth(patient)
	p := s.start()
	if _, err := p.OpenFiles(); errors.Is(err, proc.ErrNotHere) {
		t.Skip(err)
	}
	l := startLoad(t, s.hookURL(), 50, 0)
	reloads, settled := 0, 0
	reload := func(n int) {
		for range n {
			reloads++
			v := strconv.Itoa(reloads + 1)
			s.write("source.yaml", s.source(v))
			s.write("sensor.yaml", s.sensor(v, patient))
			until(t, "version "+v+" acts", func() bool { return s.sink.hasVersion(v) })
			until(t, "the new source runs", func() bool { return strings.Count(p.Log(), "event source changed") >= reloads })
		}
	}
	reload(3)
	settled = s.steady(p, 0)
	goroutines := s.goroutines()
	reload(20)
	const slack = 10
	if now := s.steady(p, settled+slack); now > settled+slack {
		t.Errorf("%d open files after 20 reloads, %d before", now, settled)
	} else {
		t.Logf("%d open files after 20 reloads, %d before", now, settled)
	}
	until(t, fmt.Sprintf("goroutines fall to about %d", goroutines), func() bool { return s.goroutines() <= goroutines+3*slack })
	t.Logf("%d goroutines after 20 reloads, %d before", s.goroutines(), goroutines)
	l.finish()
	s.settle(l, 30*time.Second)
}

// steady is the number of open files once it has fallen to most, or else has
// been the same for two seconds.
func (s *site) steady(p *proc.Process, most int) int {
	s.t.Helper()
	last, same := -1, 0
	until(s.t, "number of open files is steady", func() bool {
		n, err := p.OpenFiles()
		if err != nil {
			s.t.Fatal(err)
		}
		if n == last {
			same++
		} else {
			last, same = n, 0
		}
		return n <= most || same >= 100
	})
	return last
}

func (s *site) goroutines() int {
	s.t.Helper()
	for line := range strings.Lines(s.get("/metrics")) {
		if rest, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatal("no go_goroutines in the metrics")
	return 0
}
