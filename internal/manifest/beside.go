package manifest

import (
	"errors"
	"slices"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// CheckBeside is Check that compares the object with others of its namespace
// too, as lint does with what is among the manifests. Problems of the others
// are not told, and others that cannot be read do not count.
func CheckBeside(raw []byte, others [][]byte, opts Options) (*Object, error) {
	o, err := Check(raw, opts)
	if o == nil || o.Sensor == nil {
		return o, err
	}
	s := &Set{Objects: []*Object{o}}
	for _, other := range others {
		if found, _ := Check(other, opts); found != nil && s.Find(found.ID) == nil { //nolint:errcheck // its problems are its own
			s.Objects = append(s.Objects, found)
			slices.SortFunc(s.Objects, func(a, b *Object) int { return compareIDs(a.ID, b.ID) })
		}
	}
	before := len(o.problems)
	newChecker(opts).together(s, s.Objects)
	errs := []error{err}
	for _, p := range o.problems[before:] {
		errs = append(errs, p)
		o.Broken = o.Broken || p.Severity == v1alpha1.Error
	}
	return o, errors.Join(errs...)
}
