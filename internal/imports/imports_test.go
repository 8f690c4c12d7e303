// Package imports holds the directions in which packages of this module may
// import each other.
package imports

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/signalbox-events/signalbox"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// name is the path inside the module.
func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// list asks the go command for the packages of this module, without their tests.
func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,Deps", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	if len(ps) < 20 {
		t.Fatalf("only %d packages", len(ps))
	}
	return ps
}

// family is the parent of the kinds whose folder name lies in; empty if it is no kind.
func family(name string) string {
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if (dir == "eventsource" || dir == "sensor/trigger") && base != "all" && !strings.HasSuffix(base, "test") {
		return dir
	}
	return ""
}

// ofKinds are the packages of ours, beside its parent, that a kind may import.
// A kind's own folders below its own are its own business.
var ofKinds = []string{"api/v1alpha1", "webhook/ingress", "webhook/verify", "webhook/gitevent", "webhook/gitevent/hub", "webhook/imageevent", "webhook/githost", "webhook/hooks", "httpclient", "internal/gitrepo", "internal/cluster", "internal/kind", "internal/secret", "internal/seldom", "internal/glob", "sensor/param", "sensor/artifact"}

// broken says why from must not import to, both inside the module; empty if it may.
func broken(from, to string) string {
	in := func(name string, folders ...string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return name == f || strings.HasPrefix(name, f+"/") })
	}
	parent := family(from)
	switch {
	case in(from, "api"):
		return "api imports nothing of ours"
	case path.Base(to) == "all" && !in(from, "cmd", "internal/controller", "internal/crdgen", "test"):
		return "only cmd, internal/controller, internal/crdgen and tests know all kinds"
	case parent != "" && to != parent && !in(to, from) && !slices.Contains(ofKinds, to):
		return "a kind imports its parent, " + strings.Join(ofKinds, ", ")
	case family(to) != "" && path.Base(from) != "all" && !in(from, to):
		return "only the list names kinds"
	case in(from, "eventbus") && in(to, "eventsource", "sensor", "webhook"):
		return "the bus knows neither sources nor sensors"
	case in(from, "eventsource") && in(to, "sensor"), in(from, "sensor") && in(to, "eventsource"):
		return "sources and sensors meet on the bus alone"
	case in(to, "cmd"):
		return "nobody imports a command"
	case in(from, "internal/kind", "internal/secret") && !in(to, "api"):
		return "it is below everything else"
	}
	return ""
}

func TestDirections(t *testing.T) {
	for _, p := range list(t) {
		for _, to := range p.Imports {
			if to, ours := strings.CutPrefix(to, module+"/"); ours {
				if why := broken(p.name(), to); why != "" {
					t.Errorf("%s imports %s: %s", p.name(), to, why)
				}
			}
		}
	}
}

// What only generates or tests code must not be in the program.
func TestNotInTheProgram(t *testing.T) {
	for _, p := range list(t) {
		if p.name() != "cmd/signalbox" {
			continue
		}
		for _, dep := range p.Deps {
			if dep == "testing" || strings.HasPrefix(dep, "sigs.k8s.io/controller-tools") || strings.HasPrefix(dep, "go.uber.org/goleak") {
				t.Errorf("the program contains %s", dep)
			}
		}
	}
}

func TestRules(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		allowed  bool
	}{
		{"api/v1alpha1", "internal/kind", false},
		{"eventsource/webhook", "eventsource", true},
		{"eventsource/webhook", "webhook/ingress", true},
		{"eventsource/webhook", "eventsource/file", false},
		{"eventsource/webhook", "eventbus", false},
		{"sensor/trigger/http", "sensor/param", true},
		{"sensor/trigger/http", "eventsource", false},
		{"eventsource/all", "eventsource/webhook", true},
		{"cmd/signalbox", "eventsource/all", true},
		{"internal/manifest", "eventsource/all", false},
		{"internal/manifest", "sensor/trigger/http", false},
		{"sensor", "eventsource", false},
		{"eventbus/server", "sensor", false},
		{"internal/kind", "eventsource", false},
	} {
		if why := broken(tc.from, tc.to); (why == "") != tc.allowed {
			t.Errorf("%s to %s: %q", tc.from, tc.to, why)
		}
	}
}
