package cluster

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// OfPerson makes the Cluster that kubectl would use: of the kubeconfig file, or
// else of $KUBECONFIG or ~/.kube/config, and of the named context or else the
// current one.
func OfPerson(kubeconfig, context, version string) *Cluster {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	file := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
	return &Cluster{load: func() (*rest.Config, string, error) {
		config, err := file.ClientConfig()
		if clientcmd.IsEmptyConfig(err) {
			return nil, "", fmt.Errorf("%w (no kubeconfig: give --kubeconfig FILE, or set KUBECONFIG)", ErrNone)
		}
		if err != nil {
			return nil, "", fmt.Errorf("kubeconfig: %w", err)
		}
		namespace, _, err := file.Namespace()
		if err != nil {
			return nil, "", fmt.Errorf("kubeconfig: %w", err)
		}
		config.UserAgent = "signalbox/" + version
		config.QPS, config.Burst = qps, burst
		return config, namespace, nil
	}}
}
