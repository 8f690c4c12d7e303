package slack_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/slack"
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

// order is a firing by the webhook event that an order makes.
func order(t *testing.T, firing, body string) trigger.Input {
	t.Helper()
	e := event.New()
	e.SetID(firing)
	e.SetSource("shop")
	e.SetType("webhook")
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(`{"header":{},"body":`+body+`}`)); err != nil {
		t.Fatal(err)
	}
	return trigger.Input{
		ID: firing, Namespace: "default", Sensor: "announce", Trigger: "tell-sales",
		Events: map[string]*event.Event{"order": &e}, Attempt: 1,
	}
}

// ask fires and returns the form that Slack got, without its metadata.
func (p *player) ask(t *testing.T, tr trigger.Trigger, in trigger.Input) (map[string]string, trigger.Result) {
	t.Helper()
	r, err := tr.Fire(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	all := p.taken()
	form := map[string]string{}
	for name, values := range all[len(all)-1] {
		if name != "metadata" {
			form[name] = strings.Join(values, "|")
		}
	}
	return form, r
}

func wantForm(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent %q\nwant %q", got, want)
	}
}

// TestReadme does what README.md and the comment of example.yaml say.
func TestReadme(t *testing.T) {
	curl := found(t, "example.yaml", `curl .* -d '(.*?)' http://localhost:12000/order\n`)
	local := func(p *player, config string) string {
		t.Helper()
		if !strings.Contains(config, `"slackToken":{"key":"token","name":"slack"}`) {
			t.Fatalf("no token in %s", config)
		}
		return strings.Replace(config, `"slackToken":`, `"apiURL":"`+p.URL+`/api","slackToken":`, 1)
	}
	first := `1700000000.000001`

	t.Run("README.md", func(t *testing.T) {
		examples := triggertest.Readme(t, slack.Kind)
		if len(examples) != 1 {
			t.Fatalf("there are %d examples", len(examples))
		}
		p, e := newPlayer(t), triggertest.NewEnv(t)
		e.PutSecret("slack", "token", theToken)
		shown := found(t, "README.md", "(?s)```json\n(.*?)\n```")
		in := order(t, found(t, "README.md", `"firing": "(.*?)"`), curl)
		a, err := triggertest.Build(t, slack.Kind, examples[0], e).Render(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if json.Unmarshal(a.Spec, &got) != nil || json.Unmarshal([]byte(shown), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("rendered %s\nwant %s", a.Spec, shown)
		}
		tr := triggertest.Build(t, slack.Kind, local(p, examples[0]), e)
		form, r := p.ask(t, tr, in)
		wantForm(t, form, map[string]string{"channel": "sales", "text": "Order 7 of Ada"})
		if want := map[string]any{"channel": "C0SALES", "ts": first, "thread": first}; !reflect.DeepEqual(r.Details, want) {
			t.Errorf("details %v, want %v", r.Details, want)
		}
		form, r = p.ask(t, tr, order(t, "2", `{"id": 8, "customer": "Ada"}`))
		wantForm(t, form, map[string]string{"channel": "sales", "text": "Order 8 of Ada", "thread_ts": first})
		if r.Details["thread"] != first || r.Details["ts"] == first || r.Follow != nil {
			t.Errorf("got %+v", r)
		}
	})

	t.Run("example.yaml", func(t *testing.T) {
		var s v1alpha1.Sensor
		if err := yaml.Unmarshal([]byte(found(t, "example.yaml", `(?s).*\n---\n(.*kind: Sensor.*)`)), &s); err != nil {
			t.Fatal(err)
		}
		p, e := newPlayer(t), triggertest.NewEnv(t)
		e.PutSecret("slack", "token", theToken)
		tr := triggertest.Build(t, slack.Kind, local(p, string(s.Spec.Triggers[0].Template.Kinds[slack.Kind.Name].Raw)), e)
		for i, o := range []struct{ body, text, thread string }{
			{curl, "7 of Ada", ""}, // a thread a customer
			{`{"id": 8, "customer": "Bert \"B\""}`, `8 of Bert "B"`, ""},
			{`{"id": 9, "customer": "Ada"}`, "9 of Ada", first},
		} {
			form, _ := p.ask(t, tr, order(t, fmt.Sprint(i), o.body))
			number, customer, _ := strings.Cut(o.text, " of ")
			block, err := json.Marshal("*Order " + number + "* of " + customer)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"channel": "sales", "text": "Order " + o.text, "username": "Shop", "icon_emoji": ":package:",
				"blocks": `[{"type":"section","text":{"type":"mrkdwn","text":` + string(block) + `}}]`,
			}
			if o.thread != "" {
				want["thread_ts"] = o.thread
			}
			wantForm(t, form, want)
		}
	})
}
