package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/notify"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// found are the parts of a file that the pattern's group is.
func found(t *testing.T, file, pattern string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	if all == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return all
}

// state is firing number n by the webhook event that a dependency takes.
func state(t *testing.T, n int, dependency, body string) trigger.Input {
	t.Helper()
	in := triggertest.Input(n)
	e := event.New()
	e.SetID(in.ID)
	e.SetSource("states")
	e.SetType("webhook")
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(`{"header":{},"body":`+body+`}`)); err != nil {
		t.Fatal(err)
	}
	in.Events = map[string]*event.Event{dependency: &e}
	in.Since = time.Now()
	return in
}

// newTopic is a server that is the ntfy of a URL, and what triggers need.
func newTopic(t *testing.T, url string) (*service, *triggertest.Env) {
	t.Helper()
	topic, ok := strings.CutPrefix(url, "ntfy://ntfy.sh/")
	if !ok {
		t.Fatalf("the URL is %s", url)
	}
	s, e := serve(t), triggertest.NewEnv(t)
	e.PutSecret("ntfy", "url", "ntfy://"+s.host()+"/"+topic+"?disabletls=yes")
	return s, e
}

// group fires all, the first of them before the others, and follows that.
func group(t *testing.T, s *service, tr trigger.Trigger, all ...trigger.Input) trigger.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out trigger.Outcome
	ended := make(chan error, 1)
	for i, in := range all {
		r, err := tr.Fire(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			continue
		}
		go func() {
			var err error
			out, err = notify.Kind.Follow.Await(ctx, tr, trigger.Following{
				ID: in.ID, Namespace: in.Namespace, Sensor: in.Sensor, Trigger: in.Trigger, Ref: r.Follow, Since: in.Since,
			})
			ended <- err
		}()
		for len(s.requests()) == 0 {
			select {
			case err := <-ended:
				t.Fatalf("ended without a message: %v", err)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	if err := <-ended; err != nil || out.Failed {
		t.Fatal(out, err)
	}
	return out
}

// wantSaid compares topic, title, priority and text of the messages; the texts' ends are free.
func wantSaid(t *testing.T, s *service, want ...string) {
	t.Helper()
	var got []string
	for _, r := range s.requests() {
		got = append(got, r.method+" "+r.path+" | "+r.header.Get("Title")+" | "+r.header.Get("Priority")+" | "+r.body)
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestReadme does what README.md and the comments of example.yaml say.
func TestReadme(t *testing.T) {
	t.Run("README.md", func(t *testing.T) {
		t.Parallel()
		examples := triggertest.Readme(t, notify.Kind)
		if len(examples) != 1 {
			t.Fatalf("there are %d examples", len(examples))
		}
		s, e := newTopic(t, found(t, "README.md", `name: ntfy, key: url} +# (\S+)\n`)[0])
		tr := triggertest.Build(t, notify.Kind, examples[0], e)
		failed := state(t, 1, "failed", `{"app": "shop", "message": "no such branch"}`)
		a, err := tr.Render(t.Context(), failed)
		want := `{"group":{"key":"shop"},"messages":[{"to":"secret ntfy/url","title":"shop: sync failed","message":"no such branch","severity":"error"}]}`
		if err != nil || string(a.Spec) != want {
			t.Errorf("rendered %s, %v\nwant %s", a.Spec, err, want)
		}
		out := group(t, s, tr, failed, state(t, 2, "ok", `{"app": "other"}`), state(t, 3, "ok", `{"app": "shop"}`))
		wantSaid(t, s, "POST /a-topic | shop: sync failed | High | no such branch",
			"POST /a-topic | Resolved: shop: sync failed | Default | shop: Resolved after ")
		keys := slices.Sorted(maps.Keys(out.Details))
		told := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(found(t, "README.md", "With it: ((?:`\\w+`,? ?)+)and `failed` if")[0], -1)
		for _, m := range told {
			keys = slices.DeleteFunc(keys, func(k string) bool { return k == m[1] })
		}
		if len(told) != len(out.Details) || len(keys) > 0 {
			t.Errorf("the details %v are not those of the README, %q", out.Details, told)
		}
	})

	t.Run("example.yaml", func(t *testing.T) {
		t.Parallel()
		var sensor v1alpha1.Sensor
		if err := yaml.Unmarshal([]byte(found(t, "example.yaml", `(?s).*\n---\n(.*kind: Sensor.*)`)[0]), &sensor); err != nil {
			t.Fatal(err)
		}
		s, e := newTopic(t, found(t, "example.yaml", `such as (\S+):\n`)[0])
		tr := triggertest.Build(t, notify.Kind, string(sensor.Spec.Triggers[0].Template.Kinds[notify.Kind.Name].Raw), e)
		body := found(t, "example.yaml", `curl .* -d '(.*?)' http://localhost:12000/state\n`)[0]
		out := group(t, s, tr,
			state(t, 1, "failed", body), state(t, 2, "failed", body), state(t, 3, "failed", `{"app": "shop", "status": "failed", "reason": "full"}`),
			state(t, 4, "ok", `{"app": "shop", "status": "ok"}`))
		wantSaid(t, s, "POST /a-topic-of-mine | shop has failed | High | shop is failed: no reason given",
			"POST /a-topic-of-mine | Resolved: shop has failed | Default | shop is well again, after 3 failures in ")
		if fmt.Sprint(out.Details["count"], out.Details["messages"]) != "3 2" {
			t.Errorf("details %v", out.Details)
		}
		wantSpec := `"message":"shop is failed: full"`
		if a, err := tr.Render(t.Context(), state(t, 3, "failed", `{"app": "shop", "status": "failed", "reason": "full"}`)); err != nil || !strings.Contains(string(a.Spec), wantSpec) {
			t.Errorf("rendered %s, %v", a.Spec, err)
		}
	})

	t.Run("JSON of one's own", func(t *testing.T) {
		t.Parallel()
		s, e := serve(t), triggertest.NewEnv(t)
		e.PutSecret("teams", "workflow-url", s.URL+"/workflow?sig=secret-sig")
		tr := triggertest.Build(t, notify.Kind, found(t, "README.md", "(?s)```yaml\n(to:.*?)```")[0]+`
title: 'the "shop"'
message: "is {{ .Event.data.body.status }}"
`, e)
		if _, err := tr.Fire(t.Context(), state(t, 1, "failed", `{"status": "down\nand \"out\""}`)); err != nil {
			t.Fatal(err)
		}
		r := s.requests()[0]
		if r.method != http.MethodPost || r.path != "/workflow?sig=secret-sig" || r.header.Get("Idempotency-Key") == "" {
			t.Errorf("got %+v", r)
		}
		type block struct{ Type, Text string }
		var card struct {
			Type        string
			Attachments []struct {
				ContentType string
				Content     struct {
					Type string
					Body []block
				}
			}
		}
		if err := json.Unmarshal([]byte(r.body), &card); err != nil || card.Type != "message" || len(card.Attachments) != 1 {
			t.Fatalf("%v: %s", err, r.body)
		}
		c := card.Attachments[0]
		if want := []block{{"TextBlock", `the "shop"`}, {"TextBlock", "is down\nand \"out\""}}; c.ContentType != "application/vnd.microsoft.card.adaptive" ||
			c.Content.Type != "AdaptiveCard" || !reflect.DeepEqual(c.Content.Body, want) {
			t.Errorf("got %s", r.body)
		}
	})
}

// TestReadmeServices has the URLs of the README's table read, with texts of the
// shape that the services want in the place of names.
func TestReadmeServices(t *testing.T) {
	real := strings.NewReplacer(
		"TOKENA-TOKENB-TOKENC", "T00000000-B00000000-aaaaaaaaaaaaaaaaaaaaaaaa", "BOT:TOKEN@", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0@",
		"INTEGRATIONKEY", strings.Repeat("0a", 16),
	)
	urls := found(t, "README.md", "(?m)(?:^\\| [^|]+ \\||or) `(\\w+://[^`]+)`")
	if len(urls) != 11 {
		t.Errorf("there are %d: %q", len(urls), urls)
	}
	for _, u := range urls {
		config, err := json.Marshal(object{"message": "m", "to": []any{object{"url": real.Replace(u)}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = notify.Kind.Decode(config)
		for _, problem := range v1alpha1.Problems(err) {
			if !strings.Contains(problem.Error(), "holds a password or token") {
				t.Errorf("%s: %v", u, problem)
			}
		}
	}
}
