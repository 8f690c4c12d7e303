package manifest

import (
	"errors"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// overwrites are the places of a template that triggers[].parameters write
// before the template is decoded. What stands there in the manifest does not count.
type overwrites [][]string

// anyPart stands for parts that a query or a wildcard selects.
const anyPart = "*"

func overwritesOf(ps []v1alpha1.TriggerParameter) overwrites {
	var ds overwrites
	for _, p := range ps {
		if p.Dest != "" {
			ds = append(ds, destination(p.Dest))
		}
	}
	return ds
}

// destination splits a path in sjson syntax.
func destination(dest string) []string {
	var parts []string
	var part strings.Builder
	wild := false
	end := func() {
		s := part.String()
		if wild || s == "-1" {
			s = anyPart
		}
		parts = append(parts, strings.TrimPrefix(s, ":"))
		part.Reset()
		wild = false
	}
	for i := 0; i < len(dest); i++ {
		switch b := dest[i]; b {
		case '\\':
			if i++; i < len(dest) {
				part.WriteByte(dest[i])
			}
		case '.':
			end()
		case '#': // a query may hold dots: the rest of the path is not looked at
			return append(parts, anyPart)
		case '*', '?', '|', '@':
			wild = true
		default:
			part.WriteByte(b)
		}
	}
	end()
	return parts
}

// touch tells whether something at, above or below path is written.
func (os overwrites) touch(path []string) bool {
	for _, o := range os {
		if matches(o, path) {
			return true
		}
	}
	return false
}

// cover tells whether the value at path is written, alone or with what is around it.
func (os overwrites) cover(path []string) bool {
	for _, o := range os {
		if len(o) <= len(path) && matches(o, path) {
			return true
		}
	}
	return false
}

// matches compares as many parts as both have.
func matches(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] && a[i] != anyPart {
			return false
		}
	}
	return true
}

// excuse leaves out the errors of err, with paths from the template, that are
// about places that are written.
func (os overwrites) excuse(err error) error {
	var errs []error
	for _, p := range v1alpha1.Problems(err) {
		if p.Severity != v1alpha1.Error || !os.touch(segments(p.Path)) {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}
