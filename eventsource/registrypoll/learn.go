package registrypoll

import (
	"context"
	"errors"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// learn takes a list of tags into the memory, and what is different into
// Pending. It tells whether the memory has changed, also if there is an error.
func (s *source) learn(ctx context.Context, r name.Repository, m *memory, listed []string) (bool, error) {
	tags := slices.DeleteFunc(slices.Clone(listed), func(t string) bool { return !s.config.selects(t) })
	slices.Sort(tags)
	l := &lesson{source: s, repository: r, memory: m, tags: slices.Compact(tags)}
	l.first = m.Tags == nil
	// What a changed manifest brings into sight is not new.
	l.quiet = l.first && !s.config.EmitExisting || !l.first && m.Selection != s.selection
	l.changed = l.first || m.Selection != s.selection
	m.Selection = s.selection
	if m.Tags == nil {
		m.Tags = map[string]string{}
	}
	l.forget()
	var err error
	if s.picker != nil {
		err = l.pick(ctx)
	} else {
		err = l.all(ctx)
	}
	if errors.Is(err, errSpent) { // the rest comes with the next look
		err = nil
	}
	m.add(l.changes)
	return l.changed, err
}

// lesson is what one look teaches.
type lesson struct {
	source     *source
	repository name.Repository
	memory     *memory
	tags       []string // sorted
	first      bool
	// quiet takes what is new without an event.
	quiet   bool
	changed bool
	changes []change
}

// forget removes the tags that are gone.
func (l *lesson) forget() {
	m := l.memory
	for tag, digest := range m.Tags {
		if _, there := slices.BinarySearch(l.tags, tag); there {
			continue
		}
		delete(m.Tags, tag)
		l.changed = true
		selected := l.source.config.selects(tag) && (l.source.picker == nil || tag == m.Picked)
		if selected && !l.quiet && slices.Contains(l.source.config.Actions, imageevent.Delete) {
			l.changes = append(l.changes, change{Tag: tag, Before: digest})
		}
	}
}

// pushed notes that a tag has a digest, and emits that unless it is quiet.
func (l *lesson) pushed(tag, before, digest, mediaType string, quiet bool) {
	l.memory.Tags[tag] = digest
	l.changed = true
	if !quiet && slices.Contains(l.source.config.Actions, imageevent.Push) {
		l.changes = append(l.changes, change{Tag: tag, Before: before, After: digest, MediaType: mediaType})
	}
}

// pick follows the one tag that the policy picks.
func (l *lesson) pick(ctx context.Context) error {
	m, p := l.memory, l.source.picker
	for _, tag := range l.tags {
		if _, known := m.Tags[tag]; !known {
			m.Tags[tag], l.changed = "", true
		}
	}
	tag := p.pick(l.tags)
	if tag == "" {
		if m.Picked != "" {
			m.Picked, l.changed = "", true
		}
		return nil
	}
	digest, mediaType, gone, err := l.source.client.digest(ctx, l.repository.Tag(tag))
	if err != nil || gone {
		return err
	}
	known := m.Tags[tag]
	switch {
	case tag == m.Picked && digest == known:
		return nil
	case tag == m.Picked:
		l.pushed(tag, known, digest, mediaType, known == "" || l.quiet)
	default:
		// A tag that is picked only because a higher one has gone is no news.
		news := m.Picked == "" || p.above(tag, m.Picked)
		l.pushed(tag, known, digest, mediaType, l.quiet || !news)
		m.Picked = tag
	}
	return nil
}

// all follows every tag: new ones first, then the digests of as many others as
// there are requests left, going on where the last look ended.
func (l *lesson) all(ctx context.Context) error {
	m := l.memory
	begun := len(l.changes)
	var err error
	for _, tag := range l.tags {
		if _, known := m.Tags[tag]; known {
			continue
		}
		if l.quiet {
			m.Tags[tag], l.changed = "", true
			continue
		}
		digest, mediaType, gone, failed := l.source.client.digest(ctx, l.repository.Tag(tag))
		if failed != nil {
			err = failed
			break
		}
		if !gone {
			l.pushed(tag, "", digest, mediaType, false)
		}
	}
	if err == nil {
		err = l.moved(ctx)
	}
	if p := l.source.config.Policy; p != nil && p.Newest && len(l.changes)-begun > 1 {
		return errors.Join(err, l.newest(ctx, begun))
	}
	return err
}

// moved looks for tags whose digest has changed.
func (l *lesson) moved(ctx context.Context) error {
	name := l.repository.Name()
	asked := map[string]bool{}
	for _, c := range l.changes {
		asked[c.Tag] = true
	}
	start, _ := slices.BinarySearch(l.tags, l.source.cursors[name]+"\x00")
	for i := range l.tags {
		tag := l.tags[(start+i)%len(l.tags)]
		known, there := l.memory.Tags[tag]
		if !there || asked[tag] {
			continue
		}
		digest, mediaType, gone, err := l.source.client.digest(ctx, l.repository.Tag(tag))
		if err != nil {
			return err
		}
		l.source.cursors[name] = tag
		if !gone && digest != known {
			l.pushed(tag, known, digest, mediaType, known == "")
		}
	}
	return nil
}

// newest leaves one of the changes that were found since begun: that of the
// image that was made last.
func (l *lesson) newest(ctx context.Context, begun int) error {
	best := -1
	var bestTime int64
	var failed error
	for i := begun; i < len(l.changes); i++ {
		made, err := l.source.client.created(ctx, l.repository, l.changes[i].After)
		if err != nil {
			failed = err
		}
		at := made.Unix()
		if best < 0 || at > bestTime || at == bestTime && l.changes[i].Tag > l.changes[best].Tag {
			best, bestTime = i, at
		}
	}
	l.changes = append(l.changes[:begun], l.changes[best])
	return failed
}
