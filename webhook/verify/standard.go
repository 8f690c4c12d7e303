package verify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"
)

// StandardWebhooks is the signature of standardwebhooks.com, which GitLab's
// signing tokens use: webhook-signature has, separated by spaces, "v1," and the
// base64 HMAC-SHA256 of "ID.TIMESTAMP.BODY", from webhook-id and webhook-timestamp.
// A key is "whsec_" and base64; another one fits no request.
type StandardWebhooks struct {
	// Tolerance is how far the time may be from now; 5 minutes if zero.
	Tolerance time.Duration
}

const (
	standardID        = "Webhook-Id"
	standardTimestamp = "Webhook-Timestamp"
	standardSignature = "Webhook-Signature"
	standardPrefix    = "whsec_"
)

// IsSigningSecret tells whether a secret is a key of StandardWebhooks.
func IsSigningSecret(key []byte) bool { return bytes.HasPrefix(key, []byte(standardPrefix)) }

// Check implements Scheme.
func (s StandardWebhooks) Check(h http.Header, body, key []byte, now time.Time) error {
	value := h.Get(standardSignature)
	if value == "" {
		return missing("want a signature in the header %s", standardSignature)
	}
	id, stamp := h.Get(standardID), h.Get(standardTimestamp)
	if id == "" {
		return wrong("want the delivery's id in the header %s", standardID)
	}
	if err := checkTime(standardTimestamp, stamp, s.Tolerance, now); err != nil {
		return err
	}
	sum, err := standardSum(id, stamp, body, key)
	if err != nil {
		return wrong("the signature in the header %s cannot be checked with the secret that is known here", standardSignature)
	}
	n := 0
	for entry := range strings.FieldsSeq(value) {
		if n++; n > mostSignatures {
			break
		}
		encoded, ok := strings.CutPrefix(entry, "v1,")
		if !ok {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(sum, got) {
			return nil
		}
	}
	return wrong("no signature in the header %s matches", standardSignature)
}

// Sign implements Scheme. It signs the id that h has, or one made of the time.
func (s StandardWebhooks) Sign(h http.Header, body, key []byte, now time.Time) error {
	id, stamp := h.Get(standardID), unix(now)
	if id == "" {
		id = "msg_" + stamp
	}
	sum, err := standardSum(id, stamp, body, key)
	if err != nil {
		return err
	}
	h.Set(standardID, id)
	h.Set(standardTimestamp, stamp)
	h.Set(standardSignature, "v1,"+base64.StdEncoding.EncodeToString(sum))
	return nil
}

// Verified implements Scheme.
func (StandardWebhooks) Verified() string { return BySignature }

func standardSum(id, stamp string, body, key []byte) ([]byte, error) {
	encoded, ok := bytes.CutPrefix(key, []byte(standardPrefix))
	if !ok {
		return nil, errors.New("a signing secret has to begin with " + standardPrefix)
	}
	raw, err := base64.StdEncoding.AppendDecode(nil, encoded)
	if err != nil || len(raw) == 0 {
		return nil, errors.New("a signing secret has to be base64 after " + standardPrefix)
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return mac.Sum(nil), nil
}
