package slack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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

const config = `
webhook: {endpoint: /slack, acceptedSecrets: [{name: slack, key: next}]}
token: {name: slack, key: unused}
signingSecret: {name: slack, key: signing}
`

// then is when the samples beside this repository were signed.
var then = time.Unix(1760000000, 0)

func start(t *testing.T, text string, now func() time.Time) (string, *sourcetest.Running) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	e.Vault.Set("slack", "signing", hosttest.Secret)
	e.Vault.Set("slack", "next", "n3xt")
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	r := sourcetest.Go(t, newSource(*c.(*Config), e.Env, now))
	return e.URL(t, "12000", "/slack"), r
}

// signed is what the kind's own sender would send now.
func signed(t testing.TB, body, secret string) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(body), Secret: []byte(secret), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			e.Vault.Set("slack", "signing", hosttest.Secret)
			return config
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := fmt.Sprintf(`{"type":"event_callback","event_id":"Ev%d","event":{"type":"message"}}`, n)
			status, text := hosttest.Send(t, e.URL(t, "12000", "/slack"), signed(t, body, hosttest.Secret), []byte(body))
			if status != 200 {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func form1(fields ...string) string {
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return v.Encode()
}

func TestData(t *testing.T) {
	const team = "metadata: {team: blue}\n"
	tests := []struct {
		name, config, body string
		answer             string
		want               string // data; empty for no event
	}{
		{"the challenge is answered alone", "", `{"type":"url_verification","challenge":"3eZb","token":"x"}`, "3eZb", ""},
		{
			"an event", "", `{"type":"event_callback","token":"x","team_id":"T1","api_app_id":"A1","event_id":"Ev1","event_time":1760000000,"event":{"type":"app_mention","text":"<hi>","n":1.50}}`, "",
			`{"type":"app_mention","Data":{"type":"app_mention","text":"<hi>","n":1.50},"team_id":"T1","api_app_id":"A1","event_id":"Ev1","event_time":1760000000}`,
		},
		{
			"an event with metadata", team, `{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}`, "",
			`{"type":"message","Data":{"type":"message"},"event_id":"Ev1","metadata":{"team":"blue"}}`,
		},
		{"an event of wrong types", "", `{"type":"event_callback","event_id":{},"team_id":[1],"event_time":"x","event":7}`, "", `{"type":"","Data":7,"team_id":[1],"event_id":{},"event_time":"x"}`},
		{"an event without one", "", `{"type":"event_callback"}`, "", `{"type":"","Data":null}`},
		{"too many events", "", `{"type":"app_rate_limited","team_id":"T1"}`, "", ""},
		{"an unknown type", "", `{"type":"new"}`, "", ""},
		{"a list", "", `[1]`, "", ""},
		{"a click", "", form1("payload", `{"type":"block_actions","actions":[{"value":"<1>"}]}`), "", `{"type":"block_actions","actions":[{"value":"<1>"}]}`},
		{"a click with metadata", team, form1("payload", `{"type":"block_actions" }`), "", `{"type":"block_actions","metadata":{"team":"blue"}}`},
		{"an empty click with metadata", team, form1("payload", `{}`), "", `{"metadata":{"team":"blue"}}`},
		{"an interaction is never a challenge", "", form1("payload", `{"type":"url_verification","challenge":"x"}`), "", `{"type":"url_verification","challenge":"x"}`},
		{
			"a slash command", "", form1("command", "/deploy", "text", "shop 1.4.2", "trigger_id", "1.2", "is_enterprise_install", "true", "enterprise_id", "E1"), "",
			`{"api_app_id":"","channel_id":"","channel_name":"","command":"/deploy","enterprise_id":"E1","is_enterprise_install":true,"response_url":"","team_domain":"","team_id":"","text":"shop 1.4.2","token":"","trigger_id":"1.2","user_id":"","user_name":""}`,
		},
		{"a look at the certificate", "", form1("ssl_check", "1", "token", "x"), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, config+tt.config, time.Now)
			status, answer := hosttest.Send(t, url, signed(t, tt.body, hosttest.Secret), []byte(tt.body))
			if status != 200 || answer != tt.answer {
				t.Fatalf("%d %q, want 200 %q", status, answer, tt.answer)
			}
			events := r.Stored()
			if tt.want == "" {
				if len(events) > 0 {
					t.Errorf("event %s", events[0].Data)
				}
				return
			}
			if len(events) != 1 || string(events[0].Data) != tt.want {
				t.Fatalf("%d events\n got %s\nwant %s", len(events), r.Next(t).Data, tt.want)
			}
			if !json.Valid(events[0].Data) || events[0].ID == "" {
				t.Errorf("id %q, data %s", events[0].ID, events[0].Data)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	const event = `{"type":"event_callback","event_id":"Ev1"}`
	at := func(when time.Time, header string) http.Header {
		h := http.Header{"Content-Type": {"application/json"}}
		if err := (verify.Slack{}).Sign(h, []byte(event), []byte(hosttest.Secret), when); err != nil {
			t.Fatal(err)
		}
		h.Del(header)
		return h
	}
	now := time.Now()
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		want   int
	}{
		{"signed", at(now, ""), event, 200},
		{"signed with the next secret", signed(t, event, "n3xt"), event, 200},
		{"signed with another secret", signed(t, event, "guess"), event, 401},
		{"another body", at(now, ""), event + " ", 401},
		{"six minutes old", at(now.Add(-6*time.Minute), ""), event, 401},
		{"six minutes ahead", at(now.Add(6*time.Minute), ""), event, 401},
		{"no time", at(now, "X-Slack-Request-Timestamp"), event, 401},
		{"no signature", at(now, "X-Slack-Signature"), event, 401},
		{"a challenge without a signature", http.Header{}, `{"type":"url_verification","challenge":"x"}`, 401},
		{"no JSON", signed(t, `{"a`, hosttest.Secret), `{"a`, 400},
		{"a payload that is no JSON", signed(t, "payload=x", hosttest.Secret), "payload=x", 400},
		{"a payload that is no object", signed(t, "payload=1", hosttest.Secret), "payload=1", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, config, time.Now)
			if status, text := hosttest.Send(t, url, tt.header, []byte(tt.body)); status != tt.want || strings.Contains(text, hosttest.Secret) {
				t.Errorf("%d %s, want %d", status, text, tt.want)
			}
			if stored := len(r.Stored()) == 1; stored != (tt.want == 200) {
				t.Errorf("%d events", len(r.Stored()))
			}
		})
	}
}

func TestIDs(t *testing.T) {
	url, r := start(t, config, time.Now)
	click := func(trigger, at string) string {
		return form1("payload", fmt.Sprintf(`{"type":"block_actions","trigger_id":%q,"actions":[{"action_ts":%q}]}`, trigger, at))
	}
	for _, tt := range []struct {
		name, body string
		events     int // so far
	}{
		{"an event", `{"type":"event_callback","event_id":"Ev1"}`, 1},
		{"sent again", `{"type":"event_callback","event_id":"Ev1"}`, 1},
		{"another one", `{"type":"event_callback","event_id":"Ev2"}`, 2},
		{"a click", click("1", "5"), 3},
		{"the same click", click("1", "5"), 3},
		{"a second click", click("2", "6"), 4},
		{"a command", form1("command", "/a", "trigger_id", "1"), 5},
		{"the same command", form1("command", "/a", "trigger_id", "1"), 5},
		{"given again", form1("command", "/a", "trigger_id", "2"), 6},
		{"not known by anything", form1("command", "/a"), 7},
		{"nor again", form1("command", "/a"), 8},
	} {
		if status, text := hosttest.Send(t, url, signed(t, tt.body, hosttest.Secret), []byte(tt.body)); status != 200 {
			t.Fatalf("%s: %d %s", tt.name, status, text)
		}
		if got := len(r.Stored()); got != tt.events {
			t.Errorf("%s: %d events, want %d", tt.name, got, tt.events)
		}
	}
	if id := r.Next(t).ID; id != "Ev1" {
		t.Errorf("id %q", id)
	}
}

func TestFixtures(t *testing.T) {
	want := map[string]func(d map[string]any) bool{
		"url-verification.json": nil,
		"event-callback-message.json": func(d map[string]any) bool {
			return d["type"] == "app_mention" && d["Data"].(map[string]any)["text"] == "<@U0LAN0Z89> deploy shop"
		},
		"block-actions-approve.form": func(d map[string]any) bool {
			return d["type"] == "block_actions" && d["actions"].([]any)[0].(map[string]any)["action_id"] == "approve"
		},
		"slash-command.form": func(d map[string]any) bool {
			return d["command"] == "/deploy" && d["text"] == "shop 1.4.2 prod" && d["is_enterprise_install"] == false
		},
	}
	for _, s := range hosttest.Samples(t, "slack") {
		t.Run(s.File, func(t *testing.T) {
			url, r := start(t, config, func() time.Time { return then })
			wrong := s.Header.Clone()
			wrong.Set("X-Slack-Signature", strings.ToUpper(wrong.Get("X-Slack-Signature")[:5])+strings.Repeat("0", 62))
			if status, _ := hosttest.Send(t, url, wrong, s.Body); status != 401 || len(r.Stored()) > 0 {
				t.Fatalf("wrong signature: %d, %d events", status, len(r.Stored()))
			}
			status, answer := hosttest.Send(t, url, s.Header, s.Body)
			if status != 200 {
				t.Fatalf("%d %s", status, answer)
			}
			check, known := want[s.File]
			if check == nil {
				if known && (answer != "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P" || len(r.Stored()) > 0) {
					t.Errorf("answer %q, %d events", answer, len(r.Stored()))
				}
				return
			}
			var d map[string]any
			if err := json.Unmarshal(r.Next(t).Data, &d); err != nil || answer != "" || !check(d) {
				t.Errorf("answer %q, data %v, %v", answer, d, err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"good", config, ""},
		{"no secret", "webhook: {endpoint: /slack}", "signingSecret: is missing"},
		{"nothing", "{}", "webhook.endpoint"},
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

// made is what the source makes of a body.
func made(contentType string, body []byte) ([]byte, string, bool) {
	s := newSource(Config{}, eventsource.Env{}, time.Now)
	b, err := payload(&http.Request{Header: http.Header{"Content-Type": {contentType}}}, body)
	if err != nil || !json.Valid(b) {
		return nil, "", false
	}
	switch r := read(b); {
	case r.Interaction != nil:
		m := interaction(r.Interaction, s.hook.Metadata)
		return m.Data, m.ID, true
	case r.Command != nil:
		return command(r.Command, s.hook.Metadata).Data, "random", true
	default:
		m := event(b, &r.envelope, map[string]string{"a": "b"})
		return m.Data, m.ID, true
	}
}

// FuzzSlackRequest: whatever comes, the data is a JSON object and has an id.
func FuzzSlackRequest(f *testing.F) {
	approve, err := os.ReadFile("testdata/approve.form")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(form, approve)
	f.Add("application/json", []byte(`{"type":"event_callback","event":{"type":1},"event_id":[],"event_time":1e30}`))
	f.Add(form, []byte("command=/a&text=%ff"))
	f.Add(form, []byte("payload={}"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		data, id, ok := made(contentType, body)
		if !ok {
			return
		}
		var object map[string]any
		if err := json.Unmarshal(data, &object); err != nil || id == "" {
			t.Errorf("id %q, data %s: %v", id, data, err)
		}
	})
}

func BenchmarkSlackEvent(b *testing.B) {
	body := []byte(`{"type":"event_callback","event_id":"Ev1","event":{"type":"message","text":"` + strings.Repeat("x", 1000) + `"}}`)
	h := signed(b, string(body), hosttest.Secret)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := (verify.Slack{}).Check(h, body, []byte(hosttest.Secret), time.Now()); err != nil {
			b.Fatal(err)
		}
		if data, _, _ := made("application/json", body); len(data) == 0 {
			b.Fatal("no data")
		}
	}
}
