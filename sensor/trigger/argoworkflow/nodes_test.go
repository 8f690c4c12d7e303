package argoworkflow

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

func TestPacking(t *testing.T) {
	all := nodes{"a": {"name": "a", "n": int64(7), "children": []any{"b"}}, "b": {"name": "b"}}
	for name, how := range map[string]packing{"plain": plainNodes, "gzip": gzipNodes, "zstd": zstdNodes, "brotli": brotliNodes} {
		wf := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": "Failed", "offloadNodeStatusVersion": "x"}}}
		if err := writeNodes(wf, all, how); err != nil {
			t.Fatal(err)
		}
		if packed := text(wf.Object, "status", "compressedNodes"); (packed == "") != (how == plainNodes) {
			t.Errorf("%s: it is packed as %q", name, packed)
		}
		got, was, err := readNodes(wf)
		if err != nil || was != how || !reflect.DeepEqual(got, all) {
			t.Errorf("%s: got %v, %v, %v", name, got, was, err)
		}
	}
}

// TestRetryPacked keeps what was packed packed, in the same way.
func TestRetryPacked(t *testing.T) {
	for _, how := range []packing{gzipNodes, zstdNodes, brotliNodes} {
		wf := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "w"}, "spec": map[string]any{}, "status": map[string]any{"phase": "Failed"}}}
		if err := writeNodes(wf, nodes{
			"w":   {"id": "w", "name": "w", "type": typeDAG, "phase": phaseFailed, "children": []any{"w-1", "w-2"}, "outboundNodes": []any{"w-2"}},
			"w-1": {"id": "w-1", "name": "w.a", "type": typePod, "phase": phaseSucceeded, "boundaryID": "w"},
			"w-2": {"id": "w-2", "name": "w.b", "type": typePod, "phase": phaseFailed, "boundaryID": "w"},
		}, how); err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		r, err := retryOf(wf, &options{}, now)
		if err != nil || !reflect.DeepEqual(r.pods, map[string]bool{"w-2": true}) {
			t.Fatal(err, r.pods)
		}
		all, was, err := readNodes(r.workflow)
		want := nodes{
			"w":   {"id": "w", "name": "w", "type": typeDAG, "phase": phaseRunning, "children": []any{"w-1"}, "startedAt": "2026-01-02T03:04:05Z", "finishedAt": nil},
			"w-1": {"id": "w-1", "name": "w.a", "type": typePod, "phase": phaseSucceeded, "boundaryID": "w"},
		}
		if err != nil || was != how || !reflect.DeepEqual(all, want) {
			t.Errorf("got %v, %v, %v", all, was, err)
		}
	}
}

func TestNodePatchPacked(t *testing.T) {
	wf := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "w"}, "status": map[string]any{"phase": "Running"}}}
	if err := writeNodes(wf, nodes{"w": {"name": "w", "type": typeSuspend, "phase": phaseRunning}}, zstdNodes); err != nil {
		t.Fatal(err)
	}
	act := &action{operation: opResume, in: trigger.Input{ID: "f", Namespace: "n", Sensor: "s"}}
	ops, err := act.nodePatch(wf, time.Now())
	if err != nil || len(ops) != 5 {
		t.Fatal(ops, err)
	}
	old := text(wf.Object, "status", "compressedNodes")
	if test := ops[3].(map[string]any); test["op"] != "test" || test["path"] != "/status/compressedNodes" || test["value"] != old {
		t.Errorf("got %v", test)
	}
	raw, how, err := unpack(ops[4].(map[string]any)["value"].(string))
	if err != nil || how != zstdNodes || !strings.Contains(string(raw), `"phase":"Succeeded"`) {
		t.Errorf("got %s, %v, %v", raw, how, err)
	}
}

func TestRetryOfParts(t *testing.T) {
	pod := func(name, phase string, children ...any) node {
		return node{"name": name, "type": typePod, "phase": phase, "boundaryID": "w", "children": children}
	}
	for name, tc := range map[string]struct {
		nodes nodes
		gone  string
	}{
		"what has succeeded below it stays": {nodes{"w": {"name": "w", "type": typeDAG, "phase": phaseFailed, "children": []any{"a", "c"}}, "a": pod("w.a", phaseFailed, "b"), "b": pod("w.b", phaseSucceeded), "c": pod("w.c", phaseError)}, "c"},
		"an attempt that was mended stays":  {nodes{"w": {"name": "w", "type": typeRetry, "phase": phaseFailed, "children": []any{"a", "b", "c"}}, "a": {"name": "w(0)", "type": typePod, "phase": phaseFailed, "nodeFlag": map[string]any{"retried": true}}, "b": pod("w(1)", phaseSucceeded), "c": {"name": "x", "type": typeHTTP, "phase": phaseFailed}}, "c"},
		"a container takes its pod along":   {nodes{"w": {"name": "w", "type": typeSteps, "phase": phaseFailed, "children": []any{"p"}}, "p": {"name": "w.p", "type": typePod, "phase": phaseRunning, "boundaryID": "w", "children": []any{"x", "y"}}, "x": {"name": "x", "type": typeContainer, "phase": phaseSucceeded, "boundaryID": "p"}, "y": {"name": "y", "type": typeContainer, "phase": phaseFailed, "boundaryID": "p"}}, "p x y"},
		"a loop ends":                       {nodes{"w": {"name": "w", "type": typePod, "phase": phaseFailed, "boundaryID": "w", "children": []any{"w"}}}, "w"},
		"children that are not there":       {nodes{"w": {"name": "w", "type": typePod, "phase": phaseFailed, "children": []any{"none", int64(5)}, "boundaryID": "none"}}, "w"},
	} {
		t.Run(name, func(t *testing.T) {
			wf := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "w"}, "spec": map[string]any{}, "status": map[string]any{"phase": "Failed"}}}
			if err := writeNodes(wf, tc.nodes, plainNodes); err != nil {
				t.Fatal(err)
			}
			before := tc.nodes.sorted()
			r, err := retryOf(wf.DeepCopy(), &options{}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			after, _, err := readNodes(r.workflow)
			var gone []string
			for _, id := range before {
				if after[id] == nil {
					gone = append(gone, id)
				}
			}
			if got := strings.Join(gone, " "); err != nil || got != tc.gone {
				t.Errorf("gone are %s, %v, want %s", got, err, tc.gone)
			}
		})
	}
}

func TestMemoized(t *testing.T) {
	old := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "old", "labels": map[string]any{"workflows.argoproj.io/phase": "Failed", "workflows.argoproj.io/creator-email": "x", "team": "north"}, "annotations": map[string]any{"note": "it"}},
		"spec":     map[string]any{"shutdown": "Stop", "suspend": true, "activeDeadlineSeconds": int64(0)},
		"status": map[string]any{"phase": "Failed", "storedTemplates": map[string]any{"t": map[string]any{}}, "nodes": map[string]any{
			"old":                       map[string]any{"id": "old", "name": "old", "type": "DAG", "phase": "Failed", "message": "m", "children": []any{nodeID("old", "old.a"), nodeID("old", "old.b")}, "outboundNodes": []any{nodeID("old", "old.b")}},
			nodeID("old", "old.a"):      map[string]any{"id": "x", "name": "old.a", "type": "Pod", "phase": "Succeeded", "boundaryID": "old", "outputs": map[string]any{"result": "7"}},
			nodeID("old", "old.b"):      map[string]any{"id": "x", "name": "old.b", "type": "Pod", "phase": "Failed", "boundaryID": "old", "message": "m"},
			nodeID("old", "old.c"):      map[string]any{"id": "x", "name": "old.c", "type": "Skipped", "phase": "Skipped", "boundaryID": "old"},
			nodeID("old", "old.onExit"): map[string]any{"id": "x", "name": "old.onExit", "type": "Pod", "phase": "Succeeded"},
		}},
	}}
	act := &action{operation: opResubmit, in: trigger.Input{ID: strings.Repeat("0", 32), Sensor: "s", Trigger: "t"}, options: options{memoized: true}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	wf, err := act.resubmitted(old, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := act.resubmitted(old, now)
	if err != nil || !reflect.DeepEqual(wf, again) || !strings.HasPrefix(wf.GetName(), "old-") || len(wf.GetName()) != len("old-")+12 {
		t.Errorf("%s is not the same each time: %v", wf.GetName(), err)
	}
	name := wf.GetName()
	b, err := json.Marshal(map[string]any{"labels": wf.GetLabels(), "annotations": wf.GetAnnotations(), "spec": wf.Object["spec"], "status": wf.Object["status"]})
	if err != nil {
		t.Fatal(err)
	}
	stamp := `"startedAt":"2026-01-02T03:04:05Z"`
	a, bb := nodeID(name, name+".a"), nodeID(name, name+".b")
	pieces := []string{
		`"labels":{"events.argoproj.io/sensor":"s","events.argoproj.io/trigger":"t","team":"north","workflows.argoproj.io/resubmitted-from-workflow":"old"}`,
		`"annotations":{"note":"it","signalbox.dev/firing":"00000000000000000000000000000000"}`, `"spec":{"suspend":true}`,
		`"phase":"","startedAt":null,"storedTemplates":{"t":{}}`, `"conditions":[{"status":"False","type":"Completed"}]`,
		`"` + name + `":{"children":["` + a + `","` + bb + `"],"finishedAt":null,"id":"` + name + `","name":"` + name + `","outboundNodes":["` + bb + `"],"phase":"Pending",` + stamp + `,"type":"DAG"}`,
		`"` + a + `":{"boundaryID":"` + name + `","finishedAt":"2026-01-02T03:04:05Z","id":"` + a + `","message":"original pod: ` + nodeID("old", "old.a") + `","name":"` + name + `.a","outputs":{"result":"7"},"phase":"Skipped",` + stamp + `,"type":"Skipped"}`,
		`"` + bb + `":{"boundaryID":"` + name + `","finishedAt":null,"id":"` + bb + `","name":"` + name + `.b","phase":"Pending",` + stamp + `,"type":"Pod"}`,
	}
	for _, p := range pieces {
		if !strings.Contains(string(b), p) {
			t.Errorf("lacks %s\nin    %s", p, b)
		}
	}
	if strings.Contains(string(b), "onExit") || strings.Contains(string(b), ".c") {
		t.Errorf("has too much: %s", b)
	}
}

// TestNodeID compares with ids that a controller has made.
func TestNodeID(t *testing.T) {
	if nodeID("w", "w") != "w" || nodeID("w", "a") != "w-3826002220" { // FNV-1a of "a" is e40c292c
		t.Error(nodeID("w", "w"), nodeID("w", "a"))
	}
}

func TestNodeSelector(t *testing.T) {
	n := node{
		"displayName": "a,b", "phase": "Failed", "templateRef": map[string]any{"name": "lib", "template": "t"},
		"inputs": map[string]any{"parameters": []any{int64(5), map[string]any{"name": "env", "value": "prod=1"}}},
	}
	for s, want := range map[string]bool{
		"": true, "phase=Failed": true, "phase==Failed": true, "phase!=Failed": false, `displayName=a\,b`: true, "templateRef.name=lib, phase=Failed": true,
		"templateRef.template!=t": false, `inputs.parameters.env.value=prod\=1`: true, "inputs.parameters.none.value=": true, "phase=Failed,id=x": false,
	} {
		sel, err := parseNodeSelector(s)
		if err != nil || sel.matches(n) != want {
			t.Errorf("%s: %v, %v", s, sel.matches(n), err)
		}
	}
}

// FuzzObjects reads what may come from anywhere.
func FuzzObjects(f *testing.F) {
	for _, seed := range []string{
		"", "a: 1\n---\nb: 2", `{"kind":"Workflow","metadata":{"name":"a"},"status":{"phase":"Failed","nodes":{"a":{"name":"a","type":"Pod","phase":"Failed","children":["a",1]}}}}`,
		"metadata: 5", "metadata: {labels: {a: 1}}", "status: {phase: Failed, nodes: [1]}", "{spec: {arguments: []}, status: {phase: Failed, compressedNodes: H4sI}}",
		"{metadata: {name: w}, spec: {arguments: {parameters: 5}}, status: {phase: Error, nodes: {w: {name: w, type: Pod, phase: Error, boundaryID: 7, nodeFlag: {retried: true}, outputs: 6}}}}",
		"{metadata: {name: w}, spec: {suspend: x}, status: {phase: Running, nodes: {w: {type: Suspend, phase: Running, outputs: {parameters: [{valueFrom: {supplied: {}, default: 5}}, 1]}}}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		j, err := toJSON(raw)
		if err != nil {
			return
		}
		o, err := decode(j)
		if err != nil {
			return
		}
		opts := options{parameters: []parameter{{"a", "b"}}, memoized: true, restart: true}
		for _, op := range operations() {
			lacks(o, op, opts)
		}
		act := &action{operation: opResume, in: trigger.Input{ID: "0123"}, options: opts}
		_, _ = retryOf(o.DeepCopy(), &opts, time.Now())
		_, _ = act.nodePatch(o.DeepCopy(), time.Now())
		_, _ = act.already(o)
		if wf, err := act.resubmitted(o.DeepCopy(), time.Now()); err == nil && len(wf.GetName()) > validation.DNS1123LabelMaxLength {
			t.Errorf("the name %s is too long", wf.GetName())
		}
		budget := 10
		if _, err := json.Marshal(details(o, &budget)); err != nil {
			t.Error(err)
		}
	})
}
