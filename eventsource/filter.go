package eventsource

import (
	"errors"
	"reflect"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/expr"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// Decode is kind.Kind's Decode, and checks the filter too: every configuration
// that has a field of type *v1alpha1.EventSourceFilter, most by embedding
// v1alpha1.EventCommon, is filtered by it. The kind itself need do nothing.
func (k Kind) Decode(raw []byte) (kind.Config, error) {
	c, err := k.Kind.Decode(raw)
	if c == nil {
		return nil, err
	}
	if _, bad := compileFilter(filterOf(c)); bad != nil {
		err = errors.Join(err, v1alpha1.Invalid("filter.expression", "%s", onOneLine(bad)))
	}
	return c, err
}

var filterType = reflect.TypeFor[*v1alpha1.EventSourceFilter]()

// filterOf finds the filter of a configuration; nil if it has none.
func filterOf(c kind.Config) *v1alpha1.EventSourceFilter {
	v := reflect.ValueOf(c).Elem()
	if v.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Type != filterType {
			continue
		}
		field, err := v.FieldByIndexErr(f.Index)
		if err != nil { // within an embedded pointer that is nil
			return nil
		}
		filter, _ := field.Interface().(*v1alpha1.EventSourceFilter)
		return filter
	}
	return nil
}

// compileFilter returns nil for a filter that lets everything pass.
func compileFilter(f *v1alpha1.EventSourceFilter) (*expr.Condition, error) {
	if f == nil || strings.TrimSpace(f.Expression) == "" {
		return nil, nil
	}
	return expr.Compile(f.Expression)
}

// onOneLine drops the drawing below an error that shows where it is.
func onOneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
