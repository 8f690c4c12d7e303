package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

const defaultDataDir = ".signalbox"

// busFlags say which bus a command uses.
type busFlags struct {
	dataDir                        string
	url, user, passwordFile, token string
	creds, ca, cert, key           string
	insecure, managed              bool
	namespace, name                string
	namespaceFlag                  *pflag.Flag
	kube                           clusterFlags
}

func (f *busFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.dataDir, "data-dir", defaultDataDir, "folder of the embedded bus")
	fl.StringVar(&f.url, "bus", "", "NATS server to use as the bus instead, such as nats://host:4222; several are separated by commas")
	fl.StringVar(&f.user, "bus-user", "", "user name for --bus")
	fl.StringVar(&f.passwordFile, "bus-password-file", "", "file with the password for --bus")
	fl.StringVar(&f.token, "bus-token-file", "", "file with a token for --bus")
	fl.StringVar(&f.creds, "bus-creds", "", "NATS credentials file for --bus")
	fl.StringVar(&f.ca, "bus-ca", "", "PEM file of the authority to trust for --bus")
	fl.StringVar(&f.cert, "bus-cert", "", "PEM file of the client certificate for --bus")
	fl.StringVar(&f.key, "bus-key", "", "PEM file of the client certificate's key for --bus")
	fl.BoolVar(&f.managed, "bus-managed", false, "--bus is run by signalbox bus --eventbus: it keeps its streams itself, and --bus-user is one of its roles")
	fl.BoolVar(&f.insecure, "bus-insecure-skip-verify", false, "do not check the certificate of --bus")
}

// addNames is for commands that talk to one EventBus.
func (f *busFlags) addNames(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "namespace of the EventBus")
	cmd.Flags().StringVar(&f.name, "eventbus", "default", "name of the EventBus")
	f.namespaceFlag = cmd.Flags().Lookup("namespace")
	f.kube.add(cmd)
}

// remote is the connection that --bus and its companions describe.
func (f *busFlags) remote() (*eventbus.LinkConfig, error) {
	c := &eventbus.LinkConfig{
		URL: f.url, User: f.user, PasswordFile: f.passwordFile, TokenFile: f.token, CredsFile: f.creds, CAFile: f.ca,
	}
	var errs []error
	for flag, file := range map[string]string{"--bus-password-file": f.passwordFile, "--bus-token-file": f.token, "--bus-ca": f.ca} {
		if file == "" {
			continue
		}
		if _, err := os.ReadFile(file); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", flag, err))
		}
	}
	if f.managed {
		c.InboxPrefix = eventbus.Role(f.user).InboxPrefix()
	}
	if f.cert != "" || f.key != "" || f.insecure {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.insecure} //nolint:gosec // asked for by a flag
		if f.cert != "" || f.key != "" {
			pair, err := tls.LoadX509KeyPair(f.cert, f.key)
			if err != nil {
				errs = append(errs, fmt.Errorf("--bus-cert, --bus-key: %w", err))
			}
			c.TLS.Certificates = []tls.Certificate{pair}
		}
	}
	return c, errors.Join(errs...)
}

// open joins the bus of a running process: --bus, or the embedded one in --data-dir.
func (f *busFlags) open(ctx context.Context) (*eventbus.Bus, func(), error) {
	var cfg *eventbus.LinkConfig
	var err error
	done := func() {}
	switch {
	case f.url != "":
		cfg, err = f.remote()
	case f.kube.wanted():
		c := f.kube.open()
		if f.namespace, err = namespaceOf(c, f.namespaceFlag); err == nil {
			cfg, done, err = throughCluster(ctx, c, f.namespace, f.name)
		}
	default:
		var info *server.Info
		if info, err = server.Find(f.dataDir); err != nil {
			err = fmt.Errorf("%w; start one with: signalbox run PATH --data-dir %s (or name a bus with --bus, or look into a Kubernetes cluster with --cluster)", err, f.dataDir)
		} else {
			cfg = &eventbus.LinkConfig{URL: info.URL, User: info.User, Password: info.Password, StoreDir: info.StoreDir}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	cfg.Name, cfg.Log = "signalbox-cli", slog.New(slog.NewTextHandler(io.Discard, nil))
	link, err := eventbus.Dial(ctx, *cfg)
	if err != nil {
		done()
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	bus, err := eventbus.Open(ctx, link, eventbus.Config{Namespace: f.namespace, Name: f.name, AsIs: true, Log: cfg.Log})
	if err != nil {
		_ = link.Close()
		done()
		if errors.Is(err, eventbus.ErrNotFound) {
			err = fmt.Errorf("there is no EventBus %s in namespace %s on this bus yet", f.name, f.namespace)
		}
		return nil, nil, err
	}
	return bus, func() { _ = bus.Close(); _ = link.Close(); done() }, nil
}

// cutLast splits EVENTSOURCE/EVENT.
func cutLast(s string) (source, name string, ok bool) {
	source, name, ok = strings.Cut(s, "/")
	return source, name, ok && source != "" && name != ""
}

// parseFsync reads --fsync.
func parseFsync(s string) (server.Fsync, error) {
	if s == "always" {
		return server.Fsync{Always: true}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return server.Fsync{}, fmt.Errorf("--fsync %s: want always, or an interval such as 1m", s)
	}
	return server.Fsync{Every: d}, nil
}
