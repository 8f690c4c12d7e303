package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/dataplane"
)

type finishFlags struct {
	bus        busFlags
	source     string
	secrets    string
	configMaps string
	namespace  string
	kubeconfig string
	timeout    time.Duration
}

func newFinish(g *globals) *cobra.Command {
	f := &finishFlags{}
	cmd := &cobra.Command{
		Use:   "finish PATH...",
		Short: "Undo what EventSources have set up elsewhere, such as hooks at a Git host",
		Long: "Undo what the EventSources in files and folders have set up elsewhere, as far as they ask for that: hooks of entries with\n" +
			"deleteHookOnFinish: true are removed at the Git host. Do so before you delete the manifests. \"run\" does it by itself when an\n" +
			"EventSource leaves its folder while it runs, and so does the controller in a cluster when the object is deleted; stopping\n" +
			"either undoes nothing. Stop first what runs the EventSources, otherwise it makes the hooks anew.\n\n" +
			"The event bus tells which hooks were made: the one of --bus, or that of a \"run\" with the same --data-dir. Without it hooks are\n" +
			"known by their URL. What cannot be undone is tried again for --timeout; then the names are told, and the exit code is 1.",
		Example: "  signalbox finish manifests/ --secrets secrets/\n  signalbox finish manifests/ --source github",
		Args:    wantPaths,
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := g.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			cfg, err := f.config(args)
			if err != nil {
				return err
			}
			cfg.Log, cfg.Out = log, cmd.OutOrStdout()
			if cfg.Server != nil {
				cfg.Server.Log = log
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
			defer cancel()
			return dataplane.Finish(ctx, *cfg, f.source)
		},
	}
	f.bus.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.source, "source", "", "name of the only EventSource to do it for (default: all)")
	fl.StringVar(&f.secrets, "secrets", "", "folder of secrets and ConfigMaps, a file NAME/KEY each")
	fl.StringVar(&f.configMaps, "configmaps", "", "folder of ConfigMaps, where they have one of their own (default: that of --secrets)")
	fl.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of objects that name none")
	fl.StringVar(&f.kubeconfig, "kubeconfig", "", "file that tells how to reach the Kubernetes API, for kinds that need it (default: the cluster that the process runs in, if any)")
	fl.DurationVar(&f.timeout, "timeout", time.Minute, "how long it is tried")
	return cmd
}

func (f *finishFlags) config(paths []string) (*dataplane.Config, error) {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("manifests: %s: %w", path, plain(err))
		}
	}
	if f.timeout <= 0 {
		return nil, errors.New("--timeout: want more than nothing, such as 1m")
	}
	cfg := &dataplane.Config{
		Paths: paths, SecretsDir: f.secrets, ConfigMapsDir: cmp.Or(f.configMaps, f.secrets), Namespace: f.namespace,
		Sources: sources.Kinds, Version: version, Commit: commitID(), Kubernetes: cluster.New(f.kubeconfig, version),
	}
	err := errors.Join(wantFolder("--secrets", f.secrets), wantFolder("--configmaps", f.configMaps))
	if err != nil {
		return nil, err
	}
	if f.bus.url != "" {
		cfg.Link, err = f.bus.remote()
		cfg.Managed = f.bus.managed
		return cfg, err
	}
	// The bus of a running process, or the files that a "run" has left.
	info, err := server.Find(f.bus.dataDir)
	switch {
	case err == nil:
		cfg.Link = &eventbus.LinkConfig{URL: info.URL, User: info.User, Password: info.Password, StoreDir: info.StoreDir}
	case !errors.Is(err, server.ErrNotRunning):
		return nil, err
	default:
		if _, err := os.Stat(f.bus.dataDir); err == nil {
			cfg.Server = &server.Config{DataDir: f.bus.dataDir, Embedded: true, Fsync: server.Fsync{Always: true}}
		}
	}
	return cfg, nil
}
