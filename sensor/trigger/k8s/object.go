package k8s

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// toJSON reads the YAML or JSON of one object.
func toJSON(text []byte) ([]byte, error) {
	var found []byte
	for docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		raw, err := yaml.YAMLToJSON(doc)
		if err != nil {
			return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
		}
		if bytes.Equal(raw, []byte("null")) {
			continue
		}
		if found != nil {
			return nil, errors.New("there is more than one object")
		}
		found = raw
	}
	if found == nil {
		return nil, errors.New("there is no object")
	}
	return found, nil
}

// decode reads an object, which may lack anything, from JSON. Metadata and what
// is looked at in it have their types afterwards.
func decode(raw []byte) (*unstructured.Unstructured, error) {
	var v any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &v); err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("is no object")
	}
	for _, path := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "generateName"}, {"metadata", "namespace"}} {
		if _, _, err := unstructured.NestedString(o, path...); err != nil {
			return nil, fmt.Errorf("%s is no text", strings.Join(path, "."))
		}
	}
	if m, there := o["metadata"]; there {
		if _, ok := m.(map[string]any); !ok {
			return nil, errors.New("metadata is no object")
		}
	}
	for _, name := range []string{"labels", "annotations"} {
		at, there, err := unstructured.NestedFieldNoCopy(o, "metadata", name)
		if err != nil || !there || at == nil {
			continue
		}
		m, ok := at.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("metadata.%s is no object", name)
		}
		for key, value := range m {
			if _, ok := value.(string); !ok {
				return nil, fmt.Errorf("metadata.%s: the value of %q is no text", name, key)
			}
		}
	}
	return &unstructured.Unstructured{Object: o}, nil
}

// pathName is where an object has its name.
const pathName = "metadata.name"

// missing are the paths that an operation needs and the object does not have.
func missing(o *unstructured.Unstructured, operation, strategy string, live bool) []string {
	var paths []string
	if o.GetAPIVersion() == "" {
		paths = append(paths, "apiVersion")
	}
	if o.GetKind() == "" {
		paths = append(paths, "kind")
	}
	if o.GetName() == "" && (operation != opCreate || o.GetGenerateName() == "") {
		paths = append(paths, pathName)
	}
	if operation == opPatch && strategy == string(types.JSONPatchType) && !live {
		if list, ok := o.Object["patch"].([]any); !ok || len(list) == 0 {
			paths = append(paths, "patch")
		}
	}
	return paths
}

const (
	labelSensor  = "events.argoproj.io/sensor"
	labelTrigger = "events.argoproj.io/trigger"
	labelTime    = "events.argoproj.io/action-timestamp"
	// annotationFiring has the id of the firing that made, or last changed, an object.
	annotationFiring = "signalbox.dev/firing"
)

// suffixLength is how much of a firing's id a generated name ends in: 48
// bits, so that a hundred thousand objects hardly ever share one.
const suffixLength = 12

// generated is the name of an object that is created with generateName: each
// attempt of a firing gives the same. Like the API server it cuts what is long,
// so that the name fits a label.
func generated(prefix, id string) string {
	suffix := id[len(id)-min(len(id), suffixLength):]
	return prefix[:min(len(prefix), validation.DNS1123LabelMaxLength-len(suffix))] + suffix
}

// asLabel is s, or, where s is no value of a label, one that looks like it.
func asLabel(s string) string {
	if len(validation.IsValidLabelValue(s)) == 0 {
		return s
	}
	s = strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			return c
		}
		return '-'
	}, s)
	return strings.Trim(s[:min(len(s), validation.LabelValueMaxLength)], "-_.")
}

func setLabel(o *unstructured.Unstructured, name, value string) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[name] = value
	o.SetLabels(labels)
}

func setFiring(o *unstructured.Unstructured, id string) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationFiring] = id
	o.SetAnnotations(annotations)
}

// merge puts all of from into to: objects key by key, everything else whole.
// Nothing is removed.
func merge(to, from map[string]any) {
	for key, value := range from {
		if m, ok := value.(map[string]any); ok {
			if old, ok := to[key].(map[string]any); ok {
				merge(old, m)
				continue
			}
		}
		to[key] = value
	}
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
