package argoworkflow_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestServerSelected(t *testing.T) {
	d := newDesk(t)
	for name, phase := range map[string]string{"a": "Running", "b": "Failed", "c": "Running"} {
		d.Put("{metadata: {name: " + name + ", namespace: ns, labels: {team: north}}, spec: {}, status: {phase: " + phase + "}}")
	}
	d.fire(d.build("operation: stop, args: [-l, team=north, -n, ns], source: {resource: {}}"), 1, "stopped 2 workflows of ns")
	if got := d.sent(); got != "PUT workflows/ns/a/stop, PUT workflows/ns/c/stop" {
		t.Errorf("sent %s", got)
	}
}

// TestServerOfArgs has the server in args, as the argo command takes it.
func TestServerOfArgs(t *testing.T) {
	d := newDesk(t)
	d.Put("{metadata: {name: w, namespace: ns}, spec: {}, status: {phase: Running}}")
	config := "{operation: suspend, source: {resource: {metadata: {name: w, namespace: ns}}}, args: [-s, '" + strings.TrimPrefix(d.URL, "http://") + "', --secure=false, --token, " + token + ", -H, 'X-A: b', --argo-http1]}"
	tr := triggertest.Build(t, argoworkflow.Kind, config, d.env)
	d.fire(tr, 1, "suspended workflow ns/w")
	a, err := tr.Render(t.Context(), triggertest.Input(1))
	if err != nil || strings.Contains(string(a.Spec), token) || !strings.Contains(string(a.Spec), `"server":"`+d.URL+`","headers":{"Authorization":"***","X-A":"***"}`) {
		t.Errorf("got %s, %v", a.Spec, err)
	}
}

func TestServerSubmitFlags(t *testing.T) {
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(file, []byte(`{"c": {"d": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.fire(d.build(hello+", args: [-p, 'a=b,c=d', -f, '"+file+"', --labels, 'team=north', --name, given, --generate-name=other-, --entrypoint, main, --serviceaccount, robot, "+
		"--priority, '7', --instanceid, blue, -n, ns]"), 1, "submitted workflow ns/given")
	wantFields(t, d.Get("ns", "given").Object, map[string]string{
		"spec/entrypoint": `"main"`, "spec/serviceAccountName": `"robot"`, "spec/priority": "7", "metadata/generateName": `"other-"`, "metadata/labels/team": `"north"`,
		"metadata/labels/workflows.argoproj.io~controller-instanceid": `"blue"`,
		"spec/arguments/parameters":                                   `[{"name":"a","value":"b,c=d"},{"name":"c","value":"{\"d\":1}"},{"name":"b","value":"stays"}]`,
	})
	d.fire(d.build(hello+", args: [--dry-run]"), 2, "dry run: did not submit workflow default/hello-"+suffix(triggertest.Input(2).ID))
	d.Put("{kind: WorkflowTemplate, metadata: {name: t, namespace: ns}, spec: {}}")
	d.fire(d.build("operation: submit-from, source: {resource: {}}, args: [--from, wftmpl/t, -n, ns, --server-dry-run]"), 3, "dry run: workflow ns/t-"+suffix(triggertest.Input(3).ID))
	if got := strings.Join(append(d.Names("ns"), d.Names("default")...), " "); got != "given" {
		t.Errorf("there are %s", got)
	}
	d.fails(d.build("operation: submit-from, source: {resource: {}}, args: [--from, cwft/none, -n, ns]"), 4, "submit-from workflow ns/none-"+suffix(triggertest.Input(4).ID)+": 404 Not Found: ClusterWorkflowTemplate")
}

// TestServerWait has --wait hold until the end, and fail with the workflow.
func TestServerWait(t *testing.T) {
	d := newDesk(t)
	d.playing()
	d.fire(d.build(hello+", args: [-w]"), 1, "submitted workflow default/hello-"+suffix(triggertest.Input(1).ID))
	stopped := strings.Replace(hello, "spec: {", "spec: {shutdown: Stop, ", 1)
	d.fails(d.build(stopped+", args: [--wait]"), 2, "submit workflow default/hello-"+suffix(triggertest.Input(2).ID)+": it ended as Failed: Stopped with strategy 'Stop'")
	d.fire(d.build(stopped+", args: [--watch]"), 3, "submitted workflow default/hello-"+suffix(triggertest.Input(3).ID))
	d.Answer(nil)
	d.Put("{metadata: {name: w, namespace: ns}, spec: {}, status: {phase: Failed, nodes: {n: {id: n, type: Pod, phase: Failed}}}}")
	d.playing()
	d.fire(d.named("retry", "--wait"), 1, "retried workflow ns/w")
}

// TestServerInstance has workflows of several controllers.
func TestServerInstance(t *testing.T) {
	d := newDesk(t)
	for name, instance := range map[string]string{"a": "blue", "b": "green", "c": "blue", "w": "green"} {
		d.Put("{metadata: {name: " + name + ", namespace: ns, labels: {team: north, workflows.argoproj.io/controller-instanceid: " + instance + "}}, spec: {}, status: {phase: Running}}")
	}
	d.fire(d.build("operation: terminate, args: [-l, team=north, --field-selector, metadata.name!=c, --instanceid, blue, -n, ns], source: {resource: {}}"), 1, "terminated workflow ns/a")
	d.fails(d.named("stop", "--instanceid=blue"), 2, `stop workflow ns/w: it does not belong to the controller instance "blue"`)
	if got := d.sent(); got != "PUT workflows/ns/a/terminate" {
		t.Errorf("sent %s", got)
	}
}

// TestServerOverTLS has a certificate that nobody knows, and a path before all others.
func TestServerOverTLS(t *testing.T) {
	d := newDesk(t)
	d.Put("{metadata: {name: w, namespace: ns}, spec: {}, status: {phase: Running}}")
	s := httptest.NewTLSServer(http.StripPrefix("/base", d))
	defer s.Close()
	build := func(args string) string {
		return "{operation: stop, source: {resource: {metadata: {name: w, namespace: ns}}}, args: [--argo-server=" + strings.TrimPrefix(s.URL, "https://") + ", --argo-base-href, /base/, --token, Bearer " + token + args + "]}"
	}
	_, err := triggertest.Build(t, argoworkflow.Kind, build(""), d.env).Fire(t.Context(), triggertest.Input(1))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	d.fire(triggertest.Build(t, argoworkflow.Kind, build(", -k, -e"), d.env), 1, "stopped workflow ns/w")
}

// TestServerRender shows what is asked for, and no patch, as the server makes it.
func TestServerRender(t *testing.T) {
	d := newDesk(t)
	for operation, more := range map[string]string{
		"stop": `,"nodes":"id=x","message":"m"`, "resume": `,"nodes":"id=x"`, "suspend": "", "terminate": "",
		"retry": `,"nodes":"id=x","restartSuccessful":true,"arguments":[{"name":"a","value":"b"}]`,
	} {
		args := map[string]string{
			"stop": "--node-field-selector, id=x, --message, m", "resume": "--node-field-selector, id=x", "retry": "--restart-successful, --node-field-selector, id=x, -p, a=b",
		}[operation]
		a, err := d.named(operation, args).Render(t.Context(), triggertest.Input(1))
		want := `{"operation":"` + operation + `","server":"` + d.URL + `","headers":{"Authorization":"***"},"namespace":"ns","workflows":["w"]` + more + `}`
		if err != nil || !json.Valid(a.Spec) || string(a.Spec) != want {
			t.Errorf("got  %s, %v\nwant %s", a.Spec, err, want)
		}
	}
}
