package exec

import (
	"bytes"
	"fmt"
	"strings"
)

// output keeps the beginning and the end of what a program writes, and hides secrets in
// it. What is held back is at most one byte less than the longest secret.
type output struct {
	half    int
	secrets [][]byte
	longest int
	// pending may be the beginning of a secret.
	pending []byte
	head    []byte
	tail    []byte // a ring once it is full
	at      int    // where in tail the next byte goes
	dropped int64
}

func newOutput(most int64, secrets []string) *output {
	o := &output{half: max(1, int(most/2))}
	for _, s := range secrets {
		o.secrets = append(o.secrets, []byte(s))
		o.longest = max(o.longest, len(s))
	}
	return o
}

// Write implements io.Writer. It never fails.
func (o *output) Write(p []byte) (int, error) {
	o.pending = append(o.pending, p...)
	o.mask(false)
	return len(p), nil
}

// mask passes on what is pending. At the end there is nothing more to come that
// could make a secret of it.
func (o *output) mask(end bool) {
	b := o.pending
	start := 0
	for i := 0; i < len(b); {
		n, perhaps := o.secretAt(b[i:])
		switch {
		case perhaps && !end:
			o.keep(b[start:i])
			o.pending = append(o.pending[:0], b[i:]...)
			return
		case n > 0:
			o.keep(b[start:i])
			o.keep([]byte(masked))
			i += n
			start = i
		default:
			i++
		}
	}
	o.keep(b[start:])
	o.pending = o.pending[:0]
}

// secretAt is the length of the longest secret that b begins with; perhaps says that
// a longer one may follow once there is more.
func (o *output) secretAt(b []byte) (n int, perhaps bool) {
	for _, s := range o.secrets {
		switch {
		case s[0] != b[0]:
		case bytes.HasPrefix(b, s):
			n = max(n, len(s))
		case len(b) < len(s) && bytes.HasPrefix(s, b):
			perhaps = true
		}
	}
	return n, perhaps
}

func (o *output) keep(b []byte) {
	if room := o.half - len(o.head); room > 0 {
		n := min(room, len(b))
		o.head = append(o.head, b[:n]...)
		b = b[n:]
	}
	if over := len(b) - o.half; over > 0 {
		o.dropped += int64(over)
		b = b[over:]
	}
	if room := o.half - len(o.tail); room > 0 {
		n := min(room, len(b))
		o.tail = append(o.tail, b[:n]...)
		b = b[n:]
	}
	o.dropped += int64(len(b))
	for len(b) > 0 {
		n := copy(o.tail[o.at:], b)
		o.at = (o.at + n) % o.half
		b = b[n:]
	}
}

// end tells that nothing more comes. The text says where something is missing.
func (o *output) end() (text string, cut bool) {
	o.mask(true)
	var b strings.Builder
	b.Write(o.head)
	if o.dropped > 0 {
		fmt.Fprintf(&b, "\n... %d bytes are left out ...\n", o.dropped)
	}
	b.Write(o.tail[o.at:])
	b.Write(o.tail[:o.at])
	return strings.ToValidUTF8(b.String(), "?"), o.dropped > 0
}

const (
	quotedLines = 3
	quotedBytes = 300
)

// lastLines makes one line of the end of a text.
func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	s = strings.Join(strings.Fields(strings.Join(lines[max(0, len(lines)-quotedLines):], " ")), " ")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, s)
	if len(s) > quotedBytes {
		s = "..." + strings.ToValidUTF8(s[len(s)-quotedBytes:], "")
	}
	return s
}
