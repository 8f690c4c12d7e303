package verify

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	topic   = "arn:aws:sns:eu-central-1:123456789012:images"
	certURL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem"
)

// amazon plays the service that certificates come from.
type amazon struct {
	key    *rsa.PrivateKey
	cert   []byte
	asked  atomic.Int32
	status int
	urls   []string
}

func newAmazon(t testing.TB, until time.Time) *amazon {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &amazon{key: key, cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), status: http.StatusOK}
}

// RoundTrip implements http.RoundTripper.
func (a *amazon) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	a.urls = append(a.urls, r.Method+" "+r.URL.String())
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(a.cert))), Request: r}, nil
}

func (a *amazon) sns() *SNS {
	return &SNS{Topics: []string{"arn:aws:sns:*:123456789012:images"}, Client: &http.Client{Transport: a}}
}

func (a *amazon) message(t testing.TB, version string, change func(*SNSMessage)) *SNSMessage {
	t.Helper()
	subject := "hello"
	m := &SNSMessage{
		Type: SNSNotification, MessageID: "m-1", TopicARN: topic, Subject: &subject, Message: "{}\n", Timestamp: "2026-03-01T10:00:00.000Z",
		SignatureVersion: version, SigningCertURL: certURL,
	}
	if change != nil {
		change(m)
	}
	if err := m.Sign(a.key); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSNS(t *testing.T) {
	a := newAmazon(t, time.Now().Add(time.Hour))
	subscribe := func(m *SNSMessage) {
		m.Type, m.Token, m.SubscribeURL, m.Subject = SNSSubscribe, "tok", "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription", nil
	}
	for _, tc := range []struct {
		name, version string
		make          func(*SNSMessage)
		spoil         func(*SNSMessage)
		want          string
	}{
		{name: "version 1", version: "1"},
		{name: "version 2", version: "2"},
		{name: "no subject", version: "2", make: func(m *SNSMessage) { m.Subject = nil }},
		{name: "a subscription", version: "1", make: subscribe},
		{name: "China", version: "2", make: func(m *SNSMessage) {
			m.SigningCertURL = "https://sns.cn-north-1.amazonaws.com.cn/x.pem"
		}},
		{name: "another message", version: "2", spoil: func(m *SNSMessage) { m.Message += "x" }, want: "does not match"},
		{name: "another subject", version: "2", spoil: func(m *SNSMessage) { m.Subject = nil }, want: "does not match"},
		{name: "another token", version: "2", make: subscribe, spoil: func(m *SNSMessage) { m.Token = "x" }, want: "does not match"},
		{name: "a notification made a subscription", version: "2", spoil: subscribe, want: "does not match"},
		{name: "another version", version: "2", spoil: func(m *SNSMessage) { m.SignatureVersion = "1" }, want: "does not match"},
		{name: "no such version", version: "2", spoil: func(m *SNSMessage) { m.SignatureVersion = "3" }, want: "neither 1 nor 2"},
		{name: "no signature", version: "2", spoil: func(m *SNSMessage) { m.Signature = "" }, want: "no signature"},
		{name: "a signature that is no base64", version: "2", spoil: func(m *SNSMessage) { m.Signature = "%" }, want: "no signature"},
		{name: "another account's topic", version: "2", make: func(m *SNSMessage) { m.TopicARN = "arn:aws:sns:eu-central-1:999999999999:images" }, want: "this topic"},
		{name: "a topic with more behind", version: "2", make: func(m *SNSMessage) { m.TopicARN += "2" }, want: "this topic"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := a.message(t, tc.version, tc.make)
			if tc.spoil != nil {
				tc.spoil(m)
			}
			raw, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := ParseSNS(raw)
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, a.sns().Check(t.Context(), parsed), tc.want)
		})
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	var own *Error
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!errors.As(err, &own) || !strings.Contains(own.Text, want)):
		t.Errorf("got %v, want an *Error with %q", err, want)
	}
}

// Nobody but Amazon is asked, whatever a message says.
func TestSNSAsksOnlyAmazon(t *testing.T) {
	for _, url := range []string{
		"", "http://sns.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem",
		"https://evil.example/sns.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem",
		"https://u@sns.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com:8443/x.pem",
		"https://sns.eu-central-1.amazonaws.com/x.pem?a=b", "https://sns.eu-central-1.amazonaws.com/x", "https://sns.a.b.amazonaws.com/x.pem",
		"https://s3.eu-central-1.amazonaws.com/x.pem", "https://sns..amazonaws.com/x.pem", "https://127.0.0.1/x.pem", "https://sns.eu-central-1.amazonaws.com/x.pem#.pem", "::",
	} {
		a := newAmazon(t, time.Now().Add(time.Hour))
		m := a.message(t, "2", func(m *SNSMessage) { m.SigningCertURL = url })
		wantError(t, a.sns().Check(t.Context(), m), "not at Amazon SNS")
		m = a.message(t, "2", func(m *SNSMessage) { m.Type, m.SubscribeURL = SNSSubscribe, strings.TrimSuffix(url, "x.pem?a=b") })
		if strings.HasPrefix(m.SubscribeURL, "https://sns.eu-central-1.amazonaws.com/") && !strings.Contains(url, "#") {
			continue // a good one to confirm at
		}
		wantError(t, a.sns().Confirm(t.Context(), m), "not at Amazon SNS")
		if n := a.asked.Load(); n > 0 {
			t.Errorf("%q: asked %v", url, a.urls)
		}
	}
}

func TestSNSCertificates(t *testing.T) {
	t.Run("is asked for once", func(t *testing.T) {
		a := newAmazon(t, time.Now().Add(time.Hour))
		s := a.sns()
		for range 3 {
			wantError(t, s.Check(t.Context(), a.message(t, "2", nil)), "")
		}
		if n := a.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("a failure is not the sender's fault, and is not remembered", func(t *testing.T) {
		a := newAmazon(t, time.Now().Add(time.Hour))
		a.status = http.StatusServiceUnavailable
		s := a.sns()
		var own *Error
		if err := s.Check(t.Context(), a.message(t, "2", nil)); err == nil || errors.As(err, &own) {
			t.Errorf("got %v", err)
		}
		a.status = http.StatusOK
		wantError(t, s.Check(t.Context(), a.message(t, "2", nil)), "")
	})
	t.Run("has expired", func(t *testing.T) {
		a := newAmazon(t, time.Now().Add(-time.Hour))
		if err := a.sns().Check(t.Context(), a.message(t, "2", nil)); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("is given", func(t *testing.T) {
		a := newAmazon(t, time.Now().Add(time.Hour))
		s := a.sns()
		s.Certificates = func(context.Context) ([]byte, error) { return a.cert, nil }
		wantError(t, s.Check(t.Context(), a.message(t, "1", nil)), "")
		if a.asked.Load() > 0 {
			t.Error("asked for the certificate")
		}
	})
	t.Run("not too many are asked for", func(t *testing.T) {
		a := newAmazon(t, time.Now().Add(time.Hour))
		s := a.sns()
		for i := range 100 {
			_ = s.Check(t.Context(), a.message(t, "2", func(m *SNSMessage) {
				m.SigningCertURL = strings.Replace(certURL, "-0", "-"+strings.Repeat("0", i), 1)
			}))
		}
		if n := a.asked.Load(); n != certsPerMin {
			t.Errorf("asked %d times, want %d", n, certsPerMin)
		}
		if n := len(s.cache.known); n > certsKept {
			t.Errorf("keeps %d", n)
		}
	})
}

func TestSNSConfirm(t *testing.T) {
	a := newAmazon(t, time.Now().Add(time.Hour))
	m := &SNSMessage{Type: SNSSubscribe, SubscribeURL: "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=x"}
	if err := a.sns().Confirm(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if len(a.urls) != 1 || a.urls[0] != "GET "+m.SubscribeURL {
		t.Errorf("asked %v", a.urls)
	}
	a.status = http.StatusForbidden
	if a.sns().Confirm(t.Context(), m) == nil {
		t.Error("a refusal is no error")
	}
	wantError(t, a.sns().Confirm(t.Context(), &SNSMessage{Type: SNSNotification}), "no confirmation")
}

func TestParseSNS(t *testing.T) {
	for _, body := range []string{"", "null", "{}", "[]", `{"Type":5}`, `{"Type":"Other"}`, `{"Type":"Notification","Message":{}}`} {
		if _, err := ParseSNS([]byte(body)); err == nil {
			t.Errorf("%q was taken", body)
		}
	}
}

func TestAuthorization(t *testing.T) {
	for value, want := range map[string]bool{
		"s3cr3t": true, "Bearer s3cr3t": true, "bearer s3cr3t": true, "Basic aG9va3M6czNjcjN0": true, "basic aG9va3M6czNjcjN0": true,
		"S3cr3t": false, "Bearer ": false, "Bearer x": false, "Basic x": false, "Basic aG9va3M6": false, "Token s3cr3t": false, "s3cr3t ": false,
	} {
		err := Authorization{}.Check(http.Header{"Authorization": {value}}, nil, []byte("s3cr3t"), time.Time{})
		if (err == nil) != want || errors.Is(err, ErrMissing) {
			t.Errorf("%q: %v", value, err)
		}
	}
	if err := (Authorization{}).Check(http.Header{}, nil, []byte("x"), time.Time{}); !errors.Is(err, ErrMissing) {
		t.Errorf("nothing: %v", err)
	}
	if err := (Authorization{}).Check(http.Header{"Authorization": {"Basic aG9va3M6czNjcjN0"}}, nil, []byte("hooks:s3cr3t"), time.Time{}); err != nil {
		t.Errorf("user and password: %v", err)
	}
	h := http.Header{}
	if err := (Authorization{}).Sign(h, nil, []byte("x"), time.Time{}); err != nil || h.Get("Authorization") != "Bearer x" {
		t.Errorf("signed %v, %v", h, err)
	}
}
