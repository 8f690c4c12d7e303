package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

const (
	// LeaseName is the name of the Lease that controllers elect a leader with.
	LeaseName = "signalbox-controller"

	queriesPerSecond = 100
	queryBurst       = 200
	// stopTimeout is what reconciles have to come to an end.
	stopTimeout = 20 * time.Second
)

// New makes a manager with everything that setups add. Nothing runs and nothing
// is asked of the API server beyond its discovery until it is started; see Run.
func New(cfg *rest.Config, o Options, setups ...Setup) (manager.Manager, error) {
	o.fill()
	if o.Image == "" {
		return nil, errors.New("controller: the image of the pods is not known")
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = queriesPerSecond, queryBurst
	cfg.UserAgent = apply.Manager + "-controller"
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	graceful := stopTimeout
	mgr, err := manager.New(cfg, manager.Options{
		Scheme: scheme,
		Logger: logr.FromSlogHandler(quiet{o.Log.Handler()}),
		Cache:  cacheOptions(o.Namespaces),
		// Our kinds are watched unstructured, and read from there.
		Client:                        client.Options{Cache: &client.CacheOptions{Unstructured: true}, FieldOwner: apply.Manager},
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              LeaseName,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true, // Run ends with the manager, and the process with Run
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddr},
		HealthProbeBindAddress:        o.HealthAddr,
		GracefulShutdownTimeout:       &graceful,
		Controller:                    config.Controller{SkipNameValidation: new(true), MaxConcurrentReconciles: o.Workers},
	})
	var unknown *apiutil.ErrResourceDiscoveryFailed
	if errors.As(err, &unknown) || meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("controller: the API server does not know our kinds; have the CRDs been installed?: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	o.Applier = apply.New(apply.Config{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder(LeaseName),
		Namespaces: o.Namespaces, Now: o.Now, Log: o.Log,
	})
	for _, setup := range setups {
		if err := setup(mgr, o); err != nil {
			return nil, fmt.Errorf("controller: %w", err)
		}
	}
	if err := errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("cache", synced(mgr)),
	); err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	return mgr, nil
}

// Run runs a manager until ctx is done and everything in it has ended.
func Run(ctx context.Context, cfg *rest.Config, o Options, setups ...Setup) error {
	mgr, err := New(cfg, o, setups...)
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	return nil
}

// cacheOptions keep the cache small: of kinds that are not ours it has what the
// controller made, and of nothing what nobody reads. Whoever needs other objects
// asks the API server (manager.GetAPIReader).
func cacheOptions(namespaces []string) cache.Options {
	o := cache.Options{
		DefaultTransform:     strip,
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{apply.ManagedByLabel: apply.Manager}),
		ByObject:             map[client.Object]cache.ByObject{},
	}
	for _, ns := range namespaces {
		if o.DefaultNamespaces == nil {
			o.DefaultNamespaces = map[string]cache.Config{}
		}
		o.DefaultNamespaces[ns] = cache.Config{}
	}
	for _, kind := range []string{v1alpha1.KindEventBus, v1alpha1.KindEventSource, v1alpha1.KindSensor} {
		o.ByObject[Object(kind)] = cache.ByObject{Label: labels.Everything()}
	}
	return o
}

// Children are the kinds of objects that are made, and that the cache has.
func Children() []client.Object {
	return []client.Object{
		&appsv1.StatefulSet{}, &appsv1.Deployment{}, &corev1.ConfigMap{}, &corev1.Secret{}, &corev1.Service{},
		&policyv1.PodDisruptionBudget{}, &netv1.Ingress{},
	}
}

// strip removes what takes room in the cache and is never read.
func strip(in any) (any, error) {
	o, err := meta.Accessor(in)
	if err != nil {
		return in, nil //nolint:nilerr // a tombstone, which has nothing to strip
	}
	if o.GetManagedFields() != nil {
		o.SetManagedFields(nil)
	}
	if a := o.GetAnnotations(); a[corev1.LastAppliedConfigAnnotation] != "" {
		delete(a, corev1.LastAppliedConfigAnnotation)
		o.SetAnnotations(a)
	}
	return in, nil
}

// synced is ready once the cache has everything, on controllers that wait to
// become the leader too.
func synced(mgr manager.Manager) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the cache has not been filled yet")
		}
		return nil
	}
}

// quiet takes the library's Info, which is said per object, down to Debug.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, lower(l))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

func lower(l slog.Level) slog.Level {
	if l == slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}
