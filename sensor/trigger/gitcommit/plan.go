package gitcommit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit/edit"
)

// plan is what a firing is going to do.
type plan struct {
	firing  string
	conf    Config
	branch  string // to commit to or to merge into; empty for the default one
	head    string // of a pull request; empty without one
	changes []edit.Resolved
	message string // empty to tell what has changed
	title   string
	body    string
	labels  []string
	// when is the time of the newest event.
	when time.Time
	// events as SOURCE/ID.
	events []string
	// queue names what is queued up together, commit what can be one commit.
	queue, commit string
}

// plan makes ready what can be told without the repository.
func (t *committer) plan(ctx context.Context, in trigger.Input) (*plan, error) {
	if t.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := trigger.Override(t.conf, t.params, in.Events)
	if err != nil {
		return nil, err
	}
	p := &plan{firing: in.ID, conf: c}
	if err := p.fill(in); err != nil {
		return nil, trigger.Permanent(err)
	}
	for i := range c.Changes {
		r, err := c.Changes[i].Resolve(in.Events)
		if err != nil {
			return nil, trigger.Permanent(fmt.Errorf("changes[%d]: %w", i, err))
		}
		p.changes = append(p.changes, r)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Events)) {
		e := in.Events[name]
		p.events = append(p.events, oneLine(e.Source()+"/"+e.ID(), 200))
		if e.Time().After(p.when) {
			p.when = e.Time()
		}
	}
	return p, p.identify(in.Namespace)
}

// fill makes the texts of the events.
func (p *plan) fill(in trigger.Input) error {
	text := func(name, from string, to *string) error {
		compiled, err := param.CompileText(from)
		if err == nil {
			*to, err = compiled.Of(in.Events)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	branch := func(name, from string, to *string) error {
		if err := text(name, from, to); err != nil {
			return err
		}
		*to = strings.TrimPrefix(*to, "refs/heads/")
		if from != "" && !validBranch(*to) {
			return fmt.Errorf("%s: %q is no name of a branch", name, *to)
		}
		return nil
	}
	if err := branch("branch", p.conf.Branch, &p.branch); err != nil {
		return err
	}
	if err := text("message", p.conf.Message, &p.message); err != nil {
		return err
	}
	p.message = tidy(p.message)
	c := p.conf.PullRequest
	if c == nil {
		return nil
	}
	head := c.Branch
	if head == "" {
		head = "signalbox/" + plain(in.Sensor) + "/" + plain(in.Trigger)
	}
	if err := branch("pullRequest.branch", head, &p.head); err != nil {
		return err
	}
	if p.head == p.branch {
		return fmt.Errorf("pullRequest.branch: %s is the branch to merge into", p.head)
	}
	if err := text("pullRequest.title", c.Title, &p.title); err != nil {
		return err
	}
	p.title = oneLine(p.title, 250)
	if err := text("pullRequest.body", c.Body, &p.body); err != nil {
		return err
	}
	for i, l := range c.Labels {
		var label string
		if err := text(fmt.Sprintf("pullRequest.labels[%d]", i), l, &label); err != nil {
			return err
		}
		if label = strings.TrimSpace(label); label != "" {
			p.labels = append(p.labels, label)
		}
	}
	return nil
}

// plain makes a name fit to be part of a branch's.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, name)
	return or(strings.Trim(name, "-"), "x")
}

// identify makes the keys by which firings are put together.
func (p *plan) identify(namespace string) error {
	c := p.conf
	queue, err := json.Marshal([]any{namespace, c.Access, p.branch, p.head})
	if err != nil {
		return err
	}
	commit, err := json.Marshal([]any{c.Author, c.Committer, c.Signing, c.PullRequest})
	if err != nil {
		return err
	}
	p.queue, p.commit = "gitCommit/"+string(queue), string(commit)
	return nil
}

// Texts that stand in Render for what only the repository knows.
const (
	defaultBranch  = "(the default branch)"
	defaultMessage = "(what has changed)"
)

// spec is what Render shows.
type spec struct {
	// Repository is its URL.
	Repository string `json:"repository"`
	Branch     string `json:"branch"`
	// Changes have their templates filled in.
	Changes     []edit.Resolved `json:"changes"`
	Message     string          `json:"message"`
	Firing      string          `json:"firing"`
	Author      string          `json:"author"`
	Committer   string          `json:"committer,omitempty"`
	Signed      bool            `json:"signed,omitempty"`
	PullRequest *pullSpec       `json:"pullRequest,omitempty"`
}

type pullSpec struct {
	Branch string   `json:"branch"`
	Title  string   `json:"title,omitempty"`
	Body   string   `json:"body,omitempty"`
	Labels []string `json:"labels,omitempty"`
	Draft  bool     `json:"draft,omitempty"`
}

func (p *plan) render() (trigger.Action, error) {
	s := spec{
		Repository: p.conf.Place().Clone, Branch: or(p.branch, defaultBranch), Changes: p.changes,
		Message: or(p.message, defaultMessage), Firing: p.firing, Author: p.conf.Author.String(), Signed: p.conf.Signing != nil,
	}
	if p.conf.Committer != nil {
		s.Committer = p.conf.Committer.String()
	}
	if p.head != "" {
		s.PullRequest = &pullSpec{p.head, p.title, p.body, p.labels, p.conf.PullRequest.Draft}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return trigger.Action{Kind: kindName, Spec: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, err
}

// String is NAME <EMAIL>.
func (p *Person) String() string { return p.Name + " <" + p.Email + ">" }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
