// Package kube gives tests a Kubernetes API: a real kube-apiserver and etcd,
// each a process on this machine, with nothing behind them. No controller and
// no node runs: a Deployment stays without pods, objects of a deleted owner
// stay, and a deleted namespace is emptied by this package alone.
//
// The binary is built by "make kube". See README.md.
package kube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// RequireEnv names the environment variable that makes tests fail, rather
// than skip, where the binary has not been built.
const RequireEnv = "SIGNALBOX_REQUIRE_KUBE"

// shared is the cluster of a test process, from the first [Start] to the end
// of [Run]. Go gives tests of a package nothing but a variable to share.
var shared struct {
	mu      sync.Mutex
	allowed bool // between beginning and end of Run
	cluster *Cluster
	err     error
}

// Run is for TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }
//
// It lets all tests of the package share one cluster, which the first [Start]
// makes and which ends with Run. A package whose tests pass and which leaves
// goroutines behind fails; ignore says which goroutines may stay.
func Run(m *testing.M, ignore ...goleak.Option) int {
	shared.mu.Lock()
	shared.allowed = true
	shared.mu.Unlock()
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.allowed = false
	if shared.cluster != nil {
		if err := shared.cluster.close(); err != nil {
			fmt.Fprintf(os.Stderr, "kube: %v\n", err)
			code = max(code, 1)
		}
		shared.cluster = nil
	}
	if code == 0 {
		if err := goleak.Find(ignore...); err != nil {
			fmt.Fprintf(os.Stderr, "kube: %v\n", err)
			code = 1
		}
	}
	return code
}

// Option changes what [Start] gives.
type Option func(*options)

type options struct {
	own   bool
	flags []string
}

// Own gives the test a cluster of its own, which ends with the test. It is
// for tests that stop the API or count everything that is written, and that
// others run beside.
func Own() Option { return func(o *options) { o.own = true } }

// Flags are more flags of kube-apiserver. A cluster with flags is the test's
// own.
func Flags(flags ...string) Option {
	return func(o *options) { o.own, o.flags = true, append(o.flags, flags...) }
}

// Start gives the cluster that the tests of the process share, and makes it
// where there is none. Without [Run] each test gets one of its own. Where the
// binary has not been built, the test is skipped, or fails if [RequireEnv] is
// set.
func Start(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	bin, err := binary()
	switch {
	case err == nil:
	case os.Getenv(RequireEnv) != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	if c, ok, err := fromShared(bin, o); err != nil {
		t.Fatal(err)
	} else if ok {
		return c
	}
	c, err := start(bin, o.flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// fromShared gives the shared cluster, unless the test is to have its own.
func fromShared(bin string, o options) (*Cluster, bool, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if o.own || !shared.allowed {
		return nil, false, nil
	}
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = start(bin, nil)
	}
	return shared.cluster, true, shared.err
}

// binary finds what "make kube" has built. Tests run in the folder of their
// package, somewhere below the root of the module.
func binary() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "test", "kube", "server", "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("kube: not below the root of the module")
		}
		dir = filepath.Dir(dir)
	}
	bin := filepath.Join(dir, "bin", "kube")
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("the Kubernetes API for tests has not been built, run \"make kube\": %w", err)
	}
	return bin, nil
}

// patience bounds what a cluster does at start and end. Only a broken or
// very busy machine gets there.
const patience = 90 * time.Second
