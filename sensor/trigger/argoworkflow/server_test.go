package argoworkflow_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
)

const token = "server-token-5b1d"

// desk is an Argo Server for one test.
type desk struct {
	t *testing.T
	*argotest.WorkflowServer
	env *triggertest.Env
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, WorkflowServer: argotest.ServeWorkflows(t, token), env: triggertest.NewEnv(t)}
	d.env.PutSecret("argo", "token", token)
	return d
}

func (d *desk) build(config string) trigger.Trigger {
	d.t.Helper()
	return triggertest.Build(d.t, argoworkflow.Kind, "{server: {url: '"+d.URL+"/', token: {name: argo, key: token}}, follow: {}, "+config+"}", d.env)
}

func (d *desk) named(operation, args string) trigger.Trigger {
	d.t.Helper()
	return d.build("operation: " + operation + ", args: [" + args + "], source: {resource: {metadata: {name: w, namespace: ns}}}")
}

func (d *desk) fire(tr trigger.Trigger, n int, want string) trigger.Result {
	d.t.Helper()
	r, err := tr.Fire(d.t.Context(), triggertest.Input(n))
	if err != nil || r.Summary != want {
		d.t.Errorf("got %q, %v, want %q", r.Summary, err, want)
	}
	return r
}

func (d *desk) fails(tr trigger.Trigger, n int, want string) {
	d.t.Helper()
	if r, err := tr.Fire(d.t.Context(), triggertest.Input(n)); err == nil || !strings.HasPrefix(err.Error(), want) {
		d.t.Errorf("got %q, %v, want %q", r.Summary, err, want)
	}
}

// lost fires, has the server do it, and loses the answer.
func (d *desk) lost(tr trigger.Trigger, n int, method string) {
	d.t.Helper()
	d.lose(method)
	if _, err := tr.Fire(d.t.Context(), triggertest.Input(n)); err == nil {
		d.t.Error("the answer was not lost")
	}
	d.Answer(nil)
}

func (d *desk) lose(method string) {
	d.Answer(func(w http.ResponseWriter, r *http.Request) {
		d.Answer(nil)
		d.ServeHTTP(w, r)
		if r.Method == method {
			panic(http.ErrAbortHandler)
		}
		d.lose(method)
	})
}

// cut ends requests of a method before the server sees them.
func (d *desk) cut(method string) {
	d.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method {
			panic(http.ErrAbortHandler)
		}
		d.Answer(nil)
		d.ServeHTTP(w, r)
		d.cut(method)
	})
}

// playing brings the workflows on before each request.
func (d *desk) playing() {
	d.Answer(func(w http.ResponseWriter, r *http.Request) {
		d.Play()
		d.Answer(nil)
		d.ServeHTTP(w, r)
		d.playing()
	})
}

// sent is METHOD PATH of the requests that changed something.
func (d *desk) sent() string {
	var all []string
	for _, r := range d.Requests() {
		all = append(all, strings.Replace(r.What, "/api/v1/", "", 1))
	}
	return strings.Join(all, ", ")
}

func TestServerSubmit(t *testing.T) {
	d := newDesk(t)
	tr := d.build(hello)
	name := "hello-" + suffix(triggertest.Input(1).ID)
	d.lost(tr, 1, http.MethodPost)
	r := d.fire(d.build(hello), 1, "found an earlier attempt's workflow default/"+name)
	wf := d.Get("default", name)
	wantFields(t, wf.Object, map[string]string{"metadata/annotations": `{"signalbox.dev/firing":"` + triggertest.Input(1).ID + `"}`, "spec/entrypoint": `"say"`})
	go func() {
		d.Change("default", name, func(o *unstructured.Unstructured) {
			o.Object["status"] = map[string]any{"phase": "Failed", "message": "oh", "finishedAt": "2026-01-02T03:04:05Z", "nodes": map[string]any{
				"n": map[string]any{"name": "n", "type": "Pod", "phase": "Failed", "message": "exit code 1"},
			}}
		})
	}()
	out, err := argoworkflow.Kind.Follow.Await(t.Context(), tr, trigger.Following{Ref: r.Follow})
	if err != nil || !out.Failed || out.Summary != "workflow default/"+name+": Failed: oh" {
		t.Errorf("got %+v, %v", out, err)
	}
	wantFields(t, out.Details, map[string]string{"failedNodes": `[{"id":"n","message":"exit code 1","name":"n","phase":"Failed"}]`})
	d.fire(d.build(hello+", args: [--server-dry-run, --name, dry]"), 1, "dry run: workflow default/dry")
	if d.Get("default", "dry") != nil {
		t.Error("a dry run has made a workflow")
	}
}

func TestServerSubmitFrom(t *testing.T) {
	d := newDesk(t)
	d.Put("{kind: CronWorkflow, metadata: {name: nightly, namespace: ns}, spec: {workflowSpec: {}}}")
	tr := d.build("operation: submit-from, source: {resource: {kind: CronWorkflow, metadata: {name: nightly, namespace: ns}}}, args: [-p, 'a=b,c', --entrypoint, e, --serviceaccount, s, -l, x=y]")
	name := "nightly-" + suffix(triggertest.Input(1).ID)
	d.lost(tr, 1, http.MethodPost)
	d.fire(tr, 1, "found an earlier attempt's workflow ns/"+name)
	r := d.Requests()[0]
	labels := r.Body["submitOptions"].(map[string]any)["labels"].(string)
	i := strings.Index(labels, "action-timestamp=")
	r.Body["submitOptions"].(map[string]any)["labels"] = labels[:i] + labels[i+len("action-timestamp=1767323045600,"):]
	got, err := json.Marshal(r.Body)
	const want = `{"namespace":"ns","resourceKind":"CronWorkflow","resourceName":"nightly","submitOptions":{"annotations":"signalbox.dev/firing=ID","entryPoint":"e",` +
		`"generateName":"nightly-","labels":"events.argoproj.io/events.argoproj.io/sensor=sensor,events.argoproj.io/trigger=trigger,workflows.argoproj.io/cron-workflow=nightly,x=y",` +
		`"name":"NAME","parameters":["a=b,c"],"serviceAccount":"s"}}`
	if w := strings.NewReplacer("ID", triggertest.Input(1).ID, "NAME", name).Replace(want); err != nil || string(got) != w || r.What != "POST /api/v1/workflows/ns/submit" {
		t.Errorf("%s\ngot  %s\nwant %s", r.What, got, w)
	}
}

// TestServerAgain fires again after the answer was lost and something else has
// happened to the workflow.
func TestServerAgain(t *testing.T) {
	const ask = "{metadata: {name: w, namespace: ns}, spec: {suspend: true}, status: {phase: Running, offloadNodeStatusVersion: 'fnv:1', nodes: {n: {id: n, name: n, displayName: d, type: Suspend, phase: Running}}}}"
	const bad = "{metadata: {name: w, namespace: ns}, spec: {}, status: {phase: Failed, finishedAt: '2026-01-02T03:04:05Z', offloadNodeStatusVersion: 'fnv:1'}}"
	for name, tc := range map[string]struct {
		operation, args, wf string
		path                []string
		value               string
	}{
		"resume one, and it has ended": {"resume", "--node-field-selector=displayName=d", ask, []string{"status", "phase"}, "Succeeded"},
		"resume, and it has ended":     {"resume", "", ask, []string{"status", "phase"}, "Failed"},
		"stop, and it has ended":       {"stop", "", ask, []string{"status", "phase"}, "Failed"},
		"terminate, and it has ended":  {"terminate", "", ask, []string{"status", "phase"}, "Failed"},
		"suspend, and it has ended":    {"suspend", "", strings.Replace(ask, "suspend: true", "", 1), []string{"status", "phase"}, "Failed"},
		"retry, and it fails again":    {"retry", "", bad, []string{"status", "finishedAt"}, "2026-01-02T03:05:05Z"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.Put(tc.wf)
			d.lost(d.named(tc.operation, tc.args), 1, http.MethodPut)
			d.Change("ns", "w", func(o *unstructured.Unstructured) {
				set(o, "Failed", "status", "phase")
				set(o, tc.value, tc.path...)
			})
			d.fire(d.named(tc.operation, tc.args), 1, "found an earlier attempt's change of workflow ns/w")
			if got := d.sent(); got != "PUT workflows/ns/w/"+tc.operation {
				t.Errorf("sent %s", got)
			}
		})
	}
}

// TestServerKilledBefore has a process that dies before it asks the server: the
// next one does it, even where what it finds looks like it.
func TestServerKilledBefore(t *testing.T) {
	for operation, tc := range map[string]struct{ before, between, did string }{
		"stop":      {"{phase: Running}", "", "stopped"},
		"terminate": {"{phase: Running}", "Stop", "terminated"},
		"suspend":   {"{phase: Running}", "", "suspended"},
		"retry":     {"{phase: Failed, finishedAt: '2026-01-02T03:04:05Z'}", "", "retried"},
		"resume":    {"{phase: Running, nodes: {n: {id: n, name: n, type: Suspend, phase: Running}}}", "", "resumed"},
	} {
		t.Run(operation, func(t *testing.T) {
			d := newDesk(t)
			d.Put("{metadata: {name: w, namespace: ns}, spec: {}, status: " + tc.before + "}")
			d.cut(http.MethodPut)
			if r, err := d.named(operation, "").Fire(t.Context(), triggertest.Input(1)); err == nil {
				t.Errorf("got %q", r.Summary)
			}
			d.Answer(nil)
			if tc.between != "" {
				d.Change("ns", "w", func(o *unstructured.Unstructured) { set(o, tc.between, "spec", "shutdown") })
			}
			d.fire(d.named(operation, ""), 1, tc.did+" workflow ns/w")
			d.fire(d.named(operation, ""), 1, "found an earlier attempt's change of workflow ns/w")
			if got := d.sent(); got != "PUT workflows/ns/w/"+operation {
				t.Errorf("sent %s", got)
			}
		})
	}
}

// TestServerEndedBefore has a workflow that ends by itself, while the process
// that was to stop it is away.
func TestServerEndedBefore(t *testing.T) {
	d := newDesk(t)
	d.Put("{metadata: {name: w, namespace: ns}, spec: {}, status: {phase: Running}}")
	d.cut(http.MethodPut)
	tr := d.named("stop", "")
	if r, err := tr.Fire(t.Context(), triggertest.Input(1)); err == nil {
		t.Errorf("got %q", r.Summary)
	}
	d.Answer(nil)
	d.Play()
	d.fails(tr, 1, "stop workflow ns/w: its state does not allow that: it has ended, it is Succeeded")
}

// TestServerFollowArchived has the workflow leave the cluster before its end is seen.
func TestServerFollowArchived(t *testing.T) {
	d := newDesk(t)
	tr := d.build(hello)
	r := d.fire(tr, 1, "submitted workflow default/hello-"+suffix(triggertest.Input(1).ID))
	d.Play()
	d.Archive("default", made(t, d.Names("default")))
	out, err := argoworkflow.Kind.Follow.Await(t.Context(), tr, trigger.Following{Ref: r.Follow})
	if err != nil || out.Failed || !strings.HasSuffix(out.Summary, ": Succeeded") {
		t.Errorf("got %+v, %v", out, err)
	}
	_, err = argoworkflow.Kind.Follow.Await(t.Context(), tr, trigger.Following{Ref: []byte(`{"namespace":"ns","workflows":[{"name":"none","uid":"u"}]}`)})
	if !trigger.IsPermanent(err) || !strings.Contains(err.Error(), "has been deleted before its end was seen") {
		t.Errorf("got %v", err)
	}
}

func TestServerFailedRequest(t *testing.T) {
	d := newDesk(t)
	d.Put("{metadata: {name: w, namespace: ns}, spec: {}, status: {phase: Failed, finishedAt: '2026-01-02T03:04:05Z'}}")
	d.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			d.Answer(nil)
			d.ServeHTTP(w, r)
			d.Answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				http.Error(w, `{"code":14,"message":"busy\nwith `+r.Header.Get("Authorization")+`"}`, http.StatusServiceUnavailable)
			})
		}
	})
	tr := d.named("retry", "")
	_, err := tr.Fire(t.Context(), triggertest.Input(1))
	if err == nil || err.Error() != "retry workflow ns/w: 503 Service Unavailable: busy with Bearer ***" || trigger.AskedWait(err) != 7*time.Second {
		t.Errorf("got %v, wait %v", err, trigger.AskedWait(err))
	}
	d.Answer(nil)
	d.fire(tr, 1, "retried workflow ns/w") // nothing had happened
}

func TestServerResubmit(t *testing.T) {
	d := newDesk(t)
	d.Put("{metadata: {name: w, namespace: ns, uid: u-1}, spec: {entrypoint: e}, status: {phase: Error, nodes: {w: {id: w, name: w, type: Pod, phase: Failed}}}}")
	d.Archive("ns", "w")
	tr := d.build("operation: resubmit, args: [--memoized], source: {resource: {metadata: {name: w, namespace: ns, uid: u-1}}}")
	r := d.fire(tr, 1, "resubmitted as workflow ns/w-d67f6628fc88")
	if r.Details["uid"] == "" {
		t.Error("no uid")
	}
	d.fire(tr, 1, "found an earlier attempt's workflow ns/w-d67f6628fc88")
	d.fails(d.named("resubmit", ""), 2, "resubmit workflow ns/w: 404 Not Found: workflows.argoproj.io")
}

func TestServerRetryArchived(t *testing.T) {
	d := newDesk(t)
	d.Put("{metadata: {name: w, namespace: ns, uid: u-1}, spec: {}, status: {phase: Failed, finishedAt: '2026-01-02T03:04:05Z'}}")
	d.Archive("ns", "w")
	tr := d.build("operation: retry, source: {resource: {metadata: {name: w, namespace: ns, uid: u-1}}}")
	d.fire(tr, 1, "retried workflow ns/w")
	d.fire(tr, 1, "found an earlier attempt's change of workflow ns/w")
	if got := d.sent(); got != "PUT workflows/ns/w/retry, PUT archived-workflows/u-1/retry" {
		t.Errorf("sent %s", got)
	}
}

func TestServerHostile(t *testing.T) {
	d := newDesk(t)
	for name, answer := range map[string]string{"no JSON": "<html>", "a list": "[]", "another type": `{"metadata":5}`, "no name": "{}"} {
		d.Answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
		if _, err := d.named("stop", "").Fire(t.Context(), triggertest.Input(1)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	d.Answer(nil)
	d.env.PutSecret("argo", "token", "wrong")
	d.fails(d.named("stop", ""), 1, "stop workflow ns/w: 401 Unauthorized: token not valid")
}
