package http_test

import (
	"encoding/json"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/http"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// sink keeps the requests that it gets, as Render writes them.
type sink struct {
	*httptest.Server
	// want are the values of headers that Render masks.
	want map[string]string

	mu     sync.Mutex
	got    []json.RawMessage
	answer nethttp.HandlerFunc
}

func newSink(t testing.TB) *sink {
	t.Helper()
	s := &sink{want: map[string]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// sentByNetHTTP are headers that Render leaves out, since net/http adds them.
var sentByNetHTTP = map[string]bool{"Content-Length": true, "Accept-Encoding": true, "User-Agent": true}

func (s *sink) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	spec := map[string]any{"method": r.Method, "url": s.URL + r.URL.String()}
	if "http://"+r.Host != s.URL {
		spec["host"] = r.Host
	}
	headers := map[string]string{}
	for name, values := range r.Header {
		if !sentByNetHTTP[name] {
			headers[name] = strings.Join(values, "|")
		}
		if want, ok := s.want[name]; ok && want == headers[name] {
			headers[name] = "***"
		}
	}
	spec["headers"] = headers
	switch {
	case len(body) == 0:
	case json.Valid(body):
		spec["body"] = json.RawMessage(body)
	default:
		spec["body"] = string(body)
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	s.got = append(s.got, raw)
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

func (s *sink) respond(h nethttp.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = h
}

func (s *sink) requests() []json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]json.RawMessage(nil), s.got...)
}

func TestConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind: http.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			s := newSink(t)
			e.State = s
			e.PutSecret("login", "user", "alice-in-secret")
			e.PutSecret("login", "password", "wonderland")
			e.PutSecret("token", "value", "t0ken-of-the-realm")
			e.PutConfigMap("team", "name", "north")
			s.want["X-Token"] = "t0ken-of-the-realm"
			s.want["X-Team"] = "north"
			s.want["Authorization"] = "Basic YWxpY2UtaW4tc2VjcmV0OndvbmRlcmxhbmQ="
			return `
url: ` + s.URL + `/a%20b?q=1&r=%22
method: PUT
host: other.example
headers: {Content-Type: application/json, X-Plain: plain}
payload:
  - {src: {dependencyName: dep, dataKey: text}, dest: message}
  - {src: {dependencyName: dep, dataKey: number, useRawData: true}, dest: number}
  - {src: {dependencyName: other, dataKey: body, useRawData: true}, dest: other}
parameters:
  - {src: {dependencyName: dep, dataKey: number}, dest: headers.X-Param}
dynamicHeaders:
  - {src: {dependencyName: dep, contextKey: id}, dest: X-Event}
  - {src: {dependencyName: other, contextKey: id}, dest: X-Other}
secureHeaders:
  - {name: X-Token, valueFrom: {secretKeyRef: {name: token, key: value}}}
  - {name: X-Team, valueFrom: {configMapKeyRef: {name: team, key: name}}}
basicAuth: {username: {name: login, key: user}, password: {name: login, key: password}}
`
		},
		Effects: func(_ *testing.T, e *triggertest.Env) []json.RawMessage { return e.State.(*sink).requests() },
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*sink).respond(func(w nethttp.ResponseWriter, r *nethttp.Request) {
				user, password, _ := r.BasicAuth()
				w.WriteHeader(nethttp.StatusForbidden)
				for _, s := range []string{user, password, r.Header.Get("X-Token"), r.Header.Get("Authorization")} {
					_, _ = io.WriteString(w, "I do not know "+s+"\n")
				}
			})
		},
		Hang: func(t *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived, release := make(chan struct{}), make(chan struct{})
			t.Cleanup(func() { close(release) })
			e.State.(*sink).respond(func(nethttp.ResponseWriter, *nethttp.Request) {
				close(arrived)
				<-release
			})
			return arrived
		},
		Valid: []string{
			`url: http://a`,
			`{url: "https://a:1/b?c=d", method: GET, timeout: 3, tls: {enabled: true}, payload: [{src: {dependencyName: d}, dest: ""}]}`,
			`{url: REPLACED, parameters: [{src: {dependencyName: d, dataKey: u}, dest: url}]}`,
		},
		Invalid: map[string][]string{
			`{}`:                                                 {`url: is required`},
			`{url: a.example/x}`:                                 {`url: does not begin with http:// or https://`},
			`{url: "ftp://a"}`:                                   {`url: does not begin with`},
			`{url: "http:///x"}`:                                 {`url: names no host`},
			`{url: "http://u:p@a b/"}`:                           {`url: invalid character " " in host name`},
			`{url: "http://a", method: post}`:                    {`method: "post" is not allowed (did you mean POST?)`},
			`{url: "http://a", method: CONNECT}`:                 {`method: "CONNECT" is not allowed (use one of GET`},
			`{url: "http://a", timeout: -1}`:                     {`timeout: is negative`},
			`{url: "http://a", timeout: 10s}`:                    {`timeout: want a whole number`},
			`{url: "http://a", host: "a b"}`:                     {`host: is no host name`},
			`{url: "http://a", tls: {insecureSkipVerify: true}}`: {`tls: has no effect on an http URL`},
			`{url: "https://a", tls: {}}`:                        {`tls: says nothing`},
			`{url: "https://a", tls: {caCertSecret: {name: x}}}`: {`tls.caCertSecret.key: is required`},
			`{url: "http://a", headers: {"a b": c, "d.e": "f\ng", Content-Length: "3"}}`: {
				`headers["a b"]: "a b" is no name of a header`, `headers["d.e"]: holds a line break`, `headers.Content-Length: Content-Length is not sent`,
			},
			`{url: "http://a", secureHeaders: [{}, {name: "x:", valueFrom: {}}, {name: x, valueFrom: {secretKeyRef: {key: k}}}, {name: x, valueFrom: {configMapKeyRef: {name: k}}}]}`: {
				`secureHeaders[0].name: is required`, `secureHeaders[0].valueFrom: is required`,
				`secureHeaders[1].name: "x:" is no name`, `secureHeaders[1].valueFrom: is required`,
				`secureHeaders[2].valueFrom.secretKeyRef.name: is required`, `secureHeaders[3].valueFrom.configMapKeyRef.key: is required`,
			},
			`{url: "http://a", basicAuth: {}}`:                    {`basicAuth: says nothing`},
			`{url: "http://a", basicAuth: {username: {name: a}}}`: {`basicAuth.username.key: is required`},
			`{url: "http://a", payload: [{dest: a}], parameters: [{src: {}}], dynamicHeaders: [{src: {dependencyName: d}, dest: "a b"}, {src: {dependencyName: d}, operation: x}]}`: {
				`payload[0].src: is required`, `parameters[0].src.dependencyName: is required`, `parameters[0].dest: is required`,
				`dynamicHeaders[0].dest: "a b" is no name`, `dynamicHeaders[1].dest: is required`, `dynamicHeaders[1].operation: unknown`,
			},
		},
	})
}
