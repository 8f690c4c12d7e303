// Package kind is the one way in which this program knows several kinds of a
// thing: sources below the spec of an EventSource, triggers below the template
// of a Sensor. A kind is a name, a configuration type and a constructor.
package kind

import (
	"errors"
	"reflect"

	"sigs.k8s.io/json"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// Config is implemented by the pointer to a kind's configuration type.
type Config interface {
	// Default fills in what the user left out.
	Default()
	// Validate reports everything that is wrong at once, as v1alpha1.Problems
	// joined by errors.Join, with paths from the configuration's root. Warnings
	// and notes are told the same way. It does no I/O and is called after Default.
	Validate() error
}

// A Kind makes a T from its configuration and its surroundings, an E.
type Kind[E, T any] struct {
	// Name is the key in the manifest, such as "webhook".
	Name string

	config reflect.Type
	build  func(Config, E) (T, error)
}

// Of ties a name and a configuration type to the constructor that takes it.
// The constructor does no I/O.
func Of[C any, P interface {
	*C
	Config
}, E, T any](name string, build func(C, E) (T, error)) Kind[E, T] {
	return Kind[E, T]{
		Name:   name,
		config: reflect.TypeFor[C](),
		build:  func(c Config, e E) (T, error) { return build(*c.(P), e) },
	}
}

// ConfigType is the configuration type, from which schema and docs are made.
func (k Kind[E, T]) ConfigType() reflect.Type { return k.config }

// Build makes the T. It does no I/O.
func (k Kind[E, T]) Build(c Config, e E) (T, error) { return k.build(c, e) }

// Decode reads a configuration (JSON), fills in its defaults and validates it.
// The error holds everything found, warnings too (unknown keys are warnings):
// v1alpha1.Fatal tells whether the configuration can be used. The Config is nil
// if a value is of a wrong type; what else is wrong is told all the same.
func (k Kind[E, T]) Decode(raw []byte) (Config, error) {
	good, found := Prune(k.config, raw)
	c := reflect.New(k.config).Interface().(Config)
	if err := json.UnmarshalCaseSensitivePreserveInts(good, c); err != nil {
		return nil, errors.Join(found, v1alpha1.Invalid("", "%v", err))
	}
	c.Default()
	if v1alpha1.Fatal(found) != nil {
		return nil, errors.Join(found, Beside(c.Validate(), found))
	}
	return c, errors.Join(found, c.Validate())
}
