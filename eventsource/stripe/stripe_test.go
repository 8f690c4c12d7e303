package stripe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
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

const secured = `
webhook: {endpoint: /stripe, acceptedSecrets: [{name: stripe, key: next}]}
signingSecret: {name: stripe, key: signing}
`

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

func start(t *testing.T, text string, now func() time.Time) (string, *sourcetest.Running) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	e.Vault.Set("stripe", "signing", hosttest.Secret)
	e.Vault.Set("stripe", "next", "n3xt")
	r := sourcetest.Go(t, newSource(*decoded(t, text), e.Env, now))
	return e.URL(t, "12000", "/stripe"), r
}

func signed(t testing.TB, body []byte, secret string) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: body, Secret: []byte(secret), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sample(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/checkout.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			e.Vault.Set("stripe", "signing", hosttest.Secret)
			return secured
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := fmt.Appendf(nil, `{"id":"evt_%d","type":"invoice.paid"}`, n)
			status, text := hosttest.Send(t, e.URL(t, "12000", "/stripe"), signed(t, body, hosttest.Secret), body)
			if status != 200 {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func TestData(t *testing.T) {
	checkout := strings.TrimSpace(string(sample(t)))
	for _, tt := range []struct{ name, config, body, id, want string }{
		{"the whole event", "", checkout, "evt_1", `{"event":` + checkout + `}`},
		{"metadata", "metadata: {team: blue}", checkout, "evt_1", `{"event":` + checkout + `,"metadata":{"team":"blue"}}`},
		{"metadata of the webhook", "metadata: {}", `{"id":"evt_2"}`, "evt_2", `{"event":{"id":"evt_2"}}`},
		{"wrong types", "", `{"id":1,"type":{},"created":"x"}`, "", `{"event":{"id":1,"type":{},"created":"x"}}`},
		{"a list", "", `[null]`, "", `{"event":[null]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, secured+tt.config, time.Now)
			for range 2 { // the second is sent again
				if status, text := hosttest.Send(t, url, signed(t, []byte(tt.body), hosttest.Secret), []byte(tt.body)); status != 200 {
					t.Fatalf("%d %s", status, text)
				}
			}
			if n := len(r.Stored()); n != 1 {
				t.Fatalf("%d events", n)
			}
			e := r.Next(t)
			if string(e.Data) != tt.want || tt.id != "" && e.ID != tt.id || e.ID == "" {
				t.Errorf("id %q\n got %s\nwant %s", e.ID, e.Data, tt.want)
			}
		})
	}
}

func TestEventFilter(t *testing.T) {
	for _, tt := range []struct {
		eventType string
		taken     bool
	}{
		{"invoice.paid", true},
		{"invoice.paid.late", false},
		{"checkout.session.completed", true},
		{"checkout.sessions", false},
		{"", false},
	} {
		t.Run(tt.eventType, func(t *testing.T) {
			url, r := start(t, secured+"eventFilter: [invoice.paid, checkout.session.*]", time.Now)
			body := fmt.Appendf(nil, `{"id":"evt_1","type":%q}`, tt.eventType)
			if status, text := hosttest.Send(t, url, signed(t, body, hosttest.Secret), body); status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			if got := len(r.Stored()) == 1; got != tt.taken || r.Filtered() == 1 == tt.taken {
				t.Errorf("taken %v, filtered %d", got, r.Filtered())
			}
		})
	}
}

func TestRefused(t *testing.T) {
	body := sample(t)
	old := http.Header{}
	if err := (verify.Stripe{}).Sign(old, body, []byte(hosttest.Secret), time.Now().Add(-6*time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, config string
		header       http.Header
		want         int
	}{
		{"signed", secured, signed(t, body, hosttest.Secret), 200},
		{"signed with the next secret", secured, signed(t, body, "n3xt"), 200},
		{"signed with another secret", secured, signed(t, body, "guess"), 401},
		{"six minutes old", secured, old, 401},
		{"not signed", secured, http.Header{}, 401},
		{"open", "webhook: {endpoint: /stripe, insecure: true}", http.Header{}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, tt.config, time.Now)
			if status, text := hosttest.Send(t, url, tt.header, body); status != tt.want {
				t.Errorf("%d %s, want %d", status, text, tt.want)
			}
			if stored := len(r.Stored()) == 1; stored != (tt.want == 200) {
				t.Errorf("%d events", len(r.Stored()))
			}
		})
	}
}

func TestFixtures(t *testing.T) {
	then := time.Unix(1760000000, 0)
	for _, s := range hosttest.Samples(t, "stripe") {
		t.Run(s.File, func(t *testing.T) {
			url, r := start(t, secured, func() time.Time { return then })
			wrong := s.Header.Clone()
			wrong.Set("Stripe-Signature", "t=1760000000,v1="+strings.Repeat("0", 64))
			if status, _ := hosttest.Send(t, url, wrong, s.Body); status != 401 || len(r.Stored()) > 0 {
				t.Fatalf("wrong signature: %d, %d events", status, len(r.Stored()))
			}
			if status, text := hosttest.Send(t, url, s.Header, s.Body); status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			e := r.Next(t)
			var d struct {
				Event struct {
					ID, Type string
					Livemode *bool
				}
			}
			if err := json.Unmarshal(e.Data, &d); err != nil || d.Event.ID != e.ID || d.Event.Type == "" || d.Event.Livemode == nil || !e.Time.Equal(then) {
				t.Errorf("id %s, time %s, %+v, %v", e.ID, e.Time, d, err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"good", secured, ""},
		{"open", "webhook: {endpoint: /stripe}", "set signingSecret"},
		{"meant to be open", "webhook: {endpoint: /stripe, insecure: true}", ""},
		{"createWebhook without a key", secured + "createWebhook: true", "apiKey: is missing"},
		{"createWebhook without an address", secured + "createWebhook: true\napiKey: {name: a, key: b}", "webhook.url: is missing"},
		{"an empty type", secured + "eventFilter: ['']", "eventFilter[0]: is empty"},
		{"no address", secured + "apiURL: nowhere", "apiURL"},
		{"nothing to remove", secured + "deleteHookOnFinish: true", "deleteHookOnFinish"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.config))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzStripeEvent: whatever comes, the data is a JSON object and has an id.
func FuzzStripeEvent(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte(`{"id":"","created":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"id":null,"created":1e99,"type":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		m := decode(body, &Config{Metadata: map[string]string{"a": "b"}})
		if m.ID == "" || !json.Valid(m.Data) {
			t.Errorf("id %q, data %s", m.ID, m.Data)
		}
		if _, err := m.Time.MarshalJSON(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkStripeEvent(b *testing.B) {
	body := sample(b)
	h := signed(b, body, hosttest.Secret)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := (verify.Stripe{}).Check(h, body, []byte(hosttest.Secret), time.Now()); err != nil {
			b.Fatal(err)
		}
		if m := decode(body, &Config{}); len(m.Data) == 0 {
			b.Fatal("no data")
		}
	}
}
