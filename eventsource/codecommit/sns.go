package codecommit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// inSNS tells whether a request has an envelope of Amazon SNS. A subscription
// with raw message delivery sends none, and is checked like an API destination.
func inSNS(h http.Header) bool {
	return h.Get(verify.SNSTypeHeader) != "" && h.Get(verify.SNSRawHeader) != "true"
}

// check finds out who has sent a request. A tool that wants to see what becomes of
// one can neither sign it nor know the header's name, and is believed.
func (s *source) check(r *http.Request, body []byte) (string, error) {
	if inSNS(r.Header) {
		return s.checkSNS(r.Context(), body)
	}
	c := s.config.Webhook
	switch {
	case s.keys != nil && s.env.Offline:
		return verify.ByToken, nil
	case s.keys != nil:
		return ingress.CheckKeys(r, body, []verify.Scheme{verify.Token{Header: s.config.SecretHeader.Name}}, s.keys)
	case c.AuthSecret != nil || c.BasicAuth != nil || c.OIDC != nil || c.ClientCASecret != nil:
		return verify.ByToken, nil // the endpoint has checked it
	case s.sns != nil && !s.env.Offline:
		// Otherwise whoever leaves the envelope out would need no signature.
		return "", unauthorized("only messages of Amazon SNS are taken here")
	}
	return verify.ByNothing, nil
}

func (s *source) checkSNS(ctx context.Context, body []byte) (string, error) {
	if s.sns == nil {
		return "", unauthorized("messages of Amazon SNS are not taken here, as the configuration names no topic")
	}
	m, err := verify.ParseSNS(body)
	if err != nil {
		return "", refused(err)
	}
	if s.env.Offline {
		return verify.BySignature, nil
	}
	if err := s.sns.Check(ctx, m); err != nil {
		return "", refused(err)
	}
	return verify.BySignature, nil
}

// confirm answers what SNS asks before it sends anything.
func (s *source) confirm(ctx context.Context, m *verify.SNSMessage) error {
	switch {
	case s.env.Offline:
		return nil
	case m.Type == verify.SNSUnsubscribe:
		s.env.Log.Info("the subscription was cancelled at Amazon SNS", "topic", m.TopicARN)
		return nil
	}
	if err := s.sns.Confirm(ctx, m); err != nil {
		return refused(err)
	}
	s.env.Log.Info("confirmed the subscription at Amazon SNS", "topic", m.TopicARN)
	return nil
}

// refused answers 401 to what is wrong. What could not be found out is answered
// so that Amazon sends again.
func refused(err error) error {
	if own, ok := errors.AsType[*verify.Error](err); ok {
		return unauthorized(own.Text)
	}
	return &ingress.Error{Status: http.StatusServiceUnavailable, Text: "the message cannot be checked or confirmed at the moment", Cause: err}
}

func unauthorized(text string) error {
	return &ingress.Error{Status: http.StatusUnauthorized, Text: text}
}

// envelope is a message of SNS around its Message.
type envelope struct{ head, tail []byte }

// openEnvelope finds the Message in a body that ParseSNS has read.
func openEnvelope(body []byte) envelope {
	e := envelope{head: body}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return e
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return e
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return e
		}
		// The last one counts, and case does not, as for ParseSNS.
		if name, ok := key.(string); ok && strings.EqualFold(name, "Message") {
			end := dec.InputOffset()
			e = envelope{body[:end-int64(len(value))], body[end:]}
		}
	}
	return e
}

// with is the envelope around another message.
func (e envelope) with(message []byte) []byte {
	out := append(make([]byte, 0, len(e.head)+len(e.tail)+2*len(message)), e.head...)
	return append(ingress.AppendJSON(out, message), e.tail...)
}
