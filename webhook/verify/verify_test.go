package verify

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

const signingSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" //nolint:gosec // it is made up

// schemes are all schemes, with keys to sign and to check with.
func schemes() map[string]struct {
	Scheme
	sign, check []byte
} {
	seed := []byte("0123456789abcdef0123456789abcdef")
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	b64 := func(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) }
	plain := []byte("s3cr3t")
	type keyed = struct {
		Scheme
		sign, check []byte
	}
	return map[string]keyed{
		"hex":             {HMAC{Header: "X-Sign", Prefix: "sha256="}, plain, plain},
		"base64 and time": {HMAC{Header: "X-Sign", Algorithm: "sha512", Encoding: "base64", TimestampHeader: "X-Time"}, plain, plain},
		"sha384":          {HMAC{Header: "X-Sign", Algorithm: "sha384"}, plain, plain},
		"token":           {Token{Header: "X-Token", Prefix: "Bearer "}, plain, plain},
		"slack":           {Slack{}, plain, plain},
		"stripe":          {Stripe{}, plain, plain},
		"standard":        {StandardWebhooks{}, []byte(signingSecret), []byte(signingSecret)},
		"ed25519":         {Ed25519{Header: "X-Sign"}, b64(seed), b64(public)},
		"ed25519, nonce":  {Ed25519{Header: "X-Sign", NonceHeader: "X-Nonce"}, b64(seed), b64(public)},
	}
}

func TestWhatIsSignedIsTaken(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	body := []byte(`{"a":1}`)
	for name, s := range schemes() {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if err := s.Check(h, body, s.check, now); !errors.Is(err, ErrMissing) {
				t.Errorf("nothing of the scheme: %v", err)
			}
			if err := s.Sign(h, body, s.sign, now); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(h, body, s.check, now); err != nil {
				t.Error(err)
			}
			if s.Verified() == ByToken {
				return
			}
			if err := s.Check(h, []byte(`{"a":2}`), s.check, now); err == nil || errors.Is(err, ErrMissing) {
				t.Errorf("another body: %v", err)
			}
			for header := range h { // each of them counts
				cut := h.Clone()
				cut.Del(header)
				if s.Check(cut, body, s.check, now) == nil {
					t.Errorf("is taken without %s", header)
				}
				other := h.Clone()
				other.Set(header, "1"+h.Get(header))
				if s.Check(other, body, s.check, now) == nil {
					t.Errorf("is taken with another %s", header)
				}
			}
		})
	}
}

func TestTimes(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	timed := map[string]Scheme{
		"hmac":     HMAC{Header: "X-Sign", TimestampHeader: "X-Time", Tolerance: time.Minute},
		"slack":    Slack{Tolerance: time.Minute},
		"stripe":   Stripe{Tolerance: time.Minute},
		"standard": StandardWebhooks{Tolerance: time.Minute},
	}
	for name, s := range timed {
		key := []byte(signingSecret)
		h := http.Header{}
		if err := s.Sign(h, nil, key, now); err != nil {
			t.Fatal(err)
		}
		for off, want := range map[time.Duration]bool{
			0: true, time.Minute: true, -time.Minute: true, time.Minute + time.Second: false, -time.Minute - time.Second: false, 1000 * time.Hour: false,
		} {
			if got := s.Check(h, nil, key, now.Add(off)) == nil; got != want {
				t.Errorf("%s: %v later: %v", name, off, got)
			}
		}
	}
	for _, stamp := range []string{"", "x", "1e9", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "1800000000.0", " 1800000000"} {
		if checkTime("X-Time", stamp, 0, now) == nil {
			t.Errorf("the time %q is taken", stamp)
		}
	}
	if err := checkTime("X-Time", "1799999700", 0, now); err != nil { // 5 minutes
		t.Error(err)
	}
}

func TestSeveralSignatures(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	body := []byte("x")
	h := http.Header{}
	if err := (Stripe{}).Sign(h, body, []byte("new"), now); err != nil {
		t.Fatal(err)
	}
	_, right, _ := strings.Cut(h.Get("Stripe-Signature"), "v1=")
	zeros := strings.Repeat("0", 64)
	for value, want := range map[string]bool{
		"t=1800000000,v1=" + zeros + ",v1=" + right:  true,
		"t=1800000000, v1=" + right + ",v0=" + zeros: true,
		"v1=" + right + ",t=1800000000":              true,
		"t=1800000000,v0=" + right:                   false,
		"t=1800000000,v1=":                           false,
		"t=1800000000,v1=xx":                         false,
		"t=1800000001,v1=" + right:                   false,
		"t=1800000001,t=1800000000,v1=" + right:      false,
		"v1=" + right:                                false,
		",,=,":                                       false,
		"t=1800000000" + strings.Repeat(",v1=00", 16) + ",v1=" + right: false, // no sender has so many
	} {
		h.Set("Stripe-Signature", value)
		if err := (Stripe{}).Check(h, body, []byte("new"), now); (err == nil) != want {
			t.Errorf("%s: %v", value, err)
		}
	}
	h = http.Header{"Webhook-Id": {"1"}}
	if err := (StandardWebhooks{}).Sign(h, body, []byte(signingSecret), now); err != nil {
		t.Fatal(err)
	}
	right = h.Get("Webhook-Signature")
	for value, want := range map[string]bool{
		"v1,AAAA " + right: true, right + " v1,AAAA": true, "v1a," + right[3:]: false, right[3:]: false, "v1,": false, "v2," + right[3:]: false, " ": false,
	} {
		h.Set("Webhook-Signature", value)
		if err := (StandardWebhooks{}).Check(h, body, []byte(signingSecret), now); (err == nil) != want {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	now, h := time.Unix(1_800_000_000, 0), http.Header{}
	for _, key := range []string{"plain", "whsec_", "whsec_?", ""} {
		if err := (StandardWebhooks{}).Sign(h, nil, []byte(key), now); err == nil {
			t.Errorf("standard: %q is taken", key)
		}
	}
	if err := (Ed25519{Header: "X"}).Sign(h, nil, []byte("x"), now); err == nil {
		t.Error("ed25519: a bad seed is taken")
	}
	h.Set("X", base64.StdEncoding.EncodeToString(make([]byte, 64)))
	var own *Error
	if err := (Ed25519{Header: "X"}).Check(h, nil, []byte("x"), now); err == nil || errors.As(err, &own) {
		t.Errorf("a bad public key is the sender's fault: %v", err)
	}
	h.Set("X", "00")
	if err := (HMAC{Header: "X", Algorithm: "md5"}).Check(h, nil, []byte("x"), now); err == nil || errors.As(err, &own) {
		t.Errorf("an unknown algorithm is the sender's fault: %v", err)
	}
	if err := (HMAC{Header: "X", Algorithm: "md5"}).Sign(h, nil, []byte("x"), now); err == nil {
		t.Error("signed with md5")
	}
}

func TestAny(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, body := HMAC{Header: "X-Sign"}, []byte("x")
	h := http.Header{}
	if err := s.Sign(h, body, []byte("b"), now); err != nil {
		t.Fatal(err)
	}
	keys := func(texts ...string) (out [][]byte) {
		for _, k := range texts {
			out = append(out, []byte(k))
		}
		return out
	}
	var own *Error
	for name, tt := range map[string]struct {
		keys [][]byte
		ok   bool
		own  bool
	}{
		"the second": {keys("a", "b"), true, false}, "none": {keys("a", "c"), false, true},
		"no keys": {nil, false, false}, "an empty key": {keys("a", ""), false, false},
	} {
		err := Any(s, h, body, tt.keys, now)
		if (err == nil) != tt.ok || errors.As(err, &own) != tt.own {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Any(s, http.Header{}, body, keys("a", "b"), now); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
	// Whoever signs with an empty key is not let in by an empty secret.
	if err := s.Sign(h, body, nil, now); err != nil {
		t.Fatal(err)
	}
	if Any(s, h, body, [][]byte{{}}, now) == nil {
		t.Error("an empty secret lets everybody in")
	}
}

func TestErrorsDoNotHelp(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, s := range schemes() {
		h := http.Header{}
		if err := s.Sign(h, []byte("x"), s.sign, now); err != nil {
			t.Fatal(err)
		}
		right := h.Clone()
		for header := range h {
			h.Set(header, h.Get(header)+"x")
		}
		if err := s.Check(h, []byte("x"), s.check, now); err != nil {
			for header := range right {
				if strings.Contains(err.Error(), right.Get(header)) || strings.Contains(err.Error(), string(s.check)) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// FuzzSchemes: no header makes a check panic, and none but the right one passes.
func FuzzSchemes(f *testing.F) {
	f.Add("t=1800000000,v1=00", "v1,AAAA", "1800000000", []byte("x"))
	f.Add("v0=00", "sha256=00", "-1", []byte{})
	f.Fuzz(func(t *testing.T, a, b, c string, body []byte) {
		now := time.Unix(1_800_000_000, 0)
		h := http.Header{}
		for _, name := range []string{"X-Sign", "X-Token", "X-Slack-Signature", "Stripe-Signature", "Webhook-Signature"} {
			h.Add(name, a)
		}
		for _, name := range []string{"X-Nonce", "Webhook-Id"} {
			h.Set(name, b)
		}
		for _, name := range []string{"X-Time", "Webhook-Timestamp", "X-Slack-Request-Timestamp"} {
			h.Set(name, c)
		}
		for name, s := range schemes() {
			err := s.Check(h, body, s.check, now)
			if err == nil && !strings.Contains(a, "s3cr3t") {
				right := http.Header{"X-Nonce": {b}, "Webhook-Id": {b}}
				if e := s.Sign(right, body, s.sign, now); e != nil {
					t.Fatal(e)
				}
				t.Errorf("%s: %q is taken", name, a)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	now, body := time.Unix(1_800_000_000, 0), []byte(strings.Repeat("x", 10_000))
	for name, s := range schemes() {
		h := http.Header{}
		if err := s.Sign(h, body, s.sign, now); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Check(h, body, s.check, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
