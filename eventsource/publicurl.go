package eventsource

import (
	"reflect"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

var contextType = reflect.TypeFor[v1alpha1.WebhookContext]()

// hookContext finds the block of a configuration that says where it listens; nil
// if it has none. It may be a field, a pointer, or embedded.
func hookContext(c kind.Config) *v1alpha1.WebhookContext {
	v := reflect.ValueOf(c).Elem()
	if v.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t != contextType {
			continue
		}
		field, err := v.FieldByIndexErr(f.Index)
		if err != nil {
			return nil
		}
		if field.Kind() == reflect.Pointer {
			found, _ := field.Interface().(*v1alpha1.WebhookContext)
			return found
		}
		found, _ := field.Addr().Interface().(*v1alpha1.WebhookContext)
		return found
	}
	return nil
}

// PublicURL is the address under which the outside reaches an entry: its url
// with its endpoint; empty if that is not known.
func PublicURL(c kind.Config) string {
	hook := hookContext(c)
	if hook == nil || hook.URL == "" {
		return ""
	}
	return strings.TrimSuffix(hook.URL, "/") + "/" + strings.TrimPrefix(hook.Endpoint, "/")
}

// SetBase gives an entry that has no url of its own base instead, so that it
// can be registered upstream.
func SetBase(c kind.Config, base string) {
	if hook := hookContext(c); hook != nil && hook.URL == "" {
		hook.URL = base
	}
}
