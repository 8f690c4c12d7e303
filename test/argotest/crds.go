// Package argotest has what tests of actions on Argo CD, Argo Workflows and Argo
// Rollouts need: their kinds, and players that do what the controllers do.
package argotest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/signalbox-events/signalbox/test/kube"
)

// Define makes the kinds of the three projects known to the API server: the real
// definitions where they lie beside the project, otherwise ones of our own that
// accept anything. only are how the names of the real ones' files begin, such as
// workflows or rollouts-rollout: all of them have four megabytes, and take the API
// server many seconds.
func Define(t testing.TB, c *kube.Cluster, only ...string) {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("where is this file?")
	}
	own := filepath.Join(filepath.Dir(here), "crds", "argo.yaml")
	theirs := filepath.Join(filepath.Dir(here), "../../../shared/integrations/crds")
	if _, err := os.Stat(theirs); err != nil {
		t.Log("the real definitions are not here, those of the tests are used")
		c.Define(t, "-f", own)
		return
	}
	if len(only) == 0 {
		only = []string{""}
	}
	var args []string
	for _, name := range only {
		files, err := filepath.Glob(filepath.Join(theirs, name+"*-crd.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no definitions %s* in %s: %v", name, theirs, err)
		}
		for _, f := range files {
			args = append(args, "-f", f)
		}
	}
	c.Define(t, args...)
}
