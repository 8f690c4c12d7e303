package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// header is what tells objects apart.
type header struct {
	APIVersion, Kind string
	Metadata         struct{ Name, Namespace string }
	hasItems         bool
}

var (
	ourKinds = []string{v1alpha1.KindEventBus, v1alpha1.KindEventSource, v1alpha1.KindSensor}
	coreKind = []string{"Secret", "ConfigMap"}
)

// readHeader fails only if raw is no object. Fields of a wrong type count as
// absent: the check of the whole object tells of them.
func readHeader(raw []byte) (header, *v1alpha1.Problem) {
	var h header
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return h, v1alpha1.Invalid("", "is no object").Hinted("a manifest has apiVersion, kind, metadata and spec")
	}
	text := func(of map[string]json.RawMessage, key string) (s string) {
		if err := json.Unmarshal(of[key], &s); err != nil {
			return ""
		}
		return s
	}
	h.APIVersion, h.Kind = text(fields, "apiVersion"), text(fields, "kind")
	var meta map[string]json.RawMessage
	if err := json.Unmarshal(fields["metadata"], &meta); err == nil {
		h.Metadata.Name, h.Metadata.Namespace = text(meta, "name"), text(meta, "namespace")
	}
	_, h.hasItems = fields["items"]
	return h, nil
}

// noName says why an object has no name: there is none, or it is no text, which
// YAML makes of n, on or 123 without quotes.
func noName(h header, raw []byte, at place) *v1alpha1.Problem {
	var o struct {
		Metadata struct{ Name any }
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		o.Metadata.Name = nil
	}
	what := ""
	switch o.Metadata.Name.(type) {
	case bool:
		what = "a boolean"
	case float64:
		what = "a number"
	default:
		return v1alpha1.Invalid("metadata.name", "is required").Hinted("the %s is not read", h.Kind)
	}
	written := fmt.Sprint(o.Metadata.Name)
	if text := at.text("metadata.name"); text != "" {
		written = text
	}
	return v1alpha1.Invalid("metadata.name", "want a string; %s is %s in YAML, so the %s is not read", written, what, h.Kind).
		Hinted("put it in quotes: %q", written)
}

func (h header) isList() bool { return h.hasItems && strings.HasSuffix(h.Kind, "List") }

func (h header) isOurs() bool {
	return h.APIVersion == v1alpha1.GroupVersion.String() && slices.Contains(ourKinds, h.Kind) ||
		h.APIVersion == "v1" && slices.Contains(coreKind, h.Kind)
}

// foreign says what becomes of an object that is not read; an error if it was
// most likely meant to be.
func (h header) foreign() *v1alpha1.Problem {
	group, _, _ := strings.Cut(h.APIVersion, "/")
	want := v1alpha1.GroupVersion.String()
	ours := slices.Contains(ourKinds, h.Kind)
	near := kind.Nearest(h.Kind, ourKinds)
	switch {
	case ours && (h.APIVersion == "" || group == v1alpha1.GroupVersion.Group || !strings.Contains(h.APIVersion, "/")):
		return v1alpha1.Invalid("apiVersion", "want %s for kind %s, got %q", want, h.Kind, h.APIVersion)
	case h.APIVersion == want && h.Kind == "":
		return v1alpha1.Invalid("kind", "is required").Hinted("EventBus, EventSource or Sensor")
	case h.APIVersion == want && near != "":
		return v1alpha1.Invalid("kind", "there is no kind %q", h.Kind).Hinted("did you mean %q?", near)
	case h.Kind == "" || h.APIVersion == "":
		return note("", "is no Kubernetes object, ignored").Hinted("it has no apiVersion and kind")
	default:
		return note("kind", "%s %s is ignored", h.APIVersion, h.Kind)
	}
}

func note(path, format string, args ...any) *v1alpha1.Problem {
	p := v1alpha1.Warn(path, format, args...)
	p.Severity = v1alpha1.Note
	return p
}
