package main

import (
	"strings"
	"testing"
)

func TestControllerSaysWhatIsMissing(t *testing.T) {
	t.Setenv(envImage, "")
	t.Setenv(envNamespace, "")
	t.Setenv(envPullPolicy, "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, test := range map[string]struct{ args, want string }{
		"image":       {"--namespace x", "--image, or $SIGNALBOX_IMAGE"},
		"namespace":   {"--image i", "--namespace, or $POD_NAMESPACE"},
		"pull policy": {"--image i --namespace x --image-pull-policy Sometimes", "want Always, IfNotPresent or Never"},
		"namespaces":  {"--image i --namespace x --namespaces a,,b", "--namespaces: a name is empty"},
		"argument":    {"more", "takes no arguments"},
		"cluster":     {"--image i --leader-elect=false --admission=false", "kubeconfig"},
		"kubeconfig":  {"--image i --namespace x --kubeconfig no/such", "no/such"},
	} {
		t.Run(name, func(t *testing.T) {
			got := signalbox(t, append([]string{"controller"}, strings.Fields(test.args)...)...)
			if got.code != 1 || !strings.Contains(got.err, test.want) {
				t.Errorf("code %d: %s", got.code, got.err)
			}
		})
	}
}

func TestControllerReadsItsEnvironment(t *testing.T) {
	t.Setenv(envImage, "from-env")
	t.Setenv(envNamespace, "here")
	t.Setenv(envPullPolicy, "Always")
	cmd := newController(&globals{})
	for flag, want := range map[string]string{"image": "from-env", "namespace": "here", "image-pull-policy": "Always"} {
		if got, _ := cmd.Flags().GetString(flag); got != want {
			t.Errorf("--%s: %q", flag, got)
		}
	}
}
