package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/notify"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// detour sends every request to a test's server, for services whose host is fixed.
type detour struct {
	trigger.HTTP
	to string
}

func (d detour) Client(ctx context.Context, conf *v1alpha1.TLSConfig) (*http.Client, error) {
	c, err := d.HTTP.Client(ctx, conf)
	if err != nil {
		return nil, err
	}
	next := c.Transport
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("X-Host", r.URL.Scheme+"://"+r.URL.Host)
		r.URL.Scheme, r.URL.Host = "http", d.to
		return next.RoundTrip(r)
	})}, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestServices(t *testing.T) {
	const texts = "\ntitle: Sync failed\nmessage: 'shop \"down\"'\nseverity: critical\nparams: {tags: fire, source: shop-source}\n"
	for name, c := range map[string]struct {
		// url with HOST for the server's.
		url, host, path string
		// body has these parts.
		body   []string
		header map[string]string
		answer string
	}{
		"ntfy": {
			url: "ntfy://HOST/alerts?disabletls=yes", path: "/alerts", body: []string{`shop "down"`},
			header: map[string]string{"Title": "Sync failed", "Priority": "Max", "Tags": "fire"},
		},
		"gotify": {
			url: "gotify://HOST/AbcdefghijklmnO?disabletls=yes", path: "/message?token=AbcdefghijklmnO",
			body: []string{`"title":"Sync failed"`, `"priority":10`, `"message":"shop \"down\""`}, answer: `{"id": 1}`,
		},
		"mattermost has the title in the text": {
			url: "mattermost://HOST/mattermost-token?disabletls=yes", path: "/hooks/mattermost-token", body: []string{`"text":"Sync failed\nshop \"down\""`},
		},
		"generic text": {url: "generic://HOST/hook?disabletls=yes", path: "/hook", body: []string{"Sync failed\nshop \"down\""}},
		"generic with a template": {
			url: "generic://HOST/hook?disabletls=yes&template=json&$team=x", path: "/hook",
			body: []string{`"title":"Sync failed"`, `"message":"shop \"down\""`, `"team":"x"`}, header: map[string]string{"Content-Type": "application/json"},
		},
		"discord": {
			url: "discord://discord-token@123456", host: "https://discord.com", path: "/api/webhooks/123456/discord-token",
			body: []string{`"title":"Sync failed"`, `shop \"down\"`, `"color":14026000`},
		},
		"pagerduty": {
			url: "pagerduty://events.pagerduty.com/0123456789abcdef0123456789abcdef", host: "https://events.pagerduty.com:443", path: "/v2/enqueue",
			body: []string{`"routing_key":"0123456789abcdef0123456789abcdef"`, `"severity":"critical"`, `"source":"shop-source"`, `"event_action":"trigger"`, `Sync failed\nshop`},
		},
		"rocketchat": {
			url: "rocketchat://HOST/tokenA/tokenB", path: "/hooks/tokenA/tokenB", body: []string{`Sync failed\nshop`},
		},
		"pushover": {
			url: "pushover://shoutrrr:push-token@user-key", host: "https://api.pushover.net", path: "/1/messages.json",
			body: []string{"priority=1", "title=Sync+failed", "token=push-token", "user=user-key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			e := triggertest.NewEnv(t)
			e.HTTP = detour{e.HTTP, s.host()}
			s.answers(func(w http.ResponseWriter, _ *http.Request) {
				if strings.HasPrefix(name, "discord") {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				if name == "pagerduty" {
					w.WriteHeader(http.StatusAccepted)
				}
				answer := c.answer
				if answer == "" {
					answer = "{}"
				}
				_, _ = io.WriteString(w, answer)
			})
			e.PutSecret("to", "url", strings.ReplaceAll(c.url, "HOST", s.host()))
			tr := triggertest.Build(t, notify.Kind, "to: [{urlSecret: {name: to, key: url}}]"+texts, e)
			if _, err := tr.Fire(t.Context(), triggertest.Input(1)); err != nil {
				t.Fatal(err)
			}
			got := s.requests()
			if len(got) != 1 {
				t.Fatalf("%d requests", len(got))
			}
			r := got[0]
			if r.method != http.MethodPost || r.path != c.path {
				t.Errorf("%s %s", r.method, r.path)
			}
			if host := r.header.Get("X-Host"); c.host != "" && host != c.host {
				t.Errorf("sent to %s", host)
			}
			for _, part := range c.body {
				if !strings.Contains(r.body, part) && !strings.Contains(strings.ReplaceAll(r.body, `": `, `":`), part) {
					t.Errorf("want %s in %s", part, r.body)
				}
			}
			for key, want := range c.header {
				if v := r.header.Get(key); v != want {
					t.Errorf("%s is %q, want %q", key, v, want)
				}
			}
		})
	}
}

// TestOnce: a repetition sends only to those that have not got it.
func TestOnce(t *testing.T) {
	good, bad := serve(t), serve(t)
	bad.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "come back\nlater")
	})
	e := triggertest.NewEnv(t)
	e.PutSecret("bad", "url", bad.URL+"/hooks/secret-path?sig=secret-sig")
	config := `
to:
  - url: ntfy://` + good.host() + `/topic?disabletls=yes
  - urlSecret: {name: bad, key: url}
    json: '{"a": 1}'
message: m`
	tr := triggertest.Build(t, notify.Kind, config, e)
	in := triggertest.Input(1)
	_, err := tr.Fire(t.Context(), in)
	want := "1 of 2 destinations: webhook (" + bad.host() + "): 503 Service Unavailable: come back later"
	if err == nil || err.Error() != want || trigger.AskedWait(err) != 7*time.Second {
		t.Fatalf("%v, %v", err, trigger.AskedWait(err))
	}
	if d := trigger.DetailsOf(err); fmt.Sprint(d["to"], d["failed"]) != "[ntfy ("+good.host()+")] [secret bad/url]" {
		t.Errorf("details %v", d)
	}
	bad.answers(nil)
	again := triggertest.Build(t, notify.Kind, config, e) // in another process
	for range 2 {
		if _, err := again.Fire(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	if g, b := len(good.requests()), len(bad.requests()); g != 1 || b != 2 {
		t.Errorf("%d and %d requests, want 1 and 2", g, b)
	}
}

// TestErrorsShowNoURL breaks services whose URLs hold what nobody may see.
func TestErrorsShowNoURL(t *testing.T) {
	s := serve(t)
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": r.URL.String(), "message": string(body) + r.Header.Get("Authorization")})
	})
	closed := serve(t)
	closed.Close()
	hidden := regexp.MustCompile("H[a-z]") // how everything begins that is secret
	for _, raw := range []string{
		"ntfy://Huser:Hpass@HOST/Htopic?disabletls=yes", "gotify://HOST/AHidden-token-x?disabletls=yes", "gotify://HOST/wrong-Hidden?disabletls=yes",
		"mattermost://Huser@HOST/Htoken?disabletls=yes", "generic://HOST/Hpath?disabletls=yes&@authorization=Hvalue&template=json&key=Hquery",
		"matrix://:Hpassword@HOST/?disableTLS=yes&rooms=!Hroom", "rocketchat://Huser@HOST/HtokenA/HtokenB",
		"discord://Htoken@Hwebhook", "pagerduty://events.pagerduty.com/Hkey", "pushover://shoutrrr:Htoken@Huser",
		"telegram://Hnot-valid@telegram?chats=@Hchat", "slack://hook:Hnot-valid@webhook", "teams://Hgroup@Htenant/Halt/Howner/Hextra?host=Hx.webhook.office.com",
		"nosuch://Htoken@Hhost", "Hidden", "ntfy://Hport:x:y/%zz", "smtp://Huser:Hpass@HOST/?from=a@b.c&to=Hto@b.c&starttls=no",
	} {
		for _, host := range []string{s.host(), closed.host()} {
			scheme, _, _ := strings.Cut(raw, ":")
			t.Run(scheme, func(t *testing.T) {
				t.Parallel() // some of them wait between their attempts
				e := triggertest.NewEnv(t)
				e.HTTP = detour{e.HTTP, host}
				e.PutSecret("to", "url", strings.ReplaceAll(raw, "HOST", host))
				tr := triggertest.Build(t, notify.Kind, "to: [{urlSecret: {name: to, key: url}}]\nmessage: m\ntitle: t\ntimeout: 5s", e)
				_, err := tr.Fire(t.Context(), triggertest.Input(1))
				if err == nil {
					t.Fatal("no error")
				}
				if text := err.Error(); hidden.MatchString(text) || strings.Contains(text, "\n") {
					t.Error(text)
				}
			})
		}
	}
}

func TestTimeout(t *testing.T) {
	for name, raw := range map[string]string{"that knows a context": "ntfy://HOST/t?disabletls=yes", "that knows none": "generic://HOST/t?disabletls=yes"} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			end := make(chan struct{})
			s.answers(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-end:
				case <-r.Context().Done():
				}
			})
			tr := triggertest.Build(t, notify.Kind, "timeout: 50ms\nmessage: m\nto: [{url: \""+strings.ReplaceAll(raw, "HOST", s.host())+"\"}]", triggertest.NewEnv(t))
			_, err := tr.Fire(t.Context(), triggertest.Input(1))
			close(end)
			if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") || trigger.IsPermanent(err) {
				t.Errorf("Fire returned %v", err)
			}
		})
	}
}

// TestStuck: a service that does not know when to stop is bounded, and keeps
// nothing from other destinations.
func TestStuck(t *testing.T) {
	stuck, good := serve(t), serve(t)
	end := make(chan struct{})
	stuck.answers(func(http.ResponseWriter, *http.Request) { <-end })
	defer close(end)
	tr := triggertest.Build(t, notify.Kind, `
timeout: 2s
message: m
to:
  - url: generic://`+stuck.host()+`/t?disabletls=yes
  - url: generic://`+good.host()+`/t?disabletls=yes`, triggertest.NewEnv(t))
	const firings = 40
	var wg sync.WaitGroup
	errs := make([]error, firings)
	for n := range firings {
		wg.Go(func() { _, errs[n] = tr.Fire(t.Context(), triggertest.Input(n)) })
	}
	wg.Wait()
	for _, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "no answer within 2s") || !strings.Contains(err.Error(), "1 of 2 destinations") {
			t.Errorf("Fire returned %v", err)
		}
	}
	if s, g := len(stuck.requests()), len(good.requests()); s != 16 || g != firings {
		t.Errorf("%d requests are stuck and %d arrived, want 16 and %d", s, g, firings)
	}
}

// TestOneLine: what an event puts into a title or a parameter adds no header.
func TestOneLine(t *testing.T) {
	s := serve(t)
	tr := triggertest.Build(t, notify.Kind, `
message: "two\nlines"
title: "{{ .Event.data.number }}\r\nX-Evil: 1"
params: {tags: "a\nb"}
to: [{url: "ntfy://`+s.host()+`/t?disabletls=yes"}]`, triggertest.NewEnv(t))
	if _, err := tr.Fire(t.Context(), triggertest.Input(7)); err != nil {
		t.Fatal(err)
	}
	r := s.requests()[0]
	if r.header.Get("Title") != "7  X-Evil: 1" || r.header.Get("Tags") != "a b" || r.header.Get("X-Evil") != "" || r.body != "two\nlines" {
		t.Errorf("got %q, %v", r.body, r.header)
	}
}

func TestTextsThatCannotBe(t *testing.T) {
	for name, config := range map[string]string{
		"a key that is not there":  "message: '{{ .Input.dep.data.nothing }}'",
		"no severity":              "message: m\nseverity: '{{ .Event.data.text }}'",
		"a body that is no JSON":   "message: m\njson: '{\"a\": {{ .Event.data.text }}}'",
		"a key of a group":         "message: m\ngroup: {key: '{{ .Event.data.nothing }}'}",
		"a URL that is none":       "message: m\nparameters: [{src: {dependencyName: dep, value: 'ntfi://h/t'}, dest: to.0.url}]",
		"a param that is not made": "message: m\nparams: {tags: '{{ .Event.data.nothing }}'}",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			to := "\nto: [{url: \"ntfy://" + s.host() + "/t?disabletls=yes\"}]"
			if before, body, ok := strings.Cut(config, "json: "); ok {
				config, to = before, "\nto: [{url: \""+s.URL+"\", json: "+body+"}]"
			}
			tr := triggertest.Build(t, notify.Kind, config+to, triggertest.NewEnv(t))
			_, err := tr.Fire(t.Context(), triggertest.Input(1))
			_, rendered := tr.Render(t.Context(), triggertest.Input(1))
			if !trigger.IsPermanent(err) || rendered == nil || rendered.Error() != err.Error() || len(s.requests()) > 0 {
				t.Errorf("Fire returned %v, Render %v, after %d requests", err, rendered, len(s.requests()))
			}
		})
	}
}

// TestIncident: a group is one incident of PagerDuty, and a card of its own elsewhere.
func TestIncident(t *testing.T) {
	s := serve(t)
	s.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	e := triggertest.NewEnv(t)
	e.HTTP = detour{e.HTTP, s.host()}
	e.PutSecret("pager", "url", "pagerduty://events.pagerduty.com/0123456789abcdef0123456789abcdef")
	e.PutSecret("teams", "url", "https://teams.example/workflow?sig=secret-sig")
	tr := triggertest.Build(t, notify.Kind, `
to:
  - urlSecret: {name: pager, key: url}
  - urlSecret: {name: teams, key: url}
    json: |
      {"type": "message", "text": {{ .Message.text | toJson }}, "title": {{ .Message.title | toJson }},
       "kind": {{ .Message.kind | toJson }}, "count": {{ .Group.count }}, "first": {{ .Input.dep.data.number }} }
title: Down
message: m
group: {key: shop, resolvedBy: [other]}
parameters:
  - {src: {dependencyName: dep, dataTemplate: "Number {{ .Input.number }} down"}, dest: title}
`, e)
	in := triggertest.Input(1)
	r, err := tr.Fire(t.Context(), in)
	if err != nil || r.Follow == nil {
		t.Fatal(r, err)
	}
	if a, err := tr.Render(t.Context(), in); err != nil || !strings.HasPrefix(string(a.Spec), `{"group":{"key":"shop"},"messages":[{"to":"secret pager/url","title":"Number 1 down","message":"m"},{"to":"secret teams/url","json":{"type":"message"`) {
		t.Errorf("rendered %s, %v", a.Spec, err)
	}
	ok := triggertest.Join(2)
	delete(ok.Events, "dep")
	if a, err := tr.Render(t.Context(), ok); err != nil || string(a.Spec) != `{"group":{"key":"shop","resolves":true},"messages":[]}` {
		t.Errorf("rendered %s, %v", a.Spec, err)
	}
	if _, err := tr.Fire(t.Context(), ok); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := notify.Kind.Follow.Await(ctx, tr, trigger.Following{ID: in.ID, Namespace: in.Namespace, Sensor: in.Sensor, Trigger: in.Trigger, Ref: r.Follow, Since: time.Now()})
	if err != nil || out.Failed {
		t.Fatal(out, err)
	}
	var pager, teams []map[string]any
	for _, r := range s.requests() {
		var v map[string]any
		if err := json.Unmarshal([]byte(r.body), &v); err != nil {
			t.Fatal(err)
		}
		switch r.path {
		case "/v2/enqueue":
			pager = append(pager, v)
		case "/workflow?sig=secret-sig":
			teams = append(teams, v)
		}
	}
	if len(pager) != 2 || len(teams) != 2 {
		t.Fatalf("%v\n%v", pager, teams)
	}
	if pager[0]["event_action"] != "trigger" || pager[1]["event_action"] != "resolve" || pager[0]["dedup_key"] == nil || pager[0]["dedup_key"] != pager[1]["dedup_key"] {
		t.Errorf("%v", pager)
	}
	if teams[0]["kind"] != "firing" || teams[0]["title"] != "Number 1 down" || teams[1]["kind"] != "resolved" || teams[1]["title"] != "Resolved: Number 1 down" || teams[1]["first"] != 1.0 {
		t.Errorf("%v", teams)
	}
}
