package condition_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/condition"
)

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		names     []string
		text, out string
		and       bool
	}{
		"one name":                        {[]string{"dep-1", "dep2", "a_b"}, "dep-1", "dep-1", false},
		"checked vector":                  {[]string{"dep-1", "dep2", "a_b"}, "(dep-1 || dep2) && a_b", "(dep-1 || dep2) && a_b", true},
		"dash finds underscore":           {[]string{"dep-1", "dep2", "a_b"}, "a-b", "a_b", false},
		"underscore finds dash":           {[]string{"a-b"}, "a_b", "a-b", false},
		"exact wins over underscore":      {[]string{"a_b", "a-b"}, "a-b||a_b", "a-b || a_b", false},
		"and binds tighter":               {[]string{"a", "b", "c"}, "a || b && c", "a || b && c", true},
		"needless parentheses":            {[]string{"a", "b", "c"}, "((a)) || ((b || (c)))", "a || b || c", false},
		"no spaces":                       {[]string{"a", "b", "c"}, "a&&(b||c)", "a && (b || c)", true},
		"other white space":               {[]string{"a", "b"}, "\ta\n&&\r\nb ", "a && b", true},
		"name with dots":                  {[]string{"a.b", "a"}, "a.b && a", "a.b && a", true},
		"name starts with a digit":        {[]string{"1st", "2"}, "1st || 2", "1st || 2", false},
		"name with a space":               {[]string{"my dep", "my"}, "my dep && my", "my dep && my", true},
		"name with an operator":           {[]string{"r&d", "x"}, "r&d && x", "r&d && x", true},
		"name with parentheses":           {[]string{"a(1)", "a"}, "(a(1) || a)", "a(1) || a", false},
		"name beyond ASCII":               {[]string{"größe", "größe-2"}, "größe-2 && größe", "größe-2 && größe", true},
		"name that begins as another":     {[]string{"dep", "dep-1"}, "dep-1 && dep", "dep-1 && dep", true},
		"name called and":                 {[]string{"and", "or"}, "and && or", "and && or", true},
		"name with a negation sign":       {[]string{"!x"}, "!x", "!x", false},
		"blank means all":                 {[]string{"a", "b.c", "3"}, " \n", "a && b.c && 3", true},
		"blank over one name is no join":  {[]string{"a"}, "", "a", false},
		"same name twice is still a join": {[]string{"a"}, "a && a", "a && a", true},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := condition.Parse(tc.text, tc.names)
			if err != nil {
				t.Fatal(err)
			}
			if e.String() != tc.out || e.HasAnd() != tc.and {
				t.Errorf("got %q, join %v, want %q, join %v", e, e.HasAnd(), tc.out, tc.and)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	names := []string{"dep-1", "dep2", "a_b"}
	for name, tc := range map[string]struct{ text, err string }{
		"word and":           {"dep-1 and dep2", `column 7: && or || expected, found "and" (write && for and)`},
		"word or":            {"(dep-1 or dep2)", `column 8: &&, || or ) expected, found "or" (write || for or)`},
		"negation":           {"!dep2", `column 1: a dependency name or ( expected, found "!dep2" (there is no negation)`},
		"unknown name":       {"dep-9", `column 1: unknown dependency "dep-9" (did you mean "dep-1"?)`},
		"all unknown names":  {"depp2 && (a_b || zzzzzz)", "column 1: unknown dependency \"depp2\" (did you mean \"dep2\"?)\ncolumn 18: unknown dependency \"zzzzzz\""},
		"begins like a name": {"a_b && dep2x", `column 8: unknown dependency "dep2x" (did you mean "dep2"?)`},
		"ends early":         {"dep-1 &&", "column 9: ends where a dependency name or ( is expected"},
		"one ampersand":      {"dep-1 & dep2", `column 7: && or || expected, found "&" (write && for and)`},
		"one bar":            {"dep-1 | dep2", `column 7: && or || expected, found "|" (write || for or)`},
		"three ampersands":   {"dep-1 &&& dep2", `column 9: a dependency name or ( expected, found "&" (write && for and)`},
		"never closed":       {"dep-1 && (dep2", "column 10: this ( is never closed"},
		"closed too often":   {"dep-1)", `column 6: && or || expected, found ")"`},
		"empty parentheses":  {"()", `column 2: a dependency name or ( expected, found ")"`},
		"operator first":     {"|| dep2", `column 1: a dependency name or ( expected, found "|" (write || for or)`},
		"two names":          {"dep-1 dep2", `column 7: && or || expected, found "dep2"`},
		"columns are runes":  {"größe && dep-9 x", "column 1: unknown dependency \"größe\"\ncolumn 10: unknown dependency \"dep-9\" (did you mean \"dep-1\"?)\ncolumn 16: && or || expected, found \"x\""},
		"too deep":           {strings.Repeat("(", 100000), "column 201: more than 200 parentheses in one another"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := condition.Parse(tc.text, names); err == nil || err.Error() != tc.err {
				t.Errorf("got  %v\nwant %s", err, tc.err)
			}
		})
	}
	t.Run("two names that differ in dashes only", func(t *testing.T) {
		_, err := condition.Parse("a-b_c", []string{"a_b_c", "a-b-c"})
		if want := `column 1: "a-b_c" can mean any of ["a-b-c" "a_b_c"] (write one of them)`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestEval(t *testing.T) {
	names := []string{"a", "b", "c"}
	for text, met := range map[string]string{ // the sets that meet it
		"":            "abc",
		"a":           "a ab ac abc",
		"a && b":      "ab abc",
		"a || b && c": "a ab ac bc abc",
		"(a||b) && c": "ac bc abc",
	} {
		e, err := condition.Parse(text, names)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range []string{"", "a", "b", "c", "ab", "ac", "bc", "abc"} {
			got := e.Eval(func(n string) bool { return strings.Contains(set, n) })
			if want := set != "" && slices.Contains(strings.Fields(met), set); got != want {
				t.Errorf("%q with {%s} is %v", text, set, got)
			}
		}
	}
	if condition.Default(nil).Eval(func(string) bool { return true }) {
		t.Error("a condition over nothing is met")
	}
}

func TestNames(t *testing.T) {
	e, err := condition.Parse("b && (a-x || b) && c", []string{"a_x", "b", "c", "d"})
	if err != nil {
		t.Fatal(err)
	}
	got := e.Names()
	if !slices.Equal(got, []string{"b", "a_x", "c"}) {
		t.Errorf("got %q", got)
	}
	got[0] = "changed"
	if e.Names()[0] != "b" {
		t.Error("the caller can change the expression")
	}
}

// FuzzParse checks that what parses is written in a form that means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a && b", "(a||b)&&c.d", "a-b", "1 || ((", "x y && a", "!a", "a b"} {
		f.Add(s)
	}
	names := []string{"a", "b", "c.d", "1", "a_b", "x y", "x"}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := condition.Parse(text, names)
		if err != nil {
			return
		}
		again, err := condition.Parse(e.String(), names)
		if err != nil || again.String() != e.String() || again.HasAnd() != e.HasAnd() {
			t.Fatalf("%q gave %q, which gave %v, %v", text, e, again, err)
		}
		for set := range 1 << len(names) {
			has := func(n string) bool { return set&(1<<slices.Index(names, n)) != 0 }
			if e.Eval(has) != again.Eval(has) {
				t.Fatalf("%q and %q differ for set %b", text, e, set)
			}
		}
	})
}
