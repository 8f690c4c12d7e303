package manifest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func hooks(name, endpoint string) string {
	return "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: " + name + "}\nspec: {webhook: {e: {endpoint: " + endpoint + "}}}\n"
}

func names(set *manifest.Set) string {
	var ns []string
	for _, o := range set.Objects {
		ns = append(ns, o.Name)
	}
	return strings.Join(ns, " ")
}

func TestWhichFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.yaml", hooks("a", "/a"))
	write(t, dir+"/sub/deep/b.yml", hooks("b", "/b"))
	write(t, dir+"/c.json", `{"apiVersion":"argoproj.io/v1alpha1","kind":"EventSource","metadata":{"name":"c"},"spec":{"webhook":{"e":{"endpoint":"/c"}}}}`)
	write(t, dir+"/d.txt", hooks("d", "/d"))
	write(t, dir+"/.hidden.yaml", hooks("x", "/x"))
	write(t, dir+"/.git/y.yaml", hooks("y", "/y"))
	write(t, dir+"/..2024/m.yaml", hooks("mounted", "/m"))
	for link, to := range map[string]string{"..data": "..2024", "m.yaml": "..data/m.yaml", "loop": "."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(manifest.Load([]string{dir}, options())); got != "a b c mounted" {
		t.Errorf("the folder gives %q", got)
	}
	set := manifest.Load([]string{dir + "/d.txt", dir + "/a.yaml", dir + "/./a.yaml"}, options())
	if names(set) != "a d" || len(set.Problems) != 0 {
		t.Errorf("files give %q, %v", names(set), set.Problems)
	}
	set = manifest.Load([]string{dir + "/none", dir + "/a.yaml"}, options())
	if names(set) != "a" {
		t.Errorf("a missing file stops the others: %q", names(set))
	}
	expect(t, []string{set.Problems[0].String()}, dir+"/none: error: no such file or directory")
}

func TestOneBrokenDocumentStopsNoOther(t *testing.T) {
	set := manifest.Read("m.yaml", []byte(strings.ReplaceAll(strings.Join([]string{
		"# only a comment\n",
		hooks("a", "/a"),
		"apiVersion: [\n",
		"kind: EventSource\napiVersion: argoproj.io/v1alpha1\nmetadata: {}\n",
		"just text\n",
		" # text behind the marker\n" + hooks("b", "/b"),
		"a: 1\nb: {c: 2, c: 3}\nyes: 1\non: 2\n",
		"apiVersion: argoproj.io/v1alpha1\nkind: Sensr\n",
		"apiVersion: argoproj.io/v1\nkind: Sensor\n",
		"kind: Sensor\n",
		"apiVersion: apps/v1\nkind: Deployment\n",
		"x: 1\n",
	}, "---\n"), "---\n # text", "--- # text")), options())
	if names(set) != "a b" {
		t.Errorf("got %q", names(set))
	}
	var got []string
	for _, p := range set.Problems {
		got = append(got, p.String())
	}
	expect(t, got,
		`m.yaml:8: error: the YAML cannot be read: did not find expected node content`,
		`m.yaml:12: error: metadata.name: is required (the EventSource is not read)`,
		`m.yaml:14: error: is no object (a manifest has apiVersion, kind, metadata and spec)`,
		`m.yaml:22: error: b.c: key "c" is there twice, first in line 22`,
		`m.yaml:24: error: true: key "true" is there twice, first in line 23`,
		`m.yaml:27: error: kind: there is no kind "Sensr" (did you mean "Sensor"?)`,
		`m.yaml:29: error: apiVersion: want argoproj.io/v1alpha1 for kind Sensor, got "argoproj.io/v1"`,
		`m.yaml:32: error: apiVersion: want argoproj.io/v1alpha1 for kind Sensor, got ""`,
		`m.yaml:35: note: kind: apps/v1 Deployment is ignored`,
		`m.yaml:37: note: is no Kubernetes object, ignored (it has no apiVersion and kind)`,
	)
}

func TestNamesThatAreNoText(t *testing.T) {
	for written, want := range map[string]string{
		"n":    `want a string; n is a boolean in YAML, so the EventBus is not read (put it in quotes: "n")`,
		"yes":  `want a string; yes is a boolean in YAML, so the EventBus is not read (put it in quotes: "yes")`,
		"On":   `want a string; On is a boolean in YAML, so the EventBus is not read (put it in quotes: "On")`,
		"007":  `want a string; 007 is a number in YAML, so the EventBus is not read (put it in quotes: "007")`,
		"1e3":  `want a string; 1e3 is a number in YAML, so the EventBus is not read (put it in quotes: "1e3")`,
		"null": `is required (the EventBus is not read)`,
		"[a]":  `is required (the EventBus is not read)`,
		`""`:   `is required (the EventBus is not read)`,
	} {
		set := manifest.Read("m.yaml", []byte("apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata:\n  name: "+written+"\nspec: {jetstream: {}}\n"), options())
		if len(set.Problems) != 1 || set.Problems[0].String() != "m.yaml:4: error: metadata.name: "+want {
			t.Errorf("%s: %v", written, set.Problems)
		}
	}
	expect(t, lint(t, "apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata: {name: default, namespace: on}\nspec: {jetstream: {}}\n"),
		`m.yaml:3: error: EventBus/default: metadata.namespace: want a string, got true (put it in quotes: "true"; yes, no, on, off, y and n are booleans in YAML too)`)
}

func TestTabs(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n\tb: 2\n": `m.yaml:2: error: the YAML cannot be read: found a tab character that violates indentation (indent with spaces, not with tabs)`,
		"a:\n\tb: 2\n":   `m.yaml:2: error: the YAML cannot be read: found character that cannot start any token (indent with spaces, not with tabs)`,
	} {
		expect(t, lint(t, text), want)
	}
}

func TestObjectsOfAFile(t *testing.T) {
	set := manifest.Read("m.yaml", []byte(`
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Secret
    metadata: {name: s}
    data: {a: c2VjcmV0}
    stringData: {b: "text\n"}
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: c, namespace: other}
    data: {k: v}
  - apiVersion: argoproj.io/v1alpha1
    kind: EventSource
    metadata: {name: e}
    spec:
      calendar:
        tick: {intervall: 10s}
`), options())
	expect(t, []string{set.Problems[0].String(), set.Problems[1].String()},
		`m.yaml:19: error: EventSource/e: spec.calendar.tick.interval: is required`,
		`m.yaml:19: warning: EventSource/e: spec.calendar.tick.intervall: unknown key "intervall" is ignored (did you mean "interval"?)`)
	if names(set) != "c e s" || set.Objects[1].Line != 14 || !set.Objects[1].Broken || set.Objects[0].Namespace != "other" {
		t.Errorf("%s %+v", names(set), set.Objects[1])
	}
	read := func(ns, name, key string) (string, error) {
		b, err := set.Secrets(ns).Secret(context.Background(), &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key})
		return string(b), err
	}
	if a, err := read("default", "s", "a"); a != "secret" || err != nil {
		t.Errorf("%q %v", a, err)
	}
	if b, err := read("default", "s", "b"); b != "text" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if _, err := read("other", "s", "a"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("a secret of another namespace is seen: %v", err)
	}
}

func TestNoSecretIsTold(t *testing.T) {
	expect(t, lint(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: hunter2!}\nstringData: {b: 4711, c: [x]}\n"),
		`m.yaml:4: error: Secret/s: data.a: want base64 text (stringData takes plain text)`,
		`m.yaml:5: error: Secret/s: stringData.b: want text (put it in quotes)`,
		`m.yaml:5: error: Secret/s: stringData.c: want text (put it in quotes)`)
}

func TestDefinedTwice(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/1.yaml", hooks("a", "/first"))
	write(t, dir+"/2.yaml", "---\n"+hooks("a", "/second"))
	set := manifest.Load([]string{dir}, options())
	if len(set.Objects) != 1 || set.Objects[0].Entries[0].Routes[0].Path != "/first" {
		t.Errorf("%+v", set.Objects)
	}
	expect(t, []string{set.Problems[0].String()},
		dir+"/2.yaml:4: warning: EventSource/a: metadata.name: EventSource/a is defined twice; this one is ignored, the one in "+dir+"/1.yaml line 1 counts")
}

func TestDecodedObject(t *testing.T) {
	set := manifest.Read("m.yaml", []byte(hooks("a", "/a")), options())
	o := set.Find(manifest.ID{Kind: "EventSource", Namespace: "default", Name: "a"})
	if o == nil || o.EventSource.Namespace != "default" || len(o.Entries) != 1 {
		t.Fatalf("%+v", o)
	}
	e := o.Entries[0]
	if e.Event != "e" || e.Path != "spec.webhook.e" || e.Kind.Name != "webhook" || e.Config.(*hookConfig).Port != "12000" || e.Routes[0].Path != "/a" {
		t.Errorf("%+v", e)
	}
	if set.Find(manifest.ID{Kind: "Sensor", Namespace: "default", Name: "a"}) != nil {
		t.Error("found what is not there")
	}
}

func TestStrayKeysOfATemplateAreTakenOut(t *testing.T) {
	set := manifest.Read("m.yaml", []byte(sensorWith("  - template: {name: t, log: {}, policy: {}, http: null, kafak: {}}\n")), options())
	s := set.OfKind(v1alpha1.KindSensor)[0].Sensor
	if kinds := s.Spec.Triggers[0].Template.Kinds; len(kinds) != 1 || string(kinds["log"].Raw) != "{}" {
		t.Errorf("%v", kinds)
	}
}

func TestCheckOneObject(t *testing.T) {
	o, err := manifest.Check([]byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"EventSource","metadata":{"name":"A","namespace":"n"},"spec":{"webhook":{"e":{}}}}`), options())
	if o == nil || !o.Broken || o.Namespace != "n" {
		t.Fatalf("%+v", o)
	}
	if got := v1alpha1.Fatal(err).Error(); got != "spec.webhook.e.endpoint: is required" {
		t.Error(got)
	}
	if all := err.Error(); !strings.Contains(all, `"A" is no name that Kubernetes takes`) {
		t.Error(all)
	}
	if o, err := manifest.Check([]byte(`{"apiVersion":"apps/v1","kind":"Deployment"}`), options()); o != nil || v1alpha1.Fatal(err) != nil {
		t.Errorf("%v %v", o, err)
	}
	if _, err := manifest.Check([]byte(`[]`), options()); v1alpha1.Fatal(err) == nil {
		t.Error("a list is an object")
	}
}

func TestLinesThroughAnchorsAndJSON(t *testing.T) {
	expect(t, lint(t, "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: e}\nspec:\n  webhook:\n    a: &base\n      endpoint: /a\n      prot: \"1\"\n    b:\n      <<: *base\n      endpoint: /b\n"),
		`m.yaml:8: warning: EventSource/e: spec.webhook.a.prot: unknown key "prot" is ignored (did you mean "port"?)`,
		`m.yaml:8: warning: EventSource/e: spec.webhook.b.prot: unknown key "prot" is ignored (did you mean "port"?)`)
	expect(t, lint(t, "{\n\t\"apiVersion\": \"argoproj.io/v1alpha1\",\n\t\"kind\": \"EventSource\",\n\t\"metadata\": {\"name\": \"e\"},\n\t\"spec\": {\"webhook\": {\n\t\t\"a\": {}\n\t}}\n}\n"),
		`m.yaml:6: error: EventSource/e: spec.webhook.a.endpoint: is required`)
}

func TestBoundedReading(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big.yaml")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(17<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	set := manifest.Load([]string{file}, options())
	expect(t, []string{set.Problems[0].String()}, file+": error: is larger than 16 MiB")

	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") + "]\n"
	}
	for name, text := range map[string]string{
		"aliases that grow": bomb,
		"alias of itself":   "a: &a [*a]\n",
		"deep":              strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
	} {
		if got := lint(t, text); len(got) == 0 || !strings.Contains(got[0], "error") {
			t.Errorf("%s: %v", name, got)
		}
	}
}
