package slack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

const theToken = "xoxb-12345-secret-of-slack"

// player plays Slack's API: it takes the messages that it should take and
// remembers them.
type player struct {
	*httptest.Server

	mu     sync.Mutex
	forms  []url.Values // messages that were taken
	wrong  []string     // what is wrong with requests
	answer http.HandlerFunc
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	p := &player{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, w := range p.wrong {
			t.Error(w)
		}
	})
	return p
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer := p.answer
	p.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		p.complain("form: %v", err)
	}
	for what, got := range map[string][2]string{
		"method":        {r.Method, http.MethodPost},
		"path":          {r.URL.String(), "/api/chat.postMessage"},
		"authorization": {r.Header.Get("Authorization"), "Bearer " + theToken},
		"content type":  {r.Header.Get("Content-Type"), "application/x-www-form-urlencoded; charset=utf-8"},
	} {
		if got[0] != got[1] {
			p.complain("%s: %s", what, got[0])
		}
	}
	if strings.Contains(r.PostForm.Encode(), theToken) {
		p.complain("the token is in the form")
	}
	if answer != nil {
		answer(w, r)
		return
	}
	p.take(w, r)
}

func (p *player) complain(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

// take accepts a message.
func (p *player) take(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.forms = append(p.forms, r.PostForm)
	n := len(p.forms)
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"ok":true,"channel":"C0%s","ts":"1700000000.%06d","message":{"text":"x"}}`, strings.ToUpper(r.PostForm.Get("channel")), n)
}

// respond sets the answer to everything from now on; nil takes messages again.
func (p *player) respond(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = h
}

// no answers with an error of Slack's.
func no(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

func (p *player) taken() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]url.Values(nil), p.forms...)
}

// config is a configuration for the player; more is added to it, in either style of YAML.
func (p *player) config(e *triggertest.Env, more string) string {
	e.PutSecret("slack", "token", theToken)
	if more, flow := strings.CutPrefix(more, "{"); flow {
		return "{apiURL: '" + p.URL + "/api', slackToken: {name: slack, key: token}, " + more
	}
	return "apiURL: " + p.URL + "/api\nslackToken: {name: slack, key: token}\n" + more
}

// effects writes the messages as Render does. A reply has the key of its thread
// in its metadata.
func (p *player) effects(t *testing.T) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	for _, f := range p.taken() {
		spec := map[string]any{"url": p.URL + "/api/chat.postMessage", "token": "***"}
		for name := range f {
			switch value := f.Get(name); name {
			case "attachments", "blocks", "metadata":
				spec[name] = json.RawMessage(value)
			case "thread_ts", "reply_broadcast":
			default:
				spec[name] = value
			}
		}
		var meta struct {
			Payload struct{ Thread string } `json:"event_payload"`
		}
		if err := json.Unmarshal([]byte(f.Get("metadata")), &meta); err != nil {
			t.Fatal(err)
		}
		if meta.Payload.Thread != "" {
			spec["thread"], spec["broadcast"] = meta.Payload.Thread, true
		}
		b, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}
