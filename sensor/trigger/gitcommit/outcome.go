package gitcommit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit/pull"
)

// result is what Fire returns.
func (j *job) result(r *round, out result) (trigger.Result, error) {
	changes := []any{}
	for _, e := range j.edits[:min(len(j.edits), maxListed)] {
		changes = append(changes, map[string]any{"path": e.Path, "what": e.What, "old": e.Old, "new": e.New})
	}
	details := map[string]any{"repository": j.plan.conf.Place().Clone, "branch": r.draft.Branch, "changes": changes}
	if more := len(j.edits) - len(changes); more > 0 {
		details["moreChanges"] = more
	}
	// What is so without a commit of ours is so in the newest one.
	if revision := or(out.revision, or(r.draft.Made(), r.draft.Tip)); revision != "" {
		details["revision"] = revision
	}
	details["effect"] = or(out.effect, effectNothing)
	if out.firings > 0 {
		details["firings"] = out.firings
	}
	res := trigger.Result{Summary: out.summary, Details: details}
	if r.pulls == nil || r.pulls.info.Number == 0 {
		return res, nil
	}
	info := r.pulls.info
	res.Summary += fmt.Sprintf(", pull request %d", info.Number)
	details["pullRequest"] = map[string]any{"url": info.URL, "number": info.Number}
	if j.plan.conf.Follow == nil {
		return res, nil
	}
	var err error
	res.Follow, err = json.Marshal(followed{URL: j.plan.conf.URL, Pull: r.pulls.conf, Number: info.Number})
	return res, err
}

func (j *job) failed(err error) (trigger.Result, error) { return trigger.Result{}, explained(err) }

// pulls sees to the pull request of a head branch.
type pulls struct {
	client *pull.Client
	conf   pull.Config
	job    *job // of the state
	draft  *gitrepo.Draft

	// number that is remembered for the head branch; 0 for none.
	number int
	state  pull.State
	info   pull.Info
}

// remembered is what the state has of a head branch.
type remembered struct {
	Number int    `json:"number"`
	URL    string `json:"url"`
}

// pullConfig has the credentials of the repository if it has none of its own.
func (c *Config) pullConfig() pull.Config {
	p := *c.PullRequest
	if p.Token == nil && p.GithubApp == nil {
		p.Token = c.TokenSecret
		if c.TokenSecret == nil && c.GithubApp != nil {
			p.GithubApp = c.GithubApp
			p.API = or(p.API, c.GithubApp.API)
		}
	}
	if p.TLS == nil {
		p.TLS = c.TLS
	}
	return p
}

func newPulls(j *job, d *gitrepo.Draft) (*pulls, error) {
	conf := j.plan.conf.pullConfig()
	client, err := pull.New(conf, j.plan.conf.Place(), j.env.Secrets, j.env.HTTP)
	if err != nil {
		return nil, fmt.Errorf("pullRequest: %w", err)
	}
	return &pulls{client: client, conf: conf, job: j, draft: d}, nil
}

func (p *pulls) key() string {
	key, _ := p.job.key("pull request of " + p.draft.Branch)
	return "pull/" + strings.TrimPrefix(key, targetPrefix)
}

// look finds out what has become of the pull request that was opened last. If it
// is over, the branch begins anew.
func (p *pulls) look(ctx context.Context) error {
	value, err := p.job.env.State.Get(ctx, p.key())
	if err != nil {
		return err
	}
	var last remembered
	if len(value) == 0 || json.Unmarshal(value, &last) != nil || last.Number == 0 {
		return nil
	}
	state, _, err := p.client.State(ctx, last.Number)
	switch {
	case errors.Is(err, pull.ErrGone):
		return nil // then another one is opened
	case err != nil:
		return fmt.Errorf("pull request %d: %w", last.Number, err)
	}
	p.number, p.state, p.info = last.Number, state, pull.Info{URL: last.URL, Number: last.Number}
	if state != pull.Open {
		p.draft.Restart()
	}
	return nil
}

// ensure sees to it that there is a pull request if the branch has anything that the
// base has not. revision is the commit that was just pushed, or one that is there.
func (p *pulls) ensure(ctx context.Context, j *job, revision string) error {
	own, err := p.draft.Own()
	if err != nil {
		return err
	}
	pushed := p.draft.Made() != "" && p.draft.Made() == revision
	if !pushed && (p.number > 0 && p.state != pull.Open || len(own) == 0) {
		return nil // it is over, or in the base
	}
	request := pull.Request{Head: p.draft.Branch, Base: p.draft.BaseBranch, Title: j.plan.title, Body: j.plan.body, Labels: j.plan.labels}
	var messages []string
	if p.state == pull.Open || p.number == 0 {
		for _, c := range own {
			messages = append(messages, c.Message)
		}
	}
	if pushed {
		messages = append(messages, p.draft.Message())
	}
	p.words(&request, messages)
	info, err := p.client.Open(ctx, request)
	if err != nil {
		return fmt.Errorf("pull request for %s: %w", p.draft.Branch, err)
	}
	p.info = info
	if p.number == info.Number {
		return nil
	}
	p.number, p.state = info.Number, pull.Open
	value, err := json.Marshal(remembered{info.Number, info.URL})
	if err != nil {
		return err
	}
	return p.job.env.State.Change(ctx, p.key(), func([]byte) ([]byte, error) { return value, nil })
}

// words fills in title and body out of the commits' messages.
func (p *pulls) words(r *pull.Request, messages []string) {
	if len(messages) == 0 {
		r.Title = or(r.Title, "Changes of "+r.Head)
		return
	}
	subject, rest := subjectOf(messages[len(messages)-1])
	r.Title = or(r.Title, oneLine(subject, maxSubject))
	if r.Body != "" {
		return
	}
	if len(messages) == 1 {
		r.Body = rest
		return
	}
	var lines []string
	for _, m := range messages[max(0, len(messages)-maxListed):] {
		subject, rest := subjectOf(m)
		lines = append(lines, "- "+oneLine(subject, maxSubject))
		if rest != "" {
			lines = append(lines, "  "+strings.ReplaceAll(rest, "\n", "\n  "))
		}
	}
	r.Body = cut(strings.Join(lines, "\n"), maxMessage)
}

// followed is a pull request that is waited for.
type followed struct {
	URL    string      `json:"repository"`
	Pull   pull.Config `json:"pullRequest"`
	Number int         `json:"number"`
}

// Pauses between two looks at a pull request: at first, and at last.
const (
	firstLook   = 5 * time.Second
	longestLook = time.Minute
)

// await waits until a pull request is merged or closed.
func await(ctx context.Context, t trigger.Trigger, f trigger.Following) (trigger.Outcome, error) {
	c, ok := t.(*committer)
	var ref followed
	if err := json.Unmarshal(f.Ref, &ref); err != nil || !ok || ref.Number == 0 {
		return trigger.Outcome{}, trigger.Permanent(errors.New("what is followed is no pull request"))
	}
	place := (&gitrepo.Access{URL: ref.URL}).Place()
	client, err := pull.New(ref.Pull, place, c.env.Secrets, c.env.HTTP)
	if err != nil {
		return trigger.Outcome{}, trigger.Permanent(err)
	}
	for wait := firstLook; ; wait = min(wait*3/2, longestLook) {
		state, commit, err := client.State(ctx, ref.Number)
		if err != nil {
			return trigger.Outcome{}, unsure(fmt.Errorf("pull request %d: %w", ref.Number, err))
		}
		switch state {
		case pull.Merged:
			out := trigger.Outcome{Summary: fmt.Sprintf("pull request %d is merged", ref.Number)}
			if commit != "" {
				out.Summary += " as " + short(commit)
				out.Details = map[string]any{"mergeCommit": commit}
			}
			return out, nil
		case pull.Closed:
			return trigger.Outcome{Failed: true, Summary: fmt.Sprintf("pull request %d was closed without being merged", ref.Number)}, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return trigger.Outcome{}, ctx.Err()
		}
	}
}

// unsure takes the mark off errors that say nothing of the pull request, such as that
// of a token that has expired: it may be replaced before the block's timeout.
func unsure(err error) error {
	if trigger.IsPermanent(err) && !errors.Is(err, pull.ErrGone) {
		return errors.New(err.Error())
	}
	return err
}
