package k8s

import (
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestMerge(t *testing.T) {
	for name, tc := range map[string]struct{ old, from, want string }{
		"deep":      {`{a: {b: 1, c: 2}, d: 3}`, `{a: {b: 4}, e: 5}`, `{"a":{"b":4,"c":2},"d":3,"e":5}`},
		"lists":     {`{a: [1, 2, 3]}`, `{a: [4]}`, `{"a":[4]}`},
		"empty":     {`{a: b, c: [1], d: {e: f}, g: 1, h: true}`, `{a: "", c: [], d: {}, g: 0, h: false}`, `{"a":"","c":[],"d":{"e":"f"},"g":0,"h":false}`},
		"null":      {`{a: {b: 1}}`, `{a: null}`, `{"a":null}`},
		"new type":  {`{a: {b: 1}, c: 2}`, `{a: 1, c: {d: 3}}`, `{"a":1,"c":{"d":3}}`},
		"big whole": {`{a: 1}`, `{a: 9007199254740993}`, `{"a":9007199254740993}`},
	} {
		t.Run(name, func(t *testing.T) {
			object := func(text string) map[string]any {
				raw, err := toJSON([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				o, err := decode(raw)
				if err != nil {
					t.Fatal(err)
				}
				return o.Object
			}
			old := object(tc.old)
			merge(old, object(tc.from))
			if got, err := encode(old); err != nil || string(got) != tc.want {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func TestAsLabel(t *testing.T) {
	for in, want := range map[string]string{"a.b_C-1": "a.b_C-1", "": "", "a b": "a-b", "_x_": "x", "é": "", "a/b": "a-b"} {
		if got := asLabel(in); got != want || len(validation.IsValidLabelValue(got)) > 0 {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzDecode reads what may come from anywhere. Whatever it is, it is refused,
// or it can be looked at, marked and written.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "---", "a: 1\n---\nb: 2", "[1]", "null", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"a":"b"}}}`,
		"metadata: 5", "metadata: {labels: [1]}", "metadata: {annotations: {a: 1}}", "apiVersion: 1", "metadata: {name: {}}",
		"a: &a [x]\nb: *a", "{a: 1e400}", "{a: .nan}", "metadata: null", "metadata: {labels: null}", "{<<: {a: b}}", "? [a]\n: b", "\xff",
	} {
		f.Add([]byte(seed), "é /", "0123456789abcdef")
	}
	f.Fuzz(func(t *testing.T, text []byte, name, id string) {
		if got := asLabel(name); len(validation.IsValidLabelValue(got)) > 0 {
			t.Errorf("%q is no label", got)
		}
		raw, err := toJSON(text)
		if err != nil {
			return
		}
		o, err := decode(raw)
		if err != nil {
			return
		}
		for _, op := range operations {
			missing(o, op, strategies[2], false)
		}
		if len(generated(o.GetGenerateName(), id)) > validation.DNS1123LabelMaxLength && len(id) < 63 {
			t.Error("the name is too long")
		}
		setLabel(o, labelSensor, asLabel(name))
		setFiring(o, "id")
		if o.GetLabels()[labelSensor] != asLabel(name) || o.GetAnnotations()[annotationFiring] != "id" {
			t.Errorf("the marks are not on %v", o)
		}
		copied := o.DeepCopy()
		merge(copied.Object, o.DeepCopy().Object)
		if _, err := encode(masked(copied)); err != nil && utf8.Valid(text) {
			t.Error(err)
		}
	})
}
