package argoworkflow

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/kind"
)

const (
	apiGroup   = "argoproj.io"
	apiVersion = apiGroup + "/v1alpha1"

	kindWorkflow        = "Workflow"
	kindTemplate        = "WorkflowTemplate"
	kindClusterTemplate = "ClusterWorkflowTemplate"
	kindCron            = "CronWorkflow"

	// pathName is where an object has its name.
	pathName = "metadata.name"

	labelSensor  = "events.argoproj.io/sensor"
	labelTrigger = "events.argoproj.io/trigger"
	labelTime    = "events.argoproj.io/action-timestamp"
	// annotationFiring has the id of the firing that made, or last changed, a workflow.
	annotationFiring = "signalbox.dev/firing"

	// labels, and an annotation, of Argo Workflows.
	labelCompleted       = "workflows.argoproj.io/completed"
	labelArchiving       = "workflows.argoproj.io/workflow-archiving-status"
	labelPhase           = "workflows.argoproj.io/phase"
	labelCreator         = "workflows.argoproj.io/creator"
	labelInstance        = "workflows.argoproj.io/controller-instanceid"
	labelTemplate        = "workflows.argoproj.io/workflow-template"
	labelClusterTemplate = "workflows.argoproj.io/cluster-workflow-template"
	labelCron            = "workflows.argoproj.io/cron-workflow"
	labelResubmitted     = "workflows.argoproj.io/resubmitted-from-workflow"
	annotationScheduled  = "workflows.argoproj.io/scheduled-time"
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

// decode reads an object, which may lack anything, from JSON. Metadata, what is
// looked at in it, and spec have their types afterwards.
func decode(raw []byte) (*unstructured.Unstructured, error) {
	var v any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &v); err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("is no object")
	}
	for _, name := range []string{"metadata", "spec", "status"} {
		switch o[name].(type) {
		case map[string]any:
		case nil:
			delete(o, name)
		default:
			return nil, fmt.Errorf("%s is no object", name)
		}
	}
	for _, path := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "generateName"}, {"metadata", "namespace"}, {"metadata", "uid"}} {
		if v, ok, err := unstructured.NestedFieldNoCopy(o, path...); err == nil && ok && v == nil {
			unstructured.RemoveNestedField(o, path...)
		}
		if _, _, err := unstructured.NestedString(o, path...); err != nil {
			return nil, fmt.Errorf("%s is no text", strings.Join(path, "."))
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

// lack is something that an object has to have.
type lack struct{ path, message, hint string }

const isRequired = "is required"

// lacks are the things that an operation needs and the object does not have.
func lacks(obj *unstructured.Unstructured, operation string, o options) []lack {
	var all []lack
	need := func(path, has string, allowed ...string) {
		if has == "" {
			all = append(all, lack{path: path, message: isRequired})
			return
		}
		for _, a := range allowed {
			if has == a {
				return
			}
		}
		l := lack{path: path, message: fmt.Sprintf("%q cannot be used to %s", has, operation)}
		if near := kind.Nearest(has, allowed); near != "" {
			l.hint = "did you mean " + near + "?"
		} else if len(allowed) > 0 {
			l.hint = "it has to be " + strings.Join(allowed, " or ")
		}
		all = append(all, l)
	}
	switch operation {
	case opSubmit:
		need("apiVersion", obj.GetAPIVersion(), apiVersion)
		need("kind", obj.GetKind(), kindWorkflow)
		if obj.GetName() == "" && obj.GetGenerateName() == "" && o.name == "" && o.generateName == "" {
			all = append(all, lack{path: pathName, message: isRequired})
		}
	case opSubmitFrom:
		if o.fromKind != "" {
			break
		}
		need("kind", obj.GetKind(), kindTemplate, kindClusterTemplate, kindCron)
		if obj.GetName() == "" {
			all = append(all, lack{path: pathName, message: isRequired})
		}
	default:
		if obj.GetName() == "" && len(o.names) == 0 && !o.selects() {
			all = append(all, lack{path: pathName, message: isRequired})
		}
	}
	return all
}

// suffixLength is how much of a firing's id a generated name ends in: 48
// bits, so that a hundred thousand objects hardly ever share one.
const suffixLength = 12

// generated is the name of a workflow that is created with generateName: each
// attempt of a firing gives the same. What is long is cut, so that the name
// fits a label.
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

func setAnnotation(o *unstructured.Unstructured, name, value string) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[name] = value
	o.SetAnnotations(annotations)
}

// text is the string at a path; empty if there is something else or nothing.
func text(o map[string]any, path ...string) string {
	s, _, err := unstructured.NestedString(o, path...)
	if err != nil {
		return ""
	}
	return s
}

// at is the object at a path; nil if there is something else or nothing.
func at(o map[string]any, path ...string) map[string]any {
	v, _, err := unstructured.NestedFieldNoCopy(o, path...)
	if err != nil {
		return nil
	}
	m, _ := v.(map[string]any)
	return m
}

// list is the list at a path; nil if there is something else or nothing.
func list(o map[string]any, path ...string) []any {
	v, _, err := unstructured.NestedFieldNoCopy(o, path...)
	if err != nil {
		return nil
	}
	l, _ := v.([]any)
	return l
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
