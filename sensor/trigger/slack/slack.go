// Package slack is the trigger that sends a message to Slack.
package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.slack.
var Kind = trigger.Kind{
	Kind:   kind.Of("slack", newPoster),
	Follow: trigger.FollowAtOnce(func(c *Config) *v1alpha1.Follow { return c.Follow }),
}

const (
	// keepSent is how long a firing's message is remembered, keepThreads how
	// long a thread is after its last message.
	keepSent    = 24 * time.Hour
	keepThreads = 90 * 24 * time.Hour
)

// poster implements trigger.Trigger.
type poster struct {
	env     trigger.Env
	conf    Config
	params  *param.List
	sent    trigger.Memory[sent]
	threads trigger.Memory[thread]
	closed  atomic.Bool
}

// sent is the message of a firing.
type sent struct {
	Channel string `json:"channel,omitempty"`
	TS      string `json:"ts,omitempty"`
	Thread  string `json:"thread,omitempty"`
}

func newPoster(c Config, env trigger.Env) (trigger.Trigger, error) {
	params, err := param.Compile(c.Parameters)
	if err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	return &poster{
		env: env, conf: c, params: params,
		sent:    trigger.Memory[sent]{State: env.State, Name: "sent", Keep: keepSent},
		threads: trigger.Memory[thread]{State: env.State, Name: "thread", Keep: keepThreads},
	}, nil
}

// message is one message as Slack takes it, and as Render shows it.
type message struct {
	// URL that it is sent to.
	URL string `json:"url"`
	// Token is masked; nobody reads it before the message is sent.
	Token       string          `json:"token"`
	Channel     string          `json:"channel"`
	Text        string          `json:"text,omitempty"`
	Attachments json.RawMessage `json:"attachments,omitempty"`
	Blocks      json.RawMessage `json:"blocks,omitempty"`
	Username    string          `json:"username,omitempty"`
	IconEmoji   string          `json:"icon_emoji,omitempty"`
	IconURL     string          `json:"icon_url,omitempty"`
	// Thread is the thread's key; Slack gets the thread_ts that belongs to it.
	Thread string `json:"thread,omitempty"`
	// Broadcast is sent as reply_broadcast with all but the first message of a thread.
	Broadcast bool     `json:"broadcast,omitempty"`
	Metadata  metadata `json:"metadata"`
}

// metadata is for programs; people do not see it.
type metadata struct {
	Type    string  `json:"event_type"`
	Payload payload `json:"event_payload"`
}

type payload struct {
	Firing  string `json:"firing"`
	Sensor  string `json:"sensor"`
	Trigger string `json:"trigger"`
	Thread  string `json:"thread,omitempty"`
}

// message makes the one message that Render shows and Fire sends.
func (p *poster) message(ctx context.Context, in trigger.Input) (*message, *Config, error) {
	if p.closed.Load() {
		return nil, nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	c, err := trigger.Override(p.conf, p.params, in.Events)
	if err != nil {
		return nil, nil, err
	}
	m, err := newMessage(&c, in)
	if err != nil {
		return nil, nil, trigger.Permanent(err)
	}
	return m, &c, nil
}

// newMessage checks again what Validate leaves to the parameters.
func newMessage(c *Config, in trigger.Input) (*message, error) {
	m := &message{
		URL: strings.TrimSuffix(c.APIURL, "/") + "/chat.postMessage", Token: "***",
		Channel: strings.TrimPrefix(c.Channel, "#"), Text: c.Message,
		Metadata: metadata{"signalbox_firing", payload{Firing: in.ID, Sensor: in.Namespace + "/" + in.Sensor, Trigger: in.Trigger}},
	}
	var errs []error
	var err error
	m.Attachments, err = attachments(c.Attachments)
	errs = append(errs, v1alpha1.At("attachments", err))
	m.Blocks, err = blocks(c.Blocks)
	errs = append(errs, v1alpha1.At("blocks", err), v1alpha1.Fatal(v1alpha1.At("apiURL", validAPI(c.APIURL))))
	if m.Channel == "" {
		errs = append(errs, v1alpha1.Invalid("channel", "is empty"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, oneLine(err)
	}
	if m.Text == "" && m.Attachments == nil && m.Blocks == nil {
		return nil, errors.New("there is nothing to send: message, attachments and blocks are empty")
	}
	if c.SlackToken == nil {
		return nil, errors.New("slackToken is missing")
	}
	if c.Sender != nil {
		m.Username = c.Sender.Username
		m.IconEmoji, m.IconURL = icon(c.Sender.Icon)
	}
	if c.Thread != nil && c.Thread.MessageAggregationKey != "" {
		m.Thread, m.Broadcast = c.Thread.MessageAggregationKey, c.Thread.BroadcastMessageToChannel
		m.Metadata.Payload.Thread = m.Thread
	}
	return m, nil
}

// oneLine writes joined problems in one line.
func oneLine(err error) error {
	var all []string
	for _, p := range v1alpha1.Problems(err) {
		all = append(all, p.Error())
	}
	return errors.New(strings.Join(all, "; "))
}

// form is the message as it is sent; threadTS is empty if it is no reply.
func (m *message) form(threadTS string, withMetadata bool) (url.Values, error) {
	f := url.Values{"channel": {m.Channel}}
	set := func(name, value string) {
		if value != "" {
			f.Set(name, value)
		}
	}
	set("text", m.Text)
	set("attachments", string(m.Attachments))
	set("blocks", string(m.Blocks))
	set("username", m.Username)
	set("icon_emoji", m.IconEmoji)
	set("icon_url", m.IconURL)
	set("thread_ts", threadTS)
	if m.Broadcast && threadTS != "" {
		f.Set("reply_broadcast", "true")
	}
	if withMetadata {
		b, err := encode(m.Metadata)
		if err != nil {
			return nil, err
		}
		f.Set("metadata", string(b))
	}
	return f, nil
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Render implements trigger.Trigger. The Spec is a message.
func (p *poster) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	m, _, err := p.message(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	spec, err := encode(m)
	return trigger.Action{Kind: "slack", Spec: spec}, err
}

// Fire implements trigger.Trigger. The Details are channel (the id), ts and, for
// a message of a thread, thread (the ts of its first message).
func (p *poster) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	m, c, err := p.message(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	if was, err := p.sent.Get(ctx, in.ID); err != nil {
		return trigger.Result{}, err
	} else if was.TS != "" {
		return was.result("had been sent"), nil
	}
	done, err := p.send(ctx, in, m, c)
	if err != nil {
		return trigger.Result{}, fmt.Errorf("send to %s: %w", m.Channel, err)
	}
	p.note(ctx, func(ctx context.Context) error {
		return p.sent.Change(ctx, in.ID, func(sent) (sent, error) { return done, nil })
	})
	return done.result("sent"), nil
}

// noteTime bounds the notes that are made after the effect, whatever happens to
// the context of the firing.
const noteTime = 5 * time.Second

// note writes down what has happened. What cannot be written down is no failure
// of the action, which would be repeated then.
func (p *poster) note(ctx context.Context, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := write(ctx); err != nil && !errors.Is(err, trigger.ErrKeep) {
		p.env.Log.Warn("what was sent could not be noted: a repetition would send it again", "error", err)
	}
}

func (s sent) result(did string) trigger.Result {
	r := trigger.Result{
		Summary: fmt.Sprintf("%s to %s as %s", did, s.Channel, s.TS),
		Details: map[string]any{"channel": s.Channel, "ts": s.TS},
	}
	if s.Thread != "" {
		r.Details["thread"] = s.Thread
		if s.Thread != s.TS {
			r.Summary += ", in the thread " + s.Thread
		}
	}
	return r
}

// Close implements trigger.Trigger. Connections belong to the process.
func (p *poster) Close() error {
	p.closed.Store(true)
	return nil
}
