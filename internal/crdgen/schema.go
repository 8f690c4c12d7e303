package main

import (
	"maps"
	"slices"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// addSources puts the kinds of sources beside the fixed fields of the spec.
func addSources(root *apiextv1.JSONSchemaProps, kinds schemas) {
	spec := root.Properties["spec"]
	for name, s := range kinds {
		spec.Properties[name] = apiextv1.JSONSchemaProps{
			Description:          "Events of the kind " + name + ", by event name. " + s.Description,
			Type:                 "object",
			AdditionalProperties: &apiextv1.JSONSchemaPropsOrBool{Allows: true, Schema: s.DeepCopy()},
		}
	}
	root.Properties["spec"] = spec
}

// addTriggers puts the kinds of triggers into the template of triggers, and the
// trigger into dlqTrigger, one level deep.
func addTriggers(root *apiextv1.JSONSchemaProps, kinds schemas) {
	spec := root.Properties["spec"]
	triggers := spec.Properties["triggers"]
	trigger := triggers.Items.Schema
	template := trigger.Properties["template"]
	for name, s := range kinds {
		s = *s.DeepCopy()
		// triggers[].parameters fill in what is missing, after the object was made.
		noneRequired(&s)
		template.Properties[name] = s
	}
	trigger.Properties["template"] = template
	dead := trigger.Properties["dlqTrigger"]
	nested := trigger.DeepCopy()
	nested.Description = dead.Description
	// What the fields are for is told where triggers are: twice is too long for kubectl apply.
	for name, p := range nested.Properties {
		for name, field := range p.Properties {
			withoutDescriptions(&field)
			p.Properties[name] = field
		}
		nested.Properties[name] = p
	}
	nested.Properties["dlqTrigger"] = apiextv1.JSONSchemaProps{Description: dead.Description, Type: "object"}
	trigger.Properties["dlqTrigger"] = *nested
	spec.Properties["triggers"] = triggers
	root.Properties["spec"] = spec
}

// each calls f for s and every schema in it.
func each(s *apiextv1.JSONSchemaProps, f func(*apiextv1.JSONSchemaProps)) {
	f(s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		each(&p, f)
		s.Properties[name] = p
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		each(s.AdditionalProperties.Schema, f)
	}
	if s.Items != nil && s.Items.Schema != nil {
		each(s.Items.Schema, f)
	}
}

func noneRequired(s *apiextv1.JSONSchemaProps) {
	each(s, func(s *apiextv1.JSONSchemaProps) { s.Required = nil })
}

// finish makes a schema as lenient as the CRDs of Argo Events are about keys
// that it does not know, and as short as an API server takes it. Defaults go:
// an API server would write them into the users' objects.
func finish(root *apiextv1.JSONSchemaProps) {
	each(root, func(s *apiextv1.JSONSchemaProps) {
		s.Default = nil
		if s.Type == "object" && s.AdditionalProperties == nil {
			yes := true
			s.XPreserveUnknownFields = &yes
		}
		for name := range s.Properties {
			if p := s.Properties[name]; kubernetesOwn[name] || isKeySelector(&p) {
				withoutDescriptions(&p)
				s.Properties[name] = p
			}
		}
	})
	meta := root.Properties["metadata"] // the API server's own
	meta.XPreserveUnknownFields = nil
	root.Properties["metadata"] = meta
}

// kubernetesOwn are the fields of types that Kubernetes documents. What is
// inside them is most of the size of the definitions.
var kubernetesOwn = map[string]bool{
	"affinity": true, "tolerations": true, "volumes": true, "securityContext": true, "resources": true,
	"env": true, "imagePullPolicy": true, "envFrom": true, "volumeMounts": true, "imagePullSecrets": true, "ports": true,
}

// isKeySelector tells whether a schema is that of a reference to a key of a Secret
// or a ConfigMap, of which there are hundreds.
func isKeySelector(s *apiextv1.JSONSchemaProps) bool {
	if len(s.Properties) != 3 {
		return false
	}
	for _, name := range []string{"name", "key", "optional"} {
		if _, ok := s.Properties[name]; !ok {
			return false
		}
	}
	return true
}

func withoutDescriptions(s *apiextv1.JSONSchemaProps) {
	own := s.Description
	each(s, func(s *apiextv1.JSONSchemaProps) { s.Description = "" })
	s.Description = own
}
