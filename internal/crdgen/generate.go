package main

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"golang.org/x/tools/go/packages"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-tools/pkg/crd"
	crdmarkers "sigs.k8s.io/controller-tools/pkg/crd/markers"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// schemas are those of the kinds' configurations, by kind.
type schemas map[string]apiextv1.JSONSchemaProps

// generate returns the files to write, by path from the repository's root.
func generate(sources eventsource.Kinds, triggers trigger.Kinds) (map[string][]byte, error) {
	types := map[string]reflect.Type{}
	for _, k := range sources {
		types["source "+k.Name] = k.ConfigType()
	}
	for _, k := range triggers {
		types["trigger "+k.Name] = k.ConfigType()
	}
	p, err := parse(types)
	if err != nil {
		return nil, err
	}
	ofSources, ofTriggers := schemas{}, schemas{}
	for _, k := range sources {
		ofSources[k.Name] = p.schemaOf(k.ConfigType())
	}
	for _, k := range triggers {
		ofTriggers[k.Name] = p.schemaOf(k.ConfigType())
	}

	files := map[string][]byte{}
	for _, kind := range []string{v1alpha1.KindEventBus, v1alpha1.KindEventSource, v1alpha1.KindSensor} {
		def, err := p.definition(kind)
		if err != nil {
			return nil, err
		}
		root := def.Spec.Versions[0].Schema.OpenAPIV3Schema
		switch kind {
		case v1alpha1.KindEventSource:
			addSources(root, ofSources)
		case v1alpha1.KindSensor:
			addTriggers(root, ofTriggers)
		}
		files["docs/reference/"+def.Spec.Names.Singular+".md"] = reference(kind, root, ofSources, ofTriggers)
		finish(root)
		if files["config/crd/"+def.Spec.Group+"_"+def.Spec.Names.Plural+".yaml"], err = marshal(def); err != nil {
			return nil, err
		}
	}
	return files, p.failed()
}

// parser is controller-gen's own, so that doc comments and markers mean here
// what they mean anywhere else.
type parser struct {
	*crd.Parser
	roots  []*loader.Package
	byPath map[string]*loader.Package
}

const apiPath = "github.com/signalbox-events/signalbox/api/v1alpha1"

func parse(types map[string]reflect.Type) (*parser, error) {
	paths := []string{apiPath}
	for _, t := range types {
		if !slices.Contains(paths, t.PkgPath()) {
			paths = append(paths, t.PkgPath())
		}
	}
	slices.Sort(paths)
	roots, err := loader.LoadRoots(paths...)
	if err != nil {
		return nil, err
	}
	reg := &markers.Registry{}
	if err := crdmarkers.Register(reg); err != nil {
		return nil, err
	}
	p := &parser{
		Parser: &crd.Parser{
			Collector: &markers.Collector{Registry: reg},
			Checker:   &loader.TypeChecker{NodeFilters: []loader.NodeFilter{crd.Generator{}.CheckFilter()}},
		},
		roots:  roots,
		byPath: map[string]*loader.Package{},
	}
	crd.AddKnownTypes(p.Parser)
	p.PackageOverrides[apiPath] = ownJSON
	for _, r := range roots {
		p.NeedPackage(r)
		p.byPath[r.PkgPath] = r
	}
	return p, nil
}

// ownJSON tells of the types of the API that read and write their JSON themselves.
func ownJSON(p *crd.Parser, api *loader.Package) {
	any := true
	p.Schemata[crd.TypeIdent{Package: api, Name: "Duration"}] = apiextv1.JSONSchemaProps{XIntOrString: true}
	p.Schemata[crd.TypeIdent{Package: api, Name: "Amount"}] = apiextv1.JSONSchemaProps{XPreserveUnknownFields: &any}
	p.AddPackage(api)
}

// failed tells of packages that could not be read. Type errors do not count:
// the parser checks types only in part.
func (p *parser) failed() error {
	if loader.PrintErrors(p.roots, packages.TypeError) {
		return errors.New("the types cannot be read")
	}
	return nil
}

func (p *parser) schemaOf(t reflect.Type) apiextv1.JSONSchemaProps {
	id := crd.TypeIdent{Package: p.byPath[t.PkgPath()], Name: t.Name()}
	p.NeedFlattenedSchemaFor(id)
	s := p.FlattenedSchemata[id]
	return *s.DeepCopy()
}

// definition is the CustomResourceDefinition of one of the API's kinds.
func (p *parser) definition(kind string) (*apiextv1.CustomResourceDefinition, error) {
	group := schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: kind}
	p.NeedCRDFor(group, nil)
	raw, ok := p.CustomResourceDefinitions[group]
	if !ok {
		return nil, fmt.Errorf("there is no %s", group)
	}
	crd.FixTopLevelMetadata(raw)
	if len(raw.Spec.Versions) != 1 {
		return nil, fmt.Errorf("%s: want one version, got %d", group, len(raw.Spec.Versions))
	}
	return raw.DeepCopy(), nil
}

// marshal writes what users apply: without status, and with a word on where it
// comes from.
func marshal(def *apiextv1.CustomResourceDefinition) ([]byte, error) {
	b, err := yaml.Marshal(def)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := yaml.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	if meta, ok := fields["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	if b, err = yaml.Marshal(fields); err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{[]byte("# Made by make generate. Do not edit."), b}, []byte("\n")), nil
}
