package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	sources "github.com/signalbox-events/signalbox/eventsource/all"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

const (
	crdDir    = "../../config/crd"
	compatDir = "../../../shared/compat/manifests"
)

// definitions reads the CRDs of the tree, by kind.
func definitions(t *testing.T) map[string]*apiextv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(crdDir + "/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("%v %v", files, err)
	}
	defs := map[string]*apiextv1.CustomResourceDefinition{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		def := &apiextv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(b, def); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		defs[def.Spec.Names.Kind] = def
	}
	return defs
}

// validators check objects as an API server does.
func validators(t *testing.T) map[string]*validate.SchemaValidator {
	t.Helper()
	vs := map[string]*validate.SchemaValidator{}
	for kind, def := range definitions(t) {
		b, err := json.Marshal(def.Spec.Versions[0].Schema.OpenAPIV3Schema)
		if err != nil {
			t.Fatal(err)
		}
		var s spec.Schema
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		vs[kind] = validate.NewSchemaValidator(&s, nil, "", strfmt.Default)
	}
	return vs
}

func TestDefinitionsAreStructural(t *testing.T) {
	for kind, def := range definitions(t) {
		var internal apiextensions.JSONSchemaProps
		if err := apiextv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(def.Spec.Versions[0].Schema.OpenAPIV3Schema, &internal, nil); err != nil {
			t.Fatal(err)
		}
		s, err := schema.NewStructural(&internal)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if errs := schema.ValidateStructural(field.NewPath("schema"), s); len(errs) > 0 {
			t.Errorf("%s: %v", kind, errs.ToAggregate())
		}
		// kubectl apply keeps the whole object in an annotation of at most 256 KiB.
		if b, err := json.Marshal(def); err != nil || len(b) > 240<<10 {
			t.Errorf("%s: %d bytes, %v", kind, len(b), err)
		}
	}
}

// Names as those of Argo Events, so that clients find the resources.
func TestNamesOfDefinitions(t *testing.T) {
	defs := definitions(t)
	for kind, want := range map[string]string{"EventBus": "eventbus eb", "EventSource": "eventsources es", "Sensor": "sensors sn"} {
		s := defs[kind].Spec
		if got := s.Names.Plural + " " + strings.Join(s.Names.ShortNames, " "); got != want || s.Group != "argoproj.io" ||
			s.Scope != apiextv1.NamespaceScoped || s.Versions[0].Name != "v1alpha1" || s.Versions[0].Subresources.Status == nil {
			t.Errorf("%s: %s %+v", kind, got, s)
		}
	}
}

func TestKindsHaveSchemas(t *testing.T) {
	defs := definitions(t)
	spec := func(kind string) apiextv1.JSONSchemaProps {
		return defs[kind].Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	}
	for _, k := range sources.Kinds {
		entry := spec("EventSource").Properties[k.Name].AdditionalProperties
		if entry == nil || len(entry.Schema.Properties) == 0 || entry.Schema.Properties[firstKey(entry.Schema)].Description == "" {
			t.Errorf("the source %s has no schema: run make generate", k.Name)
		}
	}
	trigger := spec("Sensor").Properties["triggers"].Items.Schema
	dead := trigger.Properties["dlqTrigger"]
	for _, k := range triggers.Kinds {
		for at, template := range map[string]apiextv1.JSONSchemaProps{"triggers": trigger.Properties["template"], "dlqTrigger": dead.Properties["template"]} {
			if s, ok := template.Properties[k.Name]; !ok || s.Type != "object" || s.Description == "" {
				t.Errorf("the trigger %s of %s has no schema: run make generate", k.Name, at)
			}
		}
	}
}

func firstKey(s *apiextv1.JSONSchemaProps) string {
	for key := range s.Properties {
		return key
	}
	return ""
}

func TestObjectsAgainstDefinitions(t *testing.T) {
	vs := validators(t)
	for _, tc := range []struct{ name, text, want string }{
		{"kinds, unknown keys and later kinds", `
kind: EventSource
spec:
  webhook: {push: {endpoint: /push, port: "1", unknown: 5}}
  kafka: {k: {url: a}}
  type: old`, ""},
		{"a wrong type in a kind", `
kind: EventSource
spec: {webhook: {push: {endpoint: /push, port: 1}}}`, "spec.webhook.push.port"},
		{"what a parameter writes may be missing", `
kind: Sensor
spec:
  dependencies: [{name: a, eventSourceName: b, eventName: c}]
  triggers: [{template: {name: t, http: {}}, retryStrategy: {duration: 5, factor: "2", steps: 3}}]`, ""},
		{"durations as text", `
kind: Sensor
spec:
  dependencies: [{name: a, eventSourceName: b, eventName: c}]
  triggers: [{template: {name: t, log: {}}, retryStrategy: {duration: 5s, factor: 2.5}}]`, ""},
		{"a wrong type in a dead-letter trigger", `
kind: Sensor
spec:
  dependencies: [{name: a, eventSourceName: b, eventName: c}]
  triggers: [{template: {name: t, log: {}}, dlqTrigger: {template: {name: d, http: {url: 5}}}}]`, "dlqTrigger.template.http.url"},
		{"no dependencies", `
kind: Sensor
spec: {triggers: []}`, "spec.dependencies"},
		{"no spec", `kind: EventBus`, "spec"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := check(t, vs, tc.text)
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func check(t *testing.T, vs map[string]*validate.SchemaValidator, text string) string {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	kind, _ := object["kind"].(string)
	v, ok := vs[kind]
	if !ok {
		return ""
	}
	var messages []string
	for _, err := range v.Validate(object).Errors {
		messages = append(messages, err.Error())
	}
	return strings.Join(messages, "\n")
}

// An API server takes every manifest of Argo Events: known-bad ones are for
// lint and admission to speak of.
func TestArgoEventsManifestsAgainstDefinitions(t *testing.T) {
	if _, err := os.Stat(compatDir); err != nil {
		t.Skip("the manifests of Argo Events are not beside this repository")
	}
	vs := validators(t)
	objects := 0
	err := filepath.WalkDir(compatDir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, doc := range strings.Split("\n"+string(b), "\n---") {
			objects++
			if got := check(t, vs, doc); got != "" {
				t.Errorf("%s: %s", path, got)
			}
		}
		return nil
	})
	if err != nil || objects < 100 {
		t.Errorf("%d objects, %v", objects, err)
	}
}

func TestGeneratedFilesAreCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("it type-checks the packages of all kinds")
	}
	files, err := generate(sources.Kinds, triggers.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		old, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil || string(old) != string(text) {
			t.Errorf("%s is not current: run make generate (%v)", name, err)
		}
	}
}
