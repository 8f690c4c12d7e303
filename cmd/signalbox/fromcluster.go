package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// clusterFlags say which Kubernetes cluster a tool looks into.
type clusterFlags struct {
	cluster             bool
	kubeconfig, context string
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.cluster, "cluster", false, "use the EventBus of the Kubernetes cluster that kubectl uses")
	f.addFile(cmd)
}

func (f *clusterFlags) addFile(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file of the Kubernetes cluster to use (default: $KUBECONFIG or ~/.kube/config)")
	cmd.Flags().StringVar(&f.context, "context", "", "context of the kubeconfig to use")
}

// wanted says whether the user means a cluster.
func (f *clusterFlags) wanted() bool { return f.cluster || f.kubeconfig != "" || f.context != "" }

func (f *clusterFlags) open() *cluster.Cluster {
	return cluster.OfPerson(f.kubeconfig, f.context, version)
}

// namespaceOf is what the user said with --namespace, or that of the
// kubeconfig's context.
func namespaceOf(c *cluster.Cluster, flag *pflag.Flag) (string, error) {
	if flag.Changed {
		return flag.Value.String(), nil
	}
	return c.Namespace()
}

// throughCluster is the connection to an EventBus of a cluster: what its status
// tells, with the credentials that the Secrets have, through a tunnel where the
// controller runs the bus.
func throughCluster(ctx context.Context, c *cluster.Cluster, namespace, name string) (*eventbus.LinkConfig, func(), error) {
	bus, err := fetchBus(ctx, c, namespace, name)
	if err != nil {
		return nil, nil, err
	}
	js := bus.Status.Config.JetStream
	if bus.Spec.JetStreamExotic != nil {
		js = bus.Spec.JetStreamExotic
	}
	if js == nil || js.URL == "" {
		return nil, nil, fmt.Errorf("EventBus %s in namespace %s is not ready: its status has no address", name, namespace)
	}
	link := &eventbus.LinkConfig{URL: js.URL}
	if err := credentials(ctx, c, namespace, js, link); err != nil {
		return nil, nil, err
	}
	if bus.Spec.JetStreamExotic != nil {
		return link, func() {}, nil
	}
	tunnel, err := c.Tunnel(ctx, namespace, cluster.Selector(apply.LabelsOf(v1alpha1.KindEventBus, name)), controller.PortClients)
	if err != nil {
		return nil, nil, fmt.Errorf("reach EventBus %s: %w", name, err)
	}
	if u, err := url.Parse(js.URL); err == nil && link.TLS != nil {
		link.TLS.ServerName = u.Hostname()
	}
	link.URL, link.Dialer = "nats://"+tunnel.Address, toOne{tunnel.Address}
	link.InboxPrefix = eventbus.RoleClient.InboxPrefix()
	return link, func() { _ = tunnel.Close() }, nil
}

// toOne dials one address, whatever other servers tell of themselves.
type toOne struct{ address string }

func (t toOne) Dial(network, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.Dial(network, t.address)
}

func fetchBus(ctx context.Context, c *cluster.Cluster, namespace, name string) (*v1alpha1.EventBus, error) {
	client, err := c.Dynamic()
	if err != nil {
		return nil, err
	}
	u, err := client.Resource(v1alpha1.GroupVersion.WithResource("eventbus")).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no EventBus %s in namespace %s (choose with --namespace and --eventbus)", name, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("read EventBus %s in namespace %s: %w", name, namespace, err)
	}
	bus := &v1alpha1.EventBus{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, bus); err != nil {
		return nil, fmt.Errorf("EventBus %s in namespace %s: %w", name, namespace, err)
	}
	return bus, nil
}

func credentials(ctx context.Context, c *cluster.Cluster, namespace string, js *v1alpha1.JetStreamExotic, link *eventbus.LinkConfig) error {
	read := func(what string, ref *corev1.SecretKeySelector) ([]byte, error) {
		if ref == nil {
			return nil, nil
		}
		b, err := clusterSecrets{c, namespace}.Secret(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("%s of the EventBus: %w", what, err)
		}
		return b, nil
	}
	b, err := read("accessSecret", js.AccessSecret)
	if err != nil {
		return err
	}
	var auth struct{ Token, Username, Password string }
	if err := yaml.Unmarshal(b, &auth); err != nil {
		return errors.New("accessSecret of the EventBus: want YAML with token, or username and password")
	}
	link.Token, link.User, link.Password = auth.Token, auth.Username, auth.Password
	if js.TLS == nil {
		return nil
	}
	link.TLS = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: js.TLS.InsecureSkipVerify} //nolint:gosec // the user's choice
	ca, err := read("tls.caCertSecret", js.TLS.CACertSecret)
	if err != nil {
		return err
	}
	if ca != nil {
		link.TLS.RootCAs = x509.NewCertPool()
		if !link.TLS.RootCAs.AppendCertsFromPEM(ca) {
			return errors.New("tls.caCertSecret of the EventBus holds no PEM certificate")
		}
	}
	cert, err := read("tls.clientCertSecret", js.TLS.ClientCertSecret)
	if err != nil || cert == nil {
		return err
	}
	key, err := read("tls.clientKeySecret", js.TLS.ClientKeySecret)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return errors.New("tls of the EventBus: clientCertSecret and clientKeySecret are no certificate with its key")
	}
	link.TLS.Certificates = []tls.Certificate{pair}
	return nil
}

// clusterSecrets reads Secrets and ConfigMaps of a cluster.
type clusterSecrets struct {
	c         *cluster.Cluster
	namespace string
}

// Secret implements secret.Reader.
func (r clusterSecrets) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	return r.read(ctx, "secrets", ref.Name, ref.Key, ref.Optional, func(u map[string]any) (map[string][]byte, error) {
		var s corev1.Secret
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(u, &s)
		return s.Data, err
	})
}

// ConfigMap implements secret.Reader.
func (r clusterSecrets) ConfigMap(ctx context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	return r.read(ctx, "configmaps", ref.Name, ref.Key, ref.Optional, func(u map[string]any) (map[string][]byte, error) {
		var m corev1.ConfigMap
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(u, &m)
		data := map[string][]byte{}
		maps.Copy(data, m.BinaryData)
		for k, v := range m.Data {
			data[k] = []byte(v)
		}
		return data, err
	})
}

func (r clusterSecrets) read(ctx context.Context, resource, name, key string, optional *bool, data func(map[string]any) (map[string][]byte, error)) ([]byte, error) {
	client, err := r.c.Dynamic()
	if err != nil {
		return nil, err
	}
	what := strings.TrimSuffix(resource, "s") + " " + name
	u, err := client.Resource(corev1.SchemeGroupVersion.WithResource(resource)).Namespace(r.namespace).Get(ctx, name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if !missing {
		values, err := data(u.Object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if b, ok := values[key]; ok {
			return bytes.TrimSuffix(b, []byte("\n")), nil
		}
	}
	if optional != nil && *optional {
		return nil, nil
	}
	return nil, fmt.Errorf("%s, key %s, in namespace %s: %w", what, key, r.namespace, secret.ErrNotFound)
}

// download writes the objects of a namespace that a sensor's test needs into a
// folder, and returns it: the Sensor, and all EventSources and EventBuses.
func download(ctx context.Context, c *cluster.Cluster, namespace, sensor string) (dir string, err error) {
	client, err := c.Dynamic()
	if err != nil {
		return "", err
	}
	get := func(resource string) dynamic.ResourceInterface {
		return client.Resource(v1alpha1.GroupVersion.WithResource(resource)).Namespace(namespace)
	}
	s, err := get("sensors").Get(ctx, sensor, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("there is no Sensor %s in namespace %s", sensor, namespace)
	}
	if err != nil {
		return "", fmt.Errorf("read Sensor %s in namespace %s: %w", sensor, namespace, err)
	}
	objects := []unstructured.Unstructured{*s}
	for _, resource := range []string{"eventsources", "eventbus"} {
		list, err := get(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("read %s of namespace %s: %w", resource, namespace, err)
		}
		objects = append(objects, list.Items...)
	}
	if dir, err = os.MkdirTemp("", "signalbox-test-"); err != nil {
		return "", err
	}
	for i, o := range objects {
		o.SetManagedFields(nil)
		b, err := yaml.Marshal(o.Object)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d-%s-%s.yaml", i, strings.ToLower(o.GetKind()), o.GetName())), b, 0o600)
		}
		if err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}
