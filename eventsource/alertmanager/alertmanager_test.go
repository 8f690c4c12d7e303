package alertmanager

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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secured = `
webhook: {endpoint: /alerts, authSecret: {name: am, key: token}}
`

func start(t *testing.T, text string) (url string, r *sourcetest.Running) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	e.Vault.Set("am", "token", hosttest.Secret)
	e.Vault.Set("am", "user", "hooks")
	r = sourcetest.Start(t, Kind, text, e)
	return e.URL(t, "12000", "/alerts"), r
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func signed(t testing.TB, secret string) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Secret: []byte(secret), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

type data struct {
	Headers  map[string][]string
	Body     json.RawMessage
	Alert    json.RawMessage
	Metadata map[string]string
}

func read(t testing.TB, e eventsource.Event) data {
	t.Helper()
	var d data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		t.Fatalf("%v: %s", err, e.Data)
	}
	return d
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			e.Vault.Set("am", "token", hosttest.Secret)
			return secured
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := strings.ReplaceAll(string(sample(t, "firing.json")), "aaaa", fmt.Sprint("f", n))
			if status, text := hosttest.Send(t, e.URL(t, "12000", "/alerts"), signed(t, hosttest.Secret), []byte(body)); status != 200 {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func TestBlocks(t *testing.T) {
	const common = `"groupKey":"{}:{alertname=\"DiskFull\"}","groupLabels":{"alertname":"DiskFull"},"receiver":"signalbox","externalURL":"http://alertmanager"`
	tests := []struct {
		name, file, config string
		want               []string
	}{
		{"a group fires", "firing.json", "", []string{
			`{"status":"firing","name":"DiskFull","labels":{"alertname":"DiskFull"},"startsAt":"2026-01-02T03:04:05Z",` + common + `,"firing":2,"resolved":0,"truncated":1}`,
		}},
		{"a group is resolved", "resolved.json", "", []string{
			`{"status":"resolved","name":"DiskFull","labels":{"alertname":"DiskFull"},"startsAt":"2026-01-02T03:04:05Z","endsAt":"2026-01-02T05:00:00Z",` + common + `,"firing":0,"resolved":2,"truncated":0}`,
		}},
		{"alerts fire", "firing.json", "perAlert: true", []string{
			`{"status":"firing","name":"DiskFull","labels":{"alertname":"DiskFull","host":"a","severity":"critical"},"annotations":{"summary":"disk of a is full"},"startsAt":"2026-01-02T03:04:06Z","fingerprint":"aaaa","generatorURL":"http://prometheus/graph",` + common + `}`,
			`{"status":"firing","name":"DiskFull","labels":{"alertname":"DiskFull","host":"b","severity":"warning"},"annotations":{"summary":"disk of b is nearly full"},"startsAt":"2026-01-02T03:04:05Z","fingerprint":"bbbb","generatorURL":"http://prometheus/graph",` + common + `}`,
		}},
		{"alerts are resolved", "resolved.json", "perAlert: true", []string{
			`{"status":"resolved","name":"DiskFull","labels":{"alertname":"DiskFull","host":"a","severity":"critical"},"startsAt":"2026-01-02T03:04:06Z","endsAt":"2026-01-02T04:00:00Z","fingerprint":"aaaa",` + common + `}`,
			`{"status":"resolved","name":"DiskFull","labels":{"alertname":"DiskFull","host":"b","severity":"warning"},"startsAt":"2026-01-02T03:04:05Z","endsAt":"2026-01-02T05:00:00Z","fingerprint":"bbbb",` + common + `}`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, secured+"metadata: {team: blue}\n"+tt.config)
			body := sample(t, tt.file)
			for range 2 { // the second is one that a cluster's other member sends
				if status, text := hosttest.Send(t, url, signed(t, hosttest.Secret), body); status != 200 {
					t.Fatalf("%d %s", status, text)
				}
			}
			if got := len(r.Stored()); got != len(tt.want) {
				t.Fatalf("%d events, want %d", got, len(tt.want))
			}
			for i, want := range tt.want {
				d := read(t, r.Next(t))
				if string(d.Alert) != want {
					t.Errorf("alert %d\n got %s\nwant %s", i, d.Alert, want)
				}
				if d.Metadata["team"] != "blue" || d.Headers["Authorization"][0] == "Bearer "+hosttest.Secret {
					t.Errorf("headers %v, metadata %v", d.Headers, d.Metadata)
				}
				var body struct {
					Alerts  []json.RawMessage
					Version string
				}
				if err := json.Unmarshal(d.Body, &body); err != nil || body.Version != "4" {
					t.Errorf("body %s: %v", d.Body, err)
				}
				if wantAlerts := 2 / len(tt.want); len(body.Alerts) != wantAlerts {
					t.Errorf("%d alerts in the body, want %d", len(body.Alerts), wantAlerts)
				}
			}
		})
	}
}

// What fires and what is resolved are different events; so are different alerts.
func TestIDs(t *testing.T) {
	url, r := start(t, secured)
	firing := string(sample(t, "firing.json"))
	for _, body := range []string{
		firing, firing,
		string(sample(t, "resolved.json")),
		strings.ReplaceAll(firing, "2026-01-02T03:04:06Z", "2026-01-03T03:04:06Z"),
		strings.ReplaceAll(firing, "aaaa", "cccc"),
		strings.ReplaceAll(firing, `"fingerprint":"aaaa"`, `"fingerprint":""`),
		strings.ReplaceAll(firing, `"groupKey":"{}`, `"groupKey":"{x}`),
	} {
		if status, text := hosttest.Send(t, url, signed(t, hosttest.Secret), []byte(body)); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	if got := len(r.Stored()); got != 6 {
		t.Errorf("%d events, want 6", got)
	}
}

func TestOddNotifications(t *testing.T) {
	tests := []struct {
		name, body, config, want string
		events                   int
	}{
		{"an empty object", `{}`, "", `{"firing":0,"resolved":0,"truncated":0}`, 1},
		{"a list", `[]`, "", `{"firing":0,"resolved":0,"truncated":0}`, 1},
		{
			"wrong types keep the rest", `{"status":5,"receiver":"r","groupKey":null,"commonLabels":{"alertname":"X","n":1},"alerts":[null,{"status":"firing","startsAt":3}],"truncatedAlerts":1e99}`, "",
			`{"name":"X","labels":{"alertname":"X","n":""},"receiver":"r","firing":1,"resolved":0,"truncated":0}`, 1,
		},
		{"alerts that are no list", `{"status":"firing","alerts":{}}`, "perAlert: true", `{"status":"firing","firing":0,"resolved":0,"truncated":0}`, 1},
		{"an alert that is no object", `{"receiver":"r","alerts":[7]}`, "perAlert: true", `{"receiver":"r"}`, 1},
		{"no alerts", `{"receiver":"r","alerts":[]}`, "perAlert: true", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, secured+tt.config)
			if status, text := hosttest.Send(t, url, signed(t, hosttest.Secret), []byte(tt.body)); status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			if got := len(r.Stored()); got != tt.events {
				t.Fatalf("%d events, want %d", got, tt.events)
			}
			if tt.events > 0 {
				if d := read(t, r.Next(t)); string(d.Alert) != tt.want {
					t.Errorf("\n got %s\nwant %s", d.Alert, tt.want)
				}
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	body := sample(t, "firing.json")
	basic := func(password string) http.Header {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth("hooks", password)
		return r.Header
	}
	const withBasic = "webhook: {endpoint: /alerts, basicAuth: {username: {name: am, key: user}, password: {name: am, key: token}}}"
	for _, tt := range []struct {
		name, config string
		header       http.Header
		want         int
	}{
		{"the token", secured, signed(t, hosttest.Secret), 200},
		{"another token", secured, signed(t, "guess"), 401},
		{"no token", secured, signed(t, ""), 401},
		{"user and password", withBasic, basic(hosttest.Secret), 200},
		{"another password", withBasic, basic("guess"), 401},
		{"open", "webhook: {endpoint: /alerts, insecure: true}", http.Header{}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, tt.config)
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
	for _, s := range hosttest.Samples(t, "alertmanager") {
		t.Run(s.File, func(t *testing.T) {
			url, r := start(t, secured)
			wrong := s.Header.Clone()
			wrong.Set("Authorization", "Bearer wrong")
			if status, _ := hosttest.Send(t, url, wrong, s.Body); status != 401 || len(r.Stored()) > 0 {
				t.Fatalf("wrong token: %d, %d events", status, len(r.Stored()))
			}
			if status, text := hosttest.Send(t, url, s.Header, s.Body); status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			var a Alert
			if err := json.Unmarshal(read(t, r.Next(t)).Alert, &a); err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimSuffix(s.File, ".json"); a.Status != want || a.Name == "" || a.StartsAt == "" || (a.EndsAt != "") != (want == resolved) {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"good", secured, ""},
		{"no webhook", "perAlert: true", "webhook.endpoint"},
		{"open", "webhook: {endpoint: /alerts}", "webhook: the endpoint takes requests from anybody"},
		{"misspelt", secured + "peralert: true", "peralert"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.config))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			if got := fmt.Sprint(errorText(err)); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	var lines []string
	for _, p := range v1alpha1.Problems(err) {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// FuzzNotification: whatever is sent, there are events with an id, and their
// bodies are JSON.
func FuzzNotification(f *testing.F) {
	f.Add(sample(f, "firing.json"), true)
	f.Add(sample(f, "resolved.json"), false)
	f.Add([]byte(`{"alerts":[null,[],{"labels":{"a":null}}],"status":{}}`), true)
	f.Fuzz(func(t *testing.T, body []byte, perAlert bool) {
		if !json.Valid(body) {
			return
		}
		made, err := decode(body, perAlert)
		if err != nil {
			return
		}
		if !perAlert && len(made) != 1 {
			t.Errorf("%d events", len(made))
		}
		for _, m := range made {
			if m.ID == "" || m.Body != nil && !json.Valid(m.Body) {
				t.Errorf("id %q, body %s", m.ID, m.Body)
			}
			if _, err := json.Marshal(m.Blocks[0].Value); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkNotification(b *testing.B) {
	body := sample(b, "firing.json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if made, err := decode(body, true); err != nil || len(made) != 2 {
			b.Fatal(err)
		}
	}
}

// An alert that is resolved is another event than the one that fired, although
// they may come in groups of the same status.
func TestIDsPerAlert(t *testing.T) {
	url, r := start(t, secured+"perAlert: true")
	firing := string(sample(t, "firing.json"))
	for i, body := range []string{firing, strings.Replace(firing, `{"status":"firing","labels"`, `{"status":"resolved","labels"`, 1)} {
		if status, text := hosttest.Send(t, url, signed(t, hosttest.Secret), []byte(body)); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		if got := len(r.Stored()); got != 2+i {
			t.Errorf("%d events, want %d", got, 2+i)
		}
	}
}
