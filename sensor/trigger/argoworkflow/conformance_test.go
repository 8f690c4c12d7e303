package argoworkflow_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
)

const suiteConfig = `
operation: submit
source:
  resource:
    apiVersion: argoproj.io/v1alpha1
    kind: Workflow
    metadata: {generateName: order-, namespace: NS, labels: {team: north}, annotations: {note: it}}
    spec: {entrypoint: say, arguments: {parameters: [{name: text, value: ""}]}, templates: [{name: say, container: {image: none, args: ["<&>"]}}]}
parameters:
  - {src: {dependencyName: dep, dataKey: text}, dest: spec.arguments.parameters.0.value}
  - {src: {dependencyName: other, dataKey: text}, dest: metadata.annotations.other}
args: [-p, fixed=yes, -l, a=b, --priority, "3"]
follow: {timeout: 5m, emit: true, payload: [{src: {dependencyName: dep, dataKey: text}, dest: text}]}
`

// effect is a workflow that was made, as Render shows it.
func effect(t *testing.T, object map[string]any, more map[string]any) json.RawMessage {
	metadata := object["metadata"].(map[string]any)
	labels := metadata["labels"].(map[string]any)
	if labels["events.argoproj.io/action-timestamp"] == nil {
		t.Errorf("there is no time in %v", object)
	}
	delete(labels, "events.argoproj.io/action-timestamp")
	shown := map[string]any{"operation": "submit", "object": object, "namespace": metadata["namespace"]}
	for k, v := range more {
		shown[k] = v
	}
	b, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	newLab(t) // so that no check starts the API
	triggertest.Run(t, triggertest.Case{
		Kind: argoworkflow.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			l := labOf(t, e)
			e.State = l
			return strings.Replace(suiteConfig, "NS", l.ns, 1)
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage {
			w := e.State.(*lab).wire
			w.mu.Lock()
			defer w.mu.Unlock()
			var all []json.RawMessage
			for _, s := range w.sent {
				var o map[string]any
				if err := json.Unmarshal(s.body, &o); err != nil {
					t.Fatal(err)
				}
				all = append(all, effect(t, o, nil))
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
				close(arrived)
				<-r.Context().Done()
				return nil, r.Context().Err()
			}, nil)
			return arrived
		},
		Valid:   validConfigs,
		Invalid: invalidConfigs,
	})
}

// TestServerConformance is the same through an Argo Server.
func TestServerConformance(t *testing.T) {
	triggertest.Run(t, triggertest.Case{
		Kind: argoworkflow.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			s := argotest.ServeWorkflows(t, token)
			e.State = s
			e.PutSecret("argo", "token", token+"\n")
			return strings.Replace(suiteConfig, "NS", "ns", 1) + "server: {url: '" + s.URL + "', token: {name: argo, key: token}}\n"
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage {
			s := e.State.(*argotest.WorkflowServer)
			var all []json.RawMessage
			for _, r := range s.Requests() {
				b, err := json.Marshal(r.Body["workflow"])
				if err != nil {
					t.Fatal(err)
				}
				var o map[string]any
				if err := json.Unmarshal(b, &o); err != nil {
					t.Fatal(err)
				}
				delete(o["metadata"].(map[string]any), "uid") // the server's
				all = append(all, effect(t, o, map[string]any{"server": s.URL, "headers": map[string]string{"Authorization": "***"}}))
			}
			return all
		},
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*argotest.WorkflowServer).Answer(func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, "no:\n"+r.Header.Get("Authorization"), http.StatusInternalServerError)
			})
		},
		Hang: func(t *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived := make(chan struct{})
			e.State.(*argotest.WorkflowServer).Answer(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				close(arrived)
				<-r.Context().Done()
			})
			return arrived
		},
	})
}

var validConfigs = []string{
	"{" + hello + "}",
	"{operation: '', " + hello + "}",
	"{operation: submit-from, source: {resource: {kind: ClusterWorkflowTemplate, metadata: {name: a}}}, args: [-p, 'a=b=c', --parameter=d=, -pe=f, --, '']}",
	"{operation: submit-from, source: {resource: {}}, args: [--from, cwftmpl/a]}",
	"{operation: retry, source: {resource: {}}, args: [-l, 'a in (b,c)', --field-selector=metadata.name=x, --restart-successful, --node-field-selector, 'inputs.parameters.x.value!=y']}",
	"{operation: terminate, source: {resource: {}}, parameters: [{src: {dependencyName: a}, dest: metadata.name}]}",
	"{operation: resume, source: {configmap: {name: a, key: b}}, args: [--as, somebody, --as-group=g, --kubeconfig, /x, --context, there, -nfoo, -vo, json]}",
	"{source: {resource: {apiVersion: argoproj.io/v1alpha1}}, parameters: [{src: {dependencyName: a}, dest: kind}, {src: {dependencyName: a}, dest: metadata.generateName}]}",
	"{operation: stop, source: {resource: {metadata: {name: a}}}, server: {url: 'https://argo:2746/base', tls: {enabled: true}}}",
	"{operation: stop, source: {resource: {}}, args: [other, names]}",
}

func argsOf(operation, args string) string {
	return "{operation: " + operation + ", source: {resource: {kind: CronWorkflow, metadata: {name: a}}}, args: [" + args + "]}"
}

var invalidConfigs = map[string][]string{
	"{}": {"source: is required"},
	"{operation: sumbit, source: {inline: a}}": {`operation: "sumbit" is not known (did you mean submit?)`},
	"source: {inline: '['}":                    {"source.inline: "},
	"{source: {resource: {}}}":                 {"source.resource.apiVersion: is required", "source.resource.kind: is required", "source.resource.metadata.name: is required"},
	"{operation: submit-from, source: {resource: {kind: WorkflowTemplates, metadata: {name: a}}}}": {`source.resource.kind: "WorkflowTemplates" cannot be used to submit-from (did you mean WorkflowTemplate?)`},
	"{operation: retry, source: {resource: {}}}":                                                   {"source.resource.metadata.name: is required"},
	"{operation: stop, source: {resource: {metadata: {name: a}}}, follow: {timeout: 0s}, server: {url: 'ftp://u', token: {}}}": {
		"follow.timeout: ", "server.url: ", "server.token.name: ", "server.token.key: ",
	},
	argsOf("retry", "--memoized"):                        {"args[0]: retry has no flag --memoized (it is one of resubmit)"},
	argsOf("resubmit", "-p, a=b, --memoised"):            {"args[2]: resubmit has no flag --memoised (did you mean --memoized?)"},
	argsOf("stop", "-p, a=b"):                            {"args[0]: stop has no flag -p (it is one of resubmit, retry, submit, submit-from)"},
	argsOf("suspend", "--xyzzy=1"):                       {"args[0]: suspend has no flag --xyzzy"},
	argsOf("submit-from", "-p, nothing, -l, a=b=c"):      {"args[1]: -p: want name=value", "args[3]: -l: want name=value"},
	argsOf("submit-from", "-p"):                          {"args[0]: -p needs a value"},
	argsOf("submit-from", "--from, pod/x"):               {`args[1]: --from: "pod" is no kind of template`},
	argsOf("submit-from", "--from=x"):                    {"args[0]: --from: want kind/name"},
	argsOf("submit-from", "stray"):                       {`args[0]: "stray" is no flag (what to submit stands in source)`},
	argsOf("submit-from", "--scheduled-time, now"):       {"args[1]: --scheduled-time: is no time"},
	argsOf("submit-from", "--dry-run=maybe"):             {"args[0]: --dry-run is true or false"},
	argsOf("resume", "--node-field-selector, color=red"): {`args[1]: --node-field-selector: "color" is no field of a node to select by`},
	argsOf("resume", "--node-field-selector, phase"):     {`args[1]: --node-field-selector: "phase" is no term of a selector`},
	argsOf("stop", "-l, 'a in', --field-selector, b"):    {"args[1]: -l: is no label selector", "args[3]: --field-selector: is no field selector"},
	argsOf("stop", "--message, x"):                       {"args: --message has no effect without --node-field-selector"},
	argsOf("retry", "--restart-successful"):              {"args: --restart-successful and --node-field-selector have an effect together only"},
	argsOf("resubmit", "--priority, high"):               {"args[1]: --priority: is no number"},
	argsOf("resubmit", "--priority=1, -w"):               {"args: --priority has no effect on resubmit", "args: waiting for the workflow"},
	argsOf("stop", "-s, 'https://a:2746'"):               {"args[1]: -s: want host:port"},
	argsOf("stop", "--token, x, -k"):                     {"args: there is a token in clear", "args: --argo-base-href"},
	"{" + hello + ", args: [--from, wftmpl/a]}":          {"args: --from does not go with submit"},
	"{operation: submit-from, source: {resource: {kind: CronWorkflow, metadata: {name: a}}}, parameters: [{src: {dependencyName: a}, dest: spec.x}]}": {
		"parameters[0].dest: has no effect",
	},
}
