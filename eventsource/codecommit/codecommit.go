// Package codecommit is the source of the events of AWS CodeCommit.
package codecommit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.codeCommit.
var Kind = eventsource.Kind{
	Kind:     kind.Of("codeCommit", New),
	DataKeys: []string{"headers", "body", gitevent.Key, messageKey, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(c.(*Config).Webhook)}
	},
	Senders: []eventsource.Sender{{Name: "codeCommit", Header: header}},
}

// messageKey is the key, in the data of events, of what a message of SNS holds.
const messageKey = "message"

type source struct {
	config Config
	env    eventsource.Env
	hook   ingress.Hook
	keys   *verify.Keys // of the secret header; nil if there is none
	sns    *verify.SNS  // nil if messages of SNS are not taken
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	return newSource(c, env, verify.NewSNSClient()), nil
}

func newSource(c Config, env eventsource.Env, amazon *http.Client) *source {
	s := &source{config: c, env: env}
	s.hook = ingress.Hook{
		Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata,
		Check: s.check, Events: s.events,
	}
	if h := c.SecretHeader; h != nil {
		s.keys = githost.Keys(env.Secrets, h.Secret, c.Webhook)
		s.hook.SecretHeaders = []string{http.CanonicalHeaderKey(h.Name)}
	}
	if c.SNS != nil {
		s.sns = &verify.SNS{Topics: c.SNS.TopicARNs, Client: amazon}
		if ref := c.SNS.Certificate; ref != nil {
			s.sns.Certificates = func(ctx context.Context) ([]byte, error) { return ingress.ReadKey(ctx, env.Secrets, ref) }
		}
	}
	return s
}

// Run implements eventsource.Source.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	if s.sns != nil {
		defer s.sns.Client.CloseIdleConnections()
	}
	return s.hook.Serve(ctx, s.env.Hooks, emit)
}

// events makes the events of a request.
func (s *source) events(ctx context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	if !inSNS(d.Header) {
		all, err := decode(d.Body)
		if err != nil {
			return nil, err
		}
		made := make([]ingress.Made, len(all))
		for i := range all {
			made[i] = all[i].make(d, "")
			made[i].Body = all[i].body
		}
		return made, nil
	}
	m, err := verify.ParseSNS(d.Body)
	if err != nil {
		return nil, refused(err)
	}
	if m.Type != verify.SNSNotification {
		return nil, s.confirm(ctx, m)
	}
	return notified(d, m)
}

// notified makes the events of a message of SNS.
func notified(d *ingress.Delivery, m *verify.SNSMessage) ([]ingress.Made, error) {
	message := []byte(m.Message)
	if !ingress.ValidJSON(message) {
		f := found{event: newBlock("")}
		return []ingress.Made{f.make(d, m.MessageID)}, nil
	}
	all, err := decode(message)
	if err != nil {
		return nil, err
	}
	envelope := openEnvelope(d.Body)
	if len(all) > 1 && len(all)*(len(envelope.head)+len(envelope.tail)) > maxCut {
		return nil, tooMuch()
	}
	made := make([]ingress.Made, len(all))
	for i := range all {
		f, inner := &all[i], message
		made[i] = f.make(d, m.MessageID)
		if f.body != nil {
			made[i].Body, inner = envelope.with(f.body), f.body
		}
		made[i].Blocks = append(made[i].Blocks, ingress.Block{Key: messageKey, Value: json.RawMessage(inner)})
	}
	return made, nil
}

// make makes an event of f, with the whole body. messageID is that of SNS.
func (f *found) make(d *ingress.Delivery, messageID string) ingress.Made {
	f.event.Verified = d.Verified
	f.event.DeliveryID = githost.First(f.event.DeliveryID, messageID)
	return ingress.Made{
		ID:     ingress.Numbered(githost.ID(d.Body, f.id, messageID), f.number),
		Blocks: []ingress.Block{{Key: gitevent.Key, Value: &f.event}},
	}
}

// header is what Amazon sends with a body: SNS around a message of it, and an API
// destination of EventBridge otherwise. A secret of the form USER:PASSWORD is for basic
// authentication, any other one goes into the default secret header. Nobody but Amazon can
// sign a message.
func header(s eventsource.Sending) (http.Header, error) {
	h := http.Header{}
	if m, err := verify.ParseSNS(s.Body); err == nil {
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		h.Set("User-Agent", "Amazon Simple Notification Service Agent")
		h.Set(verify.SNSTypeHeader, m.Type)
		h.Set(verify.SNSTopicHeader, m.TopicARN)
		h.Set("X-Amz-Sns-Message-Id", m.MessageID)
	} else {
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("User-Agent", "Amazon/EventBridge/ApiDestinations")
	}
	if secret := string(s.Secret); strings.Contains(secret, ":") {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(s.Secret))
	} else if secret != "" {
		h.Set(defaultHeader, secret)
	}
	return h, nil
}
