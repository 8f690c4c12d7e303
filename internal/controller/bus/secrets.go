package bus

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/pki"
)

// clientRoles have a Secret of their own.
var clientRoles = [...]string{controller.RoleEventSource, controller.RoleSensor, controller.RoleClient}

// passwords are keys of the server's Secret that are made once.
var passwords = [...]string{
	controller.KeyClusterPass, controller.RoleController,
	controller.RoleEventSource, controller.RoleSensor, controller.RoleClient,
}

// Names of the Secrets that no role has.
func caSecret(bus string) string     { return controller.BusSecret(bus, "ca") }
func serverSecret(bus string) string { return controller.BusSecret(bus, "server") }

// secrets makes the Secrets of a bus what they should be. What is there is kept,
// so that nothing changes without need. It returns when something has to be
// renewed.
func (r *Reconciler) secrets(ctx context.Context, owner client.Object) (time.Time, error) {
	now := r.Now()
	name, ns := owner.GetName(), owner.GetNamespace()
	kept, err := r.ownSecret(ctx, owner, caSecret(name))
	if err != nil {
		return time.Time{}, err
	}
	authority, err := pki.ReadAuthority(pki.Pair{Cert: kept[controller.KeyCA], Key: kept[controller.KeyCAKey]})
	if err != nil { // there is none yet, or somebody has spoilt it
		authority, err = pki.NewAuthority("Signalbox event bus "+ns+"/"+name, now)
	} else {
		authority, err = authority.Renewed(now)
	}
	if err != nil {
		return time.Time{}, err
	}
	// Nothing is signed by an authority that is not kept.
	_, err = r.Applier.Apply(ctx, owner, secretOf(caSecret(name), map[string][]byte{
		controller.KeyCA: authority.Cert, controller.KeyCAKey: authority.Key,
	}))
	if err != nil {
		return time.Time{}, err
	}
	server, err := r.ownSecret(ctx, owner, serverSecret(name))
	if err != nil {
		return time.Time{}, err
	}
	cert, err := authority.Server(pki.Pair{Cert: server[controller.KeyCert], Key: server[controller.KeyKey]}, serverNames(ns, name), now)
	if err != nil {
		return time.Time{}, err
	}
	data := map[string][]byte{
		controller.KeyCA: authority.Cert, controller.KeyCert: cert.Cert, controller.KeyKey: cert.Key,
	}
	for _, key := range passwords {
		data[key] = server[key]
		if len(data[key]) == 0 {
			data[key] = []byte(pki.Password())
		}
	}
	wanted := []client.Object{secretOf(serverSecret(name), data)}
	for _, role := range clientRoles {
		wanted = append(wanted, secretOf(controller.BusSecret(name, role), map[string][]byte{
			controller.KeyCA:       authority.Cert,
			controller.KeyUsername: []byte(role),
			controller.KeyPassword: data[role],
			controller.KeyAuth:     fmt.Appendf(nil, "username: %s\npassword: %s\n", role, data[role]),
		}))
	}
	if _, err := r.Applier.Apply(ctx, owner, wanted...); err != nil {
		return time.Time{}, err
	}
	due := cert.Due()
	if authority.Due().Before(due) {
		due = authority.Due()
	}
	return due, nil
}

// ownSecret reads a Secret of owner, from the API server: what is in it must not
// be old, and is not kept in memory. One of somebody else's counts as absent.
func (r *Reconciler) ownSecret(ctx context.Context, owner client.Object, name string) (map[string][]byte, error) {
	s := &corev1.Secret{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: owner.GetNamespace(), Name: name}, s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Secret/%s: %w", name, err)
	case !metav1.IsControlledBy(s, owner):
		return nil, nil
	}
	return s.Data, nil
}

func secretOf(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretTypeOpaque, Data: data}
}

// serverNames are all names by which a pod of the bus is reached.
func serverNames(ns, bus string) []string {
	service := controller.BusName(bus)
	var names []string
	for _, suffix := range []string{"", "." + ns, "." + ns + ".svc", "." + ns + ".svc.cluster.local"} {
		names = append(names, service+suffix, "*."+service+suffix)
	}
	return append(names, "localhost", "127.0.0.1", "::1")
}
