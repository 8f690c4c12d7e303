package file

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestConfig(t *testing.T) {
	const watch = "watchPathConfig: {directory: /data/, path: x.txt}\n"
	for name, c := range map[string]struct {
		manifest string
		problems []string // part of each, in order; warnings begin with "?"
	}{
		"path":              {watch + "eventType: CREATE", nil},
		"regexp":            {"watchPathConfig: {directory: /bin/, pathRegexp: '([a-z]+).txt'}\neventType: CREATE", nil},
		"several types":     {watch + "eventType: CREATE|WRITE | REMOVE|RENAME|CHMOD", nil},
		"lower case":        {watch + "eventType: create", nil},
		"everything":        {watch + "eventType: WRITE\npolling: true\npollInterval: 100ms\nmetadata: {a: b}", nil},
		"empty":             {`{}`, []string{"eventType: is missing (give CREATE", "watchPathConfig: names no file (give path or pathRegexp)", "watchPathConfig.directory: is missing"}},
		"no type":           {watch, []string{"eventType: is missing"}},
		"misspelt type":     {watch + "eventType: CREAT", []string{`eventType: "CREAT" is none of CREATE, WRITE, REMOVE, RENAME, CHMOD (did you mean "CREATE"?)`}},
		"two bad types":     {watch + "eventType: OPEN|CREATE|", []string{`eventType: "OPEN" is none of`, `eventType: "" is none of`}},
		"relative":          {"watchPathConfig: {directory: data, path: x}\neventType: CREATE", []string{`watchPathConfig.directory: "data" is not an absolute path`}},
		"path and regexp":   {"watchPathConfig: {directory: /data, path: x, pathRegexp: x}\neventType: CREATE", []string{"watchPathConfig: has path and pathRegexp (give one of them)"}},
		"bad regexp":        {"watchPathConfig: {directory: /data, pathRegexp: '('}\neventType: CREATE", []string{"watchPathConfig.pathRegexp: error parsing regexp"}},
		"path below":        {"watchPathConfig: {directory: /data/, path: sub/x.txt}\neventType: CREATE", []string{`?watchPathConfig.path: "sub/x.txt" lies below the directory and is not watched (only the directory itself is: make it "/data/sub/" and the path "x.txt")`}},
		"path is nothing":   {"watchPathConfig: {directory: /data, path: /}\neventType: CREATE", []string{`watchPathConfig.path: "/" is no name of a file`}},
		"interval alone":    {watch + "eventType: CREATE\npollInterval: 5s", []string{"?pollInterval: has no effect without polling"}},
		"interval short":    {watch + "eventType: CREATE\npolling: true\npollInterval: 1ms", []string{"pollInterval: 1ms is too short, at least 10ms is needed"}},
		"interval no unit":  {watch + "eventType: CREATE\npolling: true\npollInterval: '5'", []string{`pollInterval: "5" is no duration`}},
		"unknown key":       {"watchPathConfig: {directory: /data, path: x, regexp: y}\neventType: CREATE", []string{`?watchPathConfig.regexp: unknown key "regexp" is ignored`}},
		"bad filter":        {watch + "eventType: CREATE\nfilter: {expression: 'op =='}", []string{"filter.expression: "}},
		"type is no string": {watch + "eventType: 1", []string{"eventType: want a string"}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(c.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			found := v1alpha1.Problems(err)
			if len(found) != len(c.problems) {
				t.Fatalf("found %d problems, want %d:\n%v", len(found), len(c.problems), err)
			}
			for i, want := range c.problems {
				want, warning := strings.CutPrefix(want, "?")
				if !strings.Contains(found[i].Error(), want) {
					t.Errorf("problem %d is %q, want %q", i, found[i], want)
				}
				if (found[i].Severity == v1alpha1.Warning) != warning {
					t.Errorf("problem %d, %q, is a %s", i, found[i], found[i].Severity)
				}
			}
		})
	}
}

func TestMatch(t *testing.T) {
	for name, c := range map[string]struct {
		watch  WatchPath
		file   string
		want   bool
		slash2 bool // what it is if the directory ends with a slash
	}{
		"path":                       {WatchPath{Path: "x.txt"}, "x.txt", true, true},
		"path with a slash":          {WatchPath{Path: "/x.txt"}, "x.txt", true, true},
		"path with a dot":            {WatchPath{Path: "./x.txt"}, "x.txt", true, true},
		"other path":                 {WatchPath{Path: "x.txt"}, "y.txt", false, false},
		"path is no prefix":          {WatchPath{Path: "x"}, "x.txt", false, false},
		"path below":                 {WatchPath{Path: "sub/x.txt"}, "x.txt", false, false},
		"part of the name":           {WatchPath{PathRegexp: "[a-z]+.txt"}, "1abc.txt.gz", true, true},
		"anchored":                   {WatchPath{PathRegexp: "^x.*txt$"}, "x.txt", true, true},
		"anchored, no match":         {WatchPath{PathRegexp: "^x$"}, "x.txt", false, false},
		"anchored to a slash":        {WatchPath{PathRegexp: "^/x"}, "x.txt", true, false},
		"expression of another name": {WatchPath{PathRegexp: "^y"}, "x.txt", false, false},
	} {
		for dir, want := range map[string]bool{"/data": c.want, "/data/": c.slash2} {
			t.Run(name+" in "+dir, func(t *testing.T) {
				c.watch.Directory = dir
				m, err := c.watch.matcher()
				if v1alpha1.Fatal(err) != nil {
					t.Fatal(err)
				}
				if got := m.match(c.file); got != want {
					t.Errorf("match(%q) is %v", c.file, got)
				}
			})
		}
	}
}
