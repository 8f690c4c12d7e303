package kube

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// Kubectl runs kubectl as the user of [Cluster.Config]. An exit code other
// than 0 gives an *exec.ExitError.
func (c *Cluster) Kubectl(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return c.KubectlAs(t, c.admin, "", args...)
}

// KubectlAs runs kubectl as the user of config, and gives it stdin to read.
func (c *Cluster) KubectlAs(t testing.TB, config *rest.Config, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	path := Kubeconfig(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, c.bin, append([]string{"kubectl"}, args...)...) //nolint:gosec // a test's arguments
	cmd.Env = []string{"KUBECONFIG=" + path, "HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), errOut.String(), err
}
