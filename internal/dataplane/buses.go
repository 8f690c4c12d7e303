package dataplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// busKey names an EventBus.
type busKey struct{ namespace, name string }

// links are the connections to servers: the embedded one or --bus, and those of
// jetstreamExotic buses, each made once.
type links struct {
	dial func(context.Context, eventbus.LinkConfig) (*eventbus.Link, error)
	// main is nil if there is neither.
	main *eventbus.Link
	// forced is set if --bus was given: it then serves every EventBus.
	forced bool

	mu     sync.Mutex
	exotic map[string]*eventbus.Link
}

// of returns the link for an EventBus; bus is nil if there is no manifest of it.
func (l *links) of(ctx context.Context, bus *v1alpha1.EventBus, secrets secret.Reader, base eventbus.LinkConfig) (*eventbus.Link, error) {
	if l.forced || bus == nil || bus.Spec.JetStreamExotic == nil {
		if bus != nil && !l.forced {
			if err := refused(bus); err != nil {
				return nil, err
			}
		}
		if l.main == nil {
			return nil, errors.New("there is no server for this event bus: neither --bus, nor an embedded one, nor an EventBus with jetstreamExotic")
		}
		return l.main, nil
	}
	cfg, id, err := exoticConfig(ctx, bus.Spec.JetStreamExotic, secrets, base)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if link, ok := l.exotic[id]; ok {
		return link, nil
	}
	link, err := l.dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l.exotic[id] = link
	return link, nil
}

// refused tells why a bus cannot be had.
func refused(bus *v1alpha1.EventBus) error {
	switch s := bus.Spec; {
	case s.Kafka != nil:
		return v1alpha1.Invalid("spec.kafka", "a Kafka bus is not supported").
			Hinted("use jetstream; Kafka stays available as a source and a trigger")
	case s.NATS != nil && s.NATS.Exotic != nil:
		return v1alpha1.Invalid("spec.nats.exotic", "NATS Streaming servers are not supported").
			Hinted("use jetstream, or jetstreamExotic for a JetStream server of your own")
	}
	return nil
}

func (l *links) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, link := range l.exotic {
		errs = append(errs, link.Close())
	}
	if l.main != nil {
		errs = append(errs, l.main.Close())
	}
	return errors.Join(errs...)
}

// access is the content of jetstreamExotic.accessSecret.
type access struct {
	Token    string `json:"token"`
	Username string `json:"username"`
	Password string `json:"password"`
}

func exoticConfig(ctx context.Context, x *v1alpha1.JetStreamExotic, secrets secret.Reader, base eventbus.LinkConfig) (eventbus.LinkConfig, string, error) {
	cfg := eventbus.LinkConfig{URL: x.URL, Name: base.Name, Log: base.Log}
	id := x.URL
	if ref := x.AccessSecret; ref != nil {
		b, err := secrets.Secret(ctx, ref)
		if err != nil {
			return cfg, "", fmt.Errorf("spec.jetstreamExotic.accessSecret: %w", err)
		}
		var a access
		if err := yaml.Unmarshal(b, &a); err != nil {
			return cfg, "", fmt.Errorf("spec.jetstreamExotic.accessSecret: secret %s, key %s: want YAML with token, or username and password", ref.Name, ref.Key)
		}
		cfg.Token, cfg.User, cfg.Password = a.Token, a.Username, a.Password
		id += "|" + ref.Name + "|" + ref.Key
	}
	if x.TLS != nil {
		t, err := tlsConfig(ctx, x.TLS, secrets)
		if err != nil {
			return cfg, "", fmt.Errorf("spec.jetstreamExotic.tls: %w", err)
		}
		cfg.TLS = t
	}
	return cfg, id, nil
}

func tlsConfig(ctx context.Context, t *v1alpha1.TLSConfig, secrets secret.Reader) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.InsecureSkipVerify} //nolint:gosec // the user's choice
	if t.InsecureSkipVerify {
		return cfg, nil
	}
	if t.CACertSecret != nil {
		pem, err := secrets.Secret(ctx, t.CACertSecret)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("secret %q, key %q: holds no PEM certificate", t.CACertSecret.Name, t.CACertSecret.Key)
		}
	}
	if t.ClientCertSecret != nil && t.ClientKeySecret != nil {
		pair, err := keyPair(ctx, t.ClientCertSecret, t.ClientKeySecret, secrets)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

func keyPair(ctx context.Context, certRef, keyRef *corev1.SecretKeySelector, secrets secret.Reader) (tls.Certificate, error) {
	cert, err := secrets.Secret(ctx, certRef)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := secrets.Secret(ctx, keyRef)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("secrets %q and %q: not a certificate with its key", certRef.Name, keyRef.Name)
	}
	return pair, nil
}

// busSettings are what an EventBus is opened with. They count until the process ends.
type busSettings struct {
	limits eventbus.Limits
	// exotic is the connection that the manifest names, as JSON.
	exotic string
}

// settings reads what the manifests want of an EventBus; spec is nil if there is
// no manifest of it.
func (p *Process) settings(key busKey, set *manifest.Set) (spec *v1alpha1.EventBus, s busSettings, err error) {
	if o := set.Find(busID(key)); o != nil {
		if o.Broken {
			return nil, s, fmt.Errorf("EventBus %s is not valid, see its problems", key.name)
		}
		spec = o.EventBus
		if s.limits, err = manifest.Limits(spec); v1alpha1.Fatal(err) != nil {
			return nil, s, v1alpha1.Fatal(err)
		}
	}
	exotic := spec != nil && spec.Spec.JetStreamExotic != nil && !p.links.forced
	if exotic {
		x := *spec.Spec.JetStreamExotic
		x.StreamConfig = "" // is in the limits
		b, err := json.Marshal(x)
		if err != nil {
			return nil, s, err
		}
		s.exotic = string(b)
	}
	if s.limits.MaxBytes == 0 && !exotic && !p.links.forced {
		s.limits.MaxBytes = p.cfg.MaxStore
	}
	return spec, s, nil
}

func busID(key busKey) manifest.ID {
	return manifest.ID{Kind: v1alpha1.KindEventBus, Namespace: key.namespace, Name: key.name}
}

// changedTo names the settings that differ.
func (s busSettings) changedTo(now busSettings) []string {
	var names []string
	for _, c := range []struct {
		name    string
		differs bool
	}{
		{"maxBytes", s.limits.MaxBytes != now.limits.MaxBytes},
		{"maxMsgs", s.limits.MaxMsgs != now.limits.MaxMsgs},
		{"maxAge", s.limits.MaxAge != now.limits.MaxAge},
		{"replicas", s.limits.Replicas != now.limits.Replicas},
		{"duplicates", s.limits.Duplicates != now.limits.Duplicates},
		{"jetstreamExotic", s.exotic != now.exotic},
	} {
		if c.differs {
			names = append(names, c.name)
		}
	}
	return names
}

// openBus opens an EventBus and does not give up: a bus that is away comes back.
func (p *Process) openBus(ctx context.Context, key busKey, set *manifest.Set) (*eventbus.Bus, busSettings, error) {
	spec, settings, err := p.settings(key, set)
	if err != nil {
		return nil, settings, err
	}
	for first := true; ; first = false {
		link, err := p.links.of(ctx, spec, p.secrets(key.namespace), p.linkBase)
		if err != nil && !errors.Is(err, secret.ErrNotFound) { // a secret may come yet
			return nil, settings, err
		}
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		var bus *eventbus.Bus
		if err == nil {
			bus, err = eventbus.Open(try, link, eventbus.Config{Namespace: key.namespace, Name: key.name, Limits: settings.limits, Managed: p.cfg.Managed, Log: p.cfg.Log})
		}
		cancel()
		if err == nil {
			return bus, settings, nil
		}
		if ctx.Err() != nil {
			return nil, settings, ctx.Err()
		}
		if first {
			p.cfg.Log.Warn("event bus not open yet, trying for ever", "error", err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, settings, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
