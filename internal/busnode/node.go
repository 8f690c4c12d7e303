// Package busnode runs one member of an EventBus: the server, the keeper of its
// streams, and its health. It is what "signalbox bus" does.
package busnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// shutdownTime is how long a member may take to hand over what it leads.
const shutdownTime = 30 * time.Second

// Config is what a member is started with.
type Config struct {
	Server server.Config
	// EventBus is the file of the EventBus object whose streams are kept; empty:
	// a server whose clients make their streams.
	EventBus string
	// AuthDir has the roles' passwords, that of the cluster, and certificates;
	// empty: what Server says. Only with EventBus.
	AuthDir string
	// AdminAddr serves health and metrics; empty means none.
	AdminAddr       string
	Version, Commit string
	Log             *slog.Logger
	// Out gets the line that says where the bus listens.
	Out io.Writer
}

// node is a running member.
type node struct {
	cfg    Config
	server *server.Server
	link   *eventbus.Link
	keeper *eventbus.Keeper // nil without an EventBus

	mu       sync.Mutex
	bus      *v1alpha1.EventBus // as last read
	stopping bool
}

// Run runs a member until ctx is done, then hands over what it leads and stops.
func Run(ctx context.Context, cfg Config) error {
	n := &node{cfg: cfg}
	n.cfg.Server.Log = cfg.Log
	if cfg.EventBus != "" {
		if err := n.prepare(); err != nil {
			return err
		}
	}
	var err error
	if n.server, err = server.Start(n.cfg.Server); err != nil {
		return err
	}
	admin, err := n.listenAdmin(ctx)
	if err == nil && cfg.EventBus != "" {
		err = n.keep(ctx)
	}
	if err == nil {
		_, err = fmt.Fprintln(cfg.Out, "bus listens on", n.server.URL())
	}
	if err != nil {
		return errors.Join(err, admin.close(), n.stop())
	}
	var work sync.WaitGroup
	if n.keeper != nil {
		work.Go(func() { manifest.Watch(ctx, n.files(), n.reload) })
	}
	<-ctx.Done()
	cfg.Log.Info("stopping")
	n.mu.Lock()
	n.stopping = true
	n.mu.Unlock()
	work.Wait()
	return errors.Join(n.stop(), admin.close())
}

func (n *node) stop() error {
	var errs []error
	if n.keeper != nil {
		errs = append(errs, n.keeper.Close())
	}
	if n.link != nil {
		errs = append(errs, n.link.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	return errors.Join(append(errs, n.server.Shutdown(ctx))...)
}

// prepare completes the server's configuration from the files.
func (n *node) prepare() error {
	bus, limits, err := readEventBus(n.cfg.EventBus)
	if err != nil {
		return err
	}
	n.bus = bus
	c := &n.cfg.Server
	c.Private = true
	if n.cfg.AuthDir != "" {
		users, err := readRoles(n.cfg.AuthDir, bus)
		if err != nil {
			return err
		}
		c.Users = append(c.Users, users...)
		if err := secure(c, n.cfg.AuthDir); err != nil {
			return err
		}
	}
	if len(c.Users) == 0 {
		return errors.New("nobody could connect: name the users of the bus (--auth-dir, --user or --users-file)")
	}
	if c.MaxStore == 0 && limits.MaxBytes > 0 {
		// Dead letters and state need room as well.
		if c.MaxStore, err = server.StoreFor(c.DataDir, limits.MaxBytes); err != nil {
			return err
		}
	}
	if c.Cluster != nil {
		c.Cluster.Alone = len(ownRoutes(c)) == len(c.Cluster.Routes)
		advertise(c)
	}
	return nil
}

// members is the size that the cluster is to have.
func (n *node) members() int {
	if n.cfg.Server.Cluster == nil {
		return 1
	}
	return max(1, len(n.cfg.Server.Cluster.Routes))
}

// limits are those of the manifest, with the replicas that the members allow.
func (n *node) limits(l eventbus.Limits) eventbus.Limits {
	if l.Replicas <= 0 {
		l.Replicas = 3
	}
	l.Replicas = min(l.Replicas, n.members())
	return l
}

func (n *node) keep(ctx context.Context) error {
	_, limits, err := readEventBus(n.cfg.EventBus)
	if err != nil {
		return err
	}
	user := n.server.User()
	n.link, err = eventbus.Dial(ctx, eventbus.LinkConfig{
		InProcess: n.server, User: user.Name, Password: user.Password, Name: "keeper", Log: n.cfg.Log.With("component", "keeper"),
	})
	if err != nil {
		return err
	}
	n.keeper = eventbus.Keep(n.link, eventbus.Config{
		Namespace: n.bus.Namespace, Name: n.bus.Name, Limits: n.limits(limits), Log: n.cfg.Log,
	})
	return nil
}

// files are those that are followed.
func (n *node) files() []string {
	files := []string{n.cfg.EventBus}
	if n.cfg.AuthDir != "" {
		for _, r := range eventbus.Roles() {
			files = append(files, filepath.Join(n.cfg.AuthDir, string(r)))
		}
	}
	return files
}

// reload takes changed files. Certificates are read at each handshake anyway.
func (n *node) reload() {
	bus, limits, err := readEventBus(n.cfg.EventBus)
	if err == nil && (bus.Namespace != n.bus.Namespace || bus.Name != n.bus.Name) {
		err = fmt.Errorf("%s: it is another EventBus now", n.cfg.EventBus)
	}
	if err != nil {
		n.cfg.Log.Error("the EventBus cannot be read, the one before goes on", "error", err)
	} else {
		n.keeper.Change(n.limits(limits))
	}
	if n.cfg.AuthDir == "" {
		return
	}
	users, err := readRoles(n.cfg.AuthDir, n.bus)
	if err != nil {
		n.cfg.Log.Error("passwords cannot be read, those before go on", "error", err)
		return
	}
	n.server.SetUsers(users)
	n.cfg.Log.Info("files of the bus have changed and are in use")
}

// readEventBus reads the one EventBus of a file.
func readEventBus(file string) (*v1alpha1.EventBus, eventbus.Limits, error) {
	set := manifest.Load([]string{file}, manifest.Options{})
	found := set.OfKind(v1alpha1.KindEventBus)
	if len(found) != 1 || found[0].Broken || found[0].EventBus == nil {
		err := fmt.Errorf("%s: want one valid EventBus", file)
		for _, p := range set.Problems {
			if p.Severity == v1alpha1.Error {
				err = fmt.Errorf("%w: %s", err, p.String())
			}
		}
		return nil, eventbus.Limits{}, err
	}
	bus := found[0].EventBus
	if bus.Spec.JetStream == nil && (bus.Spec.NATS == nil || bus.Spec.NATS.Native == nil) {
		return nil, eventbus.Limits{}, fmt.Errorf("%s: EventBus %s names a server elsewhere", file, bus.Name)
	}
	bus.Namespace, bus.Name = found[0].Namespace, found[0].Name
	limits, err := manifest.Limits(bus)
	if err = v1alpha1.Fatal(err); err != nil {
		return nil, limits, fmt.Errorf("%s: %w", file, err)
	}
	return bus, limits, nil
}

// ownRoutes are the routes that lead to this member: their host's first label is
// its name.
func ownRoutes(c *server.Config) []*url.URL {
	var own []*url.URL
	for _, r := range c.Cluster.Routes {
		u, err := url.Parse(r)
		if err != nil {
			continue // server.Start says what is wrong
		}
		if label, _, _ := strings.Cut(u.Hostname(), "."); label == c.Name {
			own = append(own, u)
		}
	}
	return own
}

// advertise has others told of this member by the name in its own route, which
// its certificate is for, rather than by an address.
func advertise(c *server.Config) {
	own := ownRoutes(c)
	if len(own) == 0 {
		return
	}
	if c.Cluster.Advertise == "" {
		c.Cluster.Advertise = own[0].Host
	}
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && c.Advertise == "" && port != "0" {
		c.Advertise = net.JoinHostPort(own[0].Hostname(), port)
	}
}
