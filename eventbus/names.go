package eventbus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Lengths that the server or its file system bound.
const (
	maxName      = 200
	maxMessageID = 256
)

const lowerHex = "0123456789abcdef"

// escape turns any text into one token that is valid in a subject, in the name
// of a stream and of a consumer: letters, digits and '-' stay, every other byte
// becomes '_' and two hexadecimal digits, and the empty text becomes '_'.
// Escaped texts are different if the texts are. They never hold "__".
func escape(s string) string {
	if s == "" {
		return "_"
	}
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		c := s[i]
		if plain(c) {
			b = append(b, c)
			continue
		}
		b = append(b, '_', lowerHex[c>>4], lowerHex[c&15])
	}
	return string(b)
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

// unescape is the inverse of escape.
func unescape(s string) (string, error) {
	if s == "_" {
		return "", nil
	}
	if strings.IndexByte(s, '_') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '_' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends within an escape", s)
		}
		hi, lo := strings.IndexByte(lowerHex, s[i+1]), strings.IndexByte(lowerHex, s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("%q holds a bad escape", s)
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}

// bounded cuts a name that is too long and makes it unique again with a hash.
func bounded(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxName-33] + "-" + hex.EncodeToString(sum[:16])
}

// names are the subjects and streams of one bus.
type names struct {
	bus string // escaped namespace, a dot, escaped name

	events, dead, state string // streams
	bucket              string // the state stream's name without KV_
}

func namesOf(namespace, name string) names {
	ns, n := escape(namespace), escape(name)
	joined := bounded(ns + joint(ns, n) + n)
	return names{
		bus:    ns + "." + n,
		events: "EVENTS_" + joined,
		dead:   "DEAD_" + joined,
		state:  "KV_STATE_" + joined,
		bucket: "STATE_" + joined,
	}
}

// joint between two escaped names: '_' if neither holds one, otherwise "__",
// which no escaped name holds.
func joint(a, b string) string {
	if strings.IndexByte(a, '_') < 0 && strings.IndexByte(b, '_') < 0 {
		return "_"
	}
	return "__"
}

func (n names) event(a Address) string {
	return "events." + n.bus + "." + escape(a.Source) + "." + escape(a.Event)
}

func (n names) redrive(sensor, trigger string) string {
	return "redrive." + n.bus + "." + escape(sensor) + "." + escape(trigger)
}

func (n names) consumer(sensor, trigger string) string {
	s, t := escape(sensor), escape(trigger)
	return bounded(s + joint(s, t) + t)
}

// address reads the address from the subject of an event.
func (n names) address(subject string) (Address, error) {
	rest, ok := strings.CutPrefix(subject, "events."+n.bus+".")
	source, event, two := strings.Cut(rest, ".")
	if !ok || !two {
		return Address{}, fmt.Errorf("subject %q is not of this bus's events", subject)
	}
	var a Address
	var err error
	if a.Source, err = unescape(source); err != nil {
		return Address{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	if a.Event, err = unescape(event); err != nil {
		return Address{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	return a, nil
}

// messageID joins an address and an id so that no two of them are alike. An id
// that a header cannot hold as it is follows a colon, which no token holds.
func messageID(a Address, id string) string {
	sep := "."
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			sep, id = ":", escape(id)
			break
		}
	}
	joined := escape(a.Source) + "." + escape(a.Event) + sep + id
	if len(joined) <= maxMessageID {
		return joined
	}
	sum := sha256.Sum256([]byte(joined))
	return "sha256." + hex.EncodeToString(sum[:])
}

// key turns a state key into a subject: each level between slashes is a token.
func (n names) key(key string) string {
	b := strings.Builder{}
	b.WriteString("$KV.")
	b.WriteString(n.bucket)
	for level := range strings.SplitSeq(key, "/") {
		b.WriteByte('.')
		b.WriteString(escape(level))
	}
	return b.String()
}

func (n names) keyOf(subject string) (string, error) {
	rest, ok := strings.CutPrefix(subject, "$KV."+n.bucket+".")
	if !ok {
		return "", fmt.Errorf("subject %q is not of this bus's state", subject)
	}
	levels := strings.Split(rest, ".")
	for i, level := range levels {
		var err error
		if levels[i], err = unescape(level); err != nil {
			return "", fmt.Errorf("subject %q: %w", subject, err)
		}
	}
	return strings.Join(levels, "/"), nil
}
