package calendar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventsource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEvent(t *testing.T) {
	for name, c := range map[string]struct{ manifest, want string }{
		"schedule in a zone": {
			"schedule: 4 13 * * *\ntimezone: Asia/Tokyo\nmetadata: {hello: world}",
			`{"eventTime":"2000-01-01 13:04:00 +0900 JST","metadata":{"hello":"world"}}`,
		},
		"UTC without metadata": {
			"schedule: 4 4 * * *\ntimezone: UTC",
			`{"eventTime":"2000-01-01 04:04:00 +0000 UTC"}`,
		},
		"interval": {
			"interval: 500ms\ntimezone: UTC",
			`{"eventTime":"2000-01-01 00:00:00.5 +0000 UTC"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStation(t)
				stop := s.run(s.build(c.manifest))
				wait(5 * time.Hour)
				stop()
				e := s.events[0]
				if string(e.Data) != c.want {
					t.Errorf("data is %s, want %s", e.Data, c.want)
				}
				if e.ID == "" || e.Time.IsZero() || e.Source != "" {
					t.Errorf("event is %+v", e)
				}
				var keys map[string]any
				if err := json.Unmarshal(e.Data, &keys); err != nil {
					t.Fatal(err)
				}
				for k := range maps.Keys(keys) {
					if !strings.Contains(strings.Join(Kind.DataKeys, " "), k) {
						t.Errorf("%s is not among DataKeys", k)
					}
				}
			})
		})
	}
}

func TestTicksComeOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		stop := s.run(s.build("interval: 10s"))
		wait(9999 * time.Millisecond)
		s.expect("")
		wait(time.Millisecond)
		s.expect("00:00:10")
		wait(20 * time.Second)
		s.expect("00:00:10 00:00:20 00:00:30")
		stop()
	})
}

func TestReplicasAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStation(t), newStation(t)
		stopA := a.run(a.build("interval: 10s"))
		wait(3700 * time.Millisecond)
		stopB := b.run(b.build("interval: 10s"))
		wait(time.Minute)
		stopA()
		stopB()
		if len(a.events) != 6 || len(b.events) != 6 {
			t.Fatalf("ticks at %s and at %s", a.times(), b.times())
		}
		for i := range a.events {
			if a.events[i].ID != b.events[i].ID || !bytes.Equal(a.events[i].Data, b.events[i].Data) {
				t.Errorf("one has %v, the other %v", a.events[i], b.events[i])
			}
		}
	})
}

func TestRestartWithoutPersistence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		src := s.build("schedule: '* * * * *'")
		stop := s.run(src)
		wait(90 * time.Second)
		stop()
		wait(10 * time.Minute)
		stop = s.run(src)
		wait(time.Minute)
		stop()
		s.expect("00:01:00 00:12:00")
		if len(s.state) != 0 {
			t.Errorf("state was written: %q", s.state)
		}
	})
}

func TestBusOutage(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		outage   time.Duration
		want     string
	}{
		"short": {
			"schedule: '* * * * *'", 3 * time.Minute,
			"00:01:00 00:02:00 00:03:00",
		},
		"nightly job waits": {
			"schedule: 2 0 * * *\ntimezone: UTC", 10 * time.Hour,
			"00:02:00",
		},
		"what is waiting stays, the rest an hour": {
			"schedule: '*/20 * * * *'", 10*time.Hour + 10*time.Minute,
			"00:20:00 09:20:00 09:40:00 10:00:00",
		},
		"catch-up says how far back": {
			"schedule: '*/20 * * * *'\npersistence: {catchup: {enabled: true, maxDuration: 35m}}", 10*time.Hour + 10*time.Minute,
			"00:20:00 09:40:00 10:00:00",
		},
		"catch-up without limit": {
			"schedule: '0 */2 * * *'\ntimezone: UTC\npersistence: {catchup: {enabled: true}}", 8*time.Hour + time.Minute,
			"02:00:00 04:00:00 06:00:00 08:00:00",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStation(t)
				stop := s.run(s.build(c.manifest))
				s.set(func() { s.broken = errors.New("bus is away") })
				wait(c.outage)
				s.expect("")
				s.set(func() { s.broken = nil })
				wait(6 * time.Second) // the longest pause between two attempts is 5 s
				stop()
				s.expect(c.want)
			})
		})
	}
}

func TestStopDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		s.broken = errors.New("bus is away")
		stop := s.run(s.build("interval: 10s"))
		wait(30 * time.Second)
		stop()
		s.expect("")
	})
}

func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		s.broken = fmt.Errorf("2 MB: %w", eventsource.ErrTooLarge)
		stop := s.run(s.build("interval: 10s"))
		wait(35 * time.Second)
		s.set(func() { s.broken = nil })
		wait(10 * time.Second)
		stop()
		s.expect("00:00:40")
		if n := strings.Count(s.log.String(), "too large"); n != 1 {
			t.Errorf("logged:\n%s", &s.log)
		}
	})
}

func TestClock(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		shift    time.Duration // at 00:01:30, until then 1 tick at 00:01:00
		then     time.Duration // passes afterwards
		want     string
	}{
		"suspended for a while": {
			"schedule: '* * * * *'", 5 * time.Minute, time.Minute,
			"00:01:00 00:02:00 00:03:00 00:04:00 00:05:00 00:06:00 00:07:00",
		},
		"suspended for long": {
			"schedule: '1,31 * * * *'", 10 * time.Hour, time.Minute,
			"00:01:00 09:31:00 10:01:00",
		},
		"suspended over a nightly job": {
			"schedule: 0 2 * * *\ntimezone: UTC", 10 * time.Hour, time.Minute,
			"02:00:00",
		},
		"suspended over two nightly jobs": {
			"schedule: 0 2 * * *\ntimezone: UTC", 34 * time.Hour, time.Minute,
			"02T02:00:00",
		},
		"set back a little": {
			"schedule: '* * * * *'", -61 * time.Second, 3 * time.Minute,
			"00:01:00 00:02:00 00:03:00",
		},
		"set back some hours": {
			"schedule: '* * * * *'", -3 * time.Hour, 3*time.Hour + time.Minute,
			"00:01:00 00:02:00",
		},
		"set forth by less than a tick": {
			"schedule: '* * * * *'", 20 * time.Second, 40 * time.Second,
			"00:01:00 00:02:00",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStation(t)
				stop := s.run(s.build(c.manifest))
				wait(90 * time.Second)
				s.set(func() { s.shift = c.shift })
				wait(c.then)
				stop()
				s.expect(c.want)
			})
		})
	}
}

func TestClockWasWrongByYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		s.shift = 12 * 365 * 24 * time.Hour
		stop := s.run(s.build("interval: 1m\npersistence: {}"))
		wait(90 * time.Second)
		s.set(func() { s.shift, s.events = 0, nil })
		wait(2 * time.Minute)
		stop()
		s.expect("00:03:00")
		if got := string(s.state["default"]); got != "2000-01-01T00:03:00Z" {
			t.Errorf("progress is %q", got)
		}
	})
}

func TestCatchUp(t *testing.T) {
	const every = "schedule: '*/10 * * * *'\n"
	for name, c := range map[string]struct {
		manifest string
		down     time.Duration // after 15 minutes up
		state    string        // if not "", put in place of what is there
		want     string        // after the 00:10:00 of the first run
	}{
		"all": {
			every + "persistence: {catchup: {enabled: true}, configMap: {name: p}}", 50 * time.Minute, "",
			"00:20:00 00:30:00 00:40:00 00:50:00 01:00:00 01:10:00",
		},
		"at most maxDuration": {
			every + "persistence: {catchup: {enabled: true, maxDuration: 30m}, configMap: {name: p}}", 50 * time.Minute, "",
			"00:40:00 00:50:00 01:00:00 01:10:00",
		},
		"too long ago for the only one": {
			"schedule: 10 0,2 * * *\ntimezone: UTC\npersistence: {catchup: {enabled: true, maxDuration: 1h}, configMap: {name: p}}", 10 * time.Hour, "",
			"",
		},
		"not enabled": {
			every + "persistence: {catchup: {maxDuration: 30m}, configMap: {name: p}}", 50 * time.Minute, "",
			"01:10:00",
		},
		"not over excluded days": {
			"schedule: 10 0 * * *\ntimezone: UTC\nexclusionDates: ['20000102']\npersistence: {catchup: {enabled: true}, configMap: {name: p}}", 60 * time.Hour, "",
			"03T00:10:00",
		},
		"garbage is no progress": {
			every + "persistence: {catchup: {enabled: true}, configMap: {name: p}}", 50 * time.Minute, "hello",
			"01:10:00",
		},
		"another replica is ahead": {
			every + "persistence: {catchup: {enabled: true}, configMap: {name: p}}", 50 * time.Minute, "2000-01-01T00:50:00Z",
			"01:00:00 01:10:00",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStation(t)
				stop := s.run(s.build(c.manifest))
				wait(15 * time.Minute)
				stop()
				s.expect("00:10:00")
				if got := string(s.state["p"]); got != "2000-01-01T00:10:00Z" {
					t.Fatalf("progress is %q in %q", got, s.state)
				}
				if c.state != "" {
					s.state["p"] = []byte(c.state)
				}
				s.events = nil
				wait(c.down)
				stop = s.run(s.build(c.manifest))
				wait(5 * time.Minute)
				stop()
				s.expect(c.want)
			})
		})
	}
}

func TestCatchUpBeforeTheFirstTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		const nightly = "schedule: 0 2 * * *\ntimezone: UTC\npersistence: {catchup: {enabled: true}}"
		stop := s.run(s.build(nightly))
		wait(time.Hour)
		stop()
		s.expect("")
		wait(10 * time.Hour)
		stop = s.run(s.build(nightly))
		wait(time.Second)
		stop()
		s.expect("02:00:00")
	})
}

func TestProgressIsRecordedAtTheVeryEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.build("interval: 1m\npersistence: {}").Run(ctx, func(context.Context, eventsource.Event) error {
			cancel()
			return nil
		})
		if got := string(s.state["default"]); err != nil || got != "2000-01-01T00:01:00Z" {
			t.Errorf("Run returned %v, progress is %q", err, got)
		}
	})
}

func TestStateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		s.lost = errors.New("state is away")
		src := s.build("interval: 10s\npersistence: {catchup: {enabled: true}}")
		if err := src.Run(t.Context(), s.emit); !errors.Is(err, s.lost) {
			t.Fatalf("Run returned %v", err)
		}
		wait(25 * time.Second)
		s.set(func() { s.lost = nil })
		stop := s.run(src)
		wait(time.Second)
		s.expect("00:00:10 00:00:20") // those that came due between the two Runs

		s.set(func() { s.lost = errors.New("state is away") })
		wait(20 * time.Second)
		s.expect("00:00:10 00:00:20 00:00:30 00:00:40")
		if n := strings.Count(s.log.String(), "progress not recorded"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &s.log)
		}
		s.set(func() { s.lost = nil })
		wait(10 * time.Second)
		stop()
		if got := string(s.state["default"]); got != "2000-01-01T00:00:50Z" {
			t.Errorf("progress is %q", got)
		}
	})
}

func TestProgressDoesNotGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		s.state["default"] = []byte("2000-01-01T00:30:00Z")
		stop := s.run(s.build("interval: 10m\npersistence: {}"))
		wait(15 * time.Minute)
		s.set(func() {
			if got := string(s.state["default"]); got != "2000-01-01T00:30:00Z" {
				t.Errorf("progress went back to %q", got)
			}
		})
		wait(30 * time.Minute)
		stop()
		if got := string(s.state["default"]); got != "2000-01-01T00:40:00Z" {
			t.Errorf("progress is %q", got)
		}
	})
}
