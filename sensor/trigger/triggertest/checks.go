package triggertest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// patience is how long a check waits for what should come at once.
const patience = 20 * time.Second

func example(t *testing.T, c Case) {
	text, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, doc := range strings.Split("\n"+string(text), "\n---") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind != v1alpha1.KindSensor {
			continue
		}
		var s v1alpha1.Sensor
		if err := yaml.Unmarshal([]byte(doc), &s); err != nil {
			t.Fatal(err)
		}
		for _, tr := range s.Spec.Triggers {
			raw, ok := tr.Template.Kinds[c.Kind.Name]
			if !ok {
				continue
			}
			found++
			if _, err := c.Kind.Decode(raw.Raw); err != nil {
				t.Errorf("sensor %s, trigger %s: %v", s.Name, tr.Template.Name, err)
			}
		}
	}
	if found == 0 {
		t.Errorf("example.yaml has no trigger of kind %s", c.Kind.Name)
	}
}

func problems(t *testing.T, c Case) {
	decode := func(config string) (found []string) {
		t.Helper()
		raw, err := yaml.YAMLToJSON([]byte(config))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Kind.Decode(raw)
		for _, p := range v1alpha1.Problems(err) {
			found = append(found, p.Error())
		}
		return found
	}
	for _, config := range c.Valid {
		if got := decode(config); len(got) > 0 {
			t.Errorf("%s: %q", config, got)
		}
	}
	for config, want := range c.Invalid {
		got := decode(config)
		missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool {
			return slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, w) })
		})
		if len(missing) > 0 || len(got) != len(want) {
			t.Errorf("%s:\ngot  %q\nwant %q", config, got, want)
		}
	}
	e := NewEnv(t)
	raw, err := yaml.YAMLToJSON([]byte(c.Setup(t, e)))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	keys["noSuchKey"] = 1
	if raw, err = json.Marshal(keys); err != nil {
		t.Fatal(err)
	}
	_, err = c.Kind.Decode(raw)
	if v1alpha1.Fatal(err) != nil || err == nil || !strings.Contains(err.Error(), "noSuchKey") {
		t.Errorf("an unknown key gives %v, want a warning", err)
	}
}

func renderDoesNothing(t *testing.T, c Case) {
	e, tr := c.start(t)
	for _, in := range []trigger.Input{Input(1), Join(2)} {
		a, err := tr.Render(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if a.Kind != c.Kind.Name || !json.Valid(a.Spec) {
			t.Errorf("rendered %q: %s", a.Kind, a.Spec)
		}
	}
	c.wantEffects(t, e, 0)
}

func fireIsRendered(t *testing.T, c Case) {
	e, tr := c.start(t)
	for i, in := range []trigger.Input{Input(1), Join(2), Input(3)} {
		fire(t, tr, in)
		sameAction(t, tr, in, c.wantEffects(t, e, i+1)[i])
	}
}

func fire(t *testing.T, tr trigger.Trigger, in trigger.Input) {
	t.Helper()
	r, err := tr.Fire(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if r.Summary == "" || strings.Contains(r.Summary, "\n") {
		t.Errorf("the summary is %q, want one line", r.Summary)
	}
}

func sameAction(t *testing.T, tr trigger.Trigger, in trigger.Input, effect json.RawMessage) {
	t.Helper()
	a, err := tr.Render(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var rendered, done any
	if err := errors.Join(json.Unmarshal(a.Spec, &rendered), json.Unmarshal(effect, &done)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rendered, done) {
		t.Errorf("rendered %s\ndone     %s", a.Spec, effect)
	}
}

func sameID(t *testing.T, c Case) {
	e, tr := c.start(t)
	in := Input(1)
	fire(t, tr, in)
	in.Attempt = 2
	fire(t, tr, in)
	for i, effect := range c.wantEffects(t, e, 2) {
		if !strings.Contains(string(effect), in.ID) {
			t.Errorf("effect %d does not carry the firing's id: %s", i, effect)
		}
	}
}

func sideBySide(t *testing.T, c Case) {
	e, tr := c.start(t)
	const crowd = 32
	var wg sync.WaitGroup
	want := make([]string, crowd)
	for n := range crowd {
		wg.Go(func() {
			a, err := tr.Render(t.Context(), Input(n))
			if err == nil {
				want[n] = canonical(t, a.Spec)
				_, err = tr.Fire(t.Context(), Input(n))
			}
			if err != nil {
				t.Errorf("firing %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	var got []string
	for _, effect := range c.wantEffects(t, e, crowd) {
		got = append(got, canonical(t, effect))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("done     %s\nrendered %s", got, want)
	}
}

func canonical(t *testing.T, raw json.RawMessage) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Error(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func eventsUnchanged(t *testing.T, c Case) {
	_, tr := c.start(t)
	in, before := Join(1), Join(1)
	if _, err := tr.Render(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	fire(t, tr, in)
	if !reflect.DeepEqual(in, before) {
		t.Errorf("the input became %v, was %v", in, before)
	}
}

func doneContext(t *testing.T, c Case) {
	e, tr := c.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Fire(ctx, Input(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Fire returned %v", err)
	}
	c.wantEffects(t, e, 0)
}

func endsWithContext(t *testing.T, c Case) {
	e, tr := c.start(t)
	arrived := c.Hang(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() {
		_, err := tr.Fire(ctx, Input(1))
		result <- err
	}()
	select {
	case err := <-result:
		t.Fatalf("Fire did not wait for its outcome: %v", err)
	case <-arrived:
	case <-time.After(patience):
		t.Fatal("the action does not arrive")
	}
	cancel()
	select {
	case err := <-result:
		if !errors.Is(err, context.Canceled) || trigger.IsPermanent(err) {
			t.Errorf("Fire returned %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Fire goes on after its context is done")
	}
}

func failureIsError(t *testing.T, c Case) {
	e, tr := c.start(t)
	c.Break(t, e)
	_, err := tr.Fire(t.Context(), Input(1))
	switch {
	case err == nil:
		t.Error("Fire returned nil")
	case trigger.IsPermanent(err):
		t.Errorf("the error is permanent: %v", err)
	case strings.Contains(err.Error(), "\n"):
		t.Errorf("the error has more than one line: %v", err)
	}
}

func secretsHidden(t *testing.T, c Case) {
	e, tr := c.start(t)
	look := func(where, s string) {
		t.Helper()
		if hidden, ok := e.shows(s); ok {
			t.Errorf("%s shows the secret %q: %s", where, hidden, s)
		}
	}
	try := func() {
		t.Helper()
		a, err := tr.Render(t.Context(), Input(1))
		look("Render", string(a.Spec))
		r, fireErr := tr.Fire(t.Context(), Input(1))
		look("the summary", r.Summary)
		for _, err := range []error{err, fireErr} {
			if err != nil {
				look("the error", err.Error())
			}
		}
	}
	try()
	if c.Break != nil {
		c.Break(t, e)
		try()
	}
	look("the log", e.Logs())
}

func closed(t *testing.T, c Case) {
	e, tr := c.start(t)
	fire(t, tr, Input(1))
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := tr.Fire(t.Context(), Input(2)); !errors.Is(err, trigger.ErrClosed) {
		t.Errorf("Fire after Close: %v", err)
	}
	if _, err := tr.Render(t.Context(), Input(2)); !errors.Is(err, trigger.ErrClosed) {
		t.Errorf("Render after Close: %v", err)
	}
	c.wantEffects(t, e, 1)
}
