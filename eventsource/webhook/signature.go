package webhook

import (
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Signature is a keyed hash (HMAC) of the body that every request has to carry. Signalbox.
type Signature struct {
	// Header that has it, for example X-Signature.
	Header string `json:"header"`
	// Algorithm is sha1, sha256, sha384 or sha512. Defaults to sha256. The sender never chooses it.
	// +optional
	Algorithm string `json:"algorithm,omitempty"`
	// Encoding is hex or base64. Defaults to hex.
	// +optional
	Encoding string `json:"encoding,omitempty"`
	// Prefix stands before the value, for example sha256=.
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// TimestampHeader names a header with the Unix time in seconds. What is signed
	// is then that time, a dot, and the body; and a request may be no older or
	// newer than tolerance.
	// +optional
	TimestampHeader string `json:"timestampHeader,omitempty"`
	// Tolerance of the time, for example 1m. Defaults to 5m.
	// +optional
	Tolerance string `json:"tolerance,omitempty"`
	// Secrets that are accepted, the current one first. One that has changed is
	// accepted for another hour.
	Secrets []corev1.SecretKeySelector `json:"secrets"`
}

func (s *Signature) validate() error {
	if s == nil {
		return nil
	}
	var errs []error
	header := func(field, value string) {
		if value != "" && !isToken(value) {
			errs = append(errs, v1alpha1.Invalid("signature."+field, "%q is no name of a header", value))
		}
	}
	if s.Header == "" {
		errs = append(errs, v1alpha1.Invalid("signature.header", "is missing").Hinted("the header that has the signature, for example X-Signature"))
	}
	header("header", s.Header)
	header("timestampHeader", s.TimestampHeader)
	if _, err := verify.Algorithm(s.Algorithm); err != nil {
		errs = append(errs, v1alpha1.Invalid("signature.algorithm", "%v", err))
	}
	if !slices.Contains([]string{"", "hex", "base64"}, s.Encoding) {
		errs = append(errs, v1alpha1.Invalid("signature.encoding", "%q is not known", s.Encoding).Hinted("hex or base64"))
	}
	if _, err := s.tolerance(); err != nil {
		errs = append(errs, v1alpha1.Invalid("signature.tolerance", "%q is no length of time", s.Tolerance).Hinted("for example 5m"))
	} else if s.Tolerance != "" && s.TimestampHeader == "" {
		errs = append(errs, v1alpha1.Warn("signature.tolerance", "has no effect without timestampHeader"))
	}
	if len(s.Secrets) == 0 {
		errs = append(errs, v1alpha1.Invalid("signature.secrets", "is missing").Hinted("a list of secrets, each with name and key"))
	}
	for i, ref := range s.Secrets {
		if ref.Name == "" || ref.Key == "" {
			errs = append(errs, v1alpha1.Invalid("signature.secrets"+v1alpha1.Index(i), "needs name and key"))
		}
	}
	return errors.Join(errs...)
}

func (s *Signature) tolerance() (time.Duration, error) {
	if s.Tolerance == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s.Tolerance)
	if err == nil && d <= 0 {
		err = errors.New("is not positive")
	}
	return d, err
}

// signed checks requests by a Signature.
type signed struct {
	schemes []verify.Scheme
	keys    *verify.Keys
}

// newSigned also accepts what the entry has among acceptedSecrets.
func newSigned(c *Config, env eventsource.Env) *signed {
	s := c.Signature
	if s == nil {
		return nil
	}
	tolerance, err := s.tolerance()
	if err != nil {
		tolerance = 0 // Validate has said so
	}
	keys := &verify.Keys{Secrets: env.Secrets}
	for _, ref := range slices.Concat(s.Secrets, c.AcceptedSecrets) {
		keys.Refs = append(keys.Refs, &ref)
	}
	return &signed{keys: keys, schemes: []verify.Scheme{verify.HMAC{
		Header: s.Header, Algorithm: s.Algorithm, Encoding: s.Encoding, Prefix: s.Prefix,
		TimestampHeader: s.TimestampHeader, Tolerance: tolerance,
	}}}
}
