package verify

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"time"
)

// Ed25519 is a signature, in base64, of the body and then of the text of another
// header, as SourceHut makes it. The key to check with is the sender's public
// key, base64 of 32 bytes; the key to sign with is base64 of the seed.
type Ed25519 struct {
	// Header that has the signature.
	Header string
	// NonceHeader has what is signed behind the body; empty means nothing. The
	// scheme does not remember nonces: an event's id is what tells that it came before.
	NonceHeader string
}

// Check implements Scheme.
func (s Ed25519) Check(h http.Header, body, key []byte, _ time.Time) error {
	value := h.Get(s.Header)
	if value == "" {
		return missing("want a signature in the header %s", s.Header)
	}
	got, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(got) != ed25519.SignatureSize {
		return wrong("the signature in the header %s is not base64 of %d bytes", s.Header, ed25519.SignatureSize)
	}
	nonce := ""
	if s.NonceHeader != "" {
		if nonce = h.Get(s.NonceHeader); nonce == "" {
			return wrong("want a nonce in the header %s", s.NonceHeader)
		}
	}
	public, err := base64.StdEncoding.AppendDecode(nil, key)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return errors.New("the sender's public key is not base64 of 32 bytes")
	}
	if !ed25519.Verify(public, signed(body, nonce), got) {
		return wrong("the signature in the header %s does not match", s.Header)
	}
	return nil
}

// Sign implements Scheme. It signs the nonce that h has, or the time.
func (s Ed25519) Sign(h http.Header, body, key []byte, now time.Time) error {
	seed, err := base64.StdEncoding.AppendDecode(nil, key)
	if err != nil || len(seed) != ed25519.SeedSize {
		return errors.New("the key to sign with is not base64 of 32 bytes")
	}
	nonce := ""
	if s.NonceHeader != "" {
		if nonce = h.Get(s.NonceHeader); nonce == "" {
			nonce = unix(now)
			h.Set(s.NonceHeader, nonce)
		}
	}
	h.Set(s.Header, base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed), signed(body, nonce))))
	return nil
}

// Verified implements Scheme.
func (Ed25519) Verified() string { return BySignature }

// signed is a copy: the body belongs to the caller.
func signed(body []byte, nonce string) []byte {
	if nonce == "" {
		return body
	}
	return append(append(make([]byte, 0, len(body)+len(nonce)), body...), nonce...)
}
