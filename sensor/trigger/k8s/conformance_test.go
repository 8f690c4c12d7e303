package k8s_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/k8s"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind: k8s.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			l := labOf(t, e)
			e.State = l
			return `
source:
  resource:
    apiVersion: v1
    kind: ConfigMap
    metadata: {generateName: order-, namespace: ` + l.ns + `, labels: {team: north}, annotations: {note: it}}
    data: {text: "", fixed: "<&>"}
parameters:
  - {src: {dependencyName: dep, dataKey: text}, dest: data.text}
  - {src: {dependencyName: dep, dataKey: number}, dest: data.number}
  - {src: {dependencyName: other, dataKey: text}, dest: data.other}
`
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage {
			w := e.State.(*lab).wire
			w.mu.Lock()
			defer w.mu.Unlock()
			var all []json.RawMessage
			for _, c := range w.created {
				var o map[string]any
				if err := json.Unmarshal(c.body, &o); err != nil {
					t.Fatal(err)
				}
				labels := o["metadata"].(map[string]any)["labels"].(map[string]any)
				if labels["events.argoproj.io/action-timestamp"] == nil {
					t.Errorf("there is no time in %s", c.body)
				}
				delete(labels, "events.argoproj.io/action-timestamp")
				b, err := json.Marshal(map[string]any{"operation": "create", "object": o})
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, b)
			}
			return all
		},
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*lab).wire.set(func(r *http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: http.StatusInternalServerError, Status: "500 Internal Server Error", Request: r,
					Header: http.Header{"Content-Type": {"application/json"}},
					Body:   io.NopCloser(strings.NewReader(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"it\nbroke","reason":"InternalError","code":500}`)),
				}, nil
			})
		},
		Hang: func(_ *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived := make(chan struct{})
			e.State.(*lab).wire.set(func(r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodPost {
					return nil, nil
				}
				close(arrived)
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			return arrived
		},
		Valid: []string{
			"source: {inline: '{apiVersion: v1, kind: Pod, metadata: {name: a}}'}",
			"{operation: delete, source: {configmap: {name: a, key: b}}}",
			"{operation: update, liveObject: true, source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: a}}}}",
			"{operation: patch, patchStrategy: application/json-patch+json, source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: a}, patch: [{op: remove, path: /a}]}}}",
			"{operation: update, source: {resource: {apiVersion: v1, kind: Pod}}, parameters: [{src: {dependencyName: a}, dest: metadata.name}]}",
			"{source: {resource: {apiVersion: v1, kind: Pod}}, parameters: [{src: {dependencyName: a}, dest: metadata.generateName}]}",
			"{source: {resource: {}}, parameters: [{src: {dependencyName: a}, dest: apiVersion}, {src: {dependencyName: a}, dest: kind}, {src: {dependencyName: a, useRawData: true}, dest: metadata}]}",
			"source: {git: {url: 'https://a/b', filePath: c}}",
		},
		Invalid: map[string][]string{
			"{}":                                  {"source: is required"},
			"source: {}":                          {"source: is required"},
			"source: {inline: '['}":               {"source.inline: "},
			"source: {inline: '[]'}":              {"source.inline: is no object"},
			"source: {inline: '---'}":             {"source.inline: there is no object"},
			`source: {inline: "a: 1\n---\nb: 2"}`: {"source.inline: there is more than one object"},
			"source: {resource: {}}":              {"source.resource.apiVersion: is required", "source.resource.kind: is required", "source.resource.metadata.name: is required"},
			"source: {resource: {apiVersion: v1, kind: 5, metadata: {name: a}}}":                                                                 {"source.resource: kind is no text"},
			"{operation: delete, source: {resource: {apiVersion: v1, kind: Pod, metadata: {generateName: a}}}}":                                  {"source.resource.metadata.name: is required"},
			"{operation: updaet, source: {inline: '{apiVersion: v1, kind: Pod, metadata: {name: a}}'}}":                                          {`operation: "updaet" is not known (did you mean update?)`},
			"{patchStrategy: merge, operation: patch, source: {inline: '{apiVersion: v1, kind: Pod, metadata: {name: a}}'}}":                     {`patchStrategy: "merge" is not known`},
			"{patchStrategy: application/apply-patch+yaml, source: {inline: '{apiVersion: v1, kind: Pod, metadata: {name: a}}'}}":                {"patchStrategy: has no effect on create"},
			"{liveObject: true, source: {inline: '{apiVersion: v1, kind: Pod, metadata: {name: a}}'}}":                                           {"liveObject: has no effect on create"},
			"{operation: patch, patchStrategy: application/json-patch+json, source: {resource: {apiVersion: v1, kind: P, metadata: {name: a}}}}": {"source.resource.patch: is required"},
			"{source: {file: {path: ''}}, parameters: [{src: {dependencyName: ''}, dest: ''}]}":                                                  {"source.file.path: is required", "parameters[0].src.dependencyName: ", "parameters[0].dest: is required"},
		},
	})
}
