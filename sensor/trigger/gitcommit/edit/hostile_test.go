package edit

import (
	"fmt"
	"strings"
	"testing"
)

// Whoever may write a file must not be able to keep the editor busy: each of these
// takes far less than a second, and took hours when something was looked for again
// for each value.
func TestHostileShapes(t *testing.T) {
	r := strings.Repeat
	const size, less = 1 << 19, 1 << 15
	for name, tc := range map[string]struct {
		text  string
		edits int
	}{
		"all on one line":          {"[" + r("{image: nginx:1},", size/17) + "]", size / 17},
		"letters of several bytes": {"[" + r("{ü: ü, image: nginx:1},", less/8) + "]", less / 8},
		"a list after a gap":       {"-" + r("\n", size/2) + " image: nginx:1\n" + r("- b\n", size/8), 1},
		"blanks inside a value":    {"image: nginx:1" + r(" ", size) + "x\n", 1},
		"values below a long key":  {"? " + r("k", size/2) + "\n: [{image: nginx:1}," + r("a,", less) + "]\n", 1},
		"values below many keys":   {"x: " + r("[", 5000) + r("a,", less) + "{image: nginx:1}" + r("]", 5000), 1},
		"deep lists":               {r("- ", 5000) + "image: nginx:1", 1},
		"aliases":                  {"x: {image: &a nginx:1}\n" + r("y: {image: *a}\n", less/8), 1},
	} {
		t.Run(name, func(t *testing.T) {
			files := folder{"f.yaml": tc.text}
			edits, err := apply(t, `image: {files: [f.yaml], name: nginx, tag: "2"}`, files)
			if err != nil || len(edits) != tc.edits {
				t.Fatalf("%d edits, want %d; %v", len(edits), tc.edits, err)
			}
			if want := strings.Count(tc.text, "nginx:1"); strings.Count(files["f.yaml"], "nginx:2") != want {
				t.Error("not all are changed")
			}
			if last := edits[len(edits)-1]; len(last.What) > 2*longestShown {
				t.Errorf("the place of the value is told in %d bytes", len(last.What))
			}
		})
	}
}

func TestTooMuch(t *testing.T) {
	r := strings.Repeat
	for name, tc := range map[string]struct{ change, path, text, want string }{
		"YAML values":     {`image: {files: [f], name: nginx, tag: "2"}`, "f", "image: nginx:1\nx: [" + r("a,", mostMarks) + "]", "too many values"},
		"YAML directives": {`image: {files: [f], name: nginx, tag: "2"}`, "f", r("%TAG ! a\n", mostDirectives+1) + "---\nimage: nginx:1\n", "too many %TAG"},
		"JSON values":     {`json: {files: [f], path: a, value: x}`, "f", `{"a": "", "b": [` + r("1,", mostNodes) + "1]}", "too many values"},
		"JSON depth":      {`json: {files: [f], path: a, value: x}`, "f", `{"a": "", "b": ` + r("[", deepest+1) + r("]", deepest+1) + "}", "nested too deep"},
	} {
		t.Run(name, func(t *testing.T) {
			files := folder{tc.path: tc.text}
			if _, err := apply(t, tc.change, files); err == nil || !strings.Contains(err.Error(), tc.want) || len(err.Error()) > 500 {
				t.Errorf("got %v, want %s", fmt.Sprintf("%.600v", err), tc.want)
			}
		})
	}
}
