package slack_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/slack"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

const inThread = `
channel: general
message: x
thread: {broadcastMessageToChannel: true}
parameters: [{src: {dependencyName: dep, dataTemplate: "key-{{ mod .Input.number 2 }}"}, dest: thread.messageAggregationKey}]
`

// threads counts the messages by their thread_ts.
func (p *player) threads() map[string]int {
	n := map[string]int{}
	for _, f := range p.taken() {
		if f.Has("thread_ts") != f.Has("reply_broadcast") {
			n["wrong broadcast"]++
		}
		n[f.Get("thread_ts")]++
	}
	return n
}

func TestThread(t *testing.T) {
	p, e, tr := start(t, inThread)
	begun := fire(t, tr, 0)
	fire(t, tr, 1)
	// Another replica.
	reply := fire(t, triggertest.Build(t, slack.Kind, p.config(e, inThread), e), 2)
	if got, want := fmt.Sprint(p.threads()), "map[:2 1700000000.000001:1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if begun.Details["thread"] != begun.Details["ts"] || reply.Details["thread"] != begun.Details["ts"] || reply.Details["ts"] != "1700000000.000003" {
		t.Errorf("begun %v, reply %v", begun.Details, reply.Details)
	}
	if !strings.HasSuffix(reply.Summary, ", in the thread 1700000000.000001") {
		t.Errorf("the summary is %q", reply.Summary)
	}
	t.Run("another channel has its own", func(t *testing.T) {
		fire(t, triggertest.Build(t, slack.Kind, p.config(e, strings.Replace(inThread, "general", "other", 1)), e), 4)
		if n := p.threads()[""]; n != 3 {
			t.Errorf("%d threads, want 3", n)
		}
	})
}

// Many first messages at once, on two replicas, begin one thread a key.
func TestThreadBegunByMany(t *testing.T) {
	p, e, one := start(t, inThread)
	two := triggertest.Build(t, slack.Kind, p.config(e, inThread), e)
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			tr := one
			if n%3 == 0 {
				tr = two
			}
			if _, err := tr.Fire(t.Context(), triggertest.Input(n)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := p.threads()
	if got[""] != 2 || len(got) != 3 || len(p.taken()) != 20 {
		t.Errorf("threads %v", got)
	}
}

// A first message that is refused leaves it to the next one to begin.
func TestThreadNotBegun(t *testing.T) {
	p, _, tr := start(t, inThread)
	p.respond(no(`{"ok":false,"error":"internal_error"}`))
	if _, err := tr.Fire(t.Context(), triggertest.Input(0)); err == nil {
		t.Fatal("no error")
	}
	p.respond(nil)
	fire(t, tr, 2)
	fire(t, tr, 0)
	if got, want := fmt.Sprint(p.threads()), "map[:1 1700000000.000001:1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// While the first message is on its way, others wait a little, then come later.
func TestThreadIsBusy(t *testing.T) {
	p, _, tr := start(t, inThread)
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.respond(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(arrived) })
		<-release
		p.take(w, r)
	})
	first := make(chan error, 1)
	go func() {
		_, err := tr.Fire(t.Context(), triggertest.Input(0))
		first <- err
	}()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() {
		_, err := tr.Fire(ctx, triggertest.Input(2))
		stopped <- err
	}()
	_, err := tr.Fire(t.Context(), triggertest.Input(4))
	if wait, most, busy := trigger.Postponed(err); !busy || wait <= 0 || most <= wait {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-stopped; err == nil {
		t.Error("the one that was stopped sent something")
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	fire(t, tr, 4)
	if got, want := fmt.Sprint(p.threads()), "map[:1 1700000000.000001:1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A thread whose first message was deleted begins anew.
func TestThreadIsGone(t *testing.T) {
	p, _, tr := start(t, inThread)
	fire(t, tr, 0)
	p.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.PostForm.Get("thread_ts") == "1700000000.000001" {
			fmt.Fprint(w, `{"ok":false,"error":"thread_not_found"}`)
			return
		}
		p.take(w, r)
	})
	fire(t, tr, 2)
	fire(t, tr, 4)
	if got, want := fmt.Sprint(p.threads()), "map[:2 1700000000.000002:1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
