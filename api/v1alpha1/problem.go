package v1alpha1

import (
	"errors"
	"fmt"
	"strings"
)

// Severity tells how bad a Problem is.
type Severity int

// The severities. The zero value is the worst, so that a Problem made without
// thinking of it stops the object.
const (
	// Error means that the object cannot run as it is.
	Error Severity = iota
	// Warning means that it runs, but hardly as its author meant.
	Warning
	// Note tells something worth knowing; lint --strict does not count it.
	Note
)

// String is the word that people see.
func (s Severity) String() string { return [...]string{"error", "warning", "note"}[s] }

// Problem is one thing wrong at one place of a manifest.
//
// +kubebuilder:object:generate=false
type Problem struct {
	// Path of the field from the object's root, such as
	// spec.triggers[0].template.http.url. Keys that hold dots are quoted:
	// spec.webhook["a.b"].port.
	Path     string
	Severity Severity
	// Message says what is wrong: lower case, no full stop.
	Message string
	// Hint says what to do about it; may be empty.
	Hint string
}

// Error implements error: "PATH: MESSAGE (HINT)".
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Invalid is an error at path.
func Invalid(path, format string, args ...any) *Problem {
	return &Problem{Path: path, Message: fmt.Sprintf(format, args...)}
}

// Warn is a warning at path.
func Warn(path, format string, args ...any) *Problem {
	return &Problem{Path: path, Severity: Warning, Message: fmt.Sprintf(format, args...)}
}

// Hinted returns p with a hint.
func (p *Problem) Hinted(format string, args ...any) *Problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

// Join puts two parts of a path together; either may be empty, and an index or
// a quoted key needs no dot.
func Join(parent, child string) string {
	switch {
	case parent == "" || child == "" || strings.HasPrefix(child, "["):
		return parent + child
	default:
		return parent + "." + child
	}
}

// Key writes a map key as a part of a path.
func Key(key string) string {
	if key == "" || strings.ContainsAny(key, `.[]" `) {
		return fmt.Sprintf("[%q]", key)
	}
	return key
}

// Index writes a list position as a part of a path.
func Index(i int) string { return fmt.Sprintf("[%d]", i) }

// At returns err with path put in front of the path of every Problem in it.
// An error that is no Problem becomes one at path. Nil stays nil.
func At(path string, err error) error {
	var errs []error
	for _, p := range Problems(err) {
		q := *p
		q.Path = Join(path, p.Path)
		errs = append(errs, &q)
	}
	return errors.Join(errs...)
}

// Problems flattens err, which may be joined of many, to the problems in it.
// An error that is no Problem comes back as one without a path.
func Problems(err error) []*Problem {
	if err == nil {
		return nil
	}
	if p, ok := err.(*Problem); ok { //nolint:errorlint // wrapped ones are found below
		return []*Problem{p}
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // errors.Join's result itself
		var ps []*Problem
		for _, e := range j.Unwrap() {
			ps = append(ps, Problems(e)...)
		}
		return ps
	}
	return []*Problem{{Message: err.Error()}}
}

// Fatal returns the problems of err that stop the object, joined; nil if there
// are only warnings and notes.
func Fatal(err error) error {
	var errs []error
	for _, p := range Problems(err) {
		if p.Severity == Error {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}
