package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/sensor/param"
)

// facts are .Group: what a message to one destination can say of the group.
func (g *group) facts(t told, kind sort, now time.Time) map[string]any {
	end := g.Last
	if kind == reminder {
		end = now
	}
	if kind == resolved {
		end = g.Resolved
	}
	samples := []any{}
	for _, s := range g.Samples {
		if kind != summary || s.At.After(t.Last) {
			samples = append(samples, s.Text)
		}
	}
	return map[string]any{
		"key": g.Key, "count": int64(g.Count), "new": int64(g.Count - t.Covered), "messages": int64(t.Messages),
		"first": stamp(g.First), "last": stamp(g.Last), "duration": span(end.Sub(g.First)),
		"samples": samples, "resolved": kind == resolved, "quiet": g.Quiet,
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func span(d time.Duration) string { return max(d, 0).Round(time.Second).String() }

// word makes the message to one destination. An error tells why one of ours
// replaces the user's text.
func (p *plan) word(g *group, t told, kind sort, facts map[string]any, events map[string]*event.Event) (message, error) {
	m := g.Newest
	if kind == first {
		return m, nil
	}
	text, ours := p.summary, g.summed(t, facts)
	switch kind {
	case reminder:
		ours = fmt.Sprintf("Not resolved after %s: %d since %s, the last at %s.", facts["duration"], g.Count, stamp(g.First), stamp(g.Last))
		m.Title = prefix("Reminder: ", m.Title)
	case resolved:
		text = p.resolved
		ours = fmt.Sprintf("Resolved after %s: %d in all, the last at %s.", facts["duration"], g.Count, stamp(g.Last))
		if g.Quiet {
			ours = fmt.Sprintf("Nothing new since %s, taken as resolved: %d in %s.", stamp(g.Last), g.Count, span(g.Last.Sub(g.First)))
		}
		m.Title = prefix("Resolved: ", m.Title)
	default:
		m.Title = suffix(m.Title, fmt.Sprintf(" (%d times)", g.Count))
	}
	if g.Key != "" {
		ours = g.Key + ": " + ours
	}
	m.Text = ours
	if text.Empty() {
		return m, nil
	}
	s, err := p.late(text, facts, events)
	if err != nil {
		return m, err
	}
	m.Text = s
	return m, nil
}

func (p *plan) late(text param.Text, facts map[string]any, events map[string]*event.Event) (string, error) {
	root, err := p.root(events)
	if err != nil {
		return "", err
	}
	root["Group"] = facts
	return text.With(root)
}

func (g *group) summed(t told, facts map[string]any) string {
	var b strings.Builder
	if t.Messages > 0 {
		fmt.Fprintf(&b, "%d more, %d since %s", g.Count-t.Covered, g.Count, stamp(g.First))
	} else {
		fmt.Fprintf(&b, "%d since %s", g.Count, stamp(g.First))
	}
	samples, _ := facts["samples"].([]any)
	for i, s := range samples {
		if i == 0 {
			b.WriteString(", such as:")
		}
		fmt.Fprintf(&b, "\n- %s", s)
	}
	return b.String()
}

// line makes one line of a text, without control characters: services put titles
// and parameters into headers.
func line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
}

func prefix(p, s string) string {
	if s == "" {
		return ""
	}
	return p + s
}

func suffix(s, p string) string {
	if s == "" {
		return ""
	}
	return s + p
}
