package manifest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// Summary counts problems.
type Summary struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Notes    int `json:"notes"`
}

// Summarize counts problems by severity.
func Summarize(problems []Problem) Summary {
	var s Summary
	for _, p := range problems {
		switch p.Severity {
		case v1alpha1.Error:
			s.Errors++
		case v1alpha1.Warning:
			s.Warnings++
		default:
			s.Notes++
		}
	}
	return s
}

// String is "2 errors, 1 warning, 0 notes".
func (s Summary) String() string {
	count := func(n int, word string) string {
		if n != 1 {
			word += "s"
		}
		return fmt.Sprintf("%d %s", n, word)
	}
	return count(s.Errors, "error") + ", " + count(s.Warnings, "warning") + ", " + count(s.Notes, "note")
}

// String is "FILE:LINE: SEVERITY: OBJECT: PATH: MESSAGE (HINT)", parts that
// there are not left out.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:", p.Line)
		}
		b.WriteByte(' ')
	}
	b.WriteString(p.Severity.String() + ": ")
	if p.Object != "" {
		b.WriteString(p.Object + ": ")
	}
	b.WriteString(p.Error())
	return b.String()
}

// WriteText writes one problem a line.
func WriteText(w io.Writer, problems []Problem) error {
	for _, p := range problems {
		if _, err := fmt.Fprintln(w, oneLine(p.String())); err != nil {
			return err
		}
	}
	return nil
}

func oneLine(s string) string { return strings.NewReplacer("\r", "", "\n", " ").Replace(s) }

// WriteJSON writes {"problems": [...], "summary": {...}}. A problem has file,
// line, object, path, severity, message and hint; empty ones are left out.
func WriteJSON(w io.Writer, problems []Problem) error {
	type item struct {
		File     string `json:"file,omitempty"`
		Line     int    `json:"line,omitempty"`
		Object   string `json:"object,omitempty"`
		Path     string `json:"path,omitempty"`
		Severity string `json:"severity"`
		Message  string `json:"message"`
		Hint     string `json:"hint,omitempty"`
	}
	report := struct {
		Problems []item  `json:"problems"`
		Summary  Summary `json:"summary"`
	}{make([]item, 0, len(problems)), Summarize(problems)}
	for _, p := range problems {
		report.Problems = append(report.Problems, item{p.File, p.Line, p.Object, p.Path, p.Severity.String(), p.Message, p.Hint})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

// sorted puts problems in the order of their places, each once.
func sorted(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.Object, b.Object), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(ps, func(a, b Problem) bool {
		return a.File == b.File && a.Line == b.Line && a.Object == b.Object && *a.Problem == *b.Problem
	})
}
