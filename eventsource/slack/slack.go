// Package slack is the source of what a Slack app is told over HTTP: events,
// interactions (buttons, modals, shortcuts) and slash commands.
package slack

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.slack.
var Kind = eventsource.Kind{
	Kind: kind.Of("slack", New),
	DataKeys: []string{
		// events
		"type", "Data", "team_id", "api_app_id", "event_id", "event_time", "event_context", "authorizations", "is_ext_shared_channel",
		// interactions
		"token", "callback_id", "response_url", "response_urls", "trigger_id", "action_ts", "message_ts", "attachment_id", "action_id",
		"block_id", "value", "name", "user", "team", "channel", "message", "original_message", "actions", "view", "container",
		"enterprise", "state", "hash", "bot_access_token", "submission", "views", "function_data", "interactivity",
		"is_cleared", "is_app_unfurl", "app_unfurl", "bot",
		// slash commands
		"team_domain", "enterprise_id", "enterprise_name", "is_enterprise_install", "channel_id", "channel_name", "user_id",
		"user_name", "command", "text", "thread_ts",
		"metadata",
	},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).Webhook)}
	},
	Senders: []eventsource.Sender{{Name: "slack", Header: header}},
}

type source struct {
	hook  ingress.Hook
	hooks eventsource.Hooks
	log   *slog.Logger
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	return newSource(c, env, time.Now), nil
}

func newSource(c Config, env eventsource.Env, now func() time.Time) *source {
	s := &source{hooks: env.Hooks, log: env.Log}
	keys := githost.Keys(env.Secrets, c.SigningSecret, &c.Webhook)
	if keys != nil {
		keys.Now = now
	}
	s.hook = ingress.Hook{
		Context: c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata,
		Schemes: []verify.Scheme{verify.Slack{}}, Keys: keys,
		Payload: payload, Events: s.events, Answer: answer,
	}
	return s
}

// Run implements eventsource.Source.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	return s.hook.Serve(ctx, s.hooks, emit)
}

func (s *source) events(_ context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	r := read(d.Body)
	switch {
	case r.Interaction != nil:
		return []ingress.Made{interaction(r.Interaction, s.hook.Metadata)}, nil
	case r.Command != nil:
		return []ingress.Made{command(r.Command, s.hook.Metadata)}, nil
	case r.Type == eventCallback:
		return []ingress.Made{event(d.Body, &r.envelope, s.hook.Metadata)}, nil
	case r.Type == rateLimited:
		s.log.Warn("Slack holds events back, because the app gets too many")
	}
	return nil, nil
}

// answer is what Slack wants: the challenge, or nothing. Anything else would be
// shown to the user who gave a command.
func answer(d *ingress.Delivery) *ingress.Answer {
	a := &ingress.Answer{ContentType: "text/plain; charset=utf-8"}
	if r := read(d.Body); r.Interaction == nil && r.Command == nil && r.Type == urlVerification {
		a.Body = []byte(r.Challenge)
	}
	return a
}

// header is what Slack sends with a body: JSON for events, a form for all else.
func header(s eventsource.Sending) (http.Header, error) {
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Slackbot 1.0 (+https://api.slack.com/robots)"}}
	if !bytes.HasPrefix(bytes.TrimSpace(s.Body), []byte("{")) {
		h.Set("Content-Type", form)
	}
	if len(s.Secret) == 0 {
		return h, nil
	}
	return h, verify.Slack{}.Sign(h, s.Body, s.Secret, s.Now)
}
