package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/manifest"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

func allKinds() manifest.Options {
	return manifest.Options{Sources: sources.Kinds, Triggers: triggers.Kinds}
}

func noSource(string) []byte { return nil }

func objectOf(t *testing.T, text string) runtime.RawExtension {
	t.Helper()
	if text == "" {
		return runtime.RawExtension{}
	}
	raw, err := yaml.YAMLToJSON([]byte("apiVersion: argoproj.io/v1alpha1\n" + strings.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: raw}
}

func request(t *testing.T, now, old string) *admissionv1.AdmissionRequest {
	t.Helper()
	var o metav1.PartialObjectMetadata
	raw := objectOf(t, now)
	if err := json.Unmarshal(raw.Raw, &o); err != nil {
		t.Fatal(err)
	}
	req := &admissionv1.AdmissionRequest{
		UID: "uid", Operation: admissionv1.Create, Namespace: "ns", Name: o.Name,
		Kind: metav1.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: o.Kind}, Object: raw,
	}
	if old != "" {
		req.Operation, req.OldObject = admissionv1.Update, objectOf(t, old)
	}
	return req
}

const (
	goodSource = `
kind: EventSource
metadata: {name: hook}
spec: {webhook: {push: {endpoint: /push, port: "12000", method: POST, insecure: true}}}`
	badSource = `
kind: EventSource
metadata: {name: hook}
spec: {webhook: {push: {endpoint: "", port: "0", method: FLY, insecure: true}}, replicas: -1}`
	oddSource = `
kind: EventSource
metadata: {name: hook}
spec: {webhook: {push: {endpoint: /push, port: "12000", methd: POST, insecure: true}}, type: webhook, kafka: {k: {url: a, topic: t}}}`
)

func with(object, old, now string) string {
	if !strings.Contains(object, old) {
		panic("no " + old)
	}
	return strings.Replace(object, old, now, 1)
}

func bus(spec string) string { return "kind: EventBus\nmetadata: {name: default}\nspec: " + spec }

func TestReview(t *testing.T) {
	for _, tc := range []struct {
		name     string
		now, old string
		wrong    []string // parts of the causes, all of them, in order
		warn     []string
	}{
		{name: "a good object", now: goodSource},
		{
			name: "every problem is told", now: badSource,
			wrong: []string{"spec.replicas: is negative", "spec.webhook.push.endpoint", "spec.webhook.push.method", "spec.webhook.push.port"},
		},
		{
			name: "unknown keys and kinds of later versions are warnings", now: oddSource,
			warn: []string{"spec.type: unknown key", "spec.kafka: sources of kind kafka are not supported yet", `spec.webhook.push.methd: unknown key`},
		},
		{name: "what becomes wrong is refused", now: badSource, old: goodSource, wrong: []string{"replicas", "endpoint", "method", "port"}},
		{name: "what is wrong already may be labelled", now: with(badSource, "name: hook", "name: hook, labels: {a: b}"), old: badSource},
		{name: "and get a status", now: badSource + "\nstatus: {conditions: [{type: Deployed, status: 'False'}]}", old: badSource},
		{
			name: "and lose its finalizers while it is deleted with another spec",
			now:  with(badSource, "name: hook", "name: hook, deletionTimestamp: '2026-01-01T00:00:00Z'"), old: goodSource,
		},
		{name: "but its spec has to be good when it changes", now: with(badSource, "FLY", "GET"), old: badSource, wrong: []string{"replicas", "endpoint", "port"}},
		{name: "a stored object that is odd is no longer spoken of", now: with(oddSource, "name: hook", "name: hook, labels: {a: b}"), old: oddSource},
		{name: "an object without a name gets one", now: with(goodSource, "name: hook", "generateName: hook-")},
		{name: "an old status of any form", now: goodSource + "\nstatus: {x: 1, conditions: 5}"},
		{
			name: "a bus that there is no more", now: bus("{kafka: {url: k, topic: t}}"), old: bus("{jetstream: {}}"),
			wrong: []string{"spec.kafka: Kafka is not supported as an event bus (use jetstream)"},
		},
		{
			name: "the old streaming server becomes another", now: bus("{nats: {native: {auth: token}}}"),
			warn: []string{"spec.nats.native: NATS Streaming is gone; a JetStream bus takes its place"},
		},
		{name: "a changed streamConfig", now: bus("{jetstream: {streamConfig: 'maxAge: 1h'}}"), old: bus("{jetstream: {streamConfig: 'maxAge: 2h'}}")},
		{name: "from native to jetstream", now: bus("{jetstream: {replicas: 3}}"), old: bus("{nats: {native: {replicas: 3}}}")},
		{name: "a larger bus", now: bus("{jetstream: {replicas: 3}}"), old: bus("{jetstream: {replicas: 1}}")},
		{
			name: "a smaller bus", now: bus("{jetstream: {replicas: 1}}"), old: bus("{jetstream: {}}"),
			warn: []string{"spec.jetstream.replicas: a bus is not made smaller: it keeps its 3 servers"},
		},
		{
			name: "to a server of one's own", now: bus("{jetstreamExotic: {url: nats://a}}"), old: bus("{jetstream: {}}"),
			warn: []string{"spec.jetstreamExotic: this is another bus"},
		},
		{
			name: "to another server of one's own", now: bus("{jetstreamExotic: {url: nats://a}}"), old: bus("{jetstreamExotic: {url: nats://b}}"),
			warn: []string{"spec.jetstreamExotic: this is another bus"},
		},
		{name: "the server stays", now: bus("{jetstreamExotic: {url: nats://a, streamConfig: 'maxAge: 1h'}}"), old: bus("{jetstreamExotic: {url: nats://a}}")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp := review(request(t, tc.now, tc.old), allKinds(), noSource)
			var causes []string
			if resp.Result != nil {
				for _, c := range resp.Result.Details.Causes {
					causes = append(causes, c.Field+": "+c.Message)
					if !strings.Contains(resp.Result.Message, c.Field) {
						t.Errorf("the message does not name %s: %s", c.Field, resp.Result.Message)
					}
				}
			}
			if resp.Allowed != (len(tc.wrong) == 0) {
				t.Errorf("allowed: %v", resp.Allowed)
			}
			inOrder(t, "causes", causes, tc.wrong)
			inOrder(t, "warnings", resp.Warnings, tc.warn)
		})
	}
}

// A sensor is compared with the EventSources that it names, as lint does.
func TestSensorsAreComparedWithTheirSources(t *testing.T) {
	sensor := `
kind: Sensor
metadata: {name: s}
spec:
  dependencies:
  - {name: a, eventSourceName: hook, eventName: pull}
  - {name: b, eventSourceName: hook, eventName: push}
  - {name: c, eventSourceName: none, eventName: push}
  triggers: [{template: {name: t, log: {}}}]`
	var asked []string
	resp := review(request(t, sensor, ""), allKinds(), func(name string) []byte {
		asked = append(asked, name)
		if name != "hook" {
			return nil
		}
		return objectOf(t, strings.Replace(goodSource, "name: hook", "name: hook, namespace: ns", 1)).Raw
	})
	inOrder(t, "asked for", asked, []string{"hook", "none"})
	inOrder(t, "warnings", resp.Warnings, []string{`spec.dependencies[0].eventName: EventSource "hook" has no event "pull"`})
	if !resp.Allowed {
		t.Errorf("%+v", resp.Result)
	}
}

func inOrder(t *testing.T, what string, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := range got {
		ok = ok && strings.Contains(got[i], want[i])
	}
	if !ok {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOtherRequestsPass(t *testing.T) {
	for name, change := range map[string]func(*admissionv1.AdmissionRequest){
		"deletion": func(r *admissionv1.AdmissionRequest) {
			r.Operation, r.OldObject, r.Object.Raw = admissionv1.Delete, r.Object, nil
		},
		"status":              func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" },
		"what is no object":   func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte("5") },
		"what is not our own": func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"apiVersion":"v1","kind":"Pod"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, badSource, "")
			change(req)
			if resp := review(req, allKinds(), noSource); !resp.Allowed || len(resp.Warnings) != 0 {
				t.Errorf("%+v", resp)
			}
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	var many strings.Builder
	many.WriteString("kind: EventSource\nmetadata: {name: many}\nspec:\n  webhook:\n")
	for i := range 1000 {
		fmt.Fprintf(&many, "    \"e%d\\n\": {\"%s\": 1, port: \"x\"}\n", i, strings.Repeat("ä", 300))
	}
	resp := review(request(t, many.String(), ""), allKinds(), noSource)
	if len(resp.Warnings) != maxWarnings || !strings.Contains(resp.Warnings[maxWarnings-1], "more") {
		t.Errorf("%d warnings", len(resp.Warnings))
	}
	for _, w := range resp.Warnings {
		if len(w) > maxWarning || strings.ContainsAny(w, "\n\r") || strings.ToValidUTF8(w, "") != w {
			t.Errorf("warning of %d bytes: %q", len(w), w)
		}
	}
	if n := len(resp.Result.Details.Causes); resp.Allowed || n != maxCauses+1 || len(resp.Result.Message) > 64<<10 {
		t.Errorf("%d causes, %d bytes", n, len(resp.Result.Message))
	}
}

func post(h http.Handler, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func answerOf(t *testing.T, h http.Handler, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: req})
	if err != nil {
		t.Fatal(err)
	}
	w := post(h, body)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != "admission.k8s.io/v1" || review.Response.UID != req.UID {
		t.Errorf("%+v", review)
	}
	return review.Response
}

func TestHandler(t *testing.T) {
	h := NewHandler(allKinds(), nil, slog.New(slog.DiscardHandler))
	if resp := answerOf(t, h, request(t, badSource, "")); resp.Allowed {
		t.Error("a wrong object is let in")
	}
	if resp := answerOf(t, h, request(t, goodSource, "")); !resp.Allowed {
		t.Errorf("a good object is refused: %+v", resp.Result)
	}
	h.Wait()
}

func TestHandlerRefusesWhatIsNoReview(t *testing.T) {
	h := NewHandler(allKinds(), nil, slog.New(slog.DiscardHandler))
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"no JSON":    {"{", http.StatusBadRequest},
		"no request": {`{"kind":"AdmissionReview"}`, http.StatusBadRequest},
		"too large":  {`{"a":"` + strings.Repeat("x", maxReview) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			if w := post(h, []byte(tc.body)); w.Code != tc.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Path, nil)); w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, strings.NewReader("{}"))); w.Code != http.StatusUnsupportedMediaType {
		t.Error(w.Code)
	}
}

// Whatever happens in the check, the object is let in, and told so.
func TestHandlerIsNeverInTheWay(t *testing.T) {
	end := make(chan struct{})
	for name, tc := range map[string]struct {
		check func(*admissionv1.AdmissionRequest, manifest.Options, source) *admissionv1.AdmissionResponse
		want  string
	}{
		"panic": {func(*admissionv1.AdmissionRequest, manifest.Options, source) *admissionv1.AdmissionResponse {
			panic("no")
		}, "the check failed"},
		"slow": {func(*admissionv1.AdmissionRequest, manifest.Options, source) *admissionv1.AdmissionResponse {
			<-end
			return nil
		}, "takes too long"},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHandler(allKinds(), nil, slog.New(slog.DiscardHandler))
			h.check, h.within = tc.check, time.Millisecond
			if tc.want == "the check failed" {
				h.within = time.Minute
			}
			for range maxChecks {
				resp := answerOf(t, h, request(t, badSource, ""))
				if !resp.Allowed || len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], tc.want) {
					t.Errorf("%+v", resp)
				}
			}
			if name == "slow" {
				if resp := answerOf(t, h, request(t, badSource, "")); !strings.Contains(resp.Warnings[0], "too many") {
					t.Errorf("%q", resp.Warnings)
				}
				close(end)
			}
			h.Wait()
		})
	}
}
