package slack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	libtest "github.com/slack-go/slack/slacktest"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/slack"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// start builds a trigger that sends to a player.
func start(t *testing.T, config string) (*player, *triggertest.Env, trigger.Trigger) {
	t.Helper()
	p, e := newPlayer(t), triggertest.NewEnv(t)
	return p, e, triggertest.Build(t, slack.Kind, p.config(e, config), e)
}

// fire makes firing number n and wants it to succeed.
func fire(t *testing.T, tr trigger.Trigger, n int) trigger.Result {
	t.Helper()
	r, err := tr.Fire(t.Context(), triggertest.Input(n))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestServer sends to the test server of slack-go.
func TestServer(t *testing.T) {
	s := libtest.NewTestServer()
	go s.Start()
	t.Cleanup(s.Stop)
	e := triggertest.NewEnv(t)
	e.PutSecret("slack", "token", theToken)
	tr := triggertest.Build(t, slack.Kind, `
apiURL: `+s.GetAPIURL()+`
slackToken: {name: slack, key: token}
channel: general
message: hello
attachments: '[{"title": "an attachment", "fields": [{"title": "a", "value": "b", "short": true}]}]'
blocks: '[{"type": "section", "text": {"type": "mrkdwn", "text": "*bold*"}}]'
parameters: [{src: {dependencyName: dep, dataKey: text}, dest: message}]
`, e)
	r := fire(t, tr, 1)
	if r.Details["channel"] != "general" || r.Details["ts"] == "" || r.Follow != nil {
		t.Errorf("got %+v", r)
	}
}

func TestMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		config string
		want   map[string]string // form fields but metadata
	}{
		"a text": {`{channel: "#general", message: "a {{ b }} <&>"}`, map[string]string{"channel": "general", "text": "a {{ b }} <&>"}},
		"ids":    {`{channel: U024BE7LH, message: hi}`, map[string]string{"channel": "U024BE7LH", "text": "hi"}},
		"blocks without a text": {
			`{channel: c, blocks: '[ {"type": "divider"} ]'}`,
			map[string]string{"channel": "c", "blocks": `[{"type":"divider"}]`},
		},
		"a picture": {
			`{channel: c, message: hi, sender: {username: me, icon: "https://a.example/b.png"}}`,
			map[string]string{"channel": "c", "text": "hi", "username": "me", "icon_url": "https://a.example/b.png"},
		},
		"an icon that is none": {`{channel: c, message: hi, sender: {icon: x}}`, map[string]string{"channel": "c", "text": "hi"}},
		"parameters": {
			`{channel: x, message: "text: ", parameters: [
				{src: {dependencyName: dep, dataTemplate: "#c{{ .Input.number }}"}, dest: channel},
				{src: {dependencyName: dep, dataKey: text}, dest: message, operation: append},
				{src: {dependencyName: dep, dataTemplate: '[{"type":"header","n":{{ .Input.number }}}]'}, dest: blocks},
				{src: {dependencyName: dep, contextKey: source}, dest: sender.username}]}`,
			map[string]string{"channel": "c7", "text": "text: number 7 <&>", "blocks": `[{"type":"header","n":7}]`, "username": "webhook"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, tr := start(t, tc.config)
			fire(t, tr, 7)
			got := map[string]string{}
			for k, v := range p.taken()[0] {
				got[k] = strings.Join(v, "|")
			}
			meta := `{"event_type":"signalbox_firing","event_payload":{"firing":"` + triggertest.Input(7).ID + `","sensor":"default/sensor","trigger":"trigger"}}`
			if got["metadata"] != meta {
				t.Errorf("the metadata is %s", got["metadata"])
			}
			delete(got, "metadata")
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("sent %v\nwant %v", got, tc.want)
			}
		})
	}
}

func TestNothingIsSent(t *testing.T) {
	for name, tc := range map[string]struct{ config, want string }{
		"blocks of an event": {
			"channel: c\nparameters: [{src: {dependencyName: dep, dataKey: text}, dest: blocks}]",
			`blocks: is no JSON, line 1, column 3: invalid character 'm'`,
		},
		"a block without a type": {
			"channel: c\nparameters: [{src: {dependencyName: dep, dataTemplate: '[{\"a\":1},{}]'}, dest: blocks}]",
			`blocks[0].type: is required; blocks[1].type: is required`,
		},
		"no channel": {
			"message: x\nparameters: [{src: {dependencyName: dep, value: '#'}, dest: channel}]", `channel: is empty`,
		},
		"no content": {
			"channel: c\nparameters: [{src: {dependencyName: nobody, dataKey: x}, dest: message}]", `there is nothing to send`,
		},
		"a key that is not there": {
			"channel: c\nparameters: [{src: {dependencyName: dep, dataKey: nothing}, dest: message}]", `there is no data at "nothing"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, tr := start(t, tc.config)
			_, err := tr.Fire(t.Context(), triggertest.Input(1))
			if !trigger.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if _, renderErr := tr.Render(t.Context(), triggertest.Input(1)); fmt.Sprint(renderErr) != fmt.Sprint(err) {
				t.Errorf("Render says %v, Fire %v", renderErr, err)
			}
			if n := len(p.taken()); n != 0 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
	t.Run("no token", func(t *testing.T) {
		p, e := newPlayer(t), triggertest.NewEnv(t)
		tr := triggertest.Build(t, slack.Kind, "apiURL: "+p.URL+"\nslackToken: {name: none, key: k}\nchannel: c\nmessage: x", e)
		if _, err := tr.Fire(t.Context(), triggertest.Input(1)); err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), `slackToken: secret "none"`) {
			t.Errorf("got %v", err)
		}
		e.PutSecret("none", "k", "a\nb")
		if _, err := tr.Fire(t.Context(), triggertest.Input(1)); err == nil || !strings.Contains(err.Error(), "control character") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer    http.HandlerFunc
		permanent bool
		wait      time.Duration // of a rate limit
		want      string
	}{
		"channel_not_found": {no(`{"ok":false,"error":"channel_not_found"}`), true, 0, "send to c: Slack answers channel_not_found (check the name"},
		"missing_scope":     {no(`{"ok":false,"error":"missing_scope","needed":"chat:write.customize"}`), true, 0, "needed is chat:write.customize (add the scope"},
		"invalid_blocks": {
			no(`{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] missing\nfield [json-pointer:/blocks/0]"]}}`), true, 0,
			"invalid_blocks: [ERROR] missing field [json-pointer:/blocks/0] (try them",
		},
		"invalid_auth":      {no(`{"ok":false,"error":"invalid_auth"}`), true, 0, "check the token"},
		"not_in_channel":    {no(`{"ok":false,"error":"not_in_channel"}`), true, 0, "invite the app"},
		"msg_too_long":      {no(`{"ok":false,"error":"msg_too_long"}`), true, 0, "shorten"},
		"an error of Slack": {no(`{"ok":false,"error":"fatal_error"}`), false, 0, "Slack answers fatal_error"},
		"rate limit": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "17")
				w.WriteHeader(http.StatusTooManyRequests)
			}, false, 17 * time.Second, "rate limit",
		},
		"rate limit without a time": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "soon")
				w.WriteHeader(http.StatusTooManyRequests)
			}, false, 5 * time.Second, "rate limit",
		},
		"rate limit as an error": {no(`{"ok":false,"error":"rate_limited"}`), false, 5 * time.Second, "rate limit"},
		"a server error": {
			func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, false, 0, "Slack answered 502 Bad Gateway",
		},
		"a redirect": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			}, false, 0, "Slack answered 307",
		},
		"no JSON":            {no(`<html>` + theToken), false, 0, "not what it should be: <html>***"},
		"null":               {no(`null`), false, 0, "names no message: null"},
		"wrong types":        {no(`{"ok":"yes","ts":7}`), false, 0, "not what it should be"},
		"ok and no ts":       {no(`{"ok":true}`), false, 0, "names no message"},
		"neither nor":        {no(`{"ok":false}`), false, 0, "names no message"},
		"a connection's end": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, 0, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, tr := start(t, "channel: c\nmessage: x")
			p.respond(tc.answer)
			_, err := tr.Fire(t.Context(), triggertest.Input(1))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), theToken) {
				t.Fatalf("got %v", err)
			}
			if trigger.IsPermanent(err) != tc.permanent || trigger.AskedWait(err) != tc.wait {
				t.Errorf("permanent %v, wait %v", trigger.IsPermanent(err), trigger.AskedWait(err))
			}
			if wait, _, busy := trigger.Postponed(err); busy != (tc.wait > 0) || wait != tc.wait {
				t.Errorf("postponed %v by %v", busy, wait)
			}
			p.respond(nil)
			fire(t, tr, 1)
		})
	}
}

// A token that is no app's cannot send metadata.
func TestTokenWithoutMetadata(t *testing.T) {
	p, _, tr := start(t, "channel: c\nmessage: x")
	p.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.PostForm.Has("metadata") {
			fmt.Fprint(w, `{"ok":false,"error":"metadata_must_be_sent_from_app"}`)
			return
		}
		p.take(w, r)
	})
	fire(t, tr, 1)
	if n := len(p.taken()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestRepetition(t *testing.T) {
	p, e, tr := start(t, "channel: c\nmessage: x")
	first := fire(t, tr, 1)
	// As after a restart: another trigger with the same state.
	again := fire(t, triggertest.Build(t, slack.Kind, p.config(e, "channel: c\nmessage: x"), e), 1)
	if n := len(p.taken()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	if fmt.Sprint(first.Details) != fmt.Sprint(again.Details) || first.Details["channel"] != "C0C" || first.Details["ts"] != "1700000000.000001" {
		t.Errorf("first %v, then %v", first, again)
	}
	if first.Summary != "sent to C0C as 1700000000.000001" || again.Summary != "had been sent to C0C as 1700000000.000001" {
		t.Errorf("first %q, then %q", first.Summary, again.Summary)
	}
	fire(t, tr, 2)
	if n := len(p.taken()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// failing is a state that cannot be written.
type failing struct{ trigger.State }

func (failing) Change(context.Context, string, func([]byte) ([]byte, error)) error {
	return errors.New("the bus is away")
}

func TestStateThatFails(t *testing.T) {
	p, e := newPlayer(t), triggertest.NewEnv(t)
	e.Env.State = failing{triggertest.NewState()}
	tr := triggertest.Build(t, slack.Kind, p.config(e, "channel: c\nmessage: x"), e)
	fire(t, tr, 1) // it has been sent: an error would send it again
	if !strings.Contains(e.Logs(), "could not be noted") {
		t.Errorf("the log says %s", e.Logs())
	}
	threaded := triggertest.Build(t, slack.Kind, p.config(e, "channel: c\nmessage: x\nthread: {messageAggregationKey: a}"), e)
	if _, err := threaded.Fire(t.Context(), triggertest.Input(2)); err == nil || !strings.Contains(err.Error(), "the bus is away") {
		t.Errorf("got %v", err)
	}
	if n := len(p.taken()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestOutcome(t *testing.T) {
	raw := json.RawMessage(`{"slackToken":{"name":"s","key":"k"},"channel":"c","message":"m","follow":{"emit":true}}`)
	c, err := slack.Kind.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if f := slack.Kind.Follow.Block(c); f == nil || !f.Emit {
		t.Errorf("the block is %v", f)
	}
	if _, err := slack.Kind.Follow.Await(t.Context(), nil, trigger.Following{}); !trigger.IsPermanent(err) {
		t.Errorf("Await returned %v", err)
	}
}
