// Package registry is the source of what container registries tell when images
// are pushed: one endpoint for all of them, whatever their formats are.
package registry

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.registry.
var Kind = eventsource.Kind{
	Kind:     kind.Of("registry", New),
	DataKeys: []string{"headers", "body", imageevent.Key, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).Webhook)}
	},
	Senders: senders(),
}

type source struct {
	config   Config
	env      eventsource.Env
	hook     ingress.Hook
	provider *provider // nil if it is told from each delivery
	keys     *verify.Keys
	sns      *verify.SNS // nil if messages of SNS are not taken
	mapping  *mapping
	check    *checker // nil if digests are not checked
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	s := &source{config: c, env: env, provider: providerNamed(c.Provider)}
	if c.Secret != nil {
		s.keys = &verify.Keys{Secrets: env.Secrets, Refs: append(refs(&c.Webhook), c.Secret)}
		slices.Reverse(s.keys.Refs)
	}
	if c.SNS != nil {
		s.sns = &verify.SNS{Topics: c.SNS.TopicARNs, Client: verify.NewSNSClient()}
		if ref := c.SNS.Certificate; ref != nil {
			s.sns.Certificates = func(ctx context.Context) ([]byte, error) { return ingress.ReadKey(ctx, env.Secrets, ref) }
		}
	}
	var err error
	if c.Mapping != nil && c.Provider == "generic" {
		if s.mapping, err = compileMapping(c.Mapping); err != nil {
			return nil, err
		}
	}
	if c.VerifyDigest != nil && !env.Offline {
		if s.check, err = newChecker(&c, env); err != nil {
			return nil, err
		}
	}
	metadata := c.Metadata
	if len(metadata) == 0 {
		metadata = c.Webhook.Metadata
	}
	s.hook = ingress.Hook{
		Context: c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: metadata,
		Check: s.authenticate, Events: s.events, Answer: answer,
	}
	if c.SecretHeader != "" {
		s.hook.SecretHeaders = []string{http.CanonicalHeaderKey(c.SecretHeader)}
	}
	return s, nil
}

// Run implements eventsource.Source.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	if s.sns != nil {
		defer s.sns.Client.CloseIdleConnections()
	}
	if s.check != nil {
		defer s.check.close()
	}
	return s.hook.Serve(ctx, s.env.Hooks, emit)
}

// events makes the events of a delivery.
func (s *source) events(ctx context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	in, err := unwrap(d.Header, d.Body)
	if err != nil {
		return nil, err
	}
	if m := in.message; m != nil && m.Type != verify.SNSNotification {
		return nil, s.confirm(ctx, m)
	}
	p := s.provider
	if p == nil || p.name != "generic" {
		if p, err = s.recognize(in); err != nil {
			return nil, err
		}
	}
	list, err := p.decode(ctx, s, in)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && in.doubt {
		// It is authentic, and something in it is not as it should be. Better an
		// event of which little is known than none.
		list = []found{{}}
	}
	var made []ingress.Made
	for i := range list {
		f := &list[i]
		s.complete(p, in, d, f, len(list) > 1, i)
		if !s.wanted(&f.Event) {
			made = append(made, ingress.Made{Filtered: true})
			continue
		}
		if s.check != nil && f.Action == imageevent.Push {
			there, err := s.check.digest(ctx, f)
			if err != nil {
				return nil, err
			}
			if !there || !s.wanted(&f.Event) {
				made = append(made, ingress.Made{Filtered: true})
				continue
			}
			if f.id == "" && f.DigestChecked {
				f.id = hashed(p.name, string(in.body), f.Reference)
			}
		}
		m := ingress.Made{ID: f.eventID(), Body: f.body, Blocks: []ingress.Block{{Key: imageevent.Key, Value: &f.Event}}}
		if f.OccurredAt != nil {
			m.Time = *f.OccurredAt
		}
		made = append(made, m)
	}
	return made, nil
}

// recognize finds whose delivery it is, and refuses it if another provider is configured.
func (s *source) recognize(in *input) (*provider, error) {
	want := s.provider
	if want != nil && want.byShape != nil && want.byShape(in) {
		return want, nil
	}
	p := in.sender()
	switch {
	case want == nil && p == nil:
		return nil, unwanted("this is no delivery of a registry that is known here; there are " + strings.Join(providerNames()[1:], ", "))
	case want == nil, want == p:
		return p, nil
	case p == nil:
		return nil, unwanted("this is no delivery of " + want.title)
	default:
		return nil, unwanted("this is no delivery of " + want.title + ", for which this endpoint is, but of " + p.title)
	}
}

func unwanted(text string) error {
	return &ingress.Error{Status: http.StatusUnprocessableEntity, Text: text}
}

// complete fills in what is the same for all providers.
func (s *source) complete(p *provider, in *input, d *ingress.Delivery, f *found, several bool, i int) {
	f.Provider = p.name
	f.Verified = d.Verified
	if s.config.Registry != "" && (f.Registry == "" || s.provider != nil) && p.host == nil {
		f.Registry = s.config.Registry
	}
	if p.host != nil {
		p.host(s, f)
	}
	if f.DeliveryID == "" {
		f.DeliveryID = in.delivery
	}
	if f.id == "" && in.delivery != "" {
		f.id = in.delivery
		if several {
			f.id = ingress.Numbered(f.id, i)
		}
	}
	if f.id == "" && in.doubt {
		f.id = ingress.Numbered(hashed(p.name, string(in.body)), i)
	}
	f.Complete()
}

// wanted tells whether events of that sort are asked for. What could not be
// read is.
func (s *source) wanted(e *imageevent.Event) bool {
	if e.Action != "" && !slices.Contains(s.config.Actions, e.Action) {
		return false
	}
	if e.Action == imageevent.Push && e.Tag == "" && !s.config.Untagged && e.Repository != "" {
		return false
	}
	return slices.Contains(s.config.Kinds, e.Kind)
}
