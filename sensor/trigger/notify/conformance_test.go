package notify_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/notify"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// service is the other side of any service: it keeps what it gets.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	got    []request
	answer func(http.ResponseWriter, *http.Request)
}

type request struct {
	method, path, body string
	header             http.Header
}

func serve(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		s.mu.Lock()
		s.got = append(s.got, request{r.Method, r.URL.RequestURI(), string(body), r.Header.Clone()})
		answer := s.answer
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) host() string { return strings.TrimPrefix(s.URL, "http://") }

func (s *service) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.got...)
}

func (s *service) answers(f func(http.ResponseWriter, *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

type object = map[string]any

// effects are the firings whose messages have arrived at both destinations.
func effects(t *testing.T, s *service) (all []json.RawMessage) {
	t.Helper()
	mails := map[string]object{}
	for _, r := range s.requests() {
		if r.path != "/topic" {
			continue
		}
		if user, password, _ := (&http.Request{Header: r.header}).BasicAuth(); r.method != http.MethodPost || user != "me" || password != "ntfy-password" {
			t.Errorf("%s as %s", r.method, user)
		}
		if r.header.Get("Priority") != "Max" {
			t.Errorf("the priority is %q", r.header.Get("Priority"))
		}
		mails[r.body] = object{
			"to": "secret ntfy/url", "title": r.header.Get("Title"), "message": r.body, "severity": "critical",
			"params": object{"tags": r.header.Get("Tags"), "icon": r.header.Get("X-Icon")},
		}
	}
	for _, r := range s.requests() {
		if r.path != "/hooks/hook-token" {
			continue
		}
		if r.header.Get("Content-Type") != "application/json" || r.header.Get("Idempotency-Key") == "" {
			t.Errorf("headers %v", r.header)
		}
		var card struct{ Text string }
		if err := json.Unmarshal([]byte(r.body), &card); err != nil {
			t.Fatal(err)
		}
		mail := mails[card.Text]
		if mail == nil {
			continue
		}
		b, err := json.Marshal(object{"messages": []any{mail, object{"to": "secret hook/url", "json": json.RawMessage(r.body)}}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind: notify.Kind,
		NoID: true, // people have no use for it; see TestOnce
		Setup: func(t *testing.T, e *triggertest.Env) string {
			s := serve(t)
			e.State = s
			e.PutSecret("ntfy", "url", "ntfy://me:ntfy-password@"+s.host()+"/topic?disabletls=yes")
			e.PutSecret("hook", "url", s.URL+"/hooks/hook-token")
			return `
to:
  - urlSecret: {name: ntfy, key: url}
    params: {icon: "https://icons.example/{{ .Event.data.number }}"}
  - urlSecret: {name: hook, key: url}
    json: '{"text": {{ .Message.text | toJson }}, "list": {{ .Event.data.body.list | toJson }}}'
title: placeholder
message: '{{ .Input.dep.data.text }}{{ with .Input.other }} and {{ .data.number }}{{ end }}'
severity: '{{ if ge (int .Input.dep.data.number) 0 }}critical{{ else }}info{{ end }}'
params: {tags: "a{{ .Input.dep.data.number }}"}
parameters:
  - {src: {dependencyName: dep, dataTemplate: "Number {{ .Input.number }}"}, dest: title}
`
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage { return effects(t, e.State.(*service)) },
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*service).answers(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				_ = r.Header.Write(w)
				_, _ = io.WriteString(w, "nobody is at "+r.Host+r.URL.RequestURI())
			})
		},
		Hang: func(t *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived, end := make(chan struct{}), make(chan struct{})
			t.Cleanup(func() { close(end) })
			once := sync.OnceFunc(func() { close(arrived) })
			e.State.(*service).answers(func(_ http.ResponseWriter, r *http.Request) {
				once()
				select {
				case <-end:
				case <-r.Context().Done():
				}
			})
			return arrived
		},
		Valid: []string{
			`{to: [{url: "ntfy://ntfy.sh/topic"}], message: m}`,
			`{to: [{url: "generic://h.example/path?template=json"}], message: m, severity: "{{ .Event.data.severity }}"}`,
			`{to: [{urlSecret: {name: a, key: b}, json: "{}"}]}`,
			`{to: [{url: x}], message: m, parameters: [{src: {dependencyName: d, value: "ntfy://h/t"}, dest: to.0.url}]}`,
			`{to: [{url: "ntfy://h/t"}], message: m, group: {key: k, wait: 1s, interval: 1m, repeat: 1h, threshold: 5 in 10m, resolvedBy: [ok], resolveAfter: 2h, summary: s, resolved: r, maxSamples: 3}, follow: {emit: true}}`,
		},
		Invalid: map[string][]string{
			`{}`: {`to: is required`},
			`{to: [{url: "ntfy://h/t"}], timeout: 0s}`:                                    {`message: is required`, `timeout: has to be longer`},
			`{message: m, to: [{}, {url: "ntfy://h/t", urlSecret: {}}, {urlSecret: {}}]}`: {`to[0].urlSecret: is required`, `to[1].url: stands beside`, `to[2].urlSecret.name: is required`, `to[2].urlSecret.key: is required`},
			`{message: m, to: [{url: "discord://token@12345"}]}`:                          {`to[0].url: holds a password or token`},
			`{message: m, to: [{url: "ntfy://me:pass@h/t"}]}`:                             {`to[0].url: holds a password or token`},
			`{message: m, to: [{url: "matrix://me:pass@h.invalid/"}]}`:                    {`to[0].url: holds a password or token`},
			`{to: [{url: "https://h/t?sig=x", json: "{}"}]}`:                              {`to[0].url: holds a password or token`},
			`{message: m, to: [{url: "https://h/t"}, {url: "ntfi://h"}, {url: "no"}, {url: "logger://"}, {url: "telegram://x@telegram?chats=1"}]}`: {
				`to[0].url: names no service`, `to[1].url: there is no service "ntfi" (did you mean ntfy?)`, `to[2].url: is no URL of shoutrrr`, `to[3].url: logger`, `to[4].url: the URL is not as telegram wants`,
			},
			`{message: m, to: [{url: "ntfy://h/t", params: {colour: red}}]}`: {`to[0].url: ntfy has no parameter colour`},
			`{message: "{{ if }}", title: "{{", severity: "{{ x }}", params: {a: "{{"}, to: [{urlSecret: {name: a, key: b}, json: "{{", params: {b: "{{"}}]}`: {
				`message: `, `title: `, `severity: `, `params.a: `, `to[0].json: `, `to[0].params.b: `, `to[0].params: have no effect`,
			},
			`{message: m, severity: loud, to: [{url: "ntfy://h/t", tls: {enabled: true}}]}`: {`severity: "loud" is no severity`, `to[0].tls: has no effect`},
			`{message: m, to: [{url: "ntfy://h/t"}], group: {key: "{{", wait: -1s, interval: 0s, repeat: 1h, threshold: "5", resolved: x, maxSamples: 99, resolvedBy: []}}`: {
				`group.key: `, `group.wait: `, `group.interval: `, `group.threshold: "5" is no threshold`, `group.repeat: would go on`, `group.resolved: is never sent`, `group.maxSamples: has to be`,
			},
			`{message: m, to: [{url: "ntfy://h/t"}], follow: {timeout: 1h}, group: {threshold: 0 in 5m, repeat: 2h, resolveAfter: 1h, resolvedBy: [""]}}`: {
				`follow.timeout: has no effect`, `group.threshold: the number has to be`, `group.repeat: is never sent`, `group.resolvedBy[0]: is empty`,
			},
		},
	})
}
