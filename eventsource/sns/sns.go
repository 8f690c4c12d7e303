// Package sns is the source of messages that Amazon SNS posts to an endpoint.
package sns

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.sns.
var Kind = eventsource.Kind{
	Kind:     kind.Of("sns", New),
	DataKeys: []string{"header", "body", messageKey, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).Webhook)}
	},
	Finish: finish,
	NeedsFinish: func(c kind.Config) bool {
		return c.(*Config).DeleteSubscriptionOnFinish && c.(*Config).subscribes(eventsource.PublicURL(c))
	},
	Senders: []eventsource.Sender{{Name: "sns", Header: header}},
}

// messageKey is the key, in the data of events, of a Message that is JSON.
const messageKey = "message"

const (
	idHeader           = "X-Amz-Sns-Message-Id"
	subscriptionHeader = "X-Amz-Sns-Subscription-Arn"
)

type source struct {
	config Config
	log    *slog.Logger
	// offline asks nobody anything: neither for certificates nor to confirm.
	offline bool
	verify  verify.SNS
	// topics is Amazon's API; nil if the subscription is not kept from here.
	topics *topics
	run    githost.Source
	warned atomic.Int64
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	return newSource(c, env, verify.NewSNSClient()), nil
}

func newSource(c Config, env eventsource.Env, amazon *http.Client) *source {
	s := &source{
		config: c, log: env.Log, offline: env.Offline,
		verify: verify.SNS{Topics: []string{c.TopicArn}, Client: amazon},
		run:    githost.Source{Hooks: env.Hooks, Clients: githost.Clients(env.Secrets)},
	}
	s.run.Hook = ingress.Hook{
		Context: c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata, HeadersKey: "header",
		Check: s.check, Payload: payload, Events: s.events,
	}
	if target := eventsource.PublicURL(&c); c.subscribes(target) && !env.Offline {
		s.topics = newTopics(&c, env, s.run.Clients)
		s.run.Keeper = keeper(&c, env, s.topics, target)
	}
	return s
}

// Run implements eventsource.Source.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	defer s.verify.Client.CloseIdleConnections()
	return s.run.Run(ctx, emit)
}

func keeper(c *Config, env eventsource.Env, t *topics, target string) *hooks.Keeper {
	return &hooks.Keeper{
		API:     t,
		Targets: func(context.Context) ([]string, error) { return []string{c.TopicArn}, nil },
		Want:    hooks.Hook{URL: target, Active: true},
		State:   env.State, Lead: env.Lead, Log: env.Log, DeleteOnFinish: c.DeleteSubscriptionOnFinish,
	}
}

func finish(ctx context.Context, config kind.Config, env eventsource.Env) error {
	c := config.(*Config)
	target := eventsource.PublicURL(c)
	if !c.subscribes(target) {
		return nil
	}
	clients := githost.Clients(env.Secrets)
	defer clients.Close()
	return keeper(c, env, newTopics(c, env, clients), target).Finish(ctx)
}

func isRaw(h http.Header) bool { return h.Get(verify.SNSRawHeader) == "true" }

// check proves that a message is of the topic and, if asked for, from Amazon.
func (s *source) check(r *http.Request, body []byte) (string, error) {
	if isRaw(r.Header) {
		return verify.ByNothing, s.checkRaw(r.Header)
	}
	m, err := verify.ParseSNS(body)
	if err != nil {
		return "", refused(err)
	}
	if m.TopicARN != s.config.TopicArn {
		return "", unauthorized("messages of this topic are not accepted")
	}
	if !s.config.ValidateSignature || s.offline {
		return verify.ByNothing, nil
	}
	if err := s.verify.Check(r.Context(), m); err != nil {
		return "", refused(err)
	}
	return verify.BySignature, nil
}

func (s *source) checkRaw(h http.Header) error {
	switch {
	case !s.config.AllowRawDelivery:
		return unauthorized("messages with raw message delivery have no signature and are not accepted: turn it off in the subscription")
	case h.Get(verify.SNSTopicHeader) != s.config.TopicArn:
		return unauthorized("messages of this topic are not accepted")
	}
	return nil
}

func unauthorized(text string) error {
	return &ingress.Error{Status: http.StatusUnauthorized, Text: text}
}

// refused answers 401 to what is wrong. What could not be found out is answered
// so that Amazon sends again.
func refused(err error) error {
	if own, ok := errors.AsType[*verify.Error](err); ok {
		return unauthorized(own.Text)
	}
	return unavailable("the message cannot be checked at the moment", err)
}

func unavailable(text string, err error) error {
	return &ingress.Error{Status: http.StatusServiceUnavailable, Text: text, Cause: err}
}

// payload makes JSON of a raw message that is text.
func payload(r *http.Request, body []byte) ([]byte, error) {
	if isRaw(r.Header) && !ingress.ValidJSON(body) {
		return ingress.AppendJSON(nil, body), nil
	}
	return body, nil
}

func (s *source) events(ctx context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	if isRaw(d.Header) {
		return []ingress.Made{{
			ID:     githost.ID(d.Body, d.Header.Get(idHeader)),
			Blocks: []ingress.Block{{Key: messageKey, Value: json.RawMessage(d.Body)}},
		}}, nil
	}
	m, err := verify.ParseSNS(d.Body)
	if err != nil {
		return nil, refused(err)
	}
	switch m.Type {
	case verify.SNSSubscribe:
		return nil, s.confirm(ctx, m, d.Verified)
	case verify.SNSUnsubscribe:
		s.cancelled(m)
		return nil, nil
	}
	return []ingress.Made{notification(d.Body, m)}, nil
}

func notification(body []byte, m *verify.SNSMessage) ingress.Made {
	made := ingress.Made{ID: githost.ID(body, m.MessageID)}
	made.Time, _ = time.Parse(time.RFC3339, m.Timestamp)
	if text := []byte(m.Message); ingress.ValidJSON(text) {
		made.Blocks = []ingress.Block{{Key: messageKey, Value: json.RawMessage(text)}}
	}
	return made
}

// confirm confirms a subscription to our topic: by API where it is kept from here,
// otherwise at the address in the message, whose signature must be right then.
func (s *source) confirm(ctx context.Context, m *verify.SNSMessage, verified string) error {
	if s.offline {
		return nil
	}
	var err error
	switch {
	case s.topics != nil:
		err = s.topics.confirm(ctx, m)
	case verified != verify.BySignature:
		if err = s.verify.Check(ctx, m); err != nil {
			return refused(err)
		}
		fallthrough
	default:
		err = s.verify.Confirm(ctx, m)
	}
	switch own, ok := errors.AsType[*verify.Error](err); {
	case ok:
		return unauthorized(own.Text)
	case err != nil:
		return unavailable("the subscription cannot be confirmed at the moment", err)
	}
	s.log.Info("subscription confirmed", "topic", m.TopicARN)
	return nil
}

// cancelled tells that somebody has removed a subscription. Nothing is done about
// it here: one that is kept by API is made again by whoever keeps it.
func (s *source) cancelled(m *verify.SNSMessage) {
	now, before := time.Now().Unix(), s.warned.Load()
	if now-before >= 60 && s.warned.CompareAndSwap(before, now) {
		s.log.Warn("a subscription to the topic has been removed, and not from here", "topic", m.TopicARN, "message", m.MessageID)
	}
}

// header is what Amazon sends with a message. It cannot sign one.
func header(s eventsource.Sending) (http.Header, error) {
	m, err := verify.ParseSNS(s.Body)
	if err != nil {
		return nil, err
	}
	h := http.Header{
		"Content-Type":        {"text/plain; charset=UTF-8"},
		"User-Agent":          {"Amazon Simple Notification Service Agent"},
		verify.SNSTypeHeader:  {m.Type},
		verify.SNSTopicHeader: {m.TopicARN},
		idHeader:              {m.MessageID},
	}
	if m.Type != verify.SNSSubscribe {
		h.Set(subscriptionHeader, m.TopicARN+":00000000-0000-0000-0000-000000000000")
	}
	return h, nil
}
