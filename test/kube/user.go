package kube

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Config is how to reach the API as a user who may do anything. It has no
// rate limit.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// User is how to reach the API as any user, who may do what RBAC gives to
// them. The name may be that of a service account
// ("system:serviceaccount:NAMESPACE:NAME").
func (c *Cluster) User(t testing.TB, name string, groups ...string) *rest.Config {
	t.Helper()
	config, err := c.config(name, groups)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (c *Cluster) config(name string, groups []string) (*rest.Config, error) {
	cert, key, err := c.ca.user(name, groups)
	if err != nil {
		return nil, err
	}
	config := c.anonymous()
	config.CertData, config.KeyData = cert, key
	return config, nil
}

// address is where the API server listens.
func (c *Cluster) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

func (c *Cluster) anonymous() *rest.Config {
	return &rest.Config{
		Host:            "https://" + c.address(),
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.pem},
		QPS:             -1,
	}
}

// ServiceAccount is how to reach the API with a token of a service account,
// as a pod has it. The account is made where there is none.
func (c *Cluster) ServiceAccount(t testing.TB, namespace, name string) *rest.Config {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	api, done := client(t, c.admin)
	defer done()
	if err := createServiceAccount(ctx, api, namespace, name); err != nil {
		t.Fatal(err)
	}
	token, err := api.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("get a token of the service account %s/%s: %v", namespace, name, err)
	}
	config := c.anonymous()
	config.BearerToken = token.Status.Token
	return config
}

func createServiceAccount(ctx context.Context, api kubernetes.Interface, namespace, name string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := api.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the service account %s/%s: %w", namespace, name, err)
	}
	return nil
}

// Kubeconfig is the path of a kubeconfig for the user of [Cluster.Config],
// which is there as long as the test runs.
func (c *Cluster) Kubeconfig(t testing.TB) string {
	t.Helper()
	return Kubeconfig(t, c.admin)
}

// Kubeconfig writes a rest.Config that this package has made to a file, which
// is there as long as the test runs.
func Kubeconfig(t testing.TB, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := writeKubeconfig(path, config); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeKubeconfig(path string, config *rest.Config) error {
	const name = "kube"
	b, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server:                   config.Host,
			CertificateAuthorityData: config.CAData,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: config.CertData,
			ClientKeyData:         config.KeyData,
			Token:                 config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}
