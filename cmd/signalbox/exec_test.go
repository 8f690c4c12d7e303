package main

import (
	"os"
	"strings"
	"testing"
)

// executing has a sensor that runs hooks/note, and ones that run it for the outcomes.
const executing = `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: first}
spec:
  dependencies: [{name: a, eventSourceName: clock, eventName: tick}]
  triggers:
    - template:
        name: run
        exec: {command: note, args: ["{{ .Input.a.data.num }}"], follow: {emit: true}}
      retryStrategy: {steps: 1}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: second}
spec:
  dependencies: [{name: a, eventSourceName: first, eventName: run.succeeded}]
  triggers:
    - template:
        name: run
        exec: {command: note, args: ["{{ .Input.a.data.details.stdout | trim }}, {{ .Input.a.data.details.exitCode }}"]}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: third}
spec:
  dependencies: [{name: a, eventSourceName: first, eventName: run.failed}]
  triggers:
    - template:
        name: run
        exec: {command: note, args: ["{{ .Input.a.data.summary }}, {{ .Input.a.data.details.exitCode }}"]}
`

func TestRunPrograms(t *testing.T) {
	folder(t, map[string]string{"m/source.yaml": source, "m/sensor.yaml": executing, "hooks/note": "#!/bin/sh\n[ $1 = bad ] && exit 3\necho \"it is $1\" | tee -a notes\n"})
	if err := os.Chmod("hooks/note", 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	run := start(t, "run", "m", "--host", "127.0.0.1", "--data-dir", "data", "--allow-exec", "hooks")
	until(t, "the table", func() bool { return strings.Contains(run.out.String(), "third") })
	if got := signalbox(t, "send", "clock/tick", "--data-dir", "data", "--id", "one", "--data", `{"num":7}`); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	until(t, "both runs", func() bool {
		text, _ := os.ReadFile("hooks/notes")
		return string(text) == "it is 7\nit is it is 7, 0\n"
	})
	if got := signalbox(t, "send", "clock/tick", "--data-dir", "data", "--id", "two", "--data", `{"num":"bad"}`); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	until(t, "what follows from the failure", func() bool {
		text, _ := os.ReadFile("hooks/notes")
		return strings.HasSuffix(string(text), "\nit is run note: exit 3, 3\n")
	})
}

func TestRunNoCluster(t *testing.T) {
	for _, name := range []string{"KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	folder(t, map[string]string{"m/source.yaml": source, "m/sensor.yaml": `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: deploy}
spec:
  dependencies: [{name: a, eventSourceName: clock, eventName: tick}]
  triggers:
    - template: {name: here, argoCD: {name: shop}}
    - template: {name: there, argoCD: {name: shop, server: {url: "https://cd.example", token: {name: cd, key: token}}}}
`})
	run := start(t, "run", "m", "--host", "127.0.0.1", "--data-dir", "data")
	until(t, "the table", func() bool { return strings.Contains(run.out.String(), "there") })
	until(t, "the warning", func() bool { return strings.Contains(run.err.String(), "a trigger cannot act") })
	if text := run.err.String(); strings.Count(text, "a trigger cannot act") != 1 || !strings.Contains(text, "trigger=here") || !strings.Contains(text, "--kubeconfig") {
		t.Errorf("the log says\n%s", text)
	}
}

func TestRunNoPrograms(t *testing.T) {
	folder(t, map[string]string{"m/source.yaml": source, "m/sensor.yaml": executing, "hooks/note": "#!/bin/sh\n"})
	run := start(t, "run", "m", "--host", "127.0.0.1", "--data-dir", "data")
	until(t, "the table", func() bool { return strings.Contains(run.out.String(), "second") })
	until(t, "the warning", func() bool {
		return strings.Count(run.err.String(), "started without --allow-exec DIR") == 3
	})
	if got := signalbox(t, "send", "clock/tick", "--data-dir", "data", "--id", "one", "--data", `{"num":7}`); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	until(t, "the dead letter", func() bool {
		got := signalbox(t, "dead", "list", "-o", "json", "--data-dir", "data")
		return strings.Contains(got.out, "start it with --allow-exec DIR")
	})
}
