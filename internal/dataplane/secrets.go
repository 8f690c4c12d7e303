package dataplane

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// manifestSecrets reads from the Secrets and ConfigMaps of the manifests as
// they are at the time of reading.
type manifestSecrets struct {
	p         *Process
	namespace string
}

// Secret implements secret.Reader.
func (m manifestSecrets) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	return m.p.set.Load().Secrets(m.namespace).Secret(ctx, ref)
}

// ConfigMap implements secret.Reader.
func (m manifestSecrets) ConfigMap(ctx context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	return m.p.set.Load().Secrets(m.namespace).ConfigMap(ctx, ref)
}
