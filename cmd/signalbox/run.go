package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/signalbox-events/signalbox/eventbus/server"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/dataplane"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

type runFlags struct {
	bus        busFlags
	fsync      string
	maxStore   string
	maxPayload string
	noBus      bool
	secrets    string
	configMaps string
	drain      time.Duration
	host       string
	baseURL    string
	admin      string
	namespace  string
	kubeconfig string
	prune      bool
	exec       []string
	limits     limitFlags
}

func newRun(g *globals) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run PATH...",
		Short: "Run manifests: receive events, fire triggers",
		Long: "Run the EventSources and Sensors in files and folders, and follow changes of them.\n" +
			"Without --bus the event bus is embedded, with its files in --data-dir.",
		Example: "  signalbox run examples/quickstart\n  signalbox run manifests/ --data-dir /var/lib/signalbox --admin-addr :8081",
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
	cmd.Flags().BoolVar(&f.noBus, "no-embedded-bus", false, "start no bus: each EventBus names a server of its own (jetstreamExotic)")
	cmd.Flags().StringVar(&f.secrets, "secrets", "", "folder of secrets and ConfigMaps, a file NAME/KEY each")
	cmd.Flags().StringVar(&f.configMaps, "configmaps", "", "folder of ConfigMaps, where they have one of their own (default: that of --secrets)")
	cmd.Flags().DurationVar(&f.drain, "drain-delay", 0, "how long sources go on after SIGTERM, while /readyz says no, so that senders learn to send elsewhere")
	cmd.Flags().StringVar(&f.host, "host", "", "address that sources listen on (default: all)")
	cmd.Flags().StringVar(&f.baseURL, "base-url", "", "address under which the outside reaches the sources' endpoints, such as https://hooks.example.com: shown with each, and registered upstream where a manifest names no url")
	f.limits.add(cmd)
	cmd.Flags().StringVar(&f.admin, "admin-addr", "", "address for /healthz, /readyz and /metrics, such as :8081 (default: none)")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "namespace of objects that name none")
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "file that tells how to reach the Kubernetes API, for kinds that need it (default: the cluster that the process runs in, if any)")
	cmd.Flags().StringArrayVar(&f.exec, "allow-exec", nil, "folder whose programs triggers (exec) may run on this machine; may be given several times (default: none)")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "drop what waits for triggers that are not among the manifests any more")
	return cmd
}

func (f *runFlags) config(paths []string) (*dataplane.Config, error) {
	cfg := &dataplane.Config{
		Paths: paths, SecretsDir: f.secrets, ConfigMapsDir: cmp.Or(f.configMaps, f.secrets), DrainDelay: f.drain, Host: f.host, BaseURL: f.baseURL, AdminAddr: f.admin, Namespace: f.namespace, Prune: f.prune,
		Sources: sources.Kinds, Triggers: triggers.Kinds, Version: version, Commit: commitID(),
		Kubernetes: cluster.New(f.kubeconfig, version), Exec: f.exec,
	}
	limits, err := f.limits.limits()
	cfg.Limits = limits
	errs := []error{err, wantFolder("--secrets", f.secrets), wantFolder("--configmaps", f.configMaps), wantBase(f.baseURL)}
	for _, dir := range f.exec {
		errs = append(errs, wantExec(dir))
	}
	fsync, err := parseFsync(f.fsync)
	errs = append(errs, err)
	maxStore, err := bytesOf("--max-store", f.maxStore)
	errs = append(errs, err)
	maxPayload, err := bytesOf("--max-payload", f.maxPayload)
	errs = append(errs, err)
	switch {
	case f.bus.url != "":
		link, err := f.bus.remote()
		errs = append(errs, err)
		cfg.Link, cfg.Managed = link, f.bus.managed
	case !f.noBus:
		cfg.Server = &server.Config{DataDir: f.bus.dataDir, Embedded: true, Fsync: fsync, MaxPayload: int(maxPayload)}
		cfg.MaxStore = maxStore
	}
	return cfg, errors.Join(errs...)
}

func wantBase(s string) error {
	if s == "" || manifest.IsBaseURL(s) {
		return nil
	}
	return fmt.Errorf("--base-url %s: want an address to put paths behind, such as https://hooks.example.com", s)
}

func bytesOf(flag, s string) (int64, error) {
	q, err := resource.ParseQuantity(s)
	if err != nil || q.Value() < 0 {
		return 0, fmt.Errorf("%s %s: want a size such as 512Mi or 10Gi", flag, s)
	}
	return q.Value(), nil
}
