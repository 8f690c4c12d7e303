package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/signalbox-events/signalbox/eventbus/server"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/dataplane"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

type runFlags struct {
	bus        busFlags
	fsync      string
	maxStore   string
	maxPayload string
	secrets    string
	host       string
	admin      string
	namespace  string
	prune      bool
}

func newRun(g *globals) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run PATH...",
		Short: "Run manifests: receive events, fire triggers",
		Long: "Run the EventSources and Sensors in files and folders, and follow changes of them.\n" +
			"Without --bus the event bus is embedded, with its files in --data-dir.",
		Example: "  signalbox run examples/quickstart\n  signalbox run manifests/ --data-dir /var/lib/signalbox --admin-addr :8081",
		Args:    cobra.MinimumNArgs(1),
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
			cfg.NewHTTP = func(secrets secret.Reader) trigger.HTTP { return httpclient.New(secrets, version) }
			if cfg.Server != nil {
				cfg.Server.Log = log
			}
			return dataplane.Run(cmd.Context(), *cfg)
		},
	}
	f.bus.add(cmd)
	cmd.Flags().StringVar(&f.fsync, "fsync", "always", "when the embedded bus syncs writes to disk: always (before an event counts as stored), or an interval such as 1m")
	cmd.Flags().StringVar(&f.maxStore, "max-store", "10Gi", "most bytes of events that the embedded bus keeps, where the EventBus manifest does not say; 0 means as much as the disk holds")
	cmd.Flags().StringVar(&f.maxPayload, "max-payload", "8Mi", "largest event that the embedded bus takes")
	cmd.Flags().StringVar(&f.secrets, "secrets", "", "folder of secrets and ConfigMaps, a file NAME/KEY each")
	cmd.Flags().StringVar(&f.host, "host", "", "address that sources listen on (default: all)")
	cmd.Flags().StringVar(&f.admin, "admin-addr", "", "address for /healthz, /readyz and /metrics, such as :8081 (default: none)")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "namespace of objects that name none")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "drop what waits for triggers that are not among the manifests any more")
	return cmd
}

func (f *runFlags) config(paths []string) (*dataplane.Config, error) {
	cfg := &dataplane.Config{
		Paths: paths, SecretsDir: f.secrets, Host: f.host, AdminAddr: f.admin, Namespace: f.namespace, Prune: f.prune,
		Sources: sources.Kinds, Triggers: triggers.Kinds, Version: version, Commit: commitID(),
	}
	var errs []error
	fsync, err := parseFsync(f.fsync)
	errs = append(errs, err)
	maxStore, err := bytesOf("--max-store", f.maxStore)
	errs = append(errs, err)
	maxPayload, err := bytesOf("--max-payload", f.maxPayload)
	errs = append(errs, err)
	if f.bus.url != "" {
		link, err := f.bus.remote()
		errs = append(errs, err)
		cfg.Link = link
	} else {
		cfg.Server = &server.Config{DataDir: f.bus.dataDir, Embedded: true, Fsync: fsync, MaxPayload: int(maxPayload)}
		cfg.MaxStore = maxStore
	}
	return cfg, errors.Join(errs...)
}

func bytesOf(flag, s string) (int64, error) {
	q, err := resource.ParseQuantity(s)
	if err != nil || q.Value() < 0 {
		return 0, fmt.Errorf("%s %s: want a size such as 512Mi or 10Gi", flag, s)
	}
	return q.Value(), nil
}
