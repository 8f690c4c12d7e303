package filter

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/template"
)

// The types of a data filter, and its comparators with what the empty one means.
var (
	dataTypes   = []string{"string", "number", "bool"}
	comparators = []string{"=", "!=", ">", ">=", "<", "<="}
)

// data compiles one item of filters.data.
func (c *compiler) data(path string, d v1alpha1.DataFilter) clause {
	before := len(c.problems)
	if d.Path == "" {
		c.add(v1alpha1.Invalid(path+".path", "is missing").Hinted("name a value of the event's data, such as body.action"))
	}
	comparator := c.comparator(path, d)
	compare := c.values(path, d, comparator)
	tmpl := c.dataTemplate(path+".template", d.Template)
	want := dataWant(d, comparator)
	if c.failed(before) {
		return clause{path: path, want: want}
	}
	return clause{path: path, want: want, eval: func(_ context.Context, in *input) result {
		if err := in.valid(); err != nil {
			return failed("", err)
		}
		v := gjson.GetBytes(in.data, d.Path)
		if !v.Exists() {
			return failed("", missing(d.Path))
		}
		got := v.Raw
		if tmpl != nil {
			out, err := tmpl.Execute(v.String())
			if err != nil {
				return failed(got, err)
			}
			if out == "" || out == template.NoValue {
				return failed(got, errors.New("the template yields no text"))
			}
			v, got = gjson.Result{Type: gjson.String, Str: out}, strconv.Quote(out)
		}
		return passIf(compare(v), got)
	}}
}

func missing(path string) error { return fmt.Errorf("the event has no value at %s", path) }

// comparator is the one that applies.
func (c *compiler) comparator(path string, d v1alpha1.DataFilter) string {
	path += ".comparator"
	switch d.Comparator {
	case "":
		return "="
	case "=", "!=":
		return d.Comparator
	case ">", ">=", "<", "<=":
		switch d.Type {
		case "string":
			c.add(v1alpha1.Warn(path, "%s never matches a string", d.Comparator).Hinted("use type: number, or exprs"))
		case "bool":
			c.add(v1alpha1.Warn(path, "%s means nothing for a bool and is read as =", d.Comparator).Hinted("use = or !="))
			return "="
		}
		return d.Comparator
	default:
		c.add(v1alpha1.Invalid(path, "unknown comparator %q", d.Comparator).Hinted("use one of %s", strings.Join(comparators, " ")))
		return d.Comparator
	}
}

// values prepares the comparison with d.Value.
func (c *compiler) values(path string, d v1alpha1.DataFilter, comparator string) func(gjson.Result) bool {
	if len(d.Value) == 0 {
		c.add(v1alpha1.Invalid(path+".value", "is missing").Hinted("list at least one value"))
	}
	for i, v := range d.Value {
		if v == "" {
			c.add(v1alpha1.Invalid(path+".value"+v1alpha1.Index(i), "is empty").Hinted("for the empty text use type: string and ^$"))
		}
	}
	at := func(i int) string { return path + ".value" + v1alpha1.Index(i) }
	switch d.Type {
	case "string":
		return c.texts(at, d.Value, comparator)
	case "number":
		return c.numbers(at, d.Value, comparator)
	case "bool":
		return c.bools(at, d.Value, comparator)
	case "":
		c.add(v1alpha1.Invalid(path+".type", "is missing").Hinted("use one of %s", strings.Join(dataTypes, ", ")))
	default:
		p := v1alpha1.Invalid(path+".type", "unknown type %q", d.Type).Hinted("use one of %s", strings.Join(dataTypes, ", "))
		if near := kind.Nearest(d.Type, dataTypes); near != "" {
			p = p.Hinted("did you mean %q?", near)
		}
		c.add(p)
	}
	return nil
}

func (c *compiler) texts(at func(int) string, values []string, comparator string) func(gjson.Result) bool {
	res := make([]*regexp.Regexp, len(values))
	for i, v := range values {
		re, err := regexp.Compile(v)
		if err != nil {
			c.add(v1alpha1.Invalid(at(i), "no regular expression: %v", err).Hinted(`put a backslash before . * + ? ( ) [ ] { } | ^ $ to mean the character`))
		}
		res[i] = re
	}
	matches := func(v gjson.Result) bool {
		text := v.String()
		for _, re := range res {
			if re.MatchString(text) {
				return true
			}
		}
		return false
	}
	switch comparator {
	case "=":
		return matches
	case "!=":
		return func(v gjson.Result) bool { return !matches(v) }
	default:
		return func(gjson.Result) bool { return false }
	}
}

func (c *compiler) numbers(at func(int) string, values []string, comparator string) func(gjson.Result) bool {
	numbers := make([]float64, len(values))
	for i, v := range values {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil && v != "" {
			c.add(v1alpha1.Invalid(at(i), "%q is no number", v).Hinted("write a decimal number such as 50 or 3.14"))
		}
		numbers[i] = n
	}
	anyOf := func(is func(event, want float64) bool) func(gjson.Result) bool {
		return func(v gjson.Result) bool {
			n := v.Float()
			for _, want := range numbers {
				if is(n, want) {
					return true
				}
			}
			return false
		}
	}
	equals := func(a, b float64) bool { return a == b }
	switch comparator {
	case "!=":
		same := anyOf(equals)
		return func(v gjson.Result) bool { return !same(v) }
	case ">":
		return anyOf(func(a, b float64) bool { return a > b })
	case ">=":
		return anyOf(func(a, b float64) bool { return a >= b })
	case "<":
		return anyOf(func(a, b float64) bool { return a < b })
	case "<=":
		return anyOf(func(a, b float64) bool { return a <= b })
	default:
		return anyOf(equals)
	}
}

func (c *compiler) bools(at func(int) string, values []string, comparator string) func(gjson.Result) bool {
	wanted := map[bool]bool{}
	for i, v := range values {
		b, err := strconv.ParseBool(v)
		if err != nil && v != "" {
			c.add(v1alpha1.Invalid(at(i), "%q is neither true nor false", v).Hinted(`write "true" or "false"`))
		}
		wanted[b] = true
	}
	yes, no := wanted[true], wanted[false]
	if comparator == "!=" {
		yes, no = !yes, !no
	}
	return func(v gjson.Result) bool {
		if v.Bool() {
			return yes
		}
		return no
	}
}

func (c *compiler) dataTemplate(path, text string) *template.Template {
	if text == "" {
		return nil
	}
	t, err := template.Compile("template", text)
	if err != nil {
		c.add(v1alpha1.Invalid(path, "%v", err).Hinted(`.Input is the text at path, such as {{ .Input | upper }}`))
	}
	return t
}

// dataWant says in words what the item asks for.
func dataWant(d v1alpha1.DataFilter, comparator string) string {
	values := make([]string, len(d.Value))
	for i, v := range d.Value {
		values[i] = v
		if d.Type == "string" {
			values[i] = strconv.Quote(v)
		}
	}
	what := d.Path
	if d.Template != "" {
		what = fmt.Sprintf("%s (of %s)", d.Template, d.Path)
	}
	if comparator == "!=" {
		return fmt.Sprintf("%s != %s", what, strings.Join(values, " and "))
	}
	return fmt.Sprintf("%s %s %s", what, comparator, strings.Join(values, " or "))
}
