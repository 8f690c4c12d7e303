package gitcommit

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit/edit"
)

// The trailers of commits.
const (
	trailerFiring = "Signalbox-Firing: "
	trailerEvent  = "Signalbox-Event: "
)

// Bounds of texts, in bytes.
const (
	maxMessage = 32 << 10
	maxSubject = 250
	maxValue   = 60
	maxListed  = 100
)

// tidy makes a text of a template a message: without spaces at its ends, and
// without lines that look like the trailers that are added.
func tidy(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "?")
	s = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
	lines := strings.Split(cut(s, maxMessage), "\n")
	for i, l := range lines {
		if strings.HasPrefix(strings.ToLower(l), "signalbox-") {
			lines[i] = " " + l
		}
	}
	return strings.Join(lines, "\n")
}

// oneLine makes a text fit for a line.
func oneLine(s string, most int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	return cut(strings.ToValidUTF8(s, "?"), most)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "..."
}

// message is that of one commit. covered are all firings that it speaks for.
func message(done, covered []*job) string {
	var edits []edit.Edit
	var given []string
	telling := false // somebody wants to be told what has changed
	for _, j := range done {
		edits = append(edits, j.edits...)
		if j.plan.message == "" {
			telling = true
		} else if !slices.Contains(given, j.plan.message) {
			given = append(given, j.plan.message)
		}
	}
	var b strings.Builder
	switch {
	case len(given) == 1 && !telling:
		b.WriteString(given[0])
	case len(given) == 0:
		b.WriteString(told(edits))
	default:
		fmt.Fprintf(&b, "%d changes\n", len(done))
		for _, m := range given[:min(len(given), maxListed)] {
			b.WriteString("\n- " + strings.ReplaceAll(m, "\n", "\n  "))
		}
		if telling {
			b.WriteString("\n\n" + list(edits))
		}
	}
	text := b.String()
	b.Reset()
	b.WriteString(cut(strings.TrimSpace(text), maxMessage) + "\n\n")
	for _, j := range covered {
		b.WriteString(trailerFiring + j.plan.firing + "\n")
		for _, e := range j.plan.events {
			b.WriteString(trailerEvent + e + "\n")
		}
	}
	return b.String()
}

// told is a message that tells what has changed.
func told(edits []edit.Edit) string {
	switch len(edits) {
	case 0:
		return "No change"
	case 1:
		return cut("Set "+tell(edits[0]), maxSubject)
	}
	files := map[string]bool{}
	for _, e := range edits {
		files[e.Path] = true
	}
	subject := fmt.Sprintf("Set %d values in %d files", len(edits), len(files))
	if len(files) == 1 {
		subject = fmt.Sprintf("Set %d values in %s", len(edits), edits[0].Path)
	}
	return cut(subject, maxSubject) + "\n\n" + list(edits)
}

func list(edits []edit.Edit) string {
	var lines []string
	for _, e := range edits[:min(len(edits), maxListed)] {
		lines = append(lines, "- "+tell(e))
	}
	if more := len(edits) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("- and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// tell is an edit in words: FILE WHAT OLD -> NEW.
func tell(e edit.Edit) string {
	words := e.Path
	if e.What != "" {
		words += " " + e.What
	}
	return words + " " + value(e.Old) + " -> " + value(e.New)
}

func value(s string) string {
	if s == "" {
		return `""`
	}
	return oneLine(s, maxValue)
}

// firingsOf reads the firings out of a commit's message: its last paragraph.
func firingsOf(message string) []string {
	message = strings.TrimSpace(message)
	if at := strings.LastIndex(message, "\n\n"); at >= 0 {
		message = message[at+2:]
	}
	var all []string
	for line := range strings.SplitSeq(message, "\n") {
		if id, ok := strings.CutPrefix(line, trailerFiring); ok {
			all = append(all, strings.TrimSpace(id))
		}
	}
	return all
}

// subjectOf is a message without what was added to it.
func subjectOf(message string) (subject, rest string) {
	message = strings.TrimSpace(message)
	if at := strings.LastIndex(message, "\n\n"); at >= 0 && strings.HasPrefix(message[at+2:], trailerFiring) {
		message = message[:at]
	}
	subject, rest, _ = strings.Cut(message, "\n")
	return strings.TrimSpace(subject), strings.TrimSpace(rest)
}
