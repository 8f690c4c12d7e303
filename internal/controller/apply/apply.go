// Package apply writes what the controller wants to be in the cluster: children
// of an object, its status, and events on it. It writes only what differs from
// what it wrote last.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// Manager is the field manager of everything that the controller writes.
	Manager = "signalbox"
	// HashAnnotation holds a hash of what was wished for when an object was written last.
	HashAnnotation = "signalbox.dev/hash"
)

// Config of an Applier. Client, Reader and Recorder are needed.
type Config struct {
	// Client reads children from a cache that has those with ManagedByLabel,
	// and writes.
	Client client.Client
	// Reader reads from the API server itself.
	Reader client.Reader
	// Recorder takes the events.
	Recorder events.EventRecorder
	// Namespaces that children may be in; empty: all.
	Namespaces []string
	// Now defaults to time.Now.
	Now func() time.Time
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Applier writes children, status and events. It is safe for concurrent use,
// for different owners.
type Applier struct {
	Config
	memory memory
	left   leftovers
}

// New returns an Applier with an empty memory.
func New(c Config) *Applier {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Applier{Config: c}
}

// Changed are the objects that were written, as KIND/NAME.
type Changed []string

// ForeignError says that an object which is not ours has the name of a child.
type ForeignError struct {
	// Child is KIND/NAME.
	Child string
	// Owner is KIND/NAME of who controls it; empty if nobody does.
	Owner string
}

// Error implements error.
func (e *ForeignError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("%s is there already and was not made for this object; rename or delete one of them", e.Child)
	}
	return fmt.Sprintf("%s is there already and belongs to %s", e.Child, e.Owner)
}

// Apply makes each wanted object what it is to be: labels, the controller
// reference to owner and the hash are added here. An object is left alone if the
// wish is that of the last write and nobody has changed the object since; what
// somebody has changed is put right, fields that the wish does not have are not
// touched. A wanted object is not changed itself and needs apiVersion and kind
// only if it is unstructured. One that cannot be written holds up no other; the
// errors are joined, a [ForeignError] among them where the name is taken.
func (a *Applier) Apply(ctx context.Context, owner client.Object, wanted ...client.Object) (Changed, error) {
	var changed Changed
	var errs []error
	for _, w := range wanted {
		wrote, id, err := a.one(ctx, owner, w)
		if err != nil {
			errs = append(errs, err)
		}
		if wrote {
			changed = append(changed, id)
		}
	}
	return changed, errors.Join(errs...)
}

func (a *Applier) one(ctx context.Context, owner, w client.Object) (bool, string, error) {
	wish, hash, err := a.wish(owner, w)
	if err != nil {
		return false, "", err
	}
	key := childOf(wish)
	id := key.String()
	live, err := a.cached(ctx, wish)
	if err != nil {
		return false, id, fmt.Errorf("read %s: %w", id, err)
	}
	last, known := a.memory.child(owner, key)
	ours := live != nil && metav1.IsControlledBy(live, owner)
	switch {
	case live != nil && known && older(live.GetResourceVersion(), last.version):
		// The cache does not have our last write yet.
		if last.hash == hash {
			return false, id, nil
		}
	case ours && live.GetAnnotations()[HashAnnotation] == hash && hasMeta(wish, live) &&
		(!known || last.uid != live.GetUID() || last.state == state(live)): // after a start the hash is trusted
		a.memory.setChild(owner, key, written{live.GetUID(), hash, state(live), live.GetResourceVersion()})
		return false, id, nil
	}
	if !ours || live.GetAnnotations()[HashAnnotation] == hash {
		// The cache does not know: it has only objects with our label, and of
		// most of them no content.
		same, err := a.look(ctx, owner, wish, hash)
		if err != nil || same {
			return false, id, err
		}
	}
	if err := a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(wish), client.FieldOwner(Manager), client.ForceOwnership); err != nil {
		return false, id, fmt.Errorf("write %s: %w", id, err)
	}
	a.memory.setChild(owner, key, written{wish.GetUID(), hash, state(wish), wish.GetResourceVersion()})
	return true, id, nil
}

// look asks the API server whether the object is as wished. The error is a
// ForeignError if it is not ours.
func (a *Applier) look(ctx context.Context, owner client.Object, wish *unstructured.Unstructured, hash string) (bool, error) {
	key := childOf(wish)
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(wish.GroupVersionKind())
	err := a.Reader.Get(ctx, client.ObjectKeyFromObject(wish), live)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read %s: %w", key, err)
	case !metav1.IsControlledBy(live, owner):
		return false, foreign(key.String(), live)
	case live.GetAnnotations()[HashAnnotation] != hash || !hasMeta(wish, live) || !contains(live.Object, wish.Object):
		return false, nil
	}
	a.memory.setChild(owner, key, written{live.GetUID(), hash, state(live), live.GetResourceVersion()})
	return true, nil
}

// wish is w as it is to be written, and its hash.
func (a *Applier) wish(owner, w client.Object) (*unstructured.Unstructured, string, error) {
	gvk, err := a.Client.GroupVersionKindFor(w)
	if err != nil {
		return nil, "", err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(w)
	if err != nil {
		return nil, "", fmt.Errorf("%s/%s: %w", gvk.Kind, w.GetName(), err)
	}
	u := (&unstructured.Unstructured{Object: content}).DeepCopy()
	u.SetGroupVersionKind(gvk)
	u.SetNamespace(owner.GetNamespace())
	unstructured.RemoveNestedField(u.Object, "status")
	dropEmpty(u.Object)
	labels := Labels(owner)
	for k, v := range w.GetLabels() {
		if _, ours := labels[k]; !ours {
			labels[k] = v
		}
	}
	u.SetLabels(labels)
	ref, err := a.reference(owner)
	if err != nil {
		return nil, "", err
	}
	u.SetOwnerReferences([]metav1.OwnerReference{ref})
	b, err := json.Marshal(u.Object)
	if err != nil {
		return nil, "", fmt.Errorf("%s/%s: %w", gvk.Kind, w.GetName(), err)
	}
	sum := sha256.Sum256(b)
	hash := hex.EncodeToString(sum[:16])
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[HashAnnotation] = hash
	u.SetAnnotations(annotations)
	return u, hash, nil
}

// reference does not block the owner's deletion: nobody is to wait for it, and
// it would need rights on finalizers.
func (a *Applier) reference(owner client.Object) (metav1.OwnerReference, error) {
	gvk, err := a.Client.GroupVersionKindFor(owner)
	if err != nil {
		return metav1.OwnerReference{}, err
	}
	yes := true
	return metav1.OwnerReference{
		APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind,
		Name: owner.GetName(), UID: owner.GetUID(), Controller: &yes,
	}, nil
}

// cached reads the child from the cache, in the form in which it is watched;
// nil if it is not there.
func (a *Applier) cached(ctx context.Context, wish *unstructured.Unstructured) (client.Object, error) {
	live := Watched(wish.GroupVersionKind())
	err := a.Client.Get(ctx, client.ObjectKeyFromObject(wish), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return live, err
}

func foreign(id string, live client.Object) error {
	e := &ForeignError{Child: id}
	if ref := metav1.GetControllerOf(live); ref != nil {
		e.Owner = ref.Kind + "/" + ref.Name
	}
	return e
}

// Event puts an event on obj, unless the last one of the same reason had the
// same message. warning says that something is not as it should be.
func (a *Applier) Event(obj client.Object, warning bool, reason, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if !a.memory.newEvent(obj, reason, message) {
		return
	}
	const most = 1024 // what events.k8s.io takes
	if len(message) > most {
		message = message[:most-3] + "..."
	}
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	a.Recorder.Eventf(obj, nil, kind, reason, "Reconcile", "%s", message)
}

// Forget drops what is remembered of an owner that is gone.
func (a *Applier) Forget(owner client.Object) { a.memory.forget(owner) }
