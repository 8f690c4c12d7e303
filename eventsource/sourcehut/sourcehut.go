// Package sourcehut is the source of the webhooks of SourceHut's Git service, in
// the old form and in that of GraphQL.
package sourcehut

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const (
	eventHeader     = "X-Webhook-Event"
	deliveryHeader  = "X-Webhook-Delivery"
	nonceHeader     = "X-Payload-Nonce"
	signatureHeader = "X-Payload-Signature"
)

// scheme is how SourceHut signs.
var scheme = verify.Ed25519{Header: signatureHeader, NonceHeader: nonceHeader}

// Kind is spec.sourcehut.
var Kind = eventsource.Kind{
	Kind:     kind.Of("sourcehut", New),
	DataKeys: []string{"headers", "body", gitevent.Key, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(c.(*Config).Webhook)}
	},
	Senders: []eventsource.Sender{{Name: "sourcehut", Header: header}},
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	d := decoder{repository: c.Repository, base: c.SourcehutBaseURL}
	s := &githost.Source{
		Hooks: env.Hooks, Clients: githost.Clients(env.Secrets),
		Hook: ingress.Hook{
			Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata, Events: d.events,
			Schemes: []verify.Scheme{scheme}, Keys: c.keys(env.Secrets),
		},
	}
	if env.Offline {
		s.Hook.Check = believe
	}
	return s, nil
}

// believe is for a tool that wants to see what becomes of a delivery: it has no
// private key that belongs to the public one.
func believe(*http.Request, []byte) (string, error) { return scheme.Verified(), nil }

// keys are the public keys that deliveries are checked with.
func (c *Config) keys(secrets secret.Reader) *verify.Keys {
	ref := &corev1.SecretKeySelector{}
	if c.PublicKeyFrom != nil && c.PublicKeyFrom.SecretKeyRef != nil {
		ref = c.PublicKeyFrom.SecretKeyRef
	}
	return githost.Keys(keyReader{Reader: secrets, ref: ref, inline: c.PublicKey, from: c.PublicKeyFrom}, ref, c.Webhook)
}

// keyReader reads secrets, and the public key, which may be none, as if it were one.
type keyReader struct {
	secret.Reader
	ref    *corev1.SecretKeySelector // that stands for the public key
	inline string
	from   *v1alpha1.ValueFromSource
}

// Secret implements secret.Reader.
func (r keyReader) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	switch {
	case ref != r.ref || r.from != nil && r.from.SecretKeyRef != nil:
		return r.Reader.Secret(ctx, ref)
	case r.from != nil:
		return r.ConfigMap(ctx, r.from.ConfigMapKeyRef)
	}
	return []byte(r.inline), nil
}

// header is what SourceHut sends with a body. The secret is the private key that
// belongs to publicKey, or its seed, in base64; whsec_ may stand before it.
func header(s eventsource.Sending) (http.Header, error) {
	var p payload
	gitevent.Decode(s.Body, &p)
	event := githost.First(s.Event, p.event(""))
	if event == "" {
		return nil, errors.New("the body does not tell its event; name it, for example repo:create")
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set(eventHeader, event)
	h.Set(deliveryHeader, s.ID)
	if len(s.Secret) == 0 {
		return h, nil
	}
	sum := sha256.Sum256([]byte(s.ID))
	h.Set(nonceHeader, hex.EncodeToString(sum[:8]))
	return h, scheme.Sign(h, s.Body, seed(s.Secret), s.Now)
}

// seed is that of a private key, which has it in front of the public key.
func seed(key []byte) []byte {
	key = bytes.TrimPrefix(key, []byte("whsec_"))
	b, err := base64.StdEncoding.AppendDecode(nil, key)
	if err != nil || len(b) != ed25519.PrivateKeySize {
		return key
	}
	return []byte(base64.StdEncoding.EncodeToString(ed25519.PrivateKey(b).Seed()))
}
