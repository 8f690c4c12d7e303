package codecommit

import (
	"net/http"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// testEvent is what a trigger sends to be tried out.
const testEvent = "TriggerEventTest"

// maxEvents and maxCut bound what one body is cut into.
const (
	maxEvents = 5000
	maxCut    = 64 << 20
)

// found is one event of a body.
type found struct {
	event gitevent.Event
	// id of Amazon's, and the event's number among those that have it.
	id     string
	number int
	// body has this event alone; nil is the whole body.
	body []byte
}

// decode finds the events in a body: one of EventBridge, or those of a trigger. There
// are none if the body is of another service. The error is an *ingress.Error.
func decode(body []byte) ([]found, error) {
	records, ok, err := githost.Split(body, "Records")
	if err != nil {
		return nil, err
	}
	if ok && len(records.Items) > 0 {
		return triggered(records)
	}
	var in event
	gitevent.Decode(body, &in)
	if in.Source != "" && in.Source != "aws.codecommit" {
		return nil, nil
	}
	return []found{{id: in.ID, event: in.block()}}, nil
}

// triggered finds the events in the records of a trigger, one for each reference.
func triggered(records githost.Parts) ([]found, error) {
	var c cut
	for _, item := range records.Items {
		var r record
		gitevent.Decode(item, &r)
		if r.Source != "" && r.Source != "aws:codecommit" {
			continue
		}
		parts, ok, err := githost.Split(item, "codecommit", "references")
		if err != nil {
			return nil, err
		}
		if !ok || len(parts.Items) == 0 || r.Event == testEvent {
			f := found{id: r.id(), event: r.block(reference{})}
			if len(records.Items) > 1 {
				f.body = with(records, item)
			}
			if err := c.add(f); err != nil {
				return nil, err
			}
			continue
		}
		for i, raw := range parts.Items {
			var one reference
			gitevent.Decode(raw, &one)
			f := found{id: r.id(), event: r.block(one)}
			if len(records.Items) > 1 || len(parts.Items) > 1 {
				f.body = with(records, parts.With(i))
			}
			if err := c.add(f); err != nil {
				return nil, err
			}
		}
	}
	return c.all, nil
}

// cut is what a body has been cut into.
type cut struct {
	all   []found
	size  int
	count map[string]int // of events, by their ids
}

// add gives f its number. The error is an *ingress.Error if it is too much.
func (c *cut) add(f found) error {
	if c.count == nil {
		c.count = map[string]int{}
	}
	f.number = c.count[f.id]
	c.count[f.id]++
	c.all, c.size = append(c.all, f), c.size+len(f.body)
	if len(c.all) > maxEvents || c.size > maxCut {
		return tooMuch()
	}
	return nil
}

// with is the object around a list with that one element.
func with(p githost.Parts, item []byte) []byte {
	p.Items = [][]byte{item}
	return p.With(0)
}

func tooMuch() error {
	return &ingress.Error{Status: http.StatusRequestEntityTooLarge, Text: "the request tells of more references than can be made events of"}
}
