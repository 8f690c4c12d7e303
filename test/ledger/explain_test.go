package ledger_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const shaped = `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: act}
spec:
  dependencies:
    - name: push
      eventSourceName: hook
      eventName: push
      transform: {jq: '.body.text |= ascii_upcase'}
      filters:
        data: [{path: body.n, type: number, comparator: ">", value: ["3"]}]
  triggers:
    - template:
        name: call
        http:
          url: SINK
          method: PUT
          headers: {Content-Type: application/json, X-Fixed: a b}
          dynamicHeaders:
            - {src: {dependencyName: push, dataKey: body.id}, dest: X-Id}
          parameters:
            - {src: {dependencyName: push, dataKey: body.id}, dest: url, operation: append}
          payload:
            - {src: {dependencyName: push, dataKey: body.id}, dest: id}
            - {src: {dependencyName: push, dataKey: body.n, useRawData: true}, dest: number}
            - {src: {dependencyName: push, dataTemplate: '{{ .Input.body.text }}!'}, dest: nested.text}
            - {src: {dependencyName: push, contextKey: id}, dest: event}
      policy: {status: {allow: [200]}}
`

const shapedEvent = `{"specversion":"1.0","id":"e-1","source":"hook","subject":"push","type":"webhook",
"time":"2026-01-02T03:04:05Z","datacontenttype":"application/json",
"data":{"header":{},"body":{"id":"s-1","n":4,"text":"grün <&> \"quoted\""}}}`

// action is what test prints of an action.
type action struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

func TestExplainedActionIsTheOneSent(t *testing.T) {
	s := newSite(t)
	s.write("source.yaml", s.source("1"))
	manifest := strings.Replace(shaped, "SINK", s.sink.url()+"/", 1)
	s.write("sensor.yaml", manifest)
	s.start()
	file := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(file, []byte(shapedEvent), 0o600); err != nil {
		t.Fatal(err)
	}

	var reports []struct {
		Reports []struct {
			Firings []struct {
				ID     string `json:"id"`
				Action struct {
					Spec action `json:"spec"`
				} `json:"action"`
			} `json:"firings"`
		} `json:"reports"`
	}
	decode(t, command(t, "test", filepath.Join(s.dir, "sensor.yaml"), "--event", file, "-o", "json"), &reports)
	if len(reports) != 1 || len(reports[0].Reports) != 1 || len(reports[0].Reports[0].Firings) != 1 {
		t.Fatalf("want one firing, got %+v", reports)
	}
	firing := reports[0].Reports[0].Firings[0]
	want := firing.Action.Spec

	if s.sink.seen("s-1") {
		t.Fatal("signalbox test has performed the action")
	}
	command(t, "send", "hook/push", "--file", file, "--data-dir", s.data)
	until(t, "the action arrives", func() bool { return s.sink.seen("s-1") })
	got := s.sink.latest()

	if got.method != want.Method {
		t.Errorf("sent %s, explained %s", got.method, want.Method)
	}
	if url := "http://" + s.sink.addr + got.path; url != want.URL {
		t.Errorf("sent to %s, explained %s", url, want.URL)
	}
	var sent, explained any
	decode(t, got.body, &sent)
	decode(t, string(want.Body), &explained)
	if !reflect.DeepEqual(sent, explained) {
		t.Errorf("sent body %s, explained %s", got.body, want.Body)
	}
	if text := `{"text":"GRüN <&> \"QUOTED\"!"}`; !containsJSON(t, sent, "nested", text) {
		t.Errorf("body %s is not what the manifest says, want nested %s", got.body, text)
	}
	headers := http.Header{}
	for name, value := range want.Headers {
		headers.Set(name, value)
	}
	for _, transport := range []string{"Content-Length", "Accept-Encoding", "User-Agent", "Connection"} {
		got.header.Del(transport)
		headers.Del(transport)
	}
	if !reflect.DeepEqual(got.header, headers) {
		t.Errorf("sent headers %v, explained %v", got.header, headers)
	}
	if got.header.Get("X-Id") != "s-1" || got.header.Get("Idempotency-Key") != firing.ID {
		t.Errorf("headers %v are not what the manifest and the firing %s say", got.header, firing.ID)
	}
}

// containsJSON tells whether the member of an object is the given JSON.
func containsJSON(t *testing.T, object any, member, want string) bool {
	t.Helper()
	var w any
	decode(t, want, &w)
	m, ok := object.(map[string]any)
	return ok && reflect.DeepEqual(m[member], w)
}
