package trigger

import "errors"

type detailed struct {
	error
	details map[string]any
}

func (d detailed) Unwrap() error { return d.error }

// WithDetails adds to an error what Result.Details are for an action that is done: for
// the event that tells the outcome, if no further attempt is made.
func WithDetails(err error, details map[string]any) error { return detailed{err, details} }

// DetailsOf gives what WithDetails was called with; nil if err has no such mark.
func DetailsOf(err error) map[string]any {
	var d detailed
	if errors.As(err, &d) {
		return d.details
	}
	return nil
}
