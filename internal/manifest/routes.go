package manifest

import (
	"reflect"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
)

// routesMeet tells whether two routes of one port get in each other's way. It
// sees paths as the server does: /a and /a/ are two, and of two that differ in
// the names of their variables alone the server asks one only, whatever the method.
func routesMeet(a, b eventsource.Route) bool {
	if rooted(a.Path) == rooted(b.Path) {
		return methodsMeet(a.Methods, b.Methods)
	}
	return pathShape(a.Path) == pathShape(b.Path)
}

func rooted(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "/" + path
	}
	return path
}

// pathShape is a path without the names of its variables, {name} or {name:regexp}.
func pathShape(path string) string {
	var out strings.Builder
	for rest := rooted(path); rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		out.WriteString(before)
		if !found {
			break
		}
		end, depth := 0, 1
		for ; end < len(after); end++ {
			switch after[end] {
			case '{':
				depth++
			case '}':
				depth--
			}
			if depth == 0 {
				break
			}
		}
		if end == len(after) { // no variable; the check of the entry says so
			return path
		}
		_, expr, given := strings.Cut(after[:end], ":")
		if !given {
			expr = "[^/]+"
		}
		out.WriteString("{" + expr + "}")
		rest = after[end+1:]
	}
	return out.String()
}

func methodsMeet(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(m string) bool { return slices.Contains(b, m) })
}

func sameCerts(a, b eventsource.Route) bool {
	return reflect.DeepEqual(a.ServerCert, b.ServerCert) && reflect.DeepEqual(a.ServerKey, b.ServerKey)
}
