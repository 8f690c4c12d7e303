package gitevent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

func pushed(unknown string) *gitevent.Event {
	e := &gitevent.Event{Repository: gitevent.Repository{Host: "h", FullName: "acme/api", DefaultBranch: "main"}}
	e.SetPush("refs/heads/x", one, two)
	e.Unknown(unknown)
	return e
}

func TestFillAsksForWhatAHostMayKnow(t *testing.T) {
	with := func(e *gitevent.Event, change func(*gitevent.Event)) *gitevent.Event {
		change(e)
		return e
	}
	newRef := func(ref string) *gitevent.Event {
		e := pushed("")
		e.SetPush(ref, "", two)
		e.Unknown(gitevent.UnknownNewRef)
		return e
	}
	pull := func(sort gitevent.Sort, number int64) *gitevent.Event {
		e := &gitevent.Event{Event: sort, Repository: gitevent.Repository{FullName: "acme/api"}, PullRequest: &gitevent.PullRequest{Number: number}}
		e.Unknown(gitevent.UnknownNotSent)
		return e
	}
	known := pushed("")
	known.Known([]string{"own"})
	for name, tt := range map[string]struct {
		e    *gitevent.Event
		asks bool
	}{
		"not sent":                {pushed(gitevent.UnknownNotSent), true},
		"truncated":               {pushed(gitevent.UnknownTruncated), true},
		"forced":                  {pushed(gitevent.UnknownForcePush), true},
		"minimal payload":         {pushed(gitevent.UnknownMinimal), true},
		"gone":                    {pushed(gitevent.UnknownDeletedRef), false},
		"too many":                {pushed(gitevent.UnknownTooMany), false},
		"failed before":           {pushed(gitevent.UnknownLookupFailed), false},
		"known":                   {known, false},
		"no repository":           {with(pushed(gitevent.UnknownNotSent), func(e *gitevent.Event) { e.Repository.FullName = "" }), false},
		"no commits":              {with(pushed(gitevent.UnknownNotSent), func(e *gitevent.Event) { e.Before = "" }), false},
		"a new branch":            {newRef("refs/heads/x"), true},
		"the default branch":      {newRef("refs/heads/main"), false},
		"a new tag":               {newRef("refs/tags/v1"), false},
		"a pull request":          {pull(gitevent.Pull, 1), true},
		"a review":                {pull(gitevent.Review, 1), true},
		"a comment":               {pull(gitevent.Comment, 1), false},
		"a pull request, no name": {pull(gitevent.Pull, 0), false},
		"an issue":                {&gitevent.Event{Event: gitevent.Issue, ChangedFilesUnknown: gitevent.UnknownNotSent, Repository: gitevent.Repository{FullName: "a/b"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			l := gitevent.Lookup{Find: func(context.Context, *gitevent.Event) ([]string, error) {
				asked = true
				return []string{"b", "a", "b"}, nil
			}}
			before := *tt.e
			l.Fill(t.Context(), tt.e)
			if asked != tt.asks {
				t.Fatalf("asked: %v", asked)
			}
			if tt.asks && (!slices.Equal(tt.e.ChangedFiles, []string{"a", "b"}) || tt.e.ChangedFilesUnknown != "") {
				t.Errorf("%+v", tt.e)
			}
			if !tt.asks && (tt.e.ChangedFilesUnknown != before.ChangedFilesUnknown || !slices.Equal(tt.e.ChangedFiles, before.ChangedFiles)) {
				t.Errorf("changed: %+v", tt.e)
			}
		})
	}
	e := pushed(gitevent.UnknownNotSent)
	(*gitevent.Lookup)(nil).Fill(t.Context(), e)
	if e.ChangedFilesUnknown != gitevent.UnknownNotSent {
		t.Error("a nil Lookup did something")
	}
}

func TestFillSaysWhyNot(t *testing.T) {
	many := make([]string, gitevent.MaxFiles+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, tt := range map[string]struct {
		files []string
		err   error
		want  string
	}{
		"failed":     {nil, errors.New("no"), "lookup-failed"},
		"a part":     {nil, fmt.Errorf("x: %w", gitevent.ErrTooMany), "too-many"},
		"too many":   {many, nil, "too-many"},
		"unknowable": {nil, fmt.Errorf("x: %w", gitevent.ErrUnknowable), "truncated"},
		"nothing":    {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := gitevent.Lookup{Find: func(context.Context, *gitevent.Event) ([]string, error) { return tt.files, tt.err }}
			for range 2 { // the second is remembered, or fails again
				e := pushed(gitevent.UnknownTruncated)
				l.Fill(t.Context(), e)
				if e.ChangedFilesUnknown != tt.want || (tt.want == "") != (e.ChangedFiles != nil) {
					t.Errorf("%v %q", e.ChangedFiles, e.ChangedFilesUnknown)
				}
			}
		})
	}
}

func TestFillAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		l := gitevent.Lookup{Find: func(context.Context, *gitevent.Event) ([]string, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return []string{"a"}, nil
		}}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				e := pushed(gitevent.UnknownNotSent)
				l.Fill(t.Context(), e)
				if !slices.Equal(e.ChangedFiles, []string{"a"}) {
					t.Errorf("%v %q", e.ChangedFiles, e.ChangedFilesUnknown)
				}
				e.ChangedFiles[0] = "spoiled"
			})
		}
		wg.Wait()
		e := pushed(gitevent.UnknownNotSent)
		l.Fill(t.Context(), e)
		if asked.Load() != 1 || e.ChangedFiles[0] != "a" {
			t.Errorf("asked %d times, %v", asked.Load(), e.ChangedFiles)
		}
		// What is told of a forced push is another thing, and of another repository.
		yes := true
		forced := pushed(gitevent.UnknownForcePush)
		forced.Forced = &yes
		l.Fill(t.Context(), forced)
		other := pushed(gitevent.UnknownNotSent)
		other.Repository.Host = "elsewhere"
		l.Fill(t.Context(), other)
		if asked.Load() != 3 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

func TestAPullRequestIsAskedForAgainWhenItMoved(t *testing.T) {
	asked := 0
	l := gitevent.Lookup{Find: func(context.Context, *gitevent.Event) ([]string, error) { asked++; return nil, nil }}
	ask := func(source, target string) {
		e := &gitevent.Event{Event: gitevent.Pull, Repository: gitevent.Repository{FullName: "a/b"}, PullRequest: &gitevent.PullRequest{
			Number: 1, Source: gitevent.PullEnd{SHA: source}, Target: gitevent.PullEnd{SHA: target},
		}}
		l.Fill(t.Context(), e)
	}
	ask(one, two)
	ask(one, two)
	if asked != 1 {
		t.Errorf("asked %d times for the same", asked)
	}
	ask(two, two)
	ask(one, one)
	ask("", two) // cannot be told apart, and is not remembered
	ask("", two)
	if asked != 5 {
		t.Errorf("asked %d times", asked)
	}
}

func TestFillIsBoundedInTimeAndNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most atomic.Int32
		l := gitevent.Lookup{Find: func(ctx context.Context, _ *gitevent.Event) ([]string, error) {
			now := under.Add(1)
			defer under.Add(-1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				e := pushed(gitevent.UnknownNotSent)
				e.Repository.FullName = fmt.Sprintf("acme/%d", i)
				l.Fill(t.Context(), e)
				if e.ChangedFilesUnknown != gitevent.UnknownLookupFailed {
					t.Errorf("%q", e.ChangedFilesUnknown)
				}
			})
		}
		wg.Wait()
		if got := time.Since(start); got != gitevent.DefaultTimeout {
			t.Errorf("took %v", got)
		}
		if most.Load() != 8 {
			t.Errorf("%d at a time", most.Load())
		}
		// It did not answer, so others do not wait for it, for a while.
		start = time.Now()
		l.Fill(t.Context(), pushed(gitevent.UnknownNotSent))
		if time.Since(start) != 0 {
			t.Errorf("waited %v", time.Since(start))
		}
	})
}

func TestOneWhoWaitsOutlivesTheOneWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		l := gitevent.Lookup{Find: func(ctx context.Context, _ *gitevent.Event) ([]string, error) {
			asked.Add(1)
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
				return []string{"a"}, nil
			}
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Fill(ctx, pushed(gitevent.UnknownNotSent)) })
		synctest.Wait()
		wg.Go(func() {
			e := pushed(gitevent.UnknownNotSent)
			l.Fill(t.Context(), e)
			if len(e.ChangedFiles) != 1 {
				t.Errorf("%q", e.ChangedFilesUnknown)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if asked.Load() != 2 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

func TestALimitedHostIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		fail := error(fmt.Errorf("x: %w", &hooks.Limited{Until: time.Now().Add(time.Minute), Cause: errors.New("quota")}))
		var log bytes.Buffer
		l := gitevent.Lookup{Log: slog.New(slog.NewTextHandler(&log, nil)), Find: func(context.Context, *gitevent.Event) ([]string, error) {
			asked++
			return []string{"a"}, fail
		}}
		for range 3 {
			e := pushed(gitevent.UnknownNotSent)
			l.Fill(t.Context(), e)
			if e.ChangedFilesUnknown != gitevent.UnknownLookupFailed {
				t.Error(e.ChangedFilesUnknown)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		if !strings.Contains(log.String(), "quota") || !strings.Contains(log.String(), "acme/api") {
			t.Errorf("log: %s", log.String())
		}
		time.Sleep(time.Minute)
		fail = nil
		e := pushed(gitevent.UnknownNotSent)
		if l.Fill(t.Context(), e); e.ChangedFiles == nil {
			t.Error("was not asked again")
		}
	})
}

func TestAnswersAreForgotten(t *testing.T) {
	asked := 0
	l := gitevent.Lookup{Find: func(context.Context, *gitevent.Event) ([]string, error) {
		asked++
		list := make([]string, 1000)
		for i := range list {
			list[i] = fmt.Sprint(i)
		}
		return list, nil
	}}
	ask := func(i int) {
		e := pushed(gitevent.UnknownNotSent)
		e.Repository.FullName = fmt.Sprintf("acme/%d", i)
		l.Fill(t.Context(), e)
	}
	for i := range 51 { // one more than is kept
		ask(i)
	}
	ask(50)
	if asked != 51 {
		t.Errorf("the last is not remembered: %d", asked)
	}
	ask(0)
	if asked != 52 {
		t.Errorf("the first is remembered: %d", asked)
	}
}

func TestAFinderThatPanicsDoesNotBlockOthers(t *testing.T) {
	first := true
	l := gitevent.Lookup{Find: func(context.Context, *gitevent.Event) ([]string, error) {
		if first {
			first = false
			panic("x")
		}
		return []string{"a"}, nil
	}}
	func() {
		defer func() { _ = recover() }()
		l.Fill(t.Context(), pushed(gitevent.UnknownNotSent))
		t.Error("no panic")
	}()
	e := pushed(gitevent.UnknownNotSent)
	if l.Fill(t.Context(), e); len(e.ChangedFiles) != 1 {
		t.Error(e.ChangedFilesUnknown)
	}
}

func TestFilesConfig(t *testing.T) {
	find := func(context.Context, *gitevent.Event) ([]string, error) { return nil, nil }
	for name, tt := range map[string]struct {
		config      *gitevent.FilesConfig
		credentials bool
		asks        bool
		timeout     time.Duration
		problems    string
	}{
		"nothing, with credentials":    {nil, true, true, 0, ""},
		"nothing, without":             {nil, false, false, 0, ""},
		"empty, with credentials":      {&gitevent.FilesConfig{}, true, true, 3 * time.Second, ""},
		"empty, without":               {&gitevent.FilesConfig{}, false, false, 0, ""},
		"none":                         {&gitevent.FilesConfig{Lookup: "none"}, true, false, 0, ""},
		"api":                          {&gitevent.FilesConfig{Lookup: "api", Timeout: v1alpha1.DurationOf(time.Second)}, true, true, time.Second, ""},
		"api without credentials":      {&gitevent.FilesConfig{Lookup: "api"}, false, true, 3 * time.Second, "c.lookup: the host's API cannot be asked without credentials (set a token)"},
		"unknown, and a negative time": {&gitevent.FilesConfig{Lookup: "git", Timeout: v1alpha1.DurationOf(-1)}, true, true, -1, "c.lookup: \"git\" is unknown (api or none)\nc.timeout: has to be positive (for example 3s)"},
	} {
		t.Run(name, func(t *testing.T) {
			needs := ""
			if !tt.credentials {
				needs = "set a token"
			}
			tt.config.Default(tt.credentials)
			got := ""
			if err := tt.config.Validate("c", needs); err != nil {
				got = err.Error()
			}
			if got != tt.problems {
				t.Errorf("got %s", got)
			}
			l := tt.config.Uses(find, tt.credentials, nil)
			if (l != nil) != tt.asks || l != nil && l.Timeout != tt.timeout {
				t.Errorf("%+v", l)
			}
		})
	}
	if (&gitevent.FilesConfig{Lookup: "api"}).Uses(nil, true, nil) != nil {
		t.Error("a Lookup without a finder")
	}
}
