package storagegrid

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const open = `
webhook: {endpoint: /grid, insecure: true}
`

const secured = `
webhook: {endpoint: /grid, basicAuth: {username: {name: grid, key: user}, password: {name: grid, key: password}}}
`

func vault(e *sourcetest.Env) {
	e.Vault.Set("grid", "user", "hooks")
	e.Vault.Set("grid", "password", hosttest.Secret)
	e.Vault.Set("grid", "token", token)
}

func start(t *testing.T, text string) (string, *sourcetest.Running) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	vault(e)
	r := sourcetest.Start(t, Kind, text, e)
	return e.URL(t, "12000", "/grid"), r
}

func sent(t testing.TB, body string) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func publish(message string) string {
	return url.Values{"Action": {"Publish"}, "Message": {message}, "TopicArn": {"urn:x"}, "Version": {"2010-03-31"}}.Encode()
}

func record(key string) string { return fmt.Sprintf(`{"s3":{"object":{"key":%q}}}`, key) }

func sample(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/put.form")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(*testing.T, *sourcetest.Env) string { return open },
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := publish(`{"Records":[` + record(fmt.Sprint(n)) + `]}`)
			if status, text := hosttest.Send(t, e.URL(t, "12000", "/grid"), sent(t, body), []byte(body)); status != 200 {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func TestData(t *testing.T) {
	const tail = `,"TopicArn":"urn:x","Version":"2010-03-31"}`
	one := func(message string) string {
		return `{"notification":{"Action":"Publish","Message":` + message + tail + `}`
	}
	long := `{"Records":[` + record("in/a.csv") + `,` + record("out/b.csv") + `,` + record("in/c%20d.csv") + `]}`
	for _, tt := range []struct {
		name, config, body string
		want               []string
		filtered           int
	}{
		{"one record", "", publish(`{"Records":[` + record("a&b=c") + `]}`), []string{one(`{"Records":[{"s3":{"object":{"key":"a\u0026b=c"}}}]}`)}, 0},
		{"metadata", "metadata: {team: blue}", publish(`{"Records":[1]}`), []string{strings.TrimSuffix(one(`{"Records":[1]}`), "}") + `,"metadata":{"team":"blue"}}`}, 0},
		{"several records", "", publish(long), []string{
			one(`{"Records":[` + record("in/a.csv") + `]}`), one(`{"Records":[` + record("out/b.csv") + `]}`), one(`{"Records":[` + record("in/c%20d.csv") + `]}`),
		}, 0},
		{"a prefix", "filter: {prefix: in/}", publish(long), []string{one(`{"Records":[` + record("in/a.csv") + `]}`), one(`{"Records":[` + record("in/c%20d.csv") + `]}`)}, 1},
		{"a suffix in plain words", "filter: {suffix: ' d.csv'}", publish(long), []string{one(`{"Records":[` + record("in/c%20d.csv") + `]}`)}, 2},
		{"a prefix and a suffix", "filter: {prefix: out/, suffix: .txt}", publish(long), nil, 3},
		{"no records", "", publish(`{"n":1}`), []string{one(`{"n":1}`)}, 0},
		{"no records, but a filter", "filter: {prefix: in/}", publish(`{"n":1}`), nil, 1},
		{"a message that is text", "", publish(`hello`), []string{one(`"hello"`)}, 0},
		{"records that are no list", "", publish(`{"Records":{}}`), []string{one(`{"Records":{}}`)}, 0},
		{"a test", "", publish(`{"Service":"Amazon S3","Event":"s3:TestEvent"}`), nil, 0},
		{"another action", "", "Action=GetTopicAttributes&TopicArn=urn%3Ax", nil, 0},
		{"JSON", "", `{"Action":"Publish","Message":{"Records":[{}]}}`, []string{`{"notification":{"Action":"Publish","Message":{"Records":[{}]}}}`}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, open+tt.config)
			status, text := hosttest.Send(t, url, sent(t, tt.body), []byte(tt.body))
			if status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			var answer struct {
				XMLName xml.Name
				ID      string `xml:"PublishResult>MessageId"`
				Request string `xml:"ResponseMetadata>RequestId"`
			}
			if err := xml.Unmarshal([]byte(text), &answer); err != nil || len(answer.Request) != 36 || !strings.HasSuffix(answer.XMLName.Local, "Response") {
				t.Errorf("answer %s: %v", text, err)
			}
			var got []string
			for _, e := range r.Stored() {
				got = append(got, string(e.Data))
				if e.ID == "" {
					t.Error("no id")
				}
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") || r.Filtered() != tt.filtered {
				t.Errorf("filtered %d\n got %s\nwant %s", r.Filtered(), strings.Join(got, "\n     "), strings.Join(tt.want, "\n     "))
			}
		})
	}
}

// What StorageGRID sends has a key with & in it; a second sending is no event.
func TestSample(t *testing.T) {
	url, r := start(t, open+"filter: {prefix: in/, suffix: .csv}")
	for range 2 {
		if status, text := hosttest.Send(t, url, sent(t, sample(t)), []byte(sample(t))); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	if n := len(r.Stored()); n != 1 {
		t.Fatalf("%d events", n)
	}
	e := r.Next(t)
	var d struct {
		Notification struct {
			Action, TopicArn, Version string
			Message                   struct {
				Records []struct {
					EventName string
					S3        struct{ Object struct{ Key string } }
				}
			}
		}
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		t.Fatal(err)
	}
	n := d.Notification
	if n.Action != "Publish" || n.TopicArn != "urn:sgws:sns:us-east::events" || n.Version != "2010-03-31" ||
		len(n.Message.Records) != 1 || n.Message.Records[0].S3.Object.Key != "in/a&b.csv" || n.Message.Records[0].EventName != "ObjectCreated:Put" {
		t.Errorf("%+v", n)
	}
	if got := e.Time.Format("2006-01-02T15:04:05Z"); got != "2026-01-02T03:04:05Z" {
		t.Errorf("time %s", got)
	}
}

// HEAD is answered 200 without a body, and changes nothing for those after it.
func TestHead(t *testing.T) {
	url, r := start(t, open)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 || len(r.Stored()) > 0 {
		t.Fatalf("%s, %d events", res.Status, len(r.Stored()))
	}
	if _, text := hosttest.Send(t, url, sent(t, sample(t)), []byte(sample(t))); !strings.Contains(text, "<MessageId>") || len(r.Stored()) != 1 {
		t.Errorf("answer %q", text)
	}
}

func TestRefused(t *testing.T) {
	basic := func(password string) http.Header {
		r := &http.Request{Header: sent(t, sample(t))}
		r.SetBasicAuth("hooks", password)
		return r.Header
	}
	for _, tt := range []struct {
		name, config string
		header       http.Header
		body         string
		want         int
	}{
		{"with the password", secured, basic(hosttest.Secret), sample(t), 200},
		{"with another password", secured, basic("guess"), sample(t), 401},
		{"without a password", secured, sent(t, ""), sample(t), 401},
		{"no form", open, sent(t, ""), "%zz", 400},
		{"another form", open, sent(t, ""), "a=1", 400},
		{"nothing", open, sent(t, ""), "", 400},
		{"bad JSON", open, sent(t, ""), "{", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := start(t, tt.config)
			if status, text := hosttest.Send(t, url, tt.header, []byte(tt.body)); status != tt.want {
				t.Errorf("%d %s, want %d", status, text, tt.want)
			}
			if stored := len(r.Stored()) == 1; stored != (tt.want == 200) {
				t.Errorf("%d events", len(r.Stored()))
			}
		})
	}
}

func TestValidate(t *testing.T) {
	const api = "apiURL: https://grid/api/v4\nauthToken: {name: grid, key: token}\nbucket: b\nevents: [x]\n"
	for _, tt := range []struct{ name, config, want string }{
		{"good", secured + api + "topicArn: urn:x", ""},
		{"meant to be open", open, ""},
		{"open", "webhook: {endpoint: /grid}", "set basicAuth, and the same at StorageGRID's endpoint"},
		{"a bearer token", "webhook: {endpoint: /grid, authSecret: {name: a, key: b}}", "webhook.authSecret"},
		{"no topic", secured + api, "topicArn: is missing"},
		{"nothing for the API", open + "apiURL: https://grid/api/v4", "authToken: is missing"},
		{"nothing to remove", open + "deleteHookOnFinish: true", "deleteHookOnFinish"},
		{"bad tls", open + "tls: {}", "tls: says nothing"},
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

// FuzzNotification: whatever comes, data is a JSON object with the notification.
func FuzzNotification(f *testing.F) {
	f.Add([]byte(sample(f)), "in/", "")
	f.Add([]byte(publish(`{"Records":[null,{"s3":[]},{"s3":{"object":{"key":5}}}]}`)), "", "")
	f.Add([]byte(`{"Message":{"Records":[{}]}}`), "", "x")
	f.Fuzz(func(t *testing.T, body []byte, prefix, suffix string) {
		b, err := payload(&http.Request{Method: http.MethodPost}, body)
		if err != nil || !json.Valid(b) {
			return
		}
		made, err := decode(b, &Config{Filter: &Filter{Prefix: prefix, Suffix: suffix}, Metadata: map[string]string{"a": "b"}})
		if err != nil {
			return
		}
		for _, m := range made {
			if !m.Filtered && (m.ID == "" || !json.Valid(m.Data)) {
				t.Errorf("id %q, data %s", m.ID, m.Data)
			}
		}
	})
}

func BenchmarkNotification(b *testing.B) {
	body := []byte(sample(b))
	r := &http.Request{Method: http.MethodPost}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		j, err := payload(r, body)
		if err != nil {
			b.Fatal(err)
		}
		if made, err := decode(j, &Config{}); err != nil || len(made) != 1 {
			b.Fatal(err)
		}
	}
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
