package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// refs are the further secrets of a context, last one first.
func refs(c *v1alpha1.WebhookContext) []*corev1.SecretKeySelector {
	var list []*corev1.SecretKeySelector
	for i := len(c.AcceptedSecrets) - 1; i >= 0; i-- {
		list = append(list, &c.AcceptedSecrets[i])
	}
	return list
}

// isSNS tells whether a request has an envelope of Amazon SNS.
func isSNS(h http.Header) bool {
	return h.Get(verify.SNSTypeHeader) != "" && h.Get(verify.SNSRawHeader) != "true"
}

// authenticate finds out who has sent a request, before anything but an
// envelope of SNS, in which the signature itself is, is read.
func (s *source) authenticate(r *http.Request, body []byte) (string, error) {
	c := &s.config.Webhook
	proved := verify.ByNothing
	if c.AuthSecret != nil || c.BasicAuth != nil || c.OIDC != nil || c.ClientCASecret != nil {
		proved = verify.ByToken // the endpoint has checked it
	}
	var keys [][]byte
	if s.keys != nil {
		var err error
		if keys, err = s.keys.Read(r.Context()); err != nil {
			return "", cannotCheck(err)
		}
		if hasToken(c.Endpoint) {
			if !s.env.Offline && !knows(keys, []byte(r.PathValue("token"))) {
				return "", refused("the secret in the path is wrong")
			}
			proved = verify.ByToken
		}
	}
	if isSNS(r.Header) {
		return s.authenticateSNS(r.Context(), body)
	}
	if s.keys == nil {
		return proved, nil
	}
	p := s.provider
	if p == nil {
		p = senderByHeader(r.Header)
	}
	if p == nil || p.signed == nil {
		if proved != verify.ByNothing {
			return proved, nil
		}
		return checkAll(s.tokens(p), r.Header, body, keys, proved)
	}
	how, err := checkAll(p.signed(), r.Header, body, keys, proved)
	if err != nil && p.instead != nil {
		if scheme := p.instead(&s.config); scheme != nil && verify.Any(scheme, r.Header, body, keys, time.Now()) == nil {
			return scheme.Verified(), nil
		}
	}
	return how, err
}

// checkAll wants the request to satisfy every scheme of which it has anything,
// and at least one, unless something was proved before.
func checkAll(schemes []verify.Scheme, h http.Header, body []byte, keys [][]byte, proved string) (string, error) {
	var lacking error
	for _, scheme := range schemes {
		err := verify.Any(scheme, h, body, keys, time.Now())
		var own *verify.Error
		switch {
		case err == nil:
			if proved != verify.BySignature {
				proved = scheme.Verified()
			}
		case errors.Is(err, verify.ErrMissing):
			if lacking == nil {
				lacking = err
			}
		case errors.As(err, &own):
			return "", refused(own.Text)
		default:
			return "", cannotCheck(err)
		}
	}
	if proved == verify.ByNothing {
		return "", refused(lacking.Error())
	}
	return proved, nil
}

// tokens are where the secret of a sender that does not sign may be; p may be nil.
func (s *source) tokens(p *provider) []verify.Scheme {
	if s.config.SecretHeader != "" {
		return []verify.Scheme{verify.Token{Header: s.config.SecretHeader}}
	}
	list := []verify.Scheme{verify.Authorization{}}
	if p == nil || p.name == "ecr" {
		list = append(list, verify.Token{Header: "X-Api-Key"})
	}
	if p != nil && p.name == "generic" {
		list = append(list, verify.HMAC{Header: "X-Signature", Prefix: "sha256="})
	}
	return list
}

func (s *source) authenticateSNS(ctx context.Context, body []byte) (string, error) {
	if s.sns == nil {
		return "", refused("messages of Amazon SNS are not taken here, as the configuration names no topic")
	}
	m, err := verify.ParseSNS(body)
	if err == nil {
		err = s.sns.Check(ctx, m)
	}
	var own *verify.Error
	switch {
	case err == nil:
		return verify.BySignature, nil
	case errors.As(err, &own):
		return "", refused(own.Text)
	default:
		return "", &ingress.Error{Status: http.StatusServiceUnavailable, Text: "the signature of the message cannot be checked at the moment", Cause: err}
	}
}

// confirm answers what SNS asks before it sends anything.
func (s *source) confirm(ctx context.Context, m *verify.SNSMessage) error {
	if m.Type == verify.SNSUnsubscribe {
		s.env.Log.Info("the subscription was cancelled at Amazon SNS", "topic", m.TopicARN)
		return nil
	}
	if s.env.Offline {
		return nil
	}
	if err := s.sns.Confirm(ctx, m); err != nil {
		return &ingress.Error{Status: http.StatusServiceUnavailable, Text: "the subscription cannot be confirmed at the moment", Cause: err}
	}
	s.env.Log.Info("confirmed the subscription at Amazon SNS", "topic", m.TopicARN)
	return nil
}

// answer is what Azure's Event Grid asks before it sends anything.
func answer(d *ingress.Delivery) *ingress.Answer {
	if d.Header.Get("Aeg-Event-Type") != "SubscriptionValidation" {
		return nil
	}
	var events []struct {
		Data struct {
			Code string `json:"validationCode"`
		} `json:"data"`
	}
	if err := json.Unmarshal(d.Body, &events); err != nil || len(events) == 0 {
		return nil
	}
	body, _ := json.Marshal(map[string]string{"validationResponse": events[0].Data.Code})
	return &ingress.Answer{ContentType: "application/json", Body: body}
}

func knows(keys [][]byte, value []byte) bool {
	ok := false
	for _, k := range keys {
		ok = verify.Same(value, k) || ok
	}
	return ok
}

func refused(text string) error { return &ingress.Error{Status: http.StatusUnauthorized, Text: text} }

func cannotCheck(err error) error {
	return &ingress.Error{Status: http.StatusInternalServerError, Text: "the server cannot check credentials at the moment", Cause: err}
}
