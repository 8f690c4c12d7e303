package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Slack is Slack's signature: X-Slack-Signature is "v0=" and the hex
// HMAC-SHA256 of "v0:TIMESTAMP:BODY", TIMESTAMP being that of
// X-Slack-Request-Timestamp (https://api.slack.com/authentication/verifying-requests-from-slack).
type Slack struct {
	// Tolerance is how far the time may be from now; 5 minutes if zero.
	Tolerance time.Duration
}

const (
	slackSignature = "X-Slack-Signature"
	slackTimestamp = "X-Slack-Request-Timestamp"
)

// Check implements Scheme.
func (s Slack) Check(h http.Header, body, key []byte, now time.Time) error {
	value := h.Get(slackSignature)
	if value == "" {
		return missing("want a signature in the header %s", slackSignature)
	}
	value, ok := strings.CutPrefix(value, "v0=")
	if !ok {
		return wrong("the header %s has to begin with v0=", slackSignature)
	}
	got, err := hex.DecodeString(value)
	if err != nil {
		return wrong("the signature in the header %s is not hex", slackSignature)
	}
	stamp := h.Get(slackTimestamp)
	if err := checkTime(slackTimestamp, stamp, s.Tolerance, now); err != nil {
		return err
	}
	if !hmac.Equal(slackSum(stamp, body, key), got) {
		return wrong("the signature in the header %s does not match", slackSignature)
	}
	return nil
}

// Sign implements Scheme.
func (s Slack) Sign(h http.Header, body, key []byte, now time.Time) error {
	stamp := unix(now)
	h.Set(slackTimestamp, stamp)
	h.Set(slackSignature, "v0="+hex.EncodeToString(slackSum(stamp, body, key)))
	return nil
}

// Verified implements Scheme.
func (Slack) Verified() string { return BySignature }

func slackSum(stamp string, body, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("v0:" + stamp + ":"))
	mac.Write(body)
	return mac.Sum(nil)
}
