package admission

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

const (
	// Name of the Secret with the certificates, and of the Service.
	Name = "signalbox-webhook"
	// Configuration is the name of the ValidatingWebhookConfiguration.
	Configuration = "signalbox"
	// Path at which reviews are taken.
	Path = "/validate"
	// Port is the usual one.
	Port = 9443
)

// Config of a Server.
type Config struct {
	// Client reads and writes the Secret and the ValidatingWebhookConfiguration,
	// and reads the EventSources that a sensor names. It must not be one that answers from a cache: that would want to watch all
	// Secrets, and its answers may be old.
	Client client.Client
	// Namespace of the controller, in which the Secret and the Service are.
	Namespace string
	// Addr to listen on. Defaults to all addresses and Port.
	Addr string
	// Manifests has the kinds that there are.
	Manifests manifest.Options
	Log       *slog.Logger

	// For tests.
	configuration string
	hosts         []string
	life          lifetimes
	every         time.Duration
	listener      net.Listener
}

// Server serves admission over TLS and keeps its certificates. It implements
// the manager's Runnable: every replica of the controller serves.
type Server struct {
	config  Config
	keeper  *keeper
	handler *Handler
}

// New makes a Server, which does nothing until Start.
func New(c Config) *Server {
	c.Addr = cmp.Or(c.Addr, fmt.Sprintf(":%d", Port))
	c.configuration = cmp.Or(c.configuration, Configuration)
	c.every = cmp.Or(c.every, 30*time.Second)
	c.life = cmp.Or(c.life, lifetimes{authority: 365 * 24 * time.Hour, leaf: 90 * 24 * time.Hour, settle: 2 * time.Minute})
	if c.hosts == nil {
		c.hosts = []string{Name + "." + c.Namespace + ".svc"}
	}
	return &Server{
		config:  c,
		handler: NewHandler(c.Manifests, c.eventSource, c.Log),
		keeper: &keeper{
			client: c.Client, secret: client.ObjectKey{Namespace: c.Namespace, Name: Name}, configuration: c.configuration,
			hosts: c.hosts, life: c.life, every: c.every, log: c.Log,
		},
	}
}

// eventSource is a Sources.
func (c Config) eventSource(ctx context.Context, namespace, name string) ([]byte, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindEventSource))
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return u.MarshalJSON()
}

// NeedLeaderElection tells the manager that replicas need not take turns.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready tells whether requests can be answered, in the form of a check of
// readiness.
func (s *Server) Ready(*http.Request) error {
	_, err := s.keeper.certificate(nil)
	return err
}

// Start serves until ctx is done, or returns what keeps it from listening.
func (s *Server) Start(ctx context.Context) error {
	l := s.config.listener
	if l == nil {
		var err error
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", s.config.Addr); err != nil {
			return fmt.Errorf("listen for admission: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle(Path, s.handler)
	server := &http.Server{
		Handler:           mux,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.keeper.certificate},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug), // handshakes of strangers
	}
	// One that comes to its end takes the others along.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		s.keeper.run(ctx)
		return nil
	})
	group.Go(func() error {
		if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve admission: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
		return nil
	})
	err := group.Wait()
	s.handler.Wait()
	return err
}
