package githost

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const (
	payloadLimit = 25 << 20
	// lookupsAtOnce and lookupTime bound what is asked about one delivery.
	lookupsAtOnce = 32
	lookupTime    = 6 * time.Second
)

// Source receives a host's deliveries and keeps its hooks beside.
type Source struct {
	Hook  ingress.Hook
	Hooks eventsource.Hooks
	// Keeper may be nil.
	Keeper  *hooks.Keeper
	Clients *httpclient.Clients
}

// Run implements eventsource.Source.
func (s *Source) Run(ctx context.Context, emit eventsource.Emit) error {
	defer s.Clients.Close()
	serve := func(ctx context.Context) error { return s.Hook.Serve(ctx, s.Hooks, emit) }
	if s.Keeper == nil {
		return serve(ctx)
	}
	return hooks.Beside(ctx, serve, s.Keeper.Run)
}

// Clients makes the clients for a host's API.
func Clients(secrets secret.Reader) *httpclient.Clients { return httpclient.New(secrets, "hooks") }

// Keys are those of ref and of the context's acceptedSecrets; nil without a ref.
func Keys(secrets secret.Reader, ref *corev1.SecretKeySelector, w *v1alpha1.WebhookContext) *verify.Keys {
	if ref == nil {
		return nil
	}
	k := &verify.Keys{Secrets: secrets, Refs: []*corev1.SecretKeySelector{ref}}
	for i := range w.AcceptedSecrets {
		k.Refs = append(k.Refs, &w.AcceptedSecrets[i])
	}
	return k
}

// Default fills in what a host's webhook block leaves out; w may be nil.
func Default(w *v1alpha1.WebhookContext) {
	if w == nil {
		return
	}
	w.Method = http.MethodPost // the hosts know no other
	if w.MaxPayloadSize == nil || *w.MaxPayloadSize == 0 {
		limit := int64(payloadLimit)
		w.MaxPayloadSize = &limit
	}
	ingress.Default(w)
}

// Validate reports what is wrong with a host's webhook block. secured tells that
// deliveries are checked by more than the block says.
func Validate(w *v1alpha1.WebhookContext, secured bool) error {
	if w == nil {
		return v1alpha1.Invalid("webhook", "is missing").Hinted("it says where to listen: endpoint and port")
	}
	errs := []error{ingress.Validate("webhook", w), ingress.NoteOpenUnless("webhook", w, secured)}
	if len(w.Metadata) > 0 {
		errs = append(errs, v1alpha1.Warn("webhook.metadata", "has no effect here").Hinted("write metadata beside webhook"))
	}
	return errors.Join(errs...)
}

// NoteUnkept is the note for deleteHookOnFinish where no hook is kept.
func NoteUnkept(needs string) error {
	p := v1alpha1.Invalid("deleteHookOnFinish", "has no effect, because no hook is kept from here").Hinted("%s", needs)
	p.Severity = v1alpha1.Note
	return p
}

// Emit makes the events of a delivery: of events[i] one with bodies[i], nil
// meaning the delivery's own, after their changed files have been looked up.
func Emit(ctx context.Context, id string, l *gitevent.Lookup, events []*gitevent.Event, bodies [][]byte) []ingress.Made {
	fill(ctx, l, events)
	made := make([]ingress.Made, len(events))
	for i, e := range events {
		made[i] = ingress.Made{
			ID: ingress.Numbered(id, i), Body: bodies[i],
			Blocks: []ingress.Block{{Key: gitevent.Key, Value: e}},
		}
	}
	return made
}

func fill(ctx context.Context, l *gitevent.Lookup, events []*gitevent.Event) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(lookupsAtOnce)
	for _, e := range events {
		group.Go(func() error {
			l.Fill(ctx, e)
			return nil
		})
	}
	_ = group.Wait() // none of them fails
}
