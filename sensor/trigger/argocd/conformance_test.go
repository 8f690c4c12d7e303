package argocd_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/argocd"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind: argocd.Kind,
		// Firing the same again does not start another operation, see TestKilled.
		NoID: true,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			l := labOf(t, e)
			e.State = l
			for n := range 32 {
				l.app(fmt.Sprint("app-", n))
			}
			return `
name: app-{{ .Input.dep.data.number }}
namespace: ` + l.ns + `
sync:
  revision: "{{ .Input.dep.data.body.a }}"
  prune: true
  dryRun: true
  strategy: apply
  force: true
  resources: [{group: apps, kind: Deployment, name: "{{ .Input.dep.data.body.a }}"}]
  syncOptions: [CreateNamespace=true, "{{ .Input.dep.data.body.a }}=<&>"]
  retry: {limit: 3, backoff: {duration: 1s, factor: 3, maxDuration: 1m}, refresh: true}
  info: [{name: note, value: x}]
parameters:
  - {src: {dependencyName: dep, dataKey: text}, dest: sync.info.0.value}
`
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage {
			l := e.State.(*lab)
			var all []json.RawMessage
			for i, raw := range l.wire.writes() {
				var patch map[string]any
				if err := json.Unmarshal(raw, &patch); err != nil {
					t.Fatal(err)
				}
				meta := patch["metadata"].(map[string]any)
				if meta["resourceVersion"] == "" {
					t.Errorf("no version in %s", raw)
				}
				delete(meta, "resourceVersion")
				op := patch["operation"].(map[string]any)
				info := op["info"].([]any)
				if last := info[len(info)-1].(map[string]any); last["name"] != "signalbox-at" {
					t.Errorf("no time in %s", raw)
				}
				op["info"] = info[:len(info)-1]
				b, err := json.Marshal(map[string]any{
					"operation":    "sync",
					"applications": map[string]any{"namespace": l.ns, "name": path.Base(l.wire.paths[i])},
					"patch":        patch,
				})
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
			}, nil)
		},
		Hang: func(_ *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived := make(chan struct{})
			e.State.(*lab).wire.set(func(r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodPatch {
					return nil, nil
				}
				close(arrived)
				<-r.Context().Done()
				return nil, r.Context().Err()
			}, nil)
			return arrived
		},
		Valid: []string{
			"{name: a}",
			"{selector: 'a in (b,c)', operation: refresh}",
			"{selector: '{{ .Input.x.data.y }}', operation: hardRefresh}",
			"{project: a, operation: terminate}",
			"{affectedBy: {dependency: a, sourcePath: true, unknownFiles: unaffected}, onBusy: coalesce, follow: {emit: true}, followHealth: false}",
			"{operation: rollback, name: a, rollback: {to: '7'}, sync: {prune: true}, disableAutoSync: true, onBusy: replace}",
			"{operation: set, name: a, set: {images: ['a=b:5/c:v1'], replicas: [{name: a, count: '3'}]}}",
			"{name: a, set: {sourcePosition: 2, targetRevision: v1, helm: {parameters: [{name: a, value: b}], values: 'a: b', valuesObject: {a: '{{ .Input.x.data.y }}'}}}}",
			"{parameters: [{src: {dependencyName: a}, dest: name}]}",
			"{operation: set, name: a, set: {}, parameters: [{src: {dependencyName: a}, dest: set.images.0}]}",
			"{name: a, server: {url: 'https://a', token: {name: a, key: b}, tls: {insecureSkipVerify: true}}}",
		},
		Invalid: map[string][]string{
			"{}": {"name: is required"},
			"{operation: synk, name: a, onBusy: x, busyTimeout: 0s}":              {`operation: "synk" is not known (did you mean sync?)`, `onBusy: "x" is not known`, "busyTimeout: has to be longer"},
			"{name: '{{', sync: {revision: '{{ x'}}":                              {"name: ", "sync.revision: "},
			"{selector: 'a in (', affectedBy: {dependency: '', unknownFiles: x}}": {"selector: ", "affectedBy.dependency: is required", "affectedBy.unknownFiles: "},
			"{name: a, operation: refresh, sync: {}, rollback: {}, set: {}, onBusy: fail, disableAutoSync: true, followHealth: true}": {
				"sync: has no effect on refresh", "rollback: has no effect", "set: has no effect", "onBusy: has no effect", "disableAutoSync: has no effect", "followHealth: has no effect",
			},
			"{name: a, sync: {revision: a, revisions: [b], strategy: x, resources: [{}], info: [{}, {name: signalbox-x}], retry: {limit: 1, backoff: {duration: x, factor: 0}}}}": {
				"sync.revisions: and revision exclude", "sync.strategy: ", "sync.resources[0].kind: ", "sync.resources[0].name: ", "sync.info[0].name: ", "sync.info[1].name: ",
				"sync.retry.backoff.duration: ", "sync.retry.backoff.factor: ",
			},
			"{name: a, operation: rollback, rollback: {to: x}, sync: {force: true}}": {"rollback.to: ", "sync: has no effect on rollback but"},
			"{name: a, operation: set}":          {"set: is required"},
			"{name: a, operation: set, set: {}}": {"set: says nothing"},
			"{name: a, set: {sourceName: a, sourcePosition: 1, images: ['a:5/b:v1', ''], replicas: [{count: x}], helm: {parameters: [{}], valuesObject: []}}}": {
				"set.sourcePosition: ", "set.helm: ", "set.images[0]: Argo CD takes \"a\"", "set.images[1]: is empty", "set.replicas[0].name: ", "set.replicas[0].count: ",
				"set.helm.parameters[0].name: ", "set.helm.valuesObject: is no object",
			},
			"{name: a, server: {url: 'ftp://a', tls: {}}}": {"server.url: ", "server.token: is required", "server.tls: says nothing"},
			"{name: a, follow: {timeout: 0s}}":             {"follow.timeout: "},
		},
	})
}
