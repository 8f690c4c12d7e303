package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/eventbus/server"
	"github.com/signalbox-events/signalbox/internal/busnode"
)

func newBus(g *globals) *cobra.Command {
	c := busnode.Config{Version: version, Commit: commitID()}
	f := &serverFlags{}
	cmd := &cobra.Command{
		Use:   "bus",
		Short: "Run one JetStream server, alone or as part of a cluster",
		Long: "Run a NATS server with JetStream that signalbox run --bus uses as its bus. With --cluster-name and\n" +
			"--route several of them, 3 or 5, make a cluster that survives the loss of one or two.\n" +
			"With --eventbus the server keeps the streams of an EventBus itself, and its clients are run with --bus-managed.",
		Example: "  signalbox bus --data-dir bus --listen 127.0.0.1:4222 --user signalbox --password-file pw\n" +
			"  signalbox bus --data-dir n1 --listen :4222 --server-name n1 --cluster-name c --cluster-listen :6222 --route nats://n2:6222 --route nats://n3:6222",
		Args:              wantNothing,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := g.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c.Log = log
			if c.EventBus == "" && c.AuthDir != "" {
				return errors.New("--auth-dir needs --eventbus, for which the roles in it have their rights")
			}
			if err := f.finish(&c.Server); err != nil {
				return err
			}
			c.Out = cmd.OutOrStdout()
			return busnode.Run(cmd.Context(), c)
		},
	}
	f.add(cmd, &c.Server)
	cmd.Flags().StringVar(&c.EventBus, "eventbus", "", "file of an EventBus object, whose streams the server makes and keeps; changes are followed")
	cmd.Flags().StringVar(&c.AuthDir, "auth-dir", "", "folder with the roles' passwords (controller, eventsource, sensor, client), cluster-password, tls.crt, tls.key and ca.crt")
	cmd.Flags().StringVar(&c.AdminAddr, "admin-addr", "", "address for /healthz, /readyz and /metrics, such as :7777 (default: none)")
	return cmd
}

// serverFlags are those of bus that are not a field of server.Config as they are.
type serverFlags struct {
	fsync, maxPayload, maxStore        string
	users, user, passwordFile          string
	cert, key, ca                      string
	verify                             bool
	cluster                            server.Cluster
	clusterCert, clusterKey, clusterCA string
	clusterPasswordFile                string
}

func (f *serverFlags) add(cmd *cobra.Command, c *server.Config) {
	fl := cmd.Flags()
	fl.StringVar(&c.DataDir, "data-dir", ".signalbox-bus", "folder for everything that is stored")
	fl.StringVar(&c.Listen, "listen", "127.0.0.1:4222", "address for clients")
	fl.StringVar(&c.Advertise, "advertise", "", "address that clients are told, where it is not --listen")
	fl.IntVar(&c.MonitorPort, "monitor-port", 0, "port of the NATS monitoring page; 0 means none")
	fl.StringVar(&f.users, "users-file", "", "file of users, a line NAME:PASSWORD each; without users everybody may connect")
	fl.StringVar(&f.user, "user", "", "a user that may connect")
	fl.StringVar(&f.passwordFile, "password-file", "", "file with the password of --user")
	fl.StringVar(&f.cert, "tls-cert", "", "PEM file of the server's certificate; makes clients use TLS")
	fl.StringVar(&f.key, "tls-key", "", "PEM file of the certificate's key")
	fl.StringVar(&f.ca, "tls-ca", "", "PEM file of the authority of client certificates")
	fl.BoolVar(&f.verify, "tls-verify", false, "clients have to show a certificate of --tls-ca")
	fl.StringVar(&c.Name, "server-name", "", "name of this server, needed in a cluster")
	fl.StringVar(&f.cluster.Name, "cluster-name", "", "name of the cluster; makes this server a member of it")
	fl.StringVar(&f.cluster.Listen, "cluster-listen", ":6222", "address for the other members")
	fl.StringVar(&f.cluster.Advertise, "cluster-advertise", "", "address that the other members are told, where it is not --cluster-listen")
	fl.StringArrayVar(&f.cluster.Routes, "route", nil, "another member, nats://HOST:PORT; may be repeated")
	fl.StringVar(&f.cluster.User, "cluster-user", "", "user that members show each other")
	fl.StringVar(&f.clusterPasswordFile, "cluster-password-file", "", "file with the password of --cluster-user")
	fl.StringVar(&f.clusterCert, "cluster-tls-cert", "", "PEM file of the certificate between members")
	fl.StringVar(&f.clusterKey, "cluster-tls-key", "", "PEM file of its key")
	fl.StringVar(&f.clusterCA, "cluster-tls-ca", "", "PEM file of the authority of the members' certificates")
	fl.StringVar(&f.fsync, "fsync", "", "when writes are synced to disk: always, or an interval such as 1m (default: always on its own, 2m in a cluster, which relies on its replicas)")
	fl.StringVar(&f.maxPayload, "max-payload", "8Mi", "largest event")
	fl.StringVar(&f.maxStore, "max-store", "0", "most bytes that the server stores; 0 means what is right for the disk")
}

// finish puts the flags into c.
func (f *serverFlags) finish(c *server.Config) error {
	var errs []error
	var err error
	if f.fsync != "" {
		c.Fsync, err = parseFsync(f.fsync)
		errs = append(errs, err)
	}
	payload, err := bytesOf("--max-payload", f.maxPayload)
	errs = append(errs, err)
	c.MaxPayload = int(payload)
	c.MaxStore, err = bytesOf("--max-store", f.maxStore)
	errs = append(errs, err)
	if f.users != "" {
		c.Users, err = server.ReadUsers(f.users)
		errs = append(errs, err)
	}
	if f.user != "" {
		password, err := readSecretFile("--password-file", f.passwordFile)
		errs = append(errs, err)
		c.Users = append(c.Users, server.User{Name: f.user, Password: password})
	}
	if f.cert != "" || f.key != "" {
		c.TLS = &server.TLSFiles{Cert: f.cert, Key: f.key, CA: f.ca, Verify: f.verify}
	}
	if f.cluster.Name != "" {
		c.Cluster = &f.cluster
		if f.cluster.User != "" {
			c.Cluster.Password, err = readSecretFile("--cluster-password-file", f.clusterPasswordFile)
			errs = append(errs, err)
		}
		if f.clusterCert != "" {
			c.Cluster.TLS = &server.TLSFiles{Cert: f.clusterCert, Key: f.clusterKey, CA: f.clusterCA, Verify: true}
		}
	}
	return errors.Join(errs...)
}

func readSecretFile(flag, file string) (string, error) {
	if file == "" {
		return "", fmt.Errorf("%s is required", flag)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}
