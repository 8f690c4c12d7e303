package filter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/casbin/govaluate"
	"github.com/tidwall/gjson"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// maxExpr is the longest expression, in bytes; the parser calls itself for
// every level of parentheses.
const maxExpr = 16 << 10

// expr compiles one item of filters.exprs.
func (c *compiler) expr(path string, e v1alpha1.ExprFilter) clause {
	before := len(c.problems)
	names, paths := c.fields(path+".fields", e.Fields)
	parsed := c.parseExpr(path, e.Expr, names)
	want := e.Expr
	if c.failed(before) {
		return clause{path: path, want: want}
	}
	return clause{path: path, want: want, eval: func(_ context.Context, in *input) result {
		if err := in.valid(); err != nil {
			return failed("", err)
		}
		b := bindings{names: names, values: make([]any, len(names))}
		var got strings.Builder
		for i, p := range paths {
			v := gjson.GetBytes(in.data, p)
			if !v.Exists() {
				return failed(got.String(), missing(p))
			}
			b.values[i] = v.Value()
			if i > 0 {
				got.WriteString(", ")
			}
			got.WriteString(names[i])
			got.WriteByte('=')
			got.WriteString(verdict.Shorten(v.Raw))
		}
		answer, err := parsed.Eval(&b)
		if err != nil {
			return failed(got.String(), err)
		}
		if yes, ok := answer.(bool); !ok {
			fmt.Fprintf(&got, ", result %s, not true or false", verdict.Shorten(fmt.Sprint(answer)))
		} else if yes {
			return passIf(true, got.String())
		}
		return passIf(false, got.String())
	}}
}

// bindings are the values of an expression's fields.
type bindings struct {
	names  []string
	values []any
}

// Get implements govaluate.Parameters.
func (b *bindings) Get(name string) (any, error) {
	if i := slices.Index(b.names, name); i >= 0 {
		return b.values[i], nil
	}
	return nil, fmt.Errorf("no field %q", name)
}

// fields checks the fields and gives their names and paths; of two with one
// name the later counts.
func (c *compiler) fields(path string, fields []v1alpha1.PayloadField) (names, paths []string) {
	if len(fields) == 0 {
		c.add(v1alpha1.Invalid(path, "is missing").Hinted("bind each name of expr to a path of the event's data"))
	}
	for i, f := range fields {
		at := path + v1alpha1.Index(i)
		if f.Name == "" {
			c.add(v1alpha1.Invalid(at+".name", "is missing").Hinted("give the name that expr uses"))
		}
		if f.Path == "" {
			c.add(v1alpha1.Invalid(at+".path", "is missing").Hinted("name a value of the event's data, such as body.action"))
		}
		if j := slices.Index(names, f.Name); j >= 0 && f.Name != "" {
			c.add(v1alpha1.Warn(at+".name", "%q is bound twice; this one counts", f.Name))
		}
		names = append(names, f.Name)
		paths = append(paths, f.Path)
	}
	slices.Reverse(names) // so that Index finds the later one
	slices.Reverse(paths)
	return names, paths
}

func (c *compiler) parseExpr(path, text string, names []string) (e *govaluate.EvaluableExpression) {
	path += ".expr"
	defer func() {
		if p := recover(); p != nil {
			c.add(v1alpha1.Invalid(path, "cannot be parsed: %v", p))
		}
	}()
	switch {
	case strings.TrimSpace(text) == "":
		c.add(v1alpha1.Invalid(path, "is missing").Hinted(`write an expression over the fields, such as a == "x" && n > 4`))
		return nil
	case len(text) > maxExpr:
		c.add(v1alpha1.Invalid(path, "is longer than %d bytes", maxExpr))
		return nil
	}
	e, err := parse(text)
	if err != nil {
		p := v1alpha1.Invalid(path, "%v", err)
		if strings.Contains(text, "(") {
			p = p.Hinted("there are no functions here; filters.cel has many")
		}
		c.add(p)
		return nil
	}
	unknown := map[string]bool{}
	for _, t := range e.Tokens() {
		switch t.Kind {
		case govaluate.ACCESSOR:
			parts, _ := t.Value.([]string)
			name := strings.Join(parts, ".")
			c.add(v1alpha1.Invalid(path, "%s looks into a value, which expressions cannot", name).
				Hinted("add a field with path: %s and use its name", name))
		case govaluate.VARIABLE:
			name, _ := t.Value.(string)
			if slices.Contains(names, name) || unknown[name] {
				continue
			}
			unknown[name] = true
			c.add(v1alpha1.Invalid(path, "%q is not among the fields", name).Hinted("%s", unknownHint(name, names)))
		}
	}
	return e
}

// yamlBools are the words that YAML 1.1 reads as booleans, and that could be a name.
var yamlBools = map[string]bool{"n": true, "y": true, "no": true, "yes": true, "on": true, "off": true, "N": true, "Y": true}

func unknownHint(name string, names []string) string {
	if name == "nil" || name == "null" {
		return "there is no nil; an event without the value does not pass anyway"
	}
	if yamlBools[name] && (slices.Contains(names, "true") || slices.Contains(names, "false")) {
		return fmt.Sprintf("YAML reads the name %s as a boolean: put it in quotes", name)
	}
	if near := kind.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "add it to fields, or put it in quotes if it is a text"
}
