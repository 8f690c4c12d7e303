package argorollout_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/argorollout"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

var kindOf = argorollout.Kind

func reply(r *http.Request, code int, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: fmt.Sprint(code), Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

func TestConformance(t *testing.T) {
	defined(t)
	triggertest.Run(t, triggertest.Case{
		Kind: argorollout.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			l := labOf(t, e)
			e.State = l
			crowd := 4
			if strings.HasSuffix(t.Name(), "side_by_side") {
				crowd = 32
			}
			for n := range crowd {
				l.canary(fmt.Sprintf("web-%d", n), steps)
			}
			return `
operation: setImage
name: 'web-{{ .Input.dep.data.number }}'
namespace: ` + l.ns + `
setImage: {container: side, image: 'registry:5000/side:{{ .Input.dep.data.body.a }}'}
parameters:
  - {src: {dependencyName: dep, value: app}, dest: setImage.container}
follow: {emit: true}
followPaused: wait
`
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage {
			l := e.State.(*lab)
			var all []json.RawMessage
			for _, p := range l.wire.sent() {
				var ops []struct {
					Op, Path string
					Value    any
				}
				if err := json.Unmarshal([]byte(p.body), &ops); err != nil {
					t.Fatal(err)
				}
				got := map[string]any{}
				for _, o := range ops {
					got[o.Op+" "+o.Path] = o.Value
				}
				b, err := json.Marshal(map[string]any{
					"operation": "setImage", "namespace": l.ns, "name": p.path[strings.LastIndex(p.path, "/")+1:],
					"setImage": map[string]any{"container": got["test /spec/template/spec/containers/0/name"], "image": got["add /spec/template/spec/containers/0/image"]},
					"firing":   got["add /metadata/annotations/signalbox.dev~1firing"],
				})
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, b)
			}
			return all
		},
		NoID: true, // a repetition does nothing; TestOnce
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*lab).wire.set(func(w *wire) {
				w.answer = func(r *http.Request) (*http.Response, error) {
					return reply(r, http.StatusInternalServerError, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"it broke","reason":"InternalError","code":500}`), nil
				}
			})
		},
		Hang: func(_ *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived := make(chan struct{})
			e.State.(*lab).wire.set(func(w *wire) {
				w.before = func(r *http.Request) error {
					close(arrived)
					<-r.Context().Done()
					return r.Context().Err()
				}
			})
			return arrived
		},
		Valid: []string{
			"{operation: promote, name: web, expect: {podHash: '{{ .Input.a.data.podHash }}', step: '{{ .Input.a.data.step }}', paused: true}, onNothing: fail}",
			"{operation: undo, name: web}", "{operation: undo, name: web, undo: {revision: '3'}, follow: {timeout: 10m}, followPaused: fail}",
			"{operation: setImage, name: '', setImage: {image: ''}, parameters: [{src: {dependencyName: a}, dest: name}, {src: {dependencyName: a}, dest: setImage.image}]}",
			"{operation: setImage, name: web, parameters: [{src: {dependencyName: a}, dest: setImage.image}]}",
			"{operation: abort, name: web, namespace: '{{ .Input.a.data.ns }}'}",
		},
		Invalid: map[string][]string{
			"{}":                               {"operation: is required", "name: is required"},
			"{operation: promot, name: a}":     {`operation: "promot" is not known (did you mean promote?)`},
			"{operation: setImage, name: a}":   {"setImage.image: is required"},
			"{operation: promote, name: '{{'}": {"name: "},
			"{operation: undo, name: a, undo: {revision: '0'}, expect: {}}":                  {`undo.revision: "0" is no number`, "expect: has no effect on undo"},
			"{operation: abort, name: a, expect: {step: x}, undo: {}, setImage: {image: a}}": {`expect.step: "x" is no number`, "undo: has no effect", "setImage: has no effect"},
			"{operation: abort, name: a, onNothing: skip, followPaused: no way}":             {`onNothing: "skip" is not known`, `followPaused: "no way" is not known`},
			"{operation: abort, name: a, follow: {timeout: 0s}, parameters: [{dest: a}]}":    {"follow.timeout: ", "parameters[0].src: is required"},
		},
	})
}
