package argotest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

func TestKindsAreServed(t *testing.T) {
	c := kube.Start(t, kube.Own())
	argotest.Define(t, c)
	c.Define(t, "--force-conflicts", "-f", "crds/argo.yaml") // ours are definitions, too
	out, _, err := c.Kubectl(t, "api-resources", "--api-group", "argoproj.io", "-o", "name")
	for _, kind := range []string{"applications", "workflows", "cronworkflows", "rollouts", "analysisruns"} {
		if err != nil || !strings.Contains(out, kind+".argoproj.io") {
			t.Errorf("no %s: %v", kind, err)
		}
	}
}
