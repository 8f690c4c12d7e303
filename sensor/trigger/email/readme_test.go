package email_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/email"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// found is the part of a file that the pattern's group is.
func found(t *testing.T, file, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return string(m[1])
}

// shop is an SMTP server as the examples expect it, with STARTTLS and a login, and
// makes triggers of them for it.
type shop struct {
	*server
	env *triggertest.Env
}

func newShop(t *testing.T) *shop {
	t.Helper()
	ca, conf := authority(t)
	s := &shop{(&server{mechanisms: []string{"PLAIN"}, mustLogin: true, tls: conf}).start(t), triggertest.NewEnv(t)}
	s.env.PutSecret("mail", "password", thePassword)
	s.env.PutSecret("authority", "crt", ca)
	return s
}

func (s *shop) local(t *testing.T, config string) trigger.Trigger {
	t.Helper()
	for old, local := range map[string]string{
		`"host":"smtp.shop.example"`: `"host":"127.0.0.1","tlsConfig":{"caCertSecret":{"name":"authority","key":"crt"}}`,
		`"port":587`:                 `"port":` + strconv.Itoa(s.port),
	} {
		if !strings.Contains(config, old) {
			t.Fatalf("no %s in %s", old, config)
		}
		config = strings.Replace(config, old, local, 1)
	}
	return triggertest.Build(t, email.Kind, config, s.env)
}

// delivered fires and returns the one mail to each recipient.
func (s *shop) delivered(t *testing.T, tr trigger.Trigger, in trigger.Input) (map[string]parsed, trigger.Result) {
	t.Helper()
	r, err := tr.Fire(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	mails := map[string]parsed{}
	for _, m := range s.taken() {
		if _, twice := mails[m.to]; twice || m.from != theUser || m.user != theUser || !m.encrypted {
			t.Errorf("got %+v", m)
		}
		mails[m.to] = parse(t, m.text)
	}
	return mails, r
}

// TestReadme does what README.md and the comment of example.yaml say.
func TestReadme(t *testing.T) {
	e := event.New()
	e.SetID("1")
	e.SetSource("shop")
	e.SetType("webhook")
	body := found(t, "example.yaml", `curl .* -d '(.*?)' http://localhost:12000/order\n`)
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(`{"header":{},"body":`+body+`}`)); err != nil {
		t.Fatal(err)
	}
	in := triggertest.Input(1)
	in.Events = map[string]*event.Event{"order": &e}

	t.Run("README.md", func(t *testing.T) {
		examples := triggertest.Readme(t, email.Kind)
		if len(examples) != 1 {
			t.Fatalf("there are %d examples", len(examples))
		}
		s := newShop(t)
		shown := found(t, "README.md", "(?s)```json\n(.*?)\n```")
		id := found(t, "README.md", `"messageID": "(.*?)"`)
		in := in
		in.ID, _, _ = strings.Cut(strings.Trim(id, "<>"), ".")
		a, err := triggertest.Build(t, email.Kind, examples[0], s.env).Render(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if json.Unmarshal(a.Spec, &got) != nil || json.Unmarshal([]byte(shown), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("rendered %s\nwant %s", a.Spec, shown)
		}
		mails, r := s.delivered(t, s.local(t, examples[0]), in)
		p := mails["office@shop.example"]
		if len(mails) != 1 || p.subject != "Order 7" || p.body != "Somebody has ordered something." || p.html != "" {
			t.Fatalf("got %+v", mails)
		}
		if p.Get("Message-ID") != id || p.Get("Auto-Submitted") != "auto-generated" || p.Get("From") != `"Shop" <shop@shop.example>` {
			t.Errorf("got %+v", p.Header)
		}
		details := map[string]any{"accepted": []string{"office@shop.example"}, "messageIDs": map[string]string{"office@shop.example": id}}
		if !reflect.DeepEqual(r.Details, details) {
			t.Errorf("details %v, want %v", r.Details, details)
		}
	})

	t.Run("example.yaml", func(t *testing.T) {
		var sensor v1alpha1.Sensor
		if err := yaml.Unmarshal([]byte(found(t, "example.yaml", `(?s).*\n---\n(.*kind: Sensor.*)`)), &sensor); err != nil {
			t.Fatal(err)
		}
		s := newShop(t)
		mails, _ := s.delivered(t, s.local(t, string(sensor.Spec.Triggers[0].Template.Kinds[email.Kind.Name].Raw)), in)
		if len(mails) != 2 {
			t.Errorf("mails to %s", s.recipients())
		}
		for to, shown := range map[string]string{"office@shop.example": "<office@shop.example>", "ada@customer.example": `"Ada" <ada@customer.example>`} {
			p := mails[to]
			if p.Get("To") != shown || p.subject != "Your order 7" || p.body != "Hello Ada,\n\nthank you for your order 7." {
				t.Errorf("%s got %+v", to, p)
			}
		}
	})
}
