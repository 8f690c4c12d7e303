package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // what client-go's portforward takes
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// Tunnel carries connections to a port of a pod through the API server, as
// kubectl port-forward does.
type Tunnel struct {
	// Address is host:port on this machine.
	Address string

	stop chan struct{}
	done chan error
}

// Close ends the tunnel and its connections.
func (t *Tunnel) Close() error {
	close(t.stop)
	return <-t.done
}

// Tunnel opens a tunnel to the first ready pod that the labels select. The pod's
// end is the tunnel's end.
func (c *Cluster) Tunnel(ctx context.Context, namespace, labels string, port int) (*Tunnel, error) {
	pod, err := c.readyPod(ctx, namespace, labels)
	if err != nil {
		return nil, err
	}
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	dialer, err := forwarder(config, namespace, pod)
	if err != nil {
		return nil, fmt.Errorf("forward a port of pod %s/%s: %w", namespace, pod, err)
	}
	t := &Tunnel{stop: make(chan struct{}), done: make(chan error, 1)}
	ready, trouble := make(chan struct{}), &bytes.Buffer{}
	f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(port)}, t.stop, ready, io.Discard, trouble)
	if err != nil {
		return nil, fmt.Errorf("forward a port of pod %s/%s: %w", namespace, pod, err)
	}
	go func() { t.done <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-t.done:
		return nil, fmt.Errorf("forward a port of pod %s/%s: %w", namespace, pod, err)
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("forward a port of pod %s/%s: %w", namespace, pod, ctx.Err()), t.Close())
	}
	ports, err := f.GetPorts()
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.Address = "127.0.0.1:" + strconv.Itoa(int(ports[0].Local))
	return t, nil
}

func (c *Cluster) readyPod(ctx context.Context, namespace, labels string) (string, error) {
	client, err := c.Dynamic()
	if err != nil {
		return "", err
	}
	list, err := client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace).
		List(ctx, metav1.ListOptions{LabelSelector: labels})
	if err != nil {
		return "", fmt.Errorf("look for pods in namespace %s: %w", namespace, err)
	}
	for i := range list.Items {
		if isReady(&list.Items[i]) {
			return list.Items[i].GetName(), nil
		}
	}
	return "", fmt.Errorf("none of %d pods in namespace %s with labels %s is ready", len(list.Items), namespace, labels)
}

func isReady(u *unstructured.Unstructured) bool {
	var pod corev1.Pod
	if runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod) != nil || pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// forwarder speaks WebSocket, and SPDY to API servers that do not know that.
func forwarder(config *rest.Config, namespace, pod string) (httpstream.Dialer, error) {
	base, err := url.Parse(config.Host)
	if err != nil || base.Host == "" {
		base = &url.URL{Scheme: "https", Host: config.Host}
	}
	to := base.JoinPath("api", "v1", "namespaces", namespace, "pods", pod, "portforward")
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	socket, err := portforward.NewSPDYOverWebsocketDialer(to, config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialer(socket, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// Selector writes labels as a selector.
func Selector(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for k, v := range labels {
		parts = append(parts, k+"="+v)
	}
	return strings.Join(parts, ",")
}
