package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	regv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// keeper keeps the certificates: those in the Secret, which all replicas of
// the controller share, those that this process shows, and those that the API
// servers trust.
type keeper struct {
	client        client.Client
	secret        client.ObjectKey
	configuration string
	hosts         []string
	life          lifetimes
	every         time.Duration
	log           *slog.Logger

	current atomic.Pointer[tls.Certificate]

	// told is the newest authority that was seen in the configuration, and
	// since when. Only run uses it.
	told struct {
		authority []byte
		since     time.Time
	}
}

const fieldManager = "signalbox"

// certificate is what to show in a handshake.
func (k *keeper) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.current.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no certificate yet")
}

// run keeps the certificates until ctx is done.
func (k *keeper) run(ctx context.Context) {
	ticker := time.NewTicker(k.every)
	defer ticker.Stop()
	said := ""
	for {
		err := k.sync(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			said = ""
		case said != err.Error():
			said = err.Error()
			k.log.Error("the certificates of the admission webhook could not be kept", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sync does what there is to do. When another replica was faster, it looks again.
func (k *keeper) sync(ctx context.Context) error {
	const tries = 5
	for i := 1; ; i++ {
		err := k.once(ctx)
		if i == tries || !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
}

// once reads the configuration before the Secret and writes it, with the version
// that it has read, after: so what another replica has written to both cannot be
// undone by this one with an older Secret.
func (k *keeper) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	hooks, err := k.hooks(ctx)
	if err != nil {
		return err
	}
	secret := &corev1.Secret{}
	if err := client.IgnoreNotFound(k.client.Get(ctx, k.secret, secret)); err != nil {
		return fmt.Errorf("read the Secret %s: %w", k.secret, err)
	}
	found := parse(secret.Data)
	now := time.Now()
	certs, changed, err := found.renewed(now, k.hosts, k.life, k.settled(now, hooks, firstOf(found.trusted)))
	if err != nil {
		return err
	}
	if changed {
		if err := k.store(ctx, secret, certs); err != nil {
			return fmt.Errorf("write the Secret %s: %w", k.secret, err)
		}
		k.log.Info("certificates of the admission webhook renewed", "until", certs.leaf.Leaf.NotAfter, "authority_until", certs.trusted[0].NotAfter)
	}
	k.current.Store(certs.leaf)
	return k.publish(ctx, hooks, certs.bundle())
}

func (k *keeper) store(ctx context.Context, secret *corev1.Secret, certs certificates) error {
	data, err := certs.data()
	if err != nil {
		return err
	}
	secret.Data = data
	if secret.ResourceVersion != "" {
		return k.client.Update(ctx, secret)
	}
	secret.Namespace, secret.Name = k.secret.Namespace, k.secret.Name
	secret.Labels = map[string]string{"app.kubernetes.io/managed-by": "signalbox", "app.kubernetes.io/component": "controller"}
	return k.client.Create(ctx, secret)
}

// hooks is the configuration through which API servers come here; nil where
// there is none.
func (k *keeper) hooks(ctx context.Context) (*regv1.ValidatingWebhookConfiguration, error) {
	c := &regv1.ValidatingWebhookConfiguration{}
	err := k.client.Get(ctx, client.ObjectKey{Name: k.configuration}, c)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the ValidatingWebhookConfiguration %s: %w", k.configuration, err)
	}
	return c, nil
}

// settled tells whether the configuration has had the authority for long enough.
func (k *keeper) settled(now time.Time, c *regv1.ValidatingWebhookConfiguration, authority []byte) bool {
	if c != nil && !trustAll(c, authority) {
		k.told.authority = nil
		return false
	}
	if !bytes.Equal(k.told.authority, authority) {
		k.told.authority, k.told.since = authority, now
	}
	return len(authority) > 0 && now.Sub(k.told.since) >= k.life.settle
}

func trustAll(c *regv1.ValidatingWebhookConfiguration, authority []byte) bool {
	for _, hook := range c.Webhooks {
		if !bytes.Contains(hook.ClientConfig.CABundle, bytes.TrimSpace(authority)) {
			return false
		}
	}
	return true
}

// publish writes the one field that is the controller's, if it differs.
func (k *keeper) publish(ctx context.Context, c *regv1.ValidatingWebhookConfiguration, bundle []byte) error {
	if c == nil {
		return nil
	}
	differs := false
	var hooks []any
	for _, hook := range c.Webhooks {
		differs = differs || !bytes.Equal(hook.ClientConfig.CABundle, bundle)
		hooks = append(hooks, map[string]any{
			"name":         hook.Name,
			"clientConfig": map[string]any{"caBundle": base64.StdEncoding.EncodeToString(bundle)},
		})
	}
	if !differs {
		return nil
	}
	u := &unstructured.Unstructured{Object: map[string]any{"webhooks": hooks}}
	u.SetGroupVersionKind(regv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
	u.SetName(c.Name)
	u.SetResourceVersion(c.ResourceVersion)
	err := k.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldManager), client.ForceOwnership)
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("write the caBundle of the ValidatingWebhookConfiguration %s: %w", c.Name, err)
	}
	return err
}
