package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Admin is the name of the user of [Cluster.Config]. It may do anything.
const Admin = "kube-admin"

// Cluster is a running API server with its etcd. All methods may be called
// from several goroutines.
type Cluster struct {
	bin   string
	dir   string
	port  int
	flags []string
	ca    *authority
	admin *rest.Config

	mu   sync.Mutex
	etcd *process
	api  *process // nil while stopped
	runs int      // how often the API server was started
}

// start makes a cluster and waits until its API is ready.
func start(bin string, flags []string) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "kube-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, dir: dir, flags: flags}
	if err := c.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start a Kubernetes API for tests: %w", err), c.close())
	}
	return c, nil
}

func (c *Cluster) start() error {
	if err := c.writeFiles(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.etcd, err = startProcess(c.file("etcd.log"), c.bin, "etcd", "--dir", c.dir); err != nil {
		return err
	}
	err = c.etcd.until("etcd", func() bool {
		_, err := os.Stat(c.file(etcdSocket))
		return err == nil
	})
	if err != nil {
		return err
	}
	for range 5 { // somebody else may take the port before the API server does
		if c.port, err = freePort(); err != nil {
			return err
		}
		if c.admin, err = c.config(Admin, []string{"system:masters"}); err != nil {
			return err
		}
		err = c.startAPI()
		if err == nil || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
			break
		}
	}
	if err != nil {
		return err
	}
	return c.fillDefault()
}

// etcdSocket is the name that server gives to etcd's socket.
const etcdSocket = "etcd:1"

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

func (c *Cluster) writeFiles() error {
	var err error
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	cert, key, err := c.ca.server()
	if err != nil {
		return err
	}
	_, signing, err := c.ca.user("service accounts", nil)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"ca.crt":      c.ca.pem,
		"api.crt":     cert,
		"api.key":     key,
		"signing.key": signing,
		"audit.yaml":  []byte(auditPolicy),
	} {
		if err := os.WriteFile(c.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// auditLog is the audit log of one run of the API server.
func (c *Cluster) auditLog(run int) string { return c.file(fmt.Sprintf("audit-%d.log", run)) }

// freePort finds a port below those that the system gives to connections, so
// that none takes it while the API is stopped.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)                             //nolint:gosec // no secret
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)) //nolint:noctx // returns at once
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port found")
}

// startAPI is to be called with the lock held.
func (c *Cluster) startAPI() error {
	if c.api != nil {
		return nil
	}
	c.runs++
	if err := os.WriteFile(c.auditLog(c.runs), nil, 0o600); err != nil {
		return err
	}
	args := append([]string{
		"apiserver",
		"--etcd-servers=unix://" + c.file(etcdSocket),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1", // else it wants a route to the outside
		"--endpoint-reconciler-type=none",
		"--secure-port=" + strconv.Itoa(c.port),
		"--cert-dir=" + c.dir,
		"--tls-cert-file=" + c.file("api.crt"),
		"--tls-private-key-file=" + c.file("api.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.file("signing.key"),
		"--service-account-signing-key-file=" + c.file("signing.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--allow-privileged=true",
		"--audit-policy-file=" + c.file("audit.yaml"),
		"--audit-log-path=" + c.auditLog(c.runs),
		"--audit-log-maxsize=65536", // megabytes; Writes reads one file
		"--profiling=false",
	}, c.flags...)
	p, err := startProcess(c.file(fmt.Sprintf("apiserver-%d.log", c.runs)), c.bin, args...)
	if err != nil {
		return err
	}
	if err := p.until("kube-apiserver", c.ready); err != nil {
		p.kill()
		return err
	}
	c.api = p
	return nil
}

// ready tells whether the API server says that it is.
func (c *Cluster) ready() bool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.ca.pem)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}
	resp, err := client.Get(c.admin.Host + "/readyz") //nolint:noctx // the client has a timeout
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// fillDefault makes the namespace "default" one that pods can be created in.
func (c *Cluster) fillDefault() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	api, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceDefault}}
	_, err = api.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return createServiceAccount(ctx, api, metav1.NamespaceDefault, "default")
}

// close ends the processes and removes the folder.
func (c *Cluster) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range []*process{c.api, c.etcd} {
		if p != nil {
			p.kill()
		}
	}
	c.api, c.etcd = nil, nil
	return os.RemoveAll(c.dir)
}

// StopAPI kills the API server, as a crash would. Everything it has
// acknowledged stays. It is started again at the end of the test at the
// latest.
func (c *Cluster) StopAPI(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { c.StartAPI(t) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.api != nil {
		c.api.kill()
		c.api = nil
	}
}

// StartAPI starts the API server again, at its old address, and waits until
// it is ready.
func (c *Cluster) StartAPI(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.startAPI(); err != nil {
		t.Fatal(err)
	}
}

// Restart is StopAPI and StartAPI.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.StopAPI(t)
	c.StartAPI(t)
}

// Compact makes the API forget what was before: a watch or a list with a
// resourceVersion from before gets 410 Gone. It restarts the API server,
// which otherwise answers from what it has in memory; a watch that runs is cut
// by that, and goes on where it was if it was up to date.
func (c *Cluster) Compact(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	//nolint:gosec // the arguments are ours
	cmd := exec.CommandContext(ctx, c.bin, "compact", "--etcd", "unix://"+c.file(etcdSocket))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compact etcd: %v\n%s", err, out)
	}
	c.Restart(t)
}
