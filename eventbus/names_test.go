package eventbus

import (
	"strings"
	"testing"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a", "a.b", "a_b", "_", "__", "*", ">", "ü ", "a_2e"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ea, eb := escape(a), escape(b)
		if ea == "" || strings.ContainsAny(ea, ". *>/\\\t\r\n\x00") || strings.Contains(ea, "__") {
			t.Fatalf("escape(%q) = %q", a, ea)
		}
		if back, err := unescape(ea); err != nil || back != a {
			t.Fatalf("unescape(escape(%q)) = %q, %v", a, back, err)
		}
		if (a == b) != (ea == eb) {
			t.Fatalf("%q and %q are escaped to %q and %q", a, b, ea, eb)
		}
		_, _ = unescape(a) // takes anything
	})
}

func FuzzNamesAreDistinct(f *testing.F) {
	f.Add("a", "b_c", "a_b", "c")
	f.Add("", "_", "_", "")
	f.Add("a?", "b", "a", "3fb")
	f.Add("a.b", "c", "a", "b.c")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		same := a == c && b == d
		if (namesOf(a, b) == namesOf(c, d)) != same {
			t.Fatalf("buses %q/%q and %q/%q: %q, %q", a, b, c, d, namesOf(a, b).events, namesOf(c, d).events)
		}
		if (namesOf(a, b).events == namesOf(c, d).events) != same {
			t.Fatalf("buses %q/%q and %q/%q share %q", a, b, c, d, namesOf(a, b).events)
		}
		n := namesOf("ns", "bus")
		if (n.consumer(a, b) == n.consumer(c, d)) != same {
			t.Fatalf("consumers of %q/%q and %q/%q share %q", a, b, c, d, n.consumer(a, b))
		}
		x, y := Address{a, "e"}, Address{c, "e"}
		if (messageID(x, b) == messageID(y, d)) != same {
			t.Fatalf("ids %q/%q and %q/%q share %q", a, b, c, d, messageID(x, b))
		}
		if len(n.consumer(a, b)) > maxName || len(messageID(x, b)) > maxMessageID {
			t.Fatalf("names of %q/%q are too long", a, b)
		}
	})
}

func TestSubjectsComeBack(t *testing.T) {
	n := namesOf("my.ns", "default")
	for _, a := range []Address{{"webhook", "example"}, {"a.b", "*"}, {"", ""}, {"größe", "x y"}} {
		if got, err := n.address(n.event(a)); err != nil || got != a {
			t.Errorf("%+v came back as %+v, %v", a, got, err)
		}
	}
	for _, subject := range []string{"", "events.x.y.a.b", "events." + n.bus + ".a", "events." + n.bus + ".a._zz", "events." + n.bus + ".a._2"} {
		if a, err := n.address(subject); err == nil {
			t.Errorf("subject %q is read as %+v", subject, a)
		}
	}
	for _, key := range []string{"a/b/c", "a//b", "/a", "a.b/ü"} {
		if got, err := n.keyOf(n.key(key)); err != nil || got != key {
			t.Errorf("key %q came back as %q, %v", key, got, err)
		}
	}
}
