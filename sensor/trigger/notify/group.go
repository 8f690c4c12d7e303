package notify

import (
	"encoding/json"
	"slices"
	"time"
)

// The times of a group that the configuration does not set.
const (
	// giveUp is how long a destination that fails is waited for, once the group
	// could end without it.
	giveUp = time.Hour
	// forget is how long a group is kept that only an event can resolve, after
	// its last firing.
	forget = 7 * 24 * time.Hour
	// pulse is how often whoever tends a group says so in it.
	pulse = time.Minute
	// orphaned is after how long without a pulse a group is tended anew.
	orphaned = 3 * time.Minute
	// mostRecent is how many ids of firings a group remembers.
	mostRecent = 512
)

// group is one group, from the firing that opens it to its end: the value of a
// key of the trigger's state.
type group struct {
	Key string `json:"key"`
	// Tender is the id of the firing whose follower tends the group. One that
	// finds another id here lets go.
	Tender string    `json:"tender"`
	Tended time.Time `json:"tended"`
	// Count of firings, and the times of the first and the last of them.
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Reached is when the threshold was; Times are those of firings before that.
	Reached time.Time   `json:"reached,omitzero"`
	Times   []time.Time `json:"times,omitempty"`
	// Recent are short ids of the last firings, so that none counts twice.
	Recent []string `json:"recent,omitempty"`
	// Resolved is when it was; Quiet says that no event has done it.
	Resolved time.Time `json:"resolved,omitzero"`
	Quiet    bool      `json:"quiet,omitempty"`
	// Newest is what the newest firing has to say.
	Newest  message  `json:"newest"`
	Samples []sample `json:"samples,omitempty"`
	// Events of the newest firing, and of the one that resolved it, by dependency;
	// kept only if a text needs them.
	Events json.RawMessage `json:"events,omitempty"`
	// To is what each destination has been told.
	To map[string]*told `json:"to,omitempty"`
}

// message is what one firing says, its texts made.
type message struct {
	Title    string            `json:"title,omitempty"`
	Text     string            `json:"text,omitempty"`
	Severity string            `json:"severity,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
}

type sample struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// told is the state of one destination in a group.
type told struct {
	// Messages that have arrived, the Count that they covered, and when the last one did.
	Messages int       `json:"messages,omitempty"`
	Covered  int       `json:"covered,omitempty"`
	Last     time.Time `json:"last,omitzero"`
	// Resolved says that it knows of the end.
	Resolved bool `json:"resolved,omitempty"`
	// Failing is since when it fails, Why the last error in one line, Tries how often,
	// Next when to try again.
	Failing time.Time `json:"failing,omitzero"`
	Why     string    `json:"why,omitempty"`
	Tries   int       `json:"tries,omitempty"`
	Next    time.Time `json:"next,omitzero"`
}

// count adds a firing.
func (g *group) count(c grouping, m message, now time.Time) {
	g.Resolved, g.Quiet = time.Time{}, false
	g.Last, g.Newest = now, m
	text := cut(m.Text, sampleSize)
	g.Samples = slices.DeleteFunc(g.Samples, func(s sample) bool { return s.Text == text })
	g.Samples = append(g.Samples, sample{now, text})
	if g.Reached.IsZero() && c.threshold.n > 0 {
		old := func(at time.Time) bool { return now.Sub(at) > c.threshold.within }
		g.Times = append(slices.DeleteFunc(g.Times, old), now)
		g.Samples = slices.DeleteFunc(g.Samples, func(s sample) bool { return old(s.At) })
		g.Count, g.First = len(g.Times), g.Times[0]
		if g.Count >= c.threshold.n {
			g.Reached, g.Times = now, nil
		}
	} else {
		g.Count++
		if g.Count == 1 {
			g.First, g.Reached = now, now
		}
	}
	if n := len(g.Samples) - c.samples; n > 0 {
		g.Samples = slices.Delete(g.Samples, 0, n)
	}
}

// remember notes the id of a firing.
func (g *group) remember(id string) {
	g.Recent = append(g.Recent, id)
	if n := len(g.Recent) - mostRecent; n > 0 {
		g.Recent = slices.Delete(g.Recent, 0, n)
	}
}

// at is the state of a destination, for reading.
func (g *group) at(dest string) told {
	if t := g.To[dest]; t != nil {
		return *t
	}
	return told{}
}

// heard tells whether a destination knows of the end.
func (g *group) heard() bool {
	for _, t := range g.To {
		if t.Resolved {
			return true
		}
	}
	return false
}

// The kinds of messages.
type sort string

const (
	first    sort = "firing"
	summary  sort = "summary"
	reminder sort = "reminder"
	resolved sort = "resolved"
)

// due is the next message to a destination and its time; none if kind is empty.
func (g *group) due(c grouping, dest string) (kind sort, at time.Time) {
	t := g.at(dest)
	news := first
	if g.Count-t.Covered > 1 {
		news = summary
	}
	begin := g.Reached.Add(c.wait)
	switch {
	case g.Reached.IsZero():
		return "", at
	case g.Resolved.IsZero() && t.Covered < g.Count:
		if kind, at = news, begin; t.Messages > 0 {
			at = t.Last.Add(c.interval)
		}
	case g.Resolved.IsZero():
		if c.repeat <= 0 || t.Messages == 0 {
			return "", at
		}
		kind, at = reminder, t.Last.Add(c.repeat)
	case t.Resolved:
		return "", at
	case t.Messages > 0:
		kind, at = resolved, g.Resolved
	case begin.After(g.Resolved):
		return "", at // it was over before anything had to be said
	default:
		kind, at = news, begin
	}
	if t.Next.After(at) {
		at = t.Next
	}
	return kind, at
}

// end is when the group ends if nothing happens. If quiet, it is resolved
// then, and goes on until that is told.
func (g *group) end(c grouping, dests []string) (at time.Time, quiet bool) {
	switch {
	case !g.Resolved.IsZero():
		for _, d := range dests {
			if kind, _ := g.due(c, d); kind != "" {
				return g.Resolved.Add(giveUp), false
			}
		}
		return g.Resolved, false
	case g.Reached.IsZero():
		return g.Last.Add(c.threshold.within), false
	case c.resolveAfter > 0:
		at, begin := g.Last.Add(c.resolveAfter), g.Reached.Add(c.wait)
		if begin.After(at) {
			at = begin
		}
		return at, true
	case c.byEvent:
		return g.Last.Add(forget), false
	}
	at = g.Last
	for _, d := range dests {
		t := g.at(d)
		over := t.Last.Add(c.interval)
		if t.Covered < g.Count {
			over = g.Last.Add(max(c.wait, c.interval) + giveUp)
		}
		if over.After(at) {
			at = over
		}
	}
	return at, false
}

// arrived notes a message that covered count firings.
func (g *group) arrived(dest string, kind sort, count int, now time.Time) {
	if g.To == nil {
		g.To = map[string]*told{}
	}
	t := g.at(dest)
	t.Failing, t.Why, t.Tries, t.Next = time.Time{}, "", 0, time.Time{}
	t.Messages, t.Covered, t.Last = t.Messages+1, max(t.Covered, count), now
	switch {
	case kind != resolved:
	case g.Resolved.IsZero():
		t = told{Covered: count} // it began anew while the end was being told: what came since is news
	default:
		t.Resolved = true
	}
	g.To[dest] = &t
}

// failed notes an attempt that failed. The next ones are 5s to 5m later.
func (g *group) failed(dest, why string, now time.Time, asked time.Duration) {
	if g.To == nil {
		g.To = map[string]*told{}
	}
	t := g.at(dest)
	if t.Failing.IsZero() {
		t.Failing = now
	}
	wait := min(5*time.Second<<min(t.Tries, 10), 5*time.Minute)
	t.Tries++
	t.Why = cut(why, mostError)
	t.Next = now.Add(min(max(wait, asked), giveUp))
	g.To[dest] = &t
}
