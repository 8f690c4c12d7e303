package codecommit

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
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const (
	topic   = "arn:aws:sns:eu-central-1:123456789012:events"
	certURL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"
	confirm = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t0"
	signed  = "webhook: {endpoint: /hook}\nsns: {topicArns: ['" + topic + "']}\n"
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

func (a *amazon) questions() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.asked, " ")
}

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

// start runs an entry that asks a.
func start(t *testing.T, manifest string, a *amazon, offline bool) (string, *sourcetest.Running) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	e := sourcetest.NewEnv(t)
	e.Offline = offline
	r := sourcetest.Go(t, newSource(*c.(*Config), e.Env, &http.Client{Transport: a}))
	return hosttest.URL(t, e), r
}

// message makes a signed one, changed by change before.
func message(t testing.TB, text string, change func(*verify.SNSMessage)) []byte {
	t.Helper()
	m := &verify.SNSMessage{
		Type: verify.SNSNotification, MessageID: "m-1", TopicARN: topic, Message: text,
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

func snsHeader(t testing.TB, body []byte) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: body})
	if err != nil || h.Get(verify.SNSTypeHeader) == "" {
		t.Fatal(h, err)
	}
	return h
}

func TestSNSFixtures(t *testing.T) {
	samples := hosttest.Samples(t, "aws-sns")
	cert, err := os.ReadFile("../../../shared/fixtures/webhooks/aws-sns/signing-cert-test.pem")
	if err != nil {
		t.Fatal(err)
	}
	k := hosttest.Kind{Kind: Kind, Secrets: map[string]string{"aws/cert": string(cert)}}
	k.Config = "webhook: {endpoint: /hook}\nsns: {topicArns: ['arn:aws:sns:*:123456789012:events'], certificate: {name: aws, key: cert}}"
	want := map[string]int{
		"notification-codecommit-v2.json": 200, "notification-ecr-v1.json": 200,
		"unsubscribe-confirmation.json": 200, "raw-delivery-ecr.json": 401,
	}
	e, r := k.Start(t)
	url := hosttest.URL(t, e)
	seen := 0
	for _, s := range samples {
		status, ok := want[s.File]
		if !ok {
			continue // what would have to be asked at Amazon
		}
		seen++
		changed := []byte(strings.Replace(string(s.Body), "123456789012", "123456789013", 1))
		if got, text := hosttest.Send(t, url, s.Header, changed); got != http.StatusUnauthorized {
			t.Errorf("%s, changed: %d %s", s.File, got, text)
		}
		for range 2 {
			if got, text := hosttest.Send(t, url, s.Header, s.Body); got != status {
				t.Errorf("%s: %d %s", s.File, got, text)
			}
		}
	}
	if n := len(r.Stored()); seen != len(want) || n != 1 {
		t.Fatalf("%d events of %d files", n, seen)
	}
	ev := r.Next(t)
	d := hosttest.Read(t, ev)
	const wantBlock = "push/updated referenceUpdated shop refs/heads/main 7a81af3..d1854ca by:dana unknown:not-sent signature"
	if got := hosttest.Summary(d.Git); got != wantBlock || ev.ID != "28b7cf50-4da5-5dd8-8e4a-395017aff3c6" {
		t.Errorf("%s %s", ev.ID, got)
	}
}

func TestMessages(t *testing.T) {
	push := bridge("i1", "referenceUpdated", `"referenceFullName":"refs/heads/a","commitId":"b1","oldCommitId":"a1"`)
	const moved = "push/updated referenceUpdated shop refs/heads/a a1..b1 by:dana unknown:not-sent signature"
	for name, tt := range map[string]struct {
		text   string
		change func(*verify.SNSMessage)
		want   []string // id, and the block as hosttest.Summary has it
	}{
		"event":        {push, nil, []string{"i1 " + moved}},
		"version 1":    {push, func(m *verify.SNSMessage) { m.SignatureVersion = "1" }, []string{"i1 " + moved}},
		"without id":   {strings.Replace(push, `"id":"i1",`, "", 1), nil, []string{"m-1 " + moved}},
		"notification": {strings.NewReplacer(`"id":"i1",`, "", "detail-type", "detailType").Replace(push), nil, []string{"m-1 " + moved}},
		"trigger": {records(trigger("t1", "", `{"commit":"b1","ref":"refs/heads/a","created":true}, {"commit":"c<1","ref":"refs/tags/v1"}`)), nil, []string{
			"t1 push/created ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:new-ref signature",
			"t1/1 tag/updated ReferenceChanges shop refs/tags/v1 ..c<1 by:dana unknown:not-sent signature",
		}},
		"text":            {"CodeCommit has news", nil, []string{"m-1 other/   unknown:not-sent signature"}},
		"broken records":  {`{"Records":[{},{}] x`, nil, []string{"m-1 other/   unknown:not-sent signature"}},
		"another service": {`{"source":"aws.ecr","id":"e1"}`, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			url, r := start(t, signed, newAmazon(), false)
			body := message(t, tt.text, tt.change)
			for range 2 {
				if status, text := hosttest.Send(t, url, snsHeader(t, body), body); status != http.StatusOK {
					t.Fatalf("%d %s", status, text)
				}
			}
			if n := len(r.Stored()); n != len(tt.want) {
				t.Fatalf("%d events", n)
			}
			for _, want := range tt.want {
				ev := r.Next(t)
				d := hosttest.Read(t, ev)
				if got := ev.ID + " " + hosttest.Summary(d.Git); got != want {
					t.Errorf("\n got %s\nwant %s", got, want)
				}
				checkMessage(t, ev, body, tt.text, len(tt.want) > 1)
			}
		})
	}
}

// checkMessage wants the block message to be what the envelope in body has in it,
// and all else of the envelope as it was sent.
func checkMessage(t *testing.T, ev eventsource.Event, sent []byte, text string, several bool) {
	t.Helper()
	var d struct {
		Body    json.RawMessage
		Message json.RawMessage
	}
	var inner, outer verify.SNSMessage
	if err := json.Unmarshal(ev.Data, &d); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(d.Body, &inner); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(sent, &outer); err != nil {
		t.Fatal(err)
	}
	if !several && string(d.Body) != string(sent) {
		t.Errorf("%s", d.Body)
	}
	if several && strings.Count(inner.Message, `"ref"`) != 1 {
		t.Errorf("%s", inner.Message)
	}
	if json.Valid([]byte(text)) != (d.Message != nil) {
		t.Errorf("message is %s", d.Message)
	}
	if d.Message != nil {
		var a, b any
		if json.Unmarshal(d.Message, &a) != nil || json.Unmarshal([]byte(inner.Message), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s is not %s", d.Message, inner.Message)
		}
	}
	if inner.Message, outer.Message = "", ""; inner != outer {
		t.Errorf("%+v", inner)
	}
}

func TestRefusedMessages(t *testing.T) {
	text := bridge("i1", "referenceCreated", `"referenceFullName":"refs/heads/a","commitId":"b1"`)
	whole := message(t, text, nil)
	for name, tt := range map[string]struct {
		config string
		body   []byte
		down   bool
		want   int
	}{
		"changed":            {signed, []byte(strings.Replace(string(whole), "refs/heads/a", "refs/heads/b", 1)), false, 401},
		"not signed":         {signed, []byte(strings.Replace(string(whole), `"Signature":"`, `"Signature":"AA`, 1)), false, 401},
		"another topic":      {signed, message(t, text, func(m *verify.SNSMessage) { m.TopicARN += "x" }), false, 401},
		"another host":       {signed, message(t, text, func(m *verify.SNSMessage) { m.SigningCertURL = "https://evil.example.com/x.pem" }), false, 401},
		"of no topic":        {"webhook: {endpoint: /hook}\n", whole, false, 401},
		"Amazon is down":     {signed, whole, true, 503},
		"confirm elsewhere":  {signed, message(t, "x", func(m *verify.SNSMessage) { subscription(m); m.SubscribeURL = "https://evil.example.com/" }), false, 401},
		"confirm, not ours":  {signed, message(t, "x", func(m *verify.SNSMessage) { subscription(m); m.TopicARN += "x" }), false, 401},
		"confirm by others":  {signed, []byte(strings.Replace(string(message(t, "x", subscription)), "t0", "t1", 1)), false, 401},
		"confirm, but down":  {signed, message(t, "x", subscription), true, 503},
		"confirm without it": {"webhook: {endpoint: /hook}\n", message(t, "x", subscription), false, 401},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAmazon()
			a.down = tt.down
			url, r := start(t, tt.config, a, false)
			if status, text := hosttest.Send(t, url, snsHeader(t, tt.body), tt.body); status != tt.want {
				t.Errorf("%d %s", status, text)
			}
			if q := a.questions(); strings.Contains(q, "evil") || strings.Contains(q, "ConfirmSubscription") && !tt.down {
				t.Errorf("asked %s", q)
			}
			if n := len(r.Stored()); n > 0 {
				t.Errorf("%d events", n)
			}
		})
	}
}

func TestSubscription(t *testing.T) {
	a := newAmazon()
	url, r := start(t, signed, a, false)
	for _, body := range [][]byte{
		message(t, "x", subscription),
		message(t, "x", func(m *verify.SNSMessage) { subscription(m); m.Type = verify.SNSUnsubscribe }),
	} {
		if status, text := hosttest.Send(t, url, snsHeader(t, body), body); status != http.StatusOK {
			t.Errorf("%d %s", status, text)
		}
	}
	if got := a.questions(); got != certURL+" "+confirm {
		t.Errorf("asked %s", got)
	}
	if n := len(r.Stored()); n > 0 {
		t.Errorf("%d events", n)
	}
}

// TestOffline sees what a message means without asking anybody.
func TestOffline(t *testing.T) {
	a := newAmazon()
	url, r := start(t, signed+strings.Replace(locked, "{", "{name: X-Mine, ", 1), a, true)
	push := bridge("i1", "referenceCreated", `"referenceFullName":"refs/heads/a","commitId":"b1"`)
	for _, body := range [][]byte{message(t, push, nil), message(t, "x", subscription)} {
		if status, text := hosttest.Send(t, url, snsHeader(t, body), body); status != http.StatusOK {
			t.Errorf("%d %s", status, text)
		}
	}
	if status, text := hosttest.Send(t, url, http.Header{}, []byte(strings.Replace(push, "i1", "i2", 1))); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if got := a.questions(); got != "" || len(r.Stored()) != 2 {
		t.Fatalf("asked %s, %d events", got, len(r.Stored()))
	}
	first, second := hosttest.Read(t, r.Next(t)), hosttest.Read(t, r.Next(t))
	if first.Git.Verified != "signature" || second.Git.Verified != "token" {
		t.Errorf("%s, %s", first.Git.Verified, second.Git.Verified)
	}
}

func TestEnvelope(t *testing.T) {
	for body, want := range map[string]string{
		`{"Type":"x","Message" : "a\"b" , "Z":[{"Message":"c"}]}`: `{"Type":"x","Message" : "<n>" , "Z":[{"Message":"c"}]}`,
		`{"Message":"a","message":"b"}`:                           `{"Message":"a","message":"<n>"}`,
	} {
		if got := string(openEnvelope([]byte(body)).with([]byte("<n>"))); got != want {
			t.Error(got)
		}
	}
}
