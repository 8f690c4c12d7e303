package ingress

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// table is what a port answers at one moment. It never changes.
type table struct {
	exact    map[string]*methods
	patterns []*methods // the most specific first
}

// methods is what is at one path.
type methods struct {
	pattern pattern
	by      map[string]*registration
	any     *registration // the one that answers all methods
	allowed string
}

// newTable orders routes, which are in the order in which they were added.
func newTable(routes []*registration) *table {
	t := &table{exact: map[string]*methods{}}
	variable := map[string]*methods{}
	for _, r := range slices.Backward(routes) {
		at := t.exact
		if r.pattern.match != nil {
			at = variable
		}
		m := at[r.pattern.path]
		if m == nil {
			m = &methods{pattern: r.pattern, by: map[string]*registration{}}
			at[r.pattern.path] = m
		}
		m.add(r)
	}
	for _, m := range t.exact {
		m.allowed = strings.Join(slices.Sorted(maps.Keys(m.by)), ", ")
	}
	for _, m := range variable {
		m.allowed = strings.Join(slices.Sorted(maps.Keys(m.by)), ", ")
		t.patterns = append(t.patterns, m)
	}
	slices.SortFunc(t.patterns, func(a, b *methods) int {
		return cmp.Or(cmp.Compare(b.pattern.literal, a.pattern.literal), cmp.Compare(a.pattern.path, b.pattern.path))
	})
	return t
}

// add is called with the newest route first, which wins.
func (m *methods) add(r *registration) {
	if m.any != nil { // a newer one answers everything
		return
	}
	if len(r.route.Methods) == 0 {
		m.any = r
	}
	for _, method := range r.route.Methods {
		if m.by[method] == nil {
			m.by[method] = r
		}
	}
}

// find returns the route of a request, or the methods that its path answers, or
// neither. It puts the values of variables into req.
func (t *table) find(req *http.Request) (r *registration, allowed string) {
	if m := t.exact[req.URL.Path]; m != nil {
		return m.pick(req.Method)
	}
	for _, m := range t.patterns {
		values := m.pattern.match.FindStringSubmatch(req.URL.Path)
		if values == nil {
			continue
		}
		for i, name := range m.pattern.names {
			req.SetPathValue(name, values[i+1])
		}
		return m.pick(req.Method)
	}
	return nil, ""
}

func (m *methods) pick(method string) (*registration, string) {
	if r := m.by[method]; r != nil {
		return r, ""
	}
	if m.any != nil {
		return m.any, ""
	}
	return nil, m.allowed
}

// pattern is the path of a route.
type pattern struct {
	path    string
	literal int            // characters that are no variables
	names   []string       // of the variables
	match   *regexp.Regexp // nil without variables
}

// parsePattern reads a path. Variables are {name}, which stands for one or more
// characters other than a slash, and {name:regexp}, whose regular expression
// may match slashes too.
func parsePattern(path string) (pattern, error) {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	p := pattern{path: path}
	expr := strings.Builder{}
	expr.WriteByte('^')
	for rest := path; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return pattern{}, fmt.Errorf("path %s: a } without its {", path)
		}
		expr.WriteString(regexp.QuoteMeta(before))
		p.literal += len(before)
		if !found {
			break
		}
		inside, after, ok := cutVariable(after)
		if !ok {
			return pattern{}, fmt.Errorf("path %s: a { without its }", path)
		}
		name, sub, given := strings.Cut(inside, ":")
		if !given {
			sub = "[^/]+"
		}
		if !nameOfVariable.MatchString(name) || slices.Contains(p.names, name) {
			return pattern{}, fmt.Errorf("path %s: %q cannot be the name of a variable here; want a letter, then letters, digits and _, and each name once", path, name)
		}
		if err := checkGroups(sub); err != nil {
			return pattern{}, fmt.Errorf("path %s: variable %s: %w", path, name, err)
		}
		expr.WriteString("(" + sub + ")")
		p.names = append(p.names, name)
		rest = after
	}
	if len(p.names) == 0 {
		return p, nil
	}
	expr.WriteByte('$')
	var err error
	if p.match, err = regexp.Compile(expr.String()); err != nil {
		return pattern{}, fmt.Errorf("path %s: %w", path, err)
	}
	return p, nil
}

var nameOfVariable = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// checkGroups refuses groups that capture, which would shift the values.
func checkGroups(expr string) error {
	re, err := regexp.Compile(expr)
	if err != nil {
		return err
	}
	if re.NumSubexp() > 0 {
		return fmt.Errorf("write (?:...) instead of (...) in %s", expr)
	}
	return nil
}

// cutVariable cuts s after the brace that closes a variable; a regular
// expression may have braces of its own.
func cutVariable(s string) (inside, after string, ok bool) {
	depth := 1
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}
