// Package server runs a NATS server with JetStream inside this process: the
// embedded bus of one machine, or a member of a cluster.
package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
)

const (
	defaultMaxPayload = 8 << 20
	// Streams are on disk; only short-lived consumers are in memory.
	maxMemory = 256 << 20
	// Rewritten blocks and consumers' progress are synced at least this often.
	embeddedSyncInterval = 10 * time.Second
	defaultSyncInterval  = 2 * time.Minute
	lameDuckDuration     = 5 * time.Second
	lameDuckGrace        = time.Second
)

// Config of a server.
type Config struct {
	// DataDir holds everything the server keeps. It is created. One server uses it
	// at a time.
	DataDir string
	// Embedded says that all clients are on this machine. A random user is made
	// and written to bus.json in DataDir, and with Fsync.Always the clients share
	// the work of fsync, see Server.StoreDir.
	Embedded bool
	// Fsync says when written messages are forced to disk.
	Fsync Fsync
	// Listen is host:port for clients; port 0 takes a free one. Defaults to 127.0.0.1:0.
	Listen string
	// Advertise is the host:port that clients are told; empty: what it listens on.
	Advertise string
	// Users that may connect. Without any (and not Embedded) everybody may.
	Users []User
	// Private makes a random user with all rights for connections from inside this
	// process, see Server.User. Nobody else may connect but Users, which
	// Server.SetUsers may replace.
	Private bool
	// TLS for clients; nil: none.
	TLS *TLSFiles
	// MaxPayload is the largest message in bytes. Defaults to 8 MiB.
	MaxPayload int
	// MaxStore bounds what all streams hold, in bytes. Defaults to what the server
	// finds right for the disk. Keep a tenth above the sum of the streams' limits,
	// so that dead letters and state find room when the events' stream is full.
	MaxStore int64
	// Name of the server; needed in a cluster.
	Name string
	// Cluster to be a member of; nil: none.
	Cluster *Cluster
	// MonitorPort opens NATS's monitoring on the host of Listen; 0: none.
	MonitorPort int
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Fsync says when written messages are forced to disk. The zero value is Always
// for a server on its own, and every two minutes for a member of a cluster,
// which relies on its replicas.
type Fsync struct {
	// Always: before the publisher is told that a message is stored.
	Always bool
	// Every is the interval otherwise.
	Every time.Duration
}

// User may connect with a password.
type User struct {
	Name, Password string
	// Publish and Subscribe are the subjects that a user of a Private server may
	// use, with wildcards; both nil: all.
	Publish, Subscribe []string
}

// TLSFiles are PEM files. They are read again at each handshake, so that they may
// be replaced while the server runs.
type TLSFiles struct {
	Cert, Key string
	// CA that signed the other side's certificates.
	CA string
	// Verify asks clients for a certificate of CA. Routes always do.
	Verify bool
}

// Cluster is what the members of a cluster share, and where this one listens.
type Cluster struct {
	Name string
	// Listen is host:port for the other members.
	Listen string
	// Advertise is the host:port that the others are told; empty: what it listens on.
	Advertise string
	// Routes are nats://host:port of the members, this one may be among them.
	Routes []string
	// Alone says that there is no other member yet: a server that has no state
	// begins as a cluster of one, which can grow. Set it only while the cluster is
	// meant to have one member.
	Alone bool
	// User and Password that members show each other; empty: none.
	User, Password string
	// TLS between members; nil: none.
	TLS *TLSFiles
}

// ReadUsers reads users from a file: a line each, the name, a colon, the
// password. Empty lines and those that begin with # do not count.
func ReadUsers(path string) ([]User, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	var users []User
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("read users: %s line %d: want name:password", path, n)
		}
		users = append(users, User{Name: name, Password: password})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read users: %s: %w", path, err)
	}
	return users, nil
}

// groupSync says whether clients do the fsync.
func (c *Config) groupSync() bool { return c.Embedded && c.always() }

func (c *Config) always() bool {
	return c.Fsync.Always || c.Fsync.Every <= 0 && c.Cluster == nil
}

func (c *Config) options() (*nats.Options, error) {
	listen := c.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	host, port, err := hostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if port == 0 {
		port = nats.RANDOM_PORT
	}
	o := &nats.Options{
		ServerName: c.Name, Host: host, Port: port, ClientAdvertise: c.Advertise,
		HTTPHost: host, HTTPPort: c.MonitorPort,
		NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: c.DataDir,
		JetStreamMaxMemory: maxMemory, JetStreamMaxStore: c.MaxStore,
		MaxPayload:       int32(min(max(c.MaxPayload, 0), 64<<20)),
		LameDuckDuration: lameDuckDuration, LameDuckGracePeriod: lameDuckGrace,
		SyncInterval: c.Fsync.Every,
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = defaultMaxPayload
	}
	switch {
	case c.groupSync():
		o.SyncInterval = embeddedSyncInterval
	case c.always():
		o.SyncAlways = true
		o.SyncInterval = defaultSyncInterval
	case o.SyncInterval <= 0:
		o.SyncInterval = defaultSyncInterval
	}
	if !c.Private {
		for _, u := range c.Users {
			o.Users = append(o.Users, &nats.User{Username: u.Name, Password: u.Password})
		}
	}
	if c.TLS != nil {
		if o.TLSConfig, err = c.TLS.config(c.TLS.Verify); err != nil {
			return nil, fmt.Errorf("tls for clients: %w", err)
		}
		o.TLS, o.TLSVerify, o.TLSTimeout = true, c.TLS.Verify, 5
	}
	if c.Cluster != nil {
		if err := c.Cluster.set(c, o); err != nil {
			return nil, fmt.Errorf("cluster: %w", err)
		}
	}
	return o, nil
}

func (k *Cluster) set(c *Config, o *nats.Options) error {
	if c.Embedded {
		return errors.New("an embedded server cannot be a member")
	}
	if c.Name == "" || k.Name == "" {
		return errors.New("the server's and the cluster's names are needed")
	}
	host, port, err := hostPort(k.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	o.Cluster = nats.ClusterOpts{
		Name: k.Name, Host: host, Port: port, Advertise: k.Advertise,
		Username: k.User, Password: k.Password,
		ConnectRetries: 1 << 30, ConnectBackoff: true,
	}
	for _, r := range k.Routes {
		u, err := url.Parse(r)
		if err != nil || u.Host == "" {
			return errors.New("a route is not nats://host:port") // it may hold a password
		}
		if u.User == nil && k.User != "" {
			u.User = url.UserPassword(k.User, k.Password)
		}
		o.Routes = append(o.Routes, u)
	}
	if k.TLS != nil {
		conf, err := k.TLS.config(true)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		o.Cluster.TLSConfig, o.Cluster.TLSTimeout = conf, 5
	}
	return nil
}

func hostPort(s string) (string, int, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number", port)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, n, nil
}

func storeDir(dataDir string) string { return filepath.Join(dataDir, nats.JetStreamStoreDir) }
