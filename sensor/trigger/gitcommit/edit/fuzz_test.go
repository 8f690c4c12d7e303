package edit

import (
	"bytes"
	"errors"
	"math/rand"
	"slices"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// FuzzSplice sets every scalar of a file in turn, and each time takes the result
// apart by itself: it has to parse, to have the value at that place and the old
// ones elsewhere, and to have all bytes before and behind the value as they were.
func FuzzSplice(f *testing.F) {
	for _, s := range []string{
		deployment, "a: &v x\nb: *v\n", "a: |+\n  b\n\n\nc: >2\n    d\n e: 1\n", "\ufeffa: {b: [c, 'd', \"e\"], f: }\r\n---\r\n- \r\n- x # y\r\n",
		"? a\n: b\n", "a: one\n two\n\n three\n", "- - |\n  x\n - y\n", "a: !!str 1\nb: !x y\n", "a:\u2028  b: c\n", "%YAML 1.1\n---\na: b\n...\n", "\"a\":b\n", "{a: 1, 'b':2, \"c\":3,}",
	} {
		f.Add([]byte(s), "1.10")
		f.Add([]byte(s), "a: b #\n c")
		f.Add([]byte(s), "")
	}
	f.Fuzz(splicesAll)
}

// TestMutations is the same with texts that are nearly YAML.
func TestMutations(t *testing.T) {
	const marks = " \n:-#|>'\"{}[],&*!?%\ta"
	r := rand.New(rand.NewSource(1))
	seeds := []string{
		deployment[:400], "a: &v x\nb: *v\n", "a: |+\n  b\n\n\nc: >2\n    d\n e: 1\n", "a: one\n  two\n\n  'three'\nb: 1\n",
		"\ufeffa: {b: [c, 'd', \"e\"], f: }\r\n---\r\n- \r\n- x # y\r\n", "- - |\n  x\n - y\n", "a: !!str 1\nb: !x y\n",
	}
	for range 1500 {
		data := []byte(seeds[r.Intn(len(seeds))])
		for range r.Intn(6) {
			i := r.Intn(len(data))
			mark := marks[r.Intn(len(marks))]
			switch r.Intn(3) {
			case 0:
				data[i] = mark
			case 1:
				data = slices.Insert(data, i, mark)
			default:
				data = slices.Delete(data, i, min(i+r.Intn(4), len(data)-1))
			}
		}
		splicesAll(t, data, []string{"1.10", "a: b #\n c", "", "x y"}[r.Intn(4)])
	}
}

func splicesAll(t *testing.T, data []byte, text string) {
	if len(data) > 4096 {
		return
	}
	s, err := parse("f", data)
	if err != nil {
		return
	}
	for i, doc := range s.docs {
		for j, p := range scalars(s, place{node: doc.Content[0], indent: -1}) {
			after, changed, err := s.set(p, text1(text))
			if err != nil || !changed {
				continue
			}
			docs, err := decode(after.data)
			if err != nil || len(docs) != len(s.docs) {
				t.Fatalf("%q: %v", after.data, err)
			}
			was, is := values(doc.Content[0]), values(docs[i].Content[0])
			if len(was) != len(is) {
				t.Fatalf("%q became %q", data, after.data)
			}
			for k := range was {
				switch {
				case k == j && (is[k].Value != text || is[k].ShortTag() != "!!str"):
					t.Fatalf("%q became %q: value %d is %q, not %q", data, after.data, k, is[k].Value, text)
				case k != j && (is[k].Value != was[k].Value || is[k].ShortTag() != was[k].ShortTag()):
					t.Fatalf("%q became %q: value %d, not %d, has changed", data, after.data, k, j)
				}
			}
			sp, err := s.splice(p, text1(text))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(after.data, data[:sp.start]) || !bytes.HasSuffix(after.data, data[sp.end:]) {
				t.Fatalf("%q became %q: more than %d to %d", data, after.data, sp.start, sp.end)
			}
		}
	}
}

// scalars are the places of all scalars, in the order of values.
func scalars(s *source, p place) (all []place) {
	if p.node.Kind == yaml.ScalarNode {
		return []place{p}
	}
	for _, kid := range p.node.Content {
		all = append(all, scalars(s, s.inside(p, kid))...)
	}
	return all
}

func values(n *yaml.Node) (all []*yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		return []*yaml.Node{n}
	}
	for _, kid := range n.Content {
		all = append(all, values(kid)...)
	}
	return all
}

// FuzzAdd adds a path to whatever there is: change has checked that nothing else
// is different, so this looks for panics, and that the value is there then.
func FuzzAdd(f *testing.F) {
	for _, s := range []string{deployment, "a: {b: [c]}\n", "a:\n- name: b\n  c: |\n    d\n", "[]", "a: # x\n", "a: null", "\ufeff{\r\n}", "- - a\n", "{a: 1, # c\n}\n"} {
		for _, p := range []string{"a", "a.b.c", "a[name=b].x", "[0]", "a[1].b", `["x.y"]`} {
			f.Add([]byte(s), p)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		path, err := parsePath(text)
		if err != nil || len(data) > 4096 || len(path) > 20 {
			return
		}
		s, err := parse("f", data)
		if err != nil {
			return
		}
		after, edits, err := s.setPath(nil, path, always("w x"), true)
		if err != nil || len(edits) == 0 {
			return
		}
		if joined(path) != edits[0].What {
			t.Fatal(edits)
		}
		again, err := parse("f", after.data)
		if err != nil {
			t.Fatalf("%q became %q: %v", data, after.data, err)
		}
		if _, more, err := again.setPath(nil, path, always("w x"), false); err != nil && !errors.Is(err, errMissing) || len(more) > 0 {
			t.Fatalf("%q became %q: %v, %v", data, after.data, more, err)
		}
	})
}
