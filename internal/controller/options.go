// Package controller runs what turns EventBus, EventSource and Sensor objects
// into pods. It sets up the connection to the API server, the cache, metrics,
// health and leader election; reconcilers and admission are hooked in by the
// command, each with a [Setup].
package controller

import (
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Options are what the user says, and what all reconcilers share.
type Options struct {
	// Image and PullPolicy of the pods. PullPolicy defaults to what Kubernetes
	// takes for a new pod: Always for the tag latest, or else IfNotPresent.
	Image      string
	PullPolicy corev1.PullPolicy
	// Namespaces that are watched; empty: all.
	Namespaces []string
	// Namespace of the controller's own pod: of its lease and of the Secret of
	// its webhook.
	Namespace string
	// LogLevel and LogFormat of the pods: debug, info, warn or error; text or json.
	LogLevel, LogFormat string
	// Exec are folders of the pods' image whose programs sensors may run; none
	// if it is empty.
	Exec []string
	// Sources and Triggers are the kinds that there are.
	Sources  eventsource.Kinds
	Triggers trigger.Kinds
	// LeaderElect lets one of several controllers work at a time.
	LeaderElect bool
	// MetricsAddr and HealthAddr are host:port; "0" for none.
	MetricsAddr, HealthAddr string
	// Workers is how many objects of a kind are reconciled at a time. Defaults to 8.
	Workers int
	// Now defaults to time.Now.
	Now func() time.Time
	// Log defaults to slog.Default().
	Log *slog.Logger

	// Applier writes; New sets it.
	Applier *apply.Applier
}

// Setup adds a reconciler, or something else that runs, to a manager.
type Setup func(manager.Manager, Options) error

// Manifest is how objects are checked: as lint does.
func (o *Options) Manifest(namespace string) manifest.Options {
	return manifest.Options{Sources: o.Sources, Triggers: o.Triggers, Namespace: namespace}
}

func (o *Options) fill() {
	if o.PullPolicy == "" {
		// It has to be said: the server's default is of the image that came first.
		o.PullPolicy = pullPolicy(o.Image)
	}
	if o.Workers <= 0 {
		o.Workers = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

func pullPolicy(image string) corev1.PullPolicy {
	name, _, pinned := strings.Cut(image, "@")
	_, tag, tagged := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if pinned || tagged && tag != "latest" {
		return corev1.PullIfNotPresent
	}
	return corev1.PullAlways
}

// Object is an empty object of one of the three kinds, as they are watched:
// unstructured, so that one that cannot be decoded holds up no other.
func Object(kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return u
}
