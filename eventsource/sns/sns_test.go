package sns

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topic   = "arn:aws:sns:eu-central-1:123456789012:events"
	certURL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"
	confirm = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t0"
	signed  = "\nwebhook: {endpoint: /sns}\ntopicArn: " + topic + "\nvalidateSignature: true\n"
	open    = "\nwebhook: {endpoint: /sns, insecure: true}\ntopicArn: " + topic + "\n"
)

// amazon plays the host that messages name: certificates and confirmations.
type amazon struct {
	mu    sync.Mutex
	cert  []byte
	down  bool
	asked []string
}

// RoundTrip implements http.RoundTripper.
func (a *amazon) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.URL.String())
	status, body := http.StatusOK, "<ConfirmSubscriptionResponse/>"
	if strings.HasSuffix(r.URL.Path, ".pem") {
		body = string(a.cert)
	}
	if a.down {
		status = http.StatusBadGateway
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func (a *amazon) confirmed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, u := range a.asked {
		if strings.Contains(u, "ConfirmSubscription") {
			n++
		}
	}
	return n
}

func (a *amazon) client() *http.Client { return &http.Client{Transport: a} }

// key signs for Amazon; made once, because that takes long.
var key = sync.OnceValues(func() (*rsa.PrivateKey, []byte) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		panic(err)
	}
	return k, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
})

func newAmazon() *amazon {
	_, cert := key()
	return &amazon{cert: cert}
}

func build(t testing.TB, text string, e eventsource.Env, client *http.Client) *source {
	t.Helper()
	return newSource(*decoded(t, text), e, client)
}

func decoded(t testing.TB, text string) *Config {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	return c.(*Config)
}

func start(t *testing.T, text string, a *amazon) (string, *sourcetest.Running) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	r := sourcetest.Go(t, build(t, text, e.Env, a.client()))
	return e.URL(t, "12000", "/sns"), r
}

// message makes a signed one, changed by change before.
func message(t testing.TB, change func(*verify.SNSMessage)) []byte {
	t.Helper()
	m := &verify.SNSMessage{
		Type: verify.SNSNotification, MessageID: "m-1", TopicARN: topic, Message: `{"n":1}`,
		Timestamp: "2026-01-02T03:04:05.678Z", SignatureVersion: "2", SigningCertURL: certURL,
	}
	if change != nil {
		change(m)
	}
	k, _ := key()
	if err := m.Sign(k); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func subscription(m *verify.SNSMessage) {
	m.Type, m.Token, m.SubscribeURL = verify.SNSSubscribe, "t0", confirm
}

func sent(t testing.TB, body []byte) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(*testing.T, *sourcetest.Env) string { return open },
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := message(t, func(m *verify.SNSMessage) { m.MessageID = fmt.Sprint("m-", n) })
			if status, text := hosttest.Send(t, e.URL(t, "12000", "/sns"), sent(t, body), body); status != 200 {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func TestData(t *testing.T) {
	subject := "hello"
	for _, tt := range []struct {
		name, config string
		change       func(*verify.SNSMessage)
		message      string // the block; empty for none
	}{
		{"JSON", "", nil, `{"n":1}`},
		{"signature of version 1", "", func(m *verify.SNSMessage) { m.SignatureVersion = "1" }, `{"n":1}`},
		{"with a subject", "", func(m *verify.SNSMessage) { m.Subject = &subject }, `{"n":1}`},
		{"text", "", func(m *verify.SNSMessage) { m.Message = "hello" }, ""},
		{"a number", "metadata: {team: blue}", func(m *verify.SNSMessage) { m.Message = "12345678901234567890" }, "12345678901234567890"},
		{"nothing", "", func(m *verify.SNSMessage) { m.Message = "" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, signed+tt.config, newAmazon())
			body := message(t, tt.change)
			for range 2 { // the second is sent again
				if status, text := hosttest.Send(t, url, sent(t, body), body); status != 200 {
					t.Fatalf("%d %s", status, text)
				}
			}
			if n := len(r.Stored()); n != 1 {
				t.Fatalf("%d events", n)
			}
			e := r.Next(t)
			var d struct {
				Header   map[string][]string
				Body     json.RawMessage
				Message  json.RawMessage
				Metadata map[string]string
			}
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			if string(d.Body) != string(body) || string(d.Message) != tt.message || d.Header["X-Amz-Sns-Message-Type"][0] != "Notification" {
				t.Errorf("data %s", e.Data)
			}
			if e.ID != "m-1" || !e.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)) || (d.Metadata["team"] == "blue") != (tt.config != "") {
				t.Errorf("id %s, time %s, metadata %v", e.ID, e.Time, d.Metadata)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	forged := func(b []byte) []byte { return []byte(strings.Replace(string(b), `{\"n\":1}`, `{\"n\":2}`, 1)) }
	for _, tt := range []struct {
		name, config string
		body         []byte
		down         bool
		want         int
	}{
		{"signed", signed, message(t, nil), false, 200},
		{"another text", signed, forged(message(t, nil)), false, 401},
		{"another text, signatures do not matter", open, forged(message(t, nil)), false, 200},
		{"another topic", signed, message(t, func(m *verify.SNSMessage) { m.TopicARN = topic + "2" }), false, 401},
		{"another topic, signatures do not matter", open, message(t, func(m *verify.SNSMessage) { m.TopicARN = topic + "2" }), false, 401},
		{"a certificate of another host", signed, message(t, func(m *verify.SNSMessage) {
			m.SigningCertURL = "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem"
		}), false, 401},
		{"a certificate without TLS", signed, message(t, func(m *verify.SNSMessage) { m.SigningCertURL = strings.Replace(certURL, "https", "http", 1) }), false, 401},
		{"a certificate that cannot be had", signed, message(t, nil), true, 503},
		{"no message", signed, []byte(`{"a":1}`), false, 401},
		{"no JSON", signed, []byte(`hello`), false, 401},
		{"wrong types", open, []byte(`{"Type":"Notification","MessageId":1}`), false, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAmazon()
			a.down = tt.down
			url, r := start(t, tt.config, a)
			if status, text := hosttest.Send(t, url, http.Header{}, tt.body); status != tt.want {
				t.Errorf("%d %s, want %d", status, text, tt.want)
			}
			if stored := len(r.Stored()) == 1; stored != (tt.want == 200) {
				t.Errorf("%d events", len(r.Stored()))
			}
		})
	}
}

// Without keys a subscription is confirmed at the address in the message: only
// at Amazon, only of our topic, and only if Amazon has signed it.
func TestConfirmation(t *testing.T) {
	unsigned := strings.Replace(string(message(t, subscription)), `"Token":"t0"`, `"Token":"t1"`, 1)
	for _, tt := range []struct {
		name, config string
		body         []byte
		down         bool
		want         int
		confirmed    int
	}{
		{"ours", signed, message(t, subscription), false, 200, 1},
		{"ours, where signatures do not matter otherwise", open, message(t, subscription), false, 200, 1},
		{"forged", signed, []byte(unsigned), false, 401, 0},
		{"forged, where signatures do not matter otherwise", open, []byte(unsigned), false, 401, 0},
		{"at another host", signed, message(t, func(m *verify.SNSMessage) {
			subscription(m)
			m.SubscribeURL = "https://evil.example/?Action=ConfirmSubscription"
		}), false, 401, 0},
		{"of another topic", signed, message(t, func(m *verify.SNSMessage) {
			subscription(m)
			m.TopicARN = topic + "2"
		}), false, 401, 0},
		{"the end of a subscription", signed, message(t, func(m *verify.SNSMessage) {
			subscription(m)
			m.Type = verify.SNSUnsubscribe
		}), false, 200, 0},
		{"Amazon is away", open, message(t, subscription), true, 503, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAmazon()
			a.down = tt.down
			url, r := start(t, tt.config, a)
			if status, text := hosttest.Send(t, url, http.Header{}, tt.body); status != tt.want {
				t.Errorf("%d %s, want %d", status, text, tt.want)
			}
			if got := a.confirmed(); got != tt.confirmed || len(r.Stored()) > 0 {
				t.Errorf("confirmed %d times, %d events", got, len(r.Stored()))
			}
		})
	}
}

func TestRawDelivery(t *testing.T) {
	head := func(more ...string) http.Header {
		h := http.Header{"X-Amz-Sns-Rawdelivery": {"true"}, "X-Amz-Sns-Message-Id": {"m-9"}, "X-Amz-Sns-Topic-Arn": {topic}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	const allowed = open + "allowRawDelivery: true\n"
	for _, tt := range []struct {
		name, config string
		header       http.Header
		body         string
		want         int
		message      string
	}{
		{"refused", open, head(), `{"n":1}`, 401, ""},
		{"refused where signatures are checked", signed, head(), `{"n":1}`, 401, ""},
		{"an envelope does not help", signed, head(), string(message(t, nil)), 401, ""},
		{"allowed", allowed, head(), `{"n":1}`, 200, `{"n":1}`},
		{"allowed beside signatures", signed + "allowRawDelivery: true", head(), `{"n":1}`, 200, `{"n":1}`},
		{"text", allowed, head(), "a\n\"b\"", 200, `"a\n\"b\""`},
		{"another topic", allowed, head("X-Amz-Sns-Topic-Arn", topic+"2"), `{"n":1}`, 401, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, tt.config, newAmazon())
			if status, text := hosttest.Send(t, url, tt.header, []byte(tt.body)); status != tt.want {
				t.Fatalf("%d %s, want %d", status, text, tt.want)
			}
			if tt.want != 200 {
				return
			}
			e := r.Next(t)
			var d struct{ Body, Message json.RawMessage }
			if err := json.Unmarshal(e.Data, &d); err != nil || string(d.Message) != tt.message || string(d.Body) != tt.message || e.ID != "m-9" {
				t.Errorf("id %s, data %s, %v", e.ID, e.Data, err)
			}
		})
	}
}

func TestOfflineAsksNobody(t *testing.T) {
	a := newAmazon()
	e := sourcetest.NewEnv(t)
	e.Offline = true
	r := sourcetest.Go(t, build(t, strings.Replace(signed, "{", "{url: https://hooks.example.com, ", 1), e.Env, a.client()))
	url := e.URL(t, "12000", "/sns")
	for _, body := range [][]byte{message(t, nil), message(t, subscription)} {
		if status, text := hosttest.Send(t, url, sent(t, body), body); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	}
	if len(r.Stored()) != 1 || len(a.asked) > 0 {
		t.Errorf("%d events, asked %v", len(r.Stored()), a.asked)
	}
}

func TestSender(t *testing.T) {
	for _, bad := range []string{`{"n":1}`, "hello", `{"Type":"Other"}`} {
		if h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(bad)}); err == nil {
			t.Errorf("%s: %v", bad, h)
		}
	}
}
