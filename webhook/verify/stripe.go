package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Stripe is Stripe's signature: Stripe-Signature is "t=TIMESTAMP,v1=HEX", with a
// v1 for each secret that is valid at the moment, being the HMAC-SHA256 of
// "TIMESTAMP.BODY". The key is the whole secret, whsec_ included
// (https://docs.stripe.com/webhooks/signature).
type Stripe struct {
	// Tolerance is how far the time may be from now; 5 minutes if zero.
	Tolerance time.Duration
}

const (
	stripeSignature = "Stripe-Signature"
	// mostSignatures is how many signatures of one request are looked at.
	mostSignatures = 16
)

// Check implements Scheme.
func (s Stripe) Check(h http.Header, body, key []byte, now time.Time) error {
	value := h.Get(stripeSignature)
	if value == "" {
		return missing("want a signature in the header %s", stripeSignature)
	}
	stamp, signatures := "", [mostSignatures]string{}
	n := 0
	for part := range strings.SplitSeq(value, ",") {
		name, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "t" && stamp == "":
			stamp = v
		case name == "v1" && n < mostSignatures:
			signatures[n] = v
			n++
		}
	}
	if n == 0 {
		return wrong("the header %s has no v1 signature", stripeSignature)
	}
	if err := checkTime(stripeSignature, stamp, s.Tolerance, now); err != nil {
		return err
	}
	sum := stripeSum(stamp, body, key)
	for _, signature := range signatures[:n] {
		if got, err := hex.DecodeString(signature); err == nil && hmac.Equal(sum, got) {
			return nil
		}
	}
	return wrong("no signature in the header %s matches", stripeSignature)
}

// Sign implements Scheme.
func (s Stripe) Sign(h http.Header, body, key []byte, now time.Time) error {
	stamp := unix(now)
	h.Set(stripeSignature, "t="+stamp+",v1="+hex.EncodeToString(stripeSum(stamp, body, key)))
	return nil
}

// Verified implements Scheme.
func (Stripe) Verified() string { return BySignature }

func stripeSum(stamp string, body, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(stamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}
