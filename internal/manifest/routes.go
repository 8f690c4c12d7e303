package manifest

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
)

var pathVariable = regexp.MustCompile(`\{[^/{}]*\}`)

// routePath makes paths comparable: the names of variables and a slash at the
// end do not matter.
func routePath(path string) string {
	path = pathVariable.ReplaceAllString(path, "{}")
	return "/" + strings.Trim(path, "/")
}

func methodsMeet(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(m string) bool { return slices.Contains(b, m) })
}

func sameCerts(a, b eventsource.Route) bool {
	return reflect.DeepEqual(a.ServerCert, b.ServerCert) && reflect.DeepEqual(a.ServerKey, b.ServerKey)
}
