package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// review decides on one request. It refuses only what makes the spec wrong:
// an object that is being deleted, and one whose spec stays as it is, pass
// without a word, so that a wrong object can still be labelled, reported on by
// the controller and removed.
func review(req *admissionv1.AdmissionRequest, options manifest.Options, get source) *admissionv1.AdmissionResponse {
	allowed := &admissionv1.AdmissionResponse{Allowed: true}
	update := req.Operation == admissionv1.Update
	if req.SubResource != "" || !update && req.Operation != admissionv1.Create {
		return allowed
	}
	object, err := read(req.Object.Raw)
	if err != nil || object.deleted || update && object.sameSpec(req.OldObject.Raw) {
		return allowed
	}

	options.Namespace = req.Namespace
	checked, found := manifest.CheckBeside(req.Object.Raw, object.sources(get), options)
	var wrong, warn []*v1alpha1.Problem
	for _, p := range v1alpha1.Problems(found) {
		switch {
		case strings.HasPrefix(p.Message, "there is no EventSource "):
			// It may be applied next; the status tells.
		case !strings.HasPrefix(p.Path, "spec"):
			// The API server knows about names, and people do not write the status.
		case p.Severity == v1alpha1.Error:
			wrong = append(wrong, p)
		case p.Severity == v1alpha1.Warning, req.Kind.Kind == v1alpha1.KindEventBus:
			// Notes on an EventBus say what is not as in Argo Events; others are
			// for a review of one's manifests, and not for each time they are applied.
			warn = append(warn, p)
		}
	}
	if update && checked != nil && checked.EventBus != nil {
		old, _ := manifest.Check(req.OldObject.Raw, options) //nolint:errcheck // it is stored, wrong or not
		if old != nil && old.EventBus != nil {
			warn = append(warn, changes(old.EventBus, checked.EventBus)...)
		}
	}
	allowed.Warnings = warnings(warn)
	if len(wrong) > 0 {
		allowed.Allowed, allowed.Result = false, denial(req.Kind.Kind, object.name, wrong)
	}
	return allowed
}

// object is what is asked of an object before it is checked.
type object struct {
	name    string
	deleted bool
	rest    map[string]any
}

func read(raw []byte) (*object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	o := &object{}
	if err := d.Decode(&o.rest); err != nil {
		return nil, err
	}
	if meta, ok := o.rest["metadata"].(map[string]any); ok {
		o.name, _ = meta["name"].(string)
		o.deleted = meta["deletionTimestamp"] != nil
	}
	delete(o.rest, "metadata")
	delete(o.rest, "status")
	return o, nil
}

// source gives an EventSource of the object's namespace, or nil.
type source func(name string) []byte

// maxSources bounds how many EventSources are read for a sensor.
const maxSources = 20

// sources are the EventSources that a sensor names.
func (o *object) sources(get source) [][]byte {
	var found [][]byte
	spec, _ := o.rest["spec"].(map[string]any)
	deps, _ := spec["dependencies"].([]any)
	var names []string
	for _, d := range deps {
		d, _ := d.(map[string]any)
		name, _ := d["eventSourceName"].(string)
		if name == "" || slices.Contains(names, name) || len(names) == maxSources {
			continue
		}
		names = append(names, name)
		if raw := get(name); raw != nil {
			found = append(found, raw)
		}
	}
	return found
}

// sameSpec compares what the user writes, without the metadata.
func (o *object) sameSpec(oldRaw []byte) bool {
	old, err := read(oldRaw)
	return err == nil && reflect.DeepEqual(o.rest, old.rest)
}

// maxCauses bounds what a denial says; one mistake may be there a thousand times.
const maxCauses = 30

// denial is a status that kubectl prints with one problem a line.
func denial(kind, name string, wrong []*v1alpha1.Problem) *metav1.Status {
	status := &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusUnprocessableEntity,
		Reason:  metav1.StatusReasonInvalid,
		Details: &metav1.StatusDetails{Group: v1alpha1.GroupVersion.Group, Kind: kind, Name: name},
	}
	var lines []string
	for i, p := range wrong {
		if i == maxCauses {
			more := fmt.Sprintf("and %d more, which signalbox lint tells", len(wrong)-i)
			lines = append(lines, more)
			status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec", Message: more})
			break
		}
		said := *p
		said.Path = ""
		status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{
			Type: metav1.CauseTypeFieldValueInvalid, Field: p.Path, Message: oneLine(said.Error()),
		})
		lines = append(lines, oneLine(p.Error()))
	}
	status.Message = fmt.Sprintf("the %s %q is wrong: %s", kind, name, strings.Join(lines, "; "))
	return status
}

const (
	// maxWarnings and maxWarning keep within what an API server hands on: it cuts
	// warnings longer than 256 bytes once all together exceed 4096.
	maxWarnings = 15
	maxWarning  = 255
)

// warnings are problems as kubectl shows them. What people have to mend comes
// before what they may want to know.
func warnings(ps []*v1alpha1.Problem) []string {
	slices.SortStableFunc(ps, func(a, b *v1alpha1.Problem) int { return int(a.Severity) - int(b.Severity) })
	var texts []string
	for i, p := range ps {
		if i == maxWarnings-1 && len(ps) > maxWarnings {
			return append(texts, fmt.Sprintf("and %d more, which signalbox lint tells", len(ps)-i))
		}
		texts = append(texts, cut(oneLine(p.Error()), maxWarning))
	}
	return texts
}

// oneLine makes text fit for a header: no line break, no control character.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// cut shortens text to at most so many bytes, between characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const dots = "..."
	return strings.ToValidUTF8(text[:most-len(dots)], "") + dots
}
