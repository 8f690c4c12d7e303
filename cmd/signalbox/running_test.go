package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: ", what)
		}
	}
}

func TestSendAndDeadLetters(t *testing.T) {
	folder(t, map[string]string{"m/source.yaml": source, "m/sensor.yaml": sensor, "broken.yaml": "a: ["})
	run := start(t, "run", "m", "--host", "127.0.0.1", "--data-dir", "data")
	until(t, "the table", func() bool { return strings.Contains(run.out.String(), "listen  tell") })
	on := func(line string, more ...string) result {
		return signalbox(t, append(append(strings.Fields(line), "--data-dir", "data"), more...)...)
	}

	if got := on("dead list"); got != (result{0, "no dead letters\n", ""}) {
		t.Errorf("%+v", got)
	}
	if got := on("dead list -o json"); got != (result{0, "[]\n", ""}) {
		t.Errorf("%+v", got)
	}
	if got := on("send clock/tick --id one", "--data", `{"num":"x"}`); got != (result{0, "stored one\n", ""}) {
		t.Errorf("%+v", got)
	}
	var id string
	until(t, "the dead letter", func() bool {
		var letters []struct{ ID string }
		if err := json.Unmarshal([]byte(on("dead list -o json").out), &letters); err != nil {
			t.Fatal(err)
		}
		if len(letters) == 1 {
			id = letters[0].ID
		}
		return id != ""
	})
	short := id[:12]
	for _, verb := range []string{"show", "drop", "redrive"} {
		got := signalbox(t, "__complete", "dead", verb, "--data-dir", "data", "")
		if !strings.HasPrefix(got.out, short+"\tlisten/tell: dependency a: transform:") || !strings.HasSuffix(got.out, "\n:4\n") {
			t.Errorf("%s is completed with %q", verb, got.out)
		}
	}
	if got := on("dead show " + short); got.code != 0 || !strings.HasPrefix(got.out, "Dead letter "+id+"\nSensor:   default/listen\nTrigger:  tell\n") {
		t.Errorf("%+v", got)
	}
	for line, want := range map[string]string{
		"dead show nope":               "there is no dead letter nope; signalbox dead list has the ids",
		"dead redrive nope":            "there is no dead letter nope; signalbox dead list has the ids",
		"dead list --namespace n":      "there is no EventBus default in namespace n on this bus yet",
		"send clock/tick --eventbus b": "there is no EventBus b in namespace default on this bus yet",
	} {
		if got := on(line); got != (result{1, "", "signalbox: " + want + "\n"}) {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if got := on("dead drop --sensor other"); got != (result{0, "0 dropped\n", ""}) {
		t.Errorf("%+v", got)
	}
	if got := on("dead drop nope " + short); got.code != 1 || got.out != "1 dropped\n" || !strings.Contains(got.err, "no dead letter nope") {
		t.Errorf("%+v", got)
	}

	for _, tc := range []struct{ line, note string }{
		{"send clock/tick --id a --manifests m", ""},
		{"send clock/tock --id b", "no sensor on EventBus default listens to clock/tock"},
		{"send clock/tock --id c --manifests m", "no sensor in m listens to clock/tock"},
		{"send clock/tick --id d --manifests m/source.yaml", "no sensor in m/source.yaml listens to clock/tick"},
		{"send clock/tick --id e --manifests m/source.yaml --manifests m/sensor.yaml", ""},
		{"send clock/tick --id f --manifests broken.yaml", "whether a sensor listens to clock/tick is not known: broken.yaml:1: error: the YAML cannot be read: did not find expected node content"},
	} {
		want := result{0, "stored " + strings.Fields(tc.line)[3] + "\n", ""}
		if tc.note != "" {
			want.err = "note: " + tc.note + "\n"
		}
		if got := on(tc.line); got != want {
			t.Errorf("%s: got %+v, want %+v", tc.line, got, want)
		}
	}
	if got := on("send clock/tock -o json --id g --manifests m"); got != (result{0, `{"id":"g","note":"no sensor in m listens to clock/tock"}` + "\n", ""}) {
		t.Errorf("%+v", got)
	}
}

func TestSendWhereNobodyListens(t *testing.T) {
	folder(t, map[string]string{"m.yaml": source})
	run := start(t, "run", "m.yaml", "--host", "127.0.0.1")
	until(t, "the table", func() bool { return strings.Contains(run.out.String(), "clock") })
	want := result{0, "stored x\n", "note: no sensor on EventBus default listens to clock/tick\n"}
	if got := signalbox(t, "send", "clock/tick", "--id", "x"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRunWithoutAnythingToRun(t *testing.T) {
	folder(t, map[string]string{"m.yaml": broken})
	run := start(t, "run", "m.yaml")
	until(t, "what is wrong", func() bool {
		return strings.Contains(run.out.String(), "NOTHING IS RUNNING: each EventSource and Sensor has errors") && strings.Contains(run.out.String(), "m.yaml:4: error: EventSource/clock: ")
	})
}

func TestSendToAWebhook(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/in" {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(r.Method + " " + r.Header.Get("X-A") + r.Header.Get("Idempotency-Key")))
	}))
	defer srv.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for line, want := range map[string]result{
		"/in":                   {0, "200 POST\n", ""},
		"/in -X PUT -H X-A:b":   {0, "200 PUT b\n", ""},
		"/in --id 7 --repeat 2": {0, "200 POST 7\n200 POST 7\n", ""},
		"/in --file -":          {0, "200 POST\n", ""},
		"/in -o json":           {0, `{"body":"POST ","status":200}` + "\n", ""},
		"/out --repeat 3":       {1, "404 no\n", ""},
	} {
		if got := signalbox(t, append([]string{"send", "--url"}, strings.Fields(srv.URL+line)...)...); got != want {
			t.Errorf("%s: got %+v, want %+v", line, got, want)
		}
	}
	srv.Close()
	if got := signalbox(t, "send", "--url", srv.URL+"/in", "--repeat", "2"); got.code != 1 || !strings.HasPrefix(got.err, "signalbox: request 1 of 2: Post ") {
		t.Errorf("%+v", got)
	}
}

func TestBus(t *testing.T) {
	dir := t.TempDir()
	bus := start(t, "bus", "--data-dir", filepath.Join(dir, "bus"), "--listen", "127.0.0.1:0")
	until(t, "its address", func() bool { return strings.HasPrefix(bus.out.String(), "bus listens on nats://127.0.0.1:") })
	url := strings.TrimSpace(strings.TrimPrefix(bus.out.String(), "bus listens on "))
	if got := signalbox(t, "dead", "list", "--bus", url); got != (result{1, "", "signalbox: there is no EventBus default in namespace default on this bus yet\n"}) {
		t.Errorf("%+v", got)
	}
}
