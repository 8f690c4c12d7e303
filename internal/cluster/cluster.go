// Package cluster is the way to the Kubernetes API for kinds and tools. The
// process shares one Cluster; nothing is read and nobody is spoken to before
// somebody asks for a client.
package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// ErrNone is wrapped by the errors of a Cluster where there is none.
var ErrNone = errors.New("there is no Kubernetes API")

// errHint says what to do about ErrNone.
const errHint = "give --kubeconfig FILE, or run in a pod with a service account token"

// Requests are held back here only if something goes wild; the API server's
// own fairness is the limit otherwise.
const (
	qps   = 200
	burst = 400
)

// Cluster hands out clients of one Kubernetes API. All methods are safe for
// concurrent use; what could not be made is tried again at the next call. A nil
// Cluster is one that has no API.
type Cluster struct {
	load func() (*rest.Config, string, error)

	mu        sync.Mutex
	config    *rest.Config
	namespace string
	http      *http.Client
	dynamic   dynamic.Interface
	mapper    meta.RESTMapper
}

// New makes a Cluster of the current context of a kubeconfig file. Without one
// it is the cluster whose pod this process runs in; if that is none, clients
// cannot be had, and the errors wrap [ErrNone]. The user agent is
// signalbox/VERSION.
func New(kubeconfig, version string) *Cluster {
	return &Cluster{load: func() (*rest.Config, string, error) {
		config, namespace, err := read(kubeconfig)
		if err != nil {
			return nil, "", err
		}
		config.UserAgent = "signalbox/" + version
		config.QPS, config.Burst = qps, burst
		return config, namespace, nil
	}}
}

// Of makes a Cluster of a configuration, which is used as it is.
func Of(config *rest.Config) *Cluster {
	return &Cluster{load: func() (*rest.Config, string, error) { return rest.CopyConfig(config), "", nil }}
}

func read(kubeconfig string) (*rest.Config, string, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, "", fmt.Errorf("%w (%s)", ErrNone, errHint)
		}
		if err != nil {
			return nil, "", fmt.Errorf("%w: %w (%s)", ErrNone, err, errHint)
		}
		return config, podNamespace(), nil
	}
	file := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, &clientcmd.ConfigOverrides{})
	config, err := file.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	namespace, _, err := file.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	return config, namespace, nil
}

// namespaceFile is where the kubelet writes a pod's namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func podNamespace() string {
	b, err := os.ReadFile(namespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Config is a copy of the configuration of the clients.
func (c *Cluster) Config() (*rest.Config, error) {
	if c == nil {
		return nil, fmt.Errorf("%w (%s)", ErrNone, errHint)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.open(); err != nil {
		return nil, err
	}
	return rest.CopyConfig(c.config), nil
}

// Namespace is that of the kubeconfig's current context, or of the pod;
// "default" if they do not say.
func (c *Cluster) Namespace() (string, error) {
	if _, err := c.Config(); err != nil {
		return "", err
	}
	if c.namespace == "" {
		return "default", nil
	}
	return c.namespace, nil
}

// HTTP is the client that all others send their requests with: it has the
// user's credentials and TLS settings.
func (c *Cluster) HTTP() (*http.Client, error) {
	if _, err := c.Config(); err != nil {
		return nil, err
	}
	return c.http, nil
}

// Dynamic is a client for objects of any kind.
func (c *Cluster) Dynamic() (dynamic.Interface, error) {
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dynamic == nil {
		d, err := dynamic.NewForConfigAndClient(config, c.http)
		if err != nil {
			return nil, fmt.Errorf("make a Kubernetes client: %w", err)
		}
		c.dynamic = d
	}
	return c.dynamic, nil
}

// Mapper tells resources from kinds. What the API serves is asked for at the
// first use, and again, though not more than once in two seconds, when
// something is looked for that was not there.
func (c *Cluster) Mapper() (meta.RESTMapper, error) {
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mapper == nil {
		d, err := discovery.NewDiscoveryClientForConfigAndClient(config, c.http)
		if err != nil {
			return nil, fmt.Errorf("make a Kubernetes client: %w", err)
		}
		c.mapper = &mapper{ResettableRESTMapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))}
	}
	return c.mapper, nil
}

// open reads the configuration, once. The caller holds the lock.
func (c *Cluster) open() error {
	if c.config != nil {
		return nil
	}
	config, namespace, err := c.load()
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("make a Kubernetes client: %w", err)
	}
	c.config, c.namespace, c.http = config, namespace, client
	return nil
}

// Close closes connections that nobody uses. Clients go on to work.
func (c *Cluster) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil {
		utilnet.CloseIdleConnectionsFor(c.http.Transport)
	}
}
