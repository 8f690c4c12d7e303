package workload

import (
	"cmp"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// config is the configuration of a source or a trigger.
type config struct {
	path  string
	value kind.Config
	// kubernetes tells whether it uses the Kubernetes API, programs whether it
	// runs programs.
	kubernetes, programs bool
}

func sourceConfigs(entries []manifest.Entry) []config {
	var out []config
	for _, e := range entries {
		needs := e.Kind.NeedsKubernetes
		out = append(out, config{e.Path, e.Config, needs != nil && needs(e.Config), false})
	}
	return out
}

// triggerConfigs reads the templates as they are before parameters are put
// into them; what a parameter may mend is left out.
func triggerConfigs(s *v1alpha1.Sensor, kinds trigger.Kinds) []config {
	var out []config
	for i := range s.Spec.Triggers {
		path := "spec.triggers" + v1alpha1.Index(i)
		for t := &s.Spec.Triggers[i]; t != nil; t, path = t.DLQTrigger, path+".dlqTrigger" {
			if t.Template == nil {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(t.Template.Kinds)) {
				k, ok := kinds.Named(name)
				if !ok {
					continue
				}
				c := loosely(k.ConfigType(), t.Template.Kinds[name].Raw)
				if c == nil {
					continue
				}
				out = append(out, config{path + ".template." + name, c, k.NeedsKubernetes != nil && k.NeedsKubernetes(c), k.RunsPrograms})
			}
		}
	}
	return out
}

// loosely decodes what can be decoded.
func loosely(t reflect.Type, raw []byte) kind.Config {
	if raw == nil {
		raw = []byte("{}")
	}
	good, _ := kind.Prune(t, raw) //nolint:errcheck // has been told of
	c, ok := reflect.New(t).Interface().(kind.Config)
	if !ok || json.UnmarshalCaseSensitivePreserveInts(good, c) != nil {
		return nil
	}
	c.Default()
	return c
}

// references are the keys of Secrets and ConfigMaps that a pod needs, by name
// of the object.
type references struct{ secrets, configMaps map[string][]string }

// references finds them wherever they stand in the configurations, but not in
// Kubernetes objects that a trigger creates.
func (w *workload) references(bus *Bus) (references, error) {
	f := &finder{found: references{map[string][]string{}, map[string][]string{}}}
	for _, c := range w.configs {
		f.walk(c.path, reflect.ValueOf(c.value), 0)
	}
	if bus.exotic != nil {
		f.walk("EventBus "+bus.Name+": spec.jetstreamExotic", reflect.ValueOf(bus.exotic), 0)
	}
	for _, of := range []map[string][]string{f.found.secrets, f.found.configMaps} {
		for name, keys := range of {
			slices.Sort(keys)
			of[name] = slices.Compact(keys)
		}
	}
	return f.found, errors.Join(f.errs...)
}

type finder struct {
	found references
	errs  []error
}

// maxDepth is deeper than any configuration.
const maxDepth = 64

func (f *finder) walk(path string, v reflect.Value, depth int) {
	if depth > maxDepth || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			f.walk(path, v.Elem(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			f.walk(path+v1alpha1.Index(i), v.Index(i), depth+1)
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, k := range keys {
			f.walk(v1alpha1.Join(path, v1alpha1.Key(k.String())), v.MapIndex(k), depth+1)
		}
	case reflect.Struct:
		f.object(path, v, depth)
	default:
	}
}

func (f *finder) object(path string, v reflect.Value, depth int) {
	switch v.Type() {
	case reflect.TypeFor[corev1.SecretKeySelector]():
		f.add(path, f.found.secrets, v)
		return
	case reflect.TypeFor[corev1.ConfigMapKeySelector]():
		f.add(path, f.found.configMaps, v)
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		f.walk(v1alpha1.Join(path, name), v.Field(i), depth+1)
	}
}

// add takes a selector. One without a name or a key is reported by whoever uses it.
func (f *finder) add(path string, to map[string][]string, selector reflect.Value) {
	name, key := selector.FieldByName("Name").String(), selector.FieldByName("Key").String()
	if name == "" || key == "" {
		return
	}
	for _, check := range []struct {
		field, value string
		problems     []string
	}{
		{"name", name, validation.IsDNS1123Subdomain(name)},
		{"key", key, validation.IsConfigMapKey(key)},
	} {
		if len(check.problems) > 0 {
			f.errs = append(f.errs, invalid(v1alpha1.Join(path, check.field), "%q cannot exist: %s", check.value, check.problems[0]))
			return
		}
	}
	to[name] = append(to[name], key)
}

// needsKubernetes tells whether the pod needs a token.
func (w *workload) needsKubernetes() bool {
	return slices.ContainsFunc(w.configs, func(c config) bool { return c.kubernetes })
}

// runsPrograms tells whether the pod may be told that it may.
func (w *workload) runsPrograms() bool {
	return slices.ContainsFunc(w.configs, func(c config) bool { return c.programs })
}
