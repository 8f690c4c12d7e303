package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
)

const (
	startTimeout = 60 * time.Second
	// After a write error JetStream refuses a stream until the server is
	// started again, which we do when there is room again.
	recoverInterval = 2 * time.Second
	minFree         = 64 << 20
	embeddedUser    = "signalbox"
)

// Server is a running server.
type Server struct {
	config  Config
	options *nats.Options
	log     *logger
	lock    *os.File
	user    User
	guard   *guard          // of a Private server
	ctx     context.Context // of our own goroutines
	stop    context.CancelFunc
	done    chan struct{}
	knocks  sync.WaitGroup

	mu      sync.Mutex
	running *nats.Server
	closed  bool
}

// Start starts a server and returns once it takes connections. A second server
// on the same DataDir is an error that names the process of the first.
func Start(c Config) (*Server, error) {
	s, err := start(c)
	if err != nil {
		return nil, fmt.Errorf("start bus in %s: %w", c.DataDir, err)
	}
	return s, nil
}

func start(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.DataDir == "" {
		return nil, errors.New("no data directory")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, err
	}
	c.DataDir = dir
	s := &Server{log: newLogger(c.Log), done: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	switch {
	case c.Private:
		s.user = User{Name: embeddedUser, Password: rand.Text()}
		s.guard = newGuard(s.user, c.Users)
	case c.Embedded:
		s.user = User{Name: embeddedUser, Password: rand.Text()}
		c.Users = append(c.Users[:len(c.Users):len(c.Users)], s.user)
	case len(c.Users) > 0:
		s.user = c.Users[0]
	}
	s.config = c
	if s.options, err = c.options(); err != nil {
		return nil, err
	}
	if s.guard != nil {
		s.options.CustomClientAuthentication = s.guard
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, err
	}
	if s.lock, err = lock(c.DataDir); err != nil {
		return nil, err
	}
	if c.Cluster != nil && c.Cluster.Alone {
		if err := beginAlone(c.DataDir, c.Name); err != nil {
			return nil, errors.Join(err, s.lock.Close())
		}
	}
	if s.running, err = s.launch(); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	// The same port after a restart of the server inside this process.
	if addr, ok := s.running.Addr().(*net.TCPAddr); ok {
		s.options.Port = addr.Port
	}
	if c.Embedded {
		if err := s.announce(); err != nil {
			s.running.Shutdown()
			s.running.WaitForShutdown()
			return nil, errors.Join(err, s.lock.Close())
		}
	}
	go s.watch(s.ctx)
	return s, nil
}

// launch starts one NATS server with our options.
func (s *Server) launch() (*nats.Server, error) {
	s.log.reset()
	o := s.options.Clone()
	var knock *knocker
	if s.config.Cluster != nil && isAlone(s.config.DataDir) {
		knock = newKnocker(o)
	}
	ns, err := nats.NewServer(o)
	if err != nil {
		return nil, err
	}
	ns.SetLoggerV2(s.log, false, false, false)
	ns.Start()
	ready := ns.ReadyForConnections(startTimeout)
	if err := s.log.fatal(); err != nil || !ready {
		ns.Shutdown()
		ns.WaitForShutdown()
		if err == nil {
			err = errors.New("not ready in time")
		}
		return nil, err
	}
	if knock != nil {
		s.knocks.Go(func() {
			if err := knock.knock(s.ctx, ns); err != nil {
				s.config.Log.Error("the cluster of one cannot begin", "error", err)
			}
		})
	}
	return ns, nil
}

func (s *Server) current() *nats.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// InProcessConn connects without a socket; it makes Server an
// InProcessConnProvider of the NATS client.
func (s *Server) InProcessConn() (net.Conn, error) {
	ns := s.current()
	if !ns.Running() {
		return nil, errors.New("the bus is being started again")
	}
	return ns.InProcessConn()
}

// URL for clients.
func (s *Server) URL() string { return s.current().ClientURL() }

// User that may connect: the random one of an embedded or a Private server, the first one of
// Config.Users otherwise, empty if there is none.
func (s *Server) User() User { return s.user }

// StoreDir is the JetStream folder if clients have to fsync what they publish
// (embedded and Fsync.Always), and empty otherwise. It goes into the client's
// configuration as it is.
func (s *Server) StoreDir() string {
	if !s.config.groupSync() {
		return ""
	}
	return storeDir(s.config.DataDir)
}

// ClusterAddr is where the server listens for other members; empty without a cluster.
func (s *Server) ClusterAddr() string {
	if a := s.current().ClusterAddr(); a != nil {
		return a.String()
	}
	return ""
}

// Healthy says whether JetStream works and is up to date with its cluster.
func (s *Server) Healthy() error {
	if p := problem(s.current()); p != "" {
		return errors.New("bus: " + p)
	}
	return nil
}

// watch starts the server again after a write error, once there is room.
func (s *Server) watch(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.log.broken:
		}
		s.config.Log.Error("the bus cannot write to disk; it starts again when there is room", "dir", s.config.DataDir)
		for {
			t := time.NewTimer(recoverInterval)
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			if n, err := free(s.config.DataDir); err != nil || n < minFree {
				continue
			}
			if err := s.Restart(); err != nil {
				s.config.Log.Error("cannot start the bus again", "error", err)
				continue
			}
			s.config.Log.Info("bus started again")
			break
		}
	}
}

// Restart stops the server and starts it again at the same address. Clients
// reconnect.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("restart bus: it was shut down")
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.log.mend()
	ns, err := s.launch()
	if err != nil {
		return fmt.Errorf("restart bus: %w", err)
	}
	s.running = ns
	return nil
}

// Shutdown stops the server and waits for it, at most until ctx ends. A member of
// a cluster first hands over what it leads. It may be called again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.stop()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-s.done
		ns := s.current()
		if s.config.Cluster != nil && ns.NumRemotes() > 0 {
			ns.LameDuckShutdown()
		}
		ns.Shutdown()
		ns.WaitForShutdown()
		s.knocks.Wait()
	}()
	var err error
	select {
	case <-stopped:
	case <-ctx.Done():
		s.current().Shutdown()
		<-stopped
		err = fmt.Errorf("shut down bus: hurried: %w", context.Cause(ctx))
	}
	if s.config.Embedded {
		err = errors.Join(err, s.withdraw())
	}
	return errors.Join(err, s.lock.Close())
}

func pidText() string { return strconv.Itoa(os.Getpid()) }
