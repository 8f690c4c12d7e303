package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// Check decodes one object given as JSON and checks it by itself, without the
// objects around it. The error holds all problems, notes and warnings too; see
// v1alpha1.Fatal. The object is nil if it is none of the kinds that are read.
func Check(raw []byte, opts Options) (*Object, error) {
	if opts.Namespace == "" {
		opts.Namespace = DefaultNamespace
	}
	h, p := readHeader(raw)
	if p != nil {
		return nil, p
	}
	if !h.isOurs() {
		return nil, h.foreign()
	}
	o := newChecker(opts).object(h, raw)
	var errs []error
	for _, p := range o.problems {
		errs = append(errs, p)
		o.Broken = o.Broken || p.Severity == v1alpha1.Error
	}
	return o, errors.Join(errs...)
}

// checker decodes and checks objects.
type checker struct {
	Options
	later later
}

func newChecker(opts Options) *checker { return &checker{Options: opts, later: laterKinds()} }

func (c *checker) object(h header, raw json.RawMessage) *Object {
	o := &Object{ID: ID{h.Kind, h.Metadata.Namespace, h.Metadata.Name}, Raw: raw, Hash: contentHash(raw)}
	if o.Namespace == "" {
		o.Namespace = c.Namespace
	}
	var err error
	switch h.Kind {
	case v1alpha1.KindEventBus:
		if o.EventBus, err = decode[v1alpha1.EventBus](raw); o.EventBus != nil {
			o.EventBus.Namespace = o.Namespace
			err = errors.Join(err, kind.Beside(checkEventBus(o.EventBus), err))
		}
	case v1alpha1.KindEventSource:
		if o.EventSource, err = decode[v1alpha1.EventSource](raw); o.EventSource != nil {
			o.EventSource.Namespace = o.Namespace
			var found error
			o.Entries, found = c.eventSource(o.EventSource)
			err = errors.Join(err, kind.Beside(found, err))
		}
	case v1alpha1.KindSensor:
		if o.Sensor, err = decode[v1alpha1.Sensor](raw); o.Sensor != nil {
			o.Sensor.Namespace = o.Namespace
			err = errors.Join(err, kind.Beside(c.sensor(o.Sensor), err))
		}
	case "Secret":
		o.Secret, err = decode[corev1.Secret](raw)
		err = withoutValues(err)
	case "ConfigMap":
		o.ConfigMap, err = decode[corev1.ConfigMap](raw)
	}
	o.problems = append(v1alpha1.Problems(err), checkName(o.Name)...)
	return o
}

// decode reads raw as a T. Values of wrong types are errors, all of them, and
// left out of the T, which is nil only if nothing can be read at all.
func decode[T any](raw json.RawMessage) (*T, error) {
	good, found := kind.Prune(reflect.TypeFor[T](), raw)
	t := new(T)
	if err := kjson.UnmarshalCaseSensitivePreserveInts(good, t); err != nil {
		return nil, errors.Join(found, err)
	}
	return t, found
}

// withoutValues keeps a Secret's values out of its problems.
func withoutValues(err error) error {
	for _, p := range v1alpha1.Problems(err) {
		segs := segments(p.Path)
		switch {
		case p.Severity != v1alpha1.Error || len(segs) == 0:
		case segs[0] == "data":
			p.Message, p.Hint = "want base64 text", "stringData takes plain text"
		case segs[0] == "stringData":
			p.Message, p.Hint = "want text", "put it in quotes"
		}
	}
	return err
}

var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

func checkName(name string) []*v1alpha1.Problem {
	if len(name) <= 253 && objectName.MatchString(name) {
		return nil
	}
	return []*v1alpha1.Problem{v1alpha1.Warn("metadata.name", "%q is no name that Kubernetes takes", name).
		Hinted("lower-case letters, digits, - and .")}
}

// contentHash covers what the user writes of an object.
func contentHash(raw json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return sum(raw)
	}
	delete(fields, "status")
	if meta, ok := fields["metadata"].(map[string]any); ok {
		kept := map[string]any{}
		for _, key := range []string{"name", "namespace", "labels", "annotations"} {
			if v, ok := meta[key]; ok {
				kept[key] = v
			}
		}
		if a, ok := kept["annotations"].(map[string]any); ok {
			delete(a, corev1.LastAppliedConfigAnnotation)
		}
		fields["metadata"] = kept
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return sum(raw)
	}
	return sum(b)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// fixedKeys are the JSON keys of T's own fields.
func fixedKeys[T any]() []string { return v1alpha1.FixedKeys(reflect.TypeFor[T]()) }
