package k8s_test

import (
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/k8s"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// TestRender has no API, so that nobody can be asked.
func TestRender(t *testing.T) {
	noLeaks(t)
	const params = ", parameters: [{src: {dependencyName: dep, dataKey: number, useRawData: true}, dest: spec.n}]"
	const pod = `"apiVersion":"v1","kind":"Pod","metadata":`
	for name, tc := range map[string]struct{ config, want string }{
		"update": {
			"{operation: update, source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {m: <}}}" + params + "}",
			`{"operation":"update","namespace":"default","object":{` + pod + `{"name":"a"},"spec":{"m":"<","n":1}}}`,
		},
		"live object": {
			"{operation: update, liveObject: true, source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: a}}}" + params + "}",
			`{"operation":"update","namespace":"default","liveObject":true,"object":{` + pod + `{"name":"a"},"spec":{"n":1}}}`,
		},
		"patch": {
			"{operation: patch, source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b}}}}",
			`{"operation":"patch","patchStrategy":"application/merge-patch+json","object":{` + pod + `{"name":"a","namespace":"b"}}}`,
		},
		"JSON patch": {
			"{operation: patch, patchStrategy: application/json-patch+json, source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: a}, patch: [{op: remove, path: /a}]}}}",
			`{"operation":"patch","patchStrategy":"application/json-patch+json","namespace":"default","object":{` + pod + `{"name":"a"}},"patch":[{"op":"remove","path":"/a"}]}`,
		},
		"delete": {
			"{operation: delete, source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b, labels: {c: d}}, spec: {}}}}",
			`{"operation":"delete","object":{` + pod + `{"name":"a","namespace":"b"}}}`,
		},
		"from elsewhere": {
			"{source: {url: {path: 'http://u:p@nowhere.invalid/x?y=z'}}" + params + "}",
			`{"operation":"create","namespace":"default","source":"url http://nowhere.invalid/x?...","parameters":{"spec":{"n":1}}}`,
		},
		"secret": {
			"{operation: update, source: {resource: {apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {k: hidden}, data: {k: aGlkZGVu}}}}",
			`{"operation":"update","namespace":"default","object":{"apiVersion":"v1","data":{"k":"***"},"kind":"Secret","metadata":{"name":"a"},"stringData":{"k":"***"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := triggertest.Build(t, k8s.Kind, tc.config, triggertest.NewEnv(t)).Render(t.Context(), triggertest.Input(1))
			if err != nil || string(a.Spec) != tc.want {
				t.Errorf("got  %s, %v\nwant %s", a.Spec, err, tc.want)
			}
		})
	}
	bad := triggertest.Build(t, k8s.Kind, "{source: {url: {path: 'http://nowhere.invalid'}}, parameters: [{src: {dependencyName: dep, dataKey: none}, dest: a}]}", triggertest.NewEnv(t))
	if _, err := bad.Render(t.Context(), triggertest.Input(1)); !trigger.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}
