package triggertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Env is a trigger's surroundings in a check.
type Env struct {
	// Env is what the trigger gets. Setup may replace parts of it.
	trigger.Env
	// State is Setup's, for the other functions of the Case.
	State any

	mu      sync.Mutex
	objects secret.Objects
	secrets []string
	logs    bytes.Buffer
}

// NewEnv makes surroundings with a log that is kept, secrets that the test
// puts, a state in memory, and a real HTTP client. Publish is nil.
func NewEnv(t *testing.T) *Env {
	t.Helper()
	e := &Env{objects: secret.Objects{
		Secrets: map[string]map[string][]byte{}, ConfigMaps: map[string]map[string][]byte{},
	}}
	clients := httpclient.New(e, "test")
	t.Cleanup(clients.Close)
	e.Env = trigger.Env{
		Log:     slog.New(slog.NewJSONHandler(writer{e}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Secrets: e,
		HTTP:    clients,
		State:   NewState(),
	}
	return e
}

// PutSecret makes a secret that must show nowhere, in clear or in base64.
func (e *Env) PutSecret(name, key, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	put(e.objects.Secrets, name, key, value)
	e.secrets = append(e.secrets, value, base64.StdEncoding.EncodeToString([]byte(value)))
}

// PutConfigMap makes a key of a ConfigMap.
func (e *Env) PutConfigMap(name, key, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	put(e.objects.ConfigMaps, name, key, value)
}

func put(to map[string]map[string][]byte, name, key, value string) {
	if to[name] == nil {
		to[name] = map[string][]byte{}
	}
	to[name][key] = []byte(value)
}

// Secret implements secret.Reader.
func (e *Env) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.objects.Secret(ctx, ref)
}

// ConfigMap implements secret.Reader.
func (e *Env) ConfigMap(ctx context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.objects.ConfigMap(ctx, ref)
}

// Logs is what has been logged, one JSON object a line.
func (e *Env) Logs() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.logs.String()
}

type writer struct{ e *Env }

func (w writer) Write(p []byte) (int, error) {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	return w.e.logs.Write(p)
}

// shows finds a secret in s.
func (e *Env) shows(s string) (string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, hidden := range e.secrets {
		if strings.Contains(s, hidden) {
			return hidden, true
		}
	}
	return "", false
}

// Build makes a trigger of a configuration, YAML. It is closed with the test.
func Build(t testing.TB, k trigger.Kind, config string, e *Env) trigger.Trigger {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Decode(raw)
	if v1alpha1.Fatal(err) != nil {
		t.Fatal(err)
	}
	tr, err := k.Build(c, e.Env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return tr
}

// Event is event number n of a dependency: its data has the keys number and text,
// and a nested object.
func Event(n int) *event.Event {
	e := event.New()
	e.SetID(fmt.Sprintf("event-%d", n))
	e.SetSource("webhook")
	e.SetType("webhook")
	e.SetSubject("example")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC))
	e.SetExtension("traceparent", fmt.Sprintf("00-%032x-%016x-01", n+1, n+1))
	data := fmt.Sprintf(`{"number":%d,"text":"number %d <&>","body":{"a":"x","list":[1,2]}}`, n, n)
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(data)); err != nil {
		panic(err)
	}
	return &e
}

// Input is firing number n, with the event of the dependency dep and a policy
// under which a status other than 200 is a failure.
func Input(n int) trigger.Input {
	return trigger.Input{
		ID:        fmt.Sprintf("%032x", 0xabc000+n),
		Namespace: "default", Sensor: "sensor", Trigger: "trigger",
		Events:  map[string]*event.Event{"dep": Event(n)},
		Attempt: 1, Since: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		Policy: &v1alpha1.TriggerPolicy{Status: &v1alpha1.StatusPolicy{Allow: []int32{200}}},
	}
}

// Join is firing number n, with the events of the dependencies dep and other.
func Join(n int) trigger.Input {
	in := Input(n)
	in.Events["other"] = Event(n + 1000)
	return in
}
