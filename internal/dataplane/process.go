// Package dataplane runs manifests in this process: it opens the event buses,
// starts sources and sensors, and follows changes of the manifests without a
// gap. It is what "signalbox run" does.
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/telemetry"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is what a process is started with.
type Config struct {
	// Paths of manifests: files and folders.
	Paths []string
	// Server is the embedded bus; nil if Link names a remote one, or if each
	// EventBus has a server of its own (jetstreamExotic).
	Server *server.Config
	// Link is the remote bus, which then serves every EventBus.
	Link *eventbus.LinkConfig
	// Managed says that Link is a bus that keeps its streams itself.
	Managed bool
	// MaxStore bounds an embedded bus's events, in bytes, where its manifest
	// does not. 0 means no limit but the disk.
	MaxStore int64
	// SecretsDir has secrets, and ConfigMapsDir ConfigMaps, as NAME/KEY; may be
	// empty, and the same.
	SecretsDir, ConfigMapsDir string
	// DrainDelay is how long sources go on after ctx is done, unready, so that
	// those who send to them learn that they are to send elsewhere.
	DrainDelay time.Duration
	// Host is the address that sources listen on; empty means all interfaces.
	Host string
	// BaseURL is the address under which the outside reaches the endpoints of
	// EventSources that do not say; empty if nothing is known.
	BaseURL string
	// Limits are those of the sources' HTTP server.
	Limits ingress.Limits
	// AdminAddr serves health and metrics; empty means none.
	AdminAddr string
	// Namespace of objects that name none.
	Namespace string
	// Prune removes consumers of sensors that are not among the manifests, even
	// if events wait for them.
	Prune bool

	Sources  eventsource.Kinds
	Triggers trigger.Kinds
	// NewHTTP makes the HTTP clients of a namespace's triggers.
	NewHTTP func(secret.Reader) trigger.HTTP
	// Kubernetes is the API for kinds that need it; nil means that there is none.
	Kubernetes *cluster.Cluster
	// Exec are the folders whose programs triggers may run; none if it is empty.
	Exec            []string
	Version, Commit string
	Log             *slog.Logger
	// Out gets the table of what is running.
	Out io.Writer
}

// Process runs manifests.
type Process struct {
	cfg      Config
	links    *links
	linkBase eventbus.LinkConfig
	ingress  *ingress.Server
	metrics  *telemetry.Metrics
	set      atomic.Pointer[manifest.Set]
	last     atomic.Pointer[manifest.Set] // before set; nil if there was none
	started  time.Time
	ready    atomic.Bool // the first apply is through

	reloading sync.Mutex // one reload at a time

	mu    sync.Mutex
	buses map[busKey]*busRun
	http  map[string]trigger.HTTP // by namespace
}

// Run runs the manifests until ctx is done, then lets go in order: no new
// requests, no new work, what has begun comes to its end.
func Run(ctx context.Context, cfg Config) error {
	p := &Process{cfg: cfg, buses: map[busKey]*busRun{}, http: map[string]trigger.HTTP{}, metrics: telemetry.New(cfg.Version, cfg.Commit), started: time.Now()}
	set := p.load()
	for _, path := range cfg.Paths {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("manifests: %s: %w", path, plain(err))
		}
	}
	if len(set.Objects) == 0 && len(set.Problems) == 0 {
		return fmt.Errorf("there are no manifests in %s", strings.Join(cfg.Paths, ", "))
	}
	p.set.Store(set)
	stop, err := p.connect(ctx)
	if err != nil {
		return err
	}
	p.ingress = &ingress.Server{Host: cfg.Host, Log: cfg.Log, Secrets: p.secrets(p.namespace()), Limits: cfg.Limits, Metrics: p.metrics}
	err = p.run(ctx, set)
	return errors.Join(err, p.links.close(), stop())
}

// plain is err without the path and the system call that it repeats.
func plain(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func (p *Process) namespace() string {
	if p.cfg.Namespace != "" {
		return p.cfg.Namespace
	}
	return manifest.DefaultNamespace
}

func (p *Process) load() *manifest.Set {
	return manifest.Load(p.cfg.Paths, manifest.Options{Sources: p.cfg.Sources, Triggers: p.cfg.Triggers, Namespace: p.cfg.Namespace, OneProcess: true, BaseURL: p.cfg.BaseURL})
}

// connect starts the embedded server or dials the remote one. The returned
// function stops what was started.
func (p *Process) connect(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	p.links = &links{dial: eventbus.Dial, exotic: map[string]*eventbus.Link{}, forced: p.cfg.Link != nil}
	p.linkBase = eventbus.LinkConfig{Name: "signalbox", Log: p.cfg.Log}
	link := p.linkBase
	switch {
	case p.cfg.Link == nil && p.cfg.Server == nil:
		return stop, nil
	case p.cfg.Link != nil:
		link = *p.cfg.Link
		link.Name, link.Log = p.linkBase.Name, p.linkBase.Log
	default:
		srv, err := server.Start(*p.cfg.Server)
		if err != nil {
			return nil, err
		}
		stop = func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			return srv.Shutdown(ctx)
		}
		user := srv.User()
		link.InProcess, link.StoreDir, link.User, link.Password = srv, srv.StoreDir(), user.Name, user.Password
	}
	if p.links.main, err = p.links.dial(ctx, link); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// firstLook is how long sources have to fail at once (a port that is taken)
// before the table says that they run.
const firstLook = 100 * time.Millisecond

// run starts everything and follows changes until ctx is done.
func (p *Process) run(ctx context.Context, set *manifest.Set) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if p.cfg.AdminAddr != "" {
		admin, err := p.listenAdmin(ctx)
		if err != nil {
			return err
		}
		wg.Go(func() { admin.serve(inner, p.cfg.Log) })
	}
	p.apply(ctx, set)
	tuneMemory()
	followMemory(inner)
	wg.Go(func() { p.watch(ctx) })
	p.ready.Store(true)
	if pause(ctx, firstLook) == nil {
		p.writeTable(set)
	}
	<-ctx.Done()
	p.cfg.Log.Info("stopping", "drain", p.cfg.DrainDelay)
	p.ready.Store(false)
	p.ingress.Drain()
	time.Sleep(p.cfg.DrainDelay)
	p.stopAll()
	return nil
}

// secrets reads secrets of a namespace: manifests first, then the folder.
func (p *Process) secrets(namespace string) secret.Reader {
	return secret.First{manifestSecrets{p, namespace}, secret.Folders{Secrets: secret.Dir(p.cfg.SecretsDir), ConfigMaps: secret.Dir(p.cfg.ConfigMapsDir)}}
}

// httpFor hands out the HTTP clients of a namespace.
func (p *Process) httpFor(namespace string) trigger.HTTP {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.http[namespace] == nil {
		p.http[namespace] = p.cfg.NewHTTP(p.secrets(namespace))
	}
	return p.http[namespace]
}

// busesOf groups what is to run by EventBus.
func busesOf(set *manifest.Set) map[busKey][]*manifest.Object {
	out := map[busKey][]*manifest.Object{}
	for _, o := range set.Objects {
		switch {
		case o.EventSource != nil:
			k := busKey{o.Namespace, o.EventSource.Spec.Bus()}
			out[k] = append(out[k], o)
		case o.Sensor != nil:
			k := busKey{o.Namespace, o.Sensor.Spec.Bus()}
			out[k] = append(out[k], o)
		}
	}
	return out
}

// apply makes the process run what set says. It returns when everything that
// can be started has been, or ctx is done.
func (p *Process) apply(ctx context.Context, set *manifest.Set) {
	wanted := busesOf(set)
	var wg sync.WaitGroup
	p.mu.Lock()
	for key := range wanted {
		if p.buses[key] == nil {
			p.buses[key] = newBusRun(p, key)
		}
	}
	runs := make([]*busRun, 0, len(p.buses))
	for _, b := range p.buses {
		runs = append(runs, b)
	}
	p.mu.Unlock()
	for _, b := range runs {
		wg.Go(func() { b.apply(ctx, set, wanted[b.key]) })
	}
	wg.Wait()
}

func (p *Process) stopAll() {
	p.mu.Lock()
	runs := make([]*busRun, 0, len(p.buses))
	for _, b := range p.buses {
		runs = append(runs, b)
	}
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, b := range runs {
		wg.Go(b.stop)
	}
	wg.Wait()
}

// problem is logged where a person sees it, with its place.
func (p *Process) problem(o *manifest.Object, err error) {
	for _, pr := range v1alpha1.Problems(err) {
		p.cfg.Log.Error("cannot run", "object", o.String(), "file", fmt.Sprintf("%s:%d", o.File, o.Line), "problem", pr.Error())
	}
}

// warnOfLacks tells at the start what each firing would otherwise fail with.
func (p *Process) warnOfLacks(o *manifest.Object) {
	for i := range o.Sensor.Spec.Triggers {
		for t := &o.Sensor.Spec.Triggers[i]; t != nil; t = t.DLQTrigger {
			if t.Template == nil {
				continue
			}
			for name, raw := range t.Template.Kinds {
				k, ok := p.cfg.Triggers.Named(name)
				if !ok {
					continue
				}
				if err := p.lacks(&k, raw.Raw); err != nil {
					p.cfg.Log.Warn("a trigger cannot act", "object", o.String(), "trigger", t.Template.Name, "error", err)
				}
			}
		}
	}
}

// lacks is what the process was not given that a trigger needs.
func (p *Process) lacks(k *trigger.Kind, raw []byte) error {
	if k.RunsPrograms && len(p.cfg.Exec) == 0 {
		return errors.New("this process was started without --allow-exec DIR")
	}
	if k.NeedsKubernetes == nil {
		return nil
	}
	c, err := k.Decode(raw)
	if c == nil || v1alpha1.Fatal(err) != nil || !k.NeedsKubernetes(c) { // lint has told of it, or a parameter mends it
		return nil
	}
	_, err = p.cfg.Kubernetes.Config()
	return err
}
