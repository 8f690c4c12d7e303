package main

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// reference is a page with every field of a kind of object.
func reference(kind string, root *apiextv1.JSONSchemaProps, sources, triggers schemas) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made by make generate. Do not edit. -->\n\n# %s\n\n%s\n", kind, prose(root.Description))
	fmt.Fprintf(&b, "\n`apiVersion: %s`, `kind: %s`\n\nA *key reference* is `{name: OBJECT, key: KEY}`: one key of a Secret, or of a ConfigMap where the field says so.\n", v1alpha1.GroupVersion, kind)
	spec := root.Properties["spec"]
	own := spec.DeepCopy()
	var kinds schemas
	switch kind {
	case v1alpha1.KindEventSource:
		kinds = sources
		for name := range kinds {
			delete(own.Properties, name)
		}
	case v1alpha1.KindSensor:
		kinds = triggers
		trigger := own.Properties["triggers"].Items.Schema
		template := trigger.Properties["template"]
		for name := range kinds {
			delete(template.Properties, name)
		}
		dead := trigger.Properties["dlqTrigger"]
		dead.Properties = nil
		trigger.Properties["dlqTrigger"] = dead
	}
	fmt.Fprintf(&b, "\n## spec\n\n%s\n", prose(spec.Description))
	table(&b, own)
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		s := kinds[name]
		at := "spec.triggers[].template." + name
		if kind == v1alpha1.KindEventSource {
			at = "spec." + name + ".EVENT"
		}
		fmt.Fprintf(&b, "\n## %s\n\n`%s`: %s\n", name, at, prose(s.Description))
		table(&b, &s)
	}
	if kind == v1alpha1.KindSensor {
		fmt.Fprint(&b, "\nA field that is required may be missing where a parameter writes it.\n")
	}
	return b.Bytes()
}

func table(b *bytes.Buffer, s *apiextv1.JSONSchemaProps) {
	if len(s.Properties) == 0 {
		fmt.Fprint(b, "\nIt has no fields.\n")
		return
	}
	fmt.Fprint(b, "\n| Field | Type | Default | Description |\n| --- | --- | --- | --- |\n")
	rows(b, "", s)
}

// rows are those of s's fields, and of the fields inside them.
func rows(b *bytes.Buffer, path string, s *apiextv1.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		at := v1alpha1.Join(path, name)
		text := prose(p.Description)
		switch {
		case kubernetesOwn[name]:
			text = "As in Kubernetes."
		case strings.HasSuffix(text, "KeySelector selects a key of a Secret."): // Kubernetes' comment, for want of one of ours
			text = ""
		}
		def := defaultOf(&p)
		if slices.Contains(s.Required, name) {
			def = "required"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", at, typeOf(&p), cell(def), cell(text))
		if kubernetesOwn[name] || isKeyRef(&p) {
			continue
		}
		switch {
		case p.Items != nil && p.Items.Schema != nil:
			rows(b, at+"[]", p.Items.Schema)
		case p.AdditionalProperties != nil && p.AdditionalProperties.Schema != nil:
			rows(b, at+".KEY", p.AdditionalProperties.Schema)
		default:
			rows(b, at, &p)
		}
	}
}

func typeOf(s *apiextv1.JSONSchemaProps) string {
	switch {
	case isKeyRef(s):
		return "key reference"
	case s.XIntOrString:
		return "integer or string"
	case s.Items != nil && s.Items.Schema != nil:
		return "list of " + typeOf(s.Items.Schema)
	case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		return "map of " + typeOf(s.AdditionalProperties.Schema)
	case s.Type == "":
		return "any"
	}
	return s.Type
}

// isKeyRef tells whether s is Kubernetes' selector of a key in a Secret or a ConfigMap.
func isKeyRef(s *apiextv1.JSONSchemaProps) bool {
	return slices.Equal(slices.Sorted(maps.Keys(s.Properties)), []string{"key", "name", "optional"})
}

var defaultSentence = regexp.MustCompile(`Defaults? (?:to|is) (.+?)(?:\.(?:\s|$)|$)`)

// defaultOf is what the description says of the default.
func defaultOf(s *apiextv1.JSONSchemaProps) string {
	if s.Default != nil {
		return "`" + string(s.Default.Raw) + "`"
	}
	if m := defaultSentence.FindStringSubmatch(prose(s.Description)); m != nil {
		return m[1]
	}
	return ""
}

// prose is a doc comment on one line.
func prose(s string) string { return strings.Join(strings.Fields(s), " ") }

func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s)
}
