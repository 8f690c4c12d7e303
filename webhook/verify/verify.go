// Package verify checks that a request comes from who holds a secret. All
// comparisons take a time that does not depend on what is compared, and all of
// it works on the bytes of the request before anybody parses them.
package verify

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Nexus signs with it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"time"
)

// A Scheme is a way in which senders prove that they hold a secret.
type Scheme interface {
	// Check returns nil if the request was made with key. An error is an
	// *Error that says what is wrong without helping to guess.
	Check(h http.Header, body, key []byte, now time.Time) error
	// Sign puts into h what Check wants to see.
	Sign(h http.Header, body, key []byte, now time.Time) error
	// Verified is what the scheme proves: ByToken, or BySignature if the body
	// is covered too.
	Verified() string
}

// What a check has proved.
const (
	BySignature = "signature"
	ByToken     = "token"
	ByNothing   = "none"
)

// ErrMissing is what an Error wraps if the request has nothing of the scheme.
var ErrMissing = errors.New("missing")

// Error says why a request is not authentic. It holds nothing secret.
type Error struct {
	Text    string
	missing bool
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Is tells whether e is ErrMissing.
func (e *Error) Is(target error) bool { return target == ErrMissing && e.missing }

func wrong(format string, args ...any) error { return &Error{Text: fmt.Sprintf(format, args...)} }

func missing(format string, args ...any) error {
	return &Error{Text: fmt.Sprintf(format, args...), missing: true}
}

// Any checks against each of keys, the current one first, and returns nil as
// soon as one fits; otherwise the error for the first. No keys, and an empty
// one, with which everybody could sign, are errors that are no *Error.
func Any(s Scheme, h http.Header, body []byte, keys [][]byte, now time.Time) error {
	var first error
	for _, key := range keys {
		if len(key) == 0 {
			return errors.New("a secret to check with is empty")
		}
		err := s.Check(h, body, key, now)
		if err == nil || errors.Is(err, ErrMissing) {
			return err // what is missing is missing with every key
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		return errors.New("there is no secret to check with")
	}
	return first
}

// HMAC is a keyed hash of the body in a header.
type HMAC struct {
	// Header that has it.
	Header string
	// Algorithm is sha1, sha256, sha384 or sha512; sha256 if empty. The sender
	// never chooses.
	Algorithm string
	// Encoding is hex (case is ignored) or base64; hex if empty.
	Encoding string
	// Prefix before the value, such as "sha256=".
	Prefix string
	// TimestampHeader names a header with the Unix time in seconds; what is
	// signed is then TIMESTAMP + "." + body, and requests older or newer than
	// Tolerance (5 minutes if zero) are refused. Empty means that the body alone is signed.
	TimestampHeader string
	Tolerance       time.Duration
}

// Check implements Scheme.
func (s HMAC) Check(h http.Header, body, key []byte, now time.Time) error {
	value := h.Get(s.Header)
	if value == "" {
		return missing("want a signature in the header %s", s.Header)
	}
	value, ok := strings.CutPrefix(value, s.Prefix)
	if !ok {
		return wrong("the header %s has to begin with %s", s.Header, s.Prefix)
	}
	got, err := s.decode(value)
	if err != nil {
		return wrong("the signature in the header %s is not %s", s.Header, s.encoding())
	}
	stamp := ""
	if s.TimestampHeader != "" {
		stamp = h.Get(s.TimestampHeader)
		if err := checkTime(s.TimestampHeader, stamp, s.Tolerance, now); err != nil {
			return err
		}
	}
	sum, err := s.sum(body, key, stamp)
	if err != nil {
		return err
	}
	if !hmac.Equal(sum, got) {
		return wrong("the signature in the header %s does not match", s.Header)
	}
	return nil
}

// Sign implements Scheme.
func (s HMAC) Sign(h http.Header, body, key []byte, now time.Time) error {
	stamp := ""
	if s.TimestampHeader != "" {
		stamp = unix(now)
		h.Set(s.TimestampHeader, stamp)
	}
	sum, err := s.sum(body, key, stamp)
	if err != nil {
		return err
	}
	value := hex.EncodeToString(sum)
	if s.encoding() == "base64" {
		value = base64.StdEncoding.EncodeToString(sum)
	}
	h.Set(s.Header, s.Prefix+value)
	return nil
}

// Verified implements Scheme.
func (s HMAC) Verified() string { return BySignature }

func (s HMAC) sum(body, key []byte, stamp string) ([]byte, error) {
	newHash, err := Algorithm(s.Algorithm)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(newHash, key)
	if s.TimestampHeader != "" {
		mac.Write([]byte(stamp))
		mac.Write([]byte{'.'})
	}
	mac.Write(body)
	return mac.Sum(nil), nil
}

func (s HMAC) encoding() string {
	if s.Encoding == "" {
		return "hex"
	}
	return s.Encoding
}

func (s HMAC) decode(value string) ([]byte, error) {
	if s.encoding() == "base64" {
		return base64.StdEncoding.DecodeString(value)
	}
	return hex.DecodeString(value)
}

// Algorithm finds a hash function by its name; "" is sha256.
func Algorithm(name string) (func() hash.Hash, error) {
	switch name {
	case "", "sha256":
		return sha256.New, nil
	case "sha1":
		return sha1.New, nil
	case "sha384":
		return sha512.New384, nil
	case "sha512":
		return sha512.New, nil
	}
	return nil, fmt.Errorf("no hash algorithm %q; there are sha1, sha256, sha384 and sha512", name)
}

// Token is the secret itself in a header.
type Token struct {
	Header string
	// Prefix before the secret, such as "Bearer ".
	Prefix string
}

// Check implements Scheme.
func (s Token) Check(h http.Header, _, key []byte, _ time.Time) error {
	value := h.Get(s.Header)
	if value == "" {
		return missing("want the secret in the header %s", s.Header)
	}
	value, ok := strings.CutPrefix(value, s.Prefix)
	if !ok {
		return wrong("the header %s has to begin with %s", s.Header, s.Prefix)
	}
	if !Same([]byte(value), key) {
		return wrong("the secret in the header %s is wrong", s.Header)
	}
	return nil
}

// Sign implements Scheme.
func (s Token) Sign(h http.Header, _, key []byte, _ time.Time) error {
	h.Set(s.Header, s.Prefix+string(key))
	return nil
}

// Verified implements Scheme.
func (s Token) Verified() string { return ByToken }

// Same compares two secrets in a time that depends on neither's content.
func Same(a, b []byte) bool {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
