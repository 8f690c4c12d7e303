package argocd_test

import (
	"os"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/filter"
	"github.com/signalbox-events/signalbox/sensor/trigger/argocd"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/sensor/verdict"
	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// example is the sensor of example.yaml.
func example(t *testing.T) v1alpha1.SensorSpec {
	t.Helper()
	text, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var s v1alpha1.Sensor
	docs := strings.Split(string(text), "\n---\n")
	if err := yaml.Unmarshal([]byte(docs[len(docs)-1]), &s); err != nil {
		t.Fatal(err)
	}
	return s.Spec
}

// eventOf is the event of a Git host or a registry.
func (l *lab) eventOf(key string, block any) *event.Event {
	l.t.Helper()
	e := event.New()
	e.SetID("1")
	e.SetSource("code")
	e.SetType(key)
	if err := e.SetData(event.ApplicationJSON, map[string]any{"headers": map[string]any{}, "body": map[string]any{}, key: block}); err != nil {
		l.t.Fatal(err)
	}
	return &e
}

func (l *lab) push(repository, commit string) *event.Event {
	return l.eventOf(gitevent.Key, gitevent.Event{
		Event: gitevent.Push, Ref: "refs/heads/main", Branch: "main", After: commit,
		Repository: gitevent.Repository{Host: "github.com", FullName: repository, DefaultBranch: "main"},
	})
}

// TestReadme does what README.md and the comment of example.yaml say.
func TestReadme(t *testing.T) {
	readme, sensor := triggertest.Readme(t, argocd.Kind), example(t)
	if len(readme) != 1 || len(sensor.Triggers) != 2 {
		t.Fatalf("there are %d and %d examples", len(readme), len(sensor.Triggers))
	}
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns)
	for name, more := range map[string]string{"shop": "{}", "docs": "{spec: {source: {repoURL: https://github.com/acme/docs}}}", "shop-staging": "{spec: {source: {repoURL: https://github.com/acme/shop, targetRevision: staging}}}"} {
		l.app(name, more)
		l.until(name, rested)
	}
	fire := func(n int, config, dependency string, e *event.Event, summary, outcome string) {
		t.Helper()
		in := l.input(n)
		in.Events = map[string]*event.Event{dependency: e}
		cd.Hold()
		r := l.fire(l.build(config), in, summary)
		done := l.await(t.Context(), config, l.following(in, r))
		cd.Release()
		l.outcome(done, false, outcome)
	}
	trig := func(i int) string { return string(sensor.Triggers[i].Template.Kinds[argocd.Kind.Name].Raw) }

	cd.Head("main", one)
	fire(1, readme[0], "push", l.push("acme/shop", one), "sync of shop at aaaaaaa started", "shop: Succeeded, Synced, Healthy at aaaaaaa")
	has(t, l.get("shop"), map[string]string{"status/operationState/operation/sync": "{revision: " + one + "}"})

	cd.Head("main", two)
	fire(2, trig(0), "push", l.push("acme/shop", two), "sync of shop at bbbbbbb started", "shop: Succeeded, Synced, Healthy at bbbbbbb")
	has(t, l.get("shop"), map[string]string{"status/operationState/operation/sync": "{revision: " + two + ", prune: true}", "status/sync/revision": two})

	in := l.input(4)
	in.Events = map[string]*event.Event{"push": l.push("acme/none", two)}
	l.fire(l.build(readme[0]), in, "no application is concerned by github.com/acme/none main")

	image := imageevent.Event{Registry: "harbor.example.com", Repository: "acme/shop", Tag: "1.4.2", Digest: "sha256:" + one, Kind: imageevent.KindImage, Action: imageevent.Push}
	fire(3, trig(1), "image", l.eventOf(imageevent.Key, image), "sync of shop-staging started", "shop-staging: Succeeded, Synced, Healthy at ")
	has(t, l.get("shop-staging"), map[string]string{"spec/source/kustomize/images": "['shop=harbor.example.com/acme/shop@sha256:" + one + "']"})
	has(t, l.get("shop"), map[string]string{"spec/source/kustomize": "null"})
	has(t, l.get("docs"), map[string]string{"status/operationState": "null"})

	other := image
	other.Repository = "acme/db"
	tag := l.eventOf(gitevent.Key, gitevent.Event{Event: gitevent.Tag, Ref: "refs/tags/v1", Tag: "v1", After: two})
	for i, tc := range []struct{ pass, reject *event.Event }{
		{l.push("acme/shop", one), tag},
		{l.eventOf(imageevent.Key, image), l.eventOf(imageevent.Key, other)},
	} {
		f, err := filter.Compile(sensor.Dependencies[i].Filters, sensor.Dependencies[i].FiltersLogicalOperator)
		if err != nil {
			t.Fatal(err)
		}
		pass, _ := f.Eval(t.Context(), tc.pass)
		reject, _ := f.Eval(t.Context(), tc.reject)
		if pass != verdict.Pass || reject != verdict.Reject {
			t.Errorf("%s: got %v and %v", sensor.Dependencies[i].Name, pass, reject)
		}
	}
	for i, tr := range sensor.Triggers {
		c, err := argocd.Kind.Decode([]byte(trig(i)))
		if err != nil || !argocd.Kind.FollowOf(c).Emit {
			t.Errorf("%s does not tell the outcome: %v", tr.Template.Name, err)
		}
	}
}
