package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/bus"
	"github.com/signalbox-events/signalbox/internal/controller/workload"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
	"github.com/signalbox-events/signalbox/webhook/admission"
)

// Environment variables that a Deployment sets.
const (
	envImage      = "SIGNALBOX_IMAGE"
	envPullPolicy = "IMAGE_PULL_POLICY"
	envNamespace  = "POD_NAMESPACE"
)

type controllerFlags struct {
	options     controller.Options
	pullPolicy  string
	kubeconfig  string
	admission   bool
	webhookAddr string
}

func newController(g *globals) *cobra.Command {
	f := &controllerFlags{}
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run the Kubernetes controller",
		Long: "Turn the EventBus, EventSource and Sensor objects of a Kubernetes cluster into pods, and check such\n" +
			"objects when they are applied. Events do not pass through the controller.",
		Example:           "  signalbox controller --image registry.example.com/signalbox:v1\n  signalbox controller --kubeconfig ~/.kube/config --namespaces team-a --admission=false --leader-elect=false",
		Args:              wantNothing,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := g.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			f.options.Log, f.options.LogLevel, f.options.LogFormat = log, g.logLevel, g.logFormat
			if err := f.finish(); err != nil {
				return err
			}
			config, err := cluster.New(f.kubeconfig, version).Config()
			if err != nil {
				return err
			}
			// The libraries have one logger for all of the process.
			ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
			klog.SetSlogLogger(log)
			return controller.Run(cmd.Context(), config, f.options, f.setups()...)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.options.Image, "image", os.Getenv(envImage), "image of the pods that are made (default: $"+envImage+")")
	fl.StringVar(&f.pullPolicy, "image-pull-policy", os.Getenv(envPullPolicy), "imagePullPolicy of these pods: Always, IfNotPresent or Never (default: $"+envPullPolicy+", or what Kubernetes does)")
	fl.StringSliceVar(&f.options.Namespaces, "namespaces", nil, "namespaces to work in, separated by commas (default: all)")
	fl.StringVar(&f.options.Namespace, "namespace", os.Getenv(envNamespace), "namespace of the controller itself, for its lease and its certificates (default: $"+envNamespace+")")
	fl.BoolVar(&f.options.LeaderElect, "leader-elect", true, "let one of several controllers work at a time")
	fl.StringVar(&f.options.MetricsAddr, "metrics-addr", ":7777", "address for /metrics; 0 for none")
	fl.StringVar(&f.options.HealthAddr, "health-addr", ":8081", "address for /healthz and /readyz; 0 for none")
	fl.StringVar(&f.kubeconfig, "kubeconfig", "", "file that tells how to reach the Kubernetes API (default: the cluster that the process runs in)")
	fl.StringArrayVar(&f.options.Exec, "allow-exec", nil, "folder of the pods' image whose programs triggers (exec) may run; may be given several times (default: none)")
	fl.BoolVar(&f.admission, "admission", true, "check objects when they are applied")
	fl.StringVar(&f.webhookAddr, "webhook-addr", fmt.Sprintf(":%d", admission.Port), "address at which the API server asks")
	return cmd
}

func (f *controllerFlags) finish() error {
	o := &f.options
	o.Sources, o.Triggers = sources.Kinds, triggers.Kinds
	o.PullPolicy = corev1.PullPolicy(f.pullPolicy)
	var errs []error
	if o.Image == "" {
		errs = append(errs, fmt.Errorf("say which image the pods have: --image, or $%s", envImage))
	}
	switch o.PullPolicy {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		errs = append(errs, fmt.Errorf("--image-pull-policy %s: want Always, IfNotPresent or Never", f.pullPolicy))
	}
	for i, ns := range o.Namespaces {
		if o.Namespaces[i] = strings.TrimSpace(ns); o.Namespaces[i] == "" {
			errs = append(errs, errors.New("--namespaces: a name is empty"))
		}
	}
	for _, dir := range o.Exec {
		if !path.IsAbs(dir) {
			errs = append(errs, fmt.Errorf("--allow-exec %s: want the whole path of a folder in the image", dir))
		}
	}
	if o.Namespace == "" && (o.LeaderElect || f.admission) {
		errs = append(errs, fmt.Errorf("say which namespace the controller is in: --namespace, or $%s", envNamespace))
	}
	return errors.Join(errs...)
}

func (f *controllerFlags) setups() []controller.Setup {
	list := []controller.Setup{bus.Setup, workload.Setup}
	if f.admission {
		list = append(list, f.setupAdmission)
	}
	return list
}

func (f *controllerFlags) setupAdmission(mgr manager.Manager, o controller.Options) error {
	api, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return err
	}
	server := admission.New(admission.Config{
		Client: api, Namespace: o.Namespace, Addr: f.webhookAddr, Manifests: o.Manifest(""), Log: o.Log,
	})
	return errors.Join(mgr.Add(server), mgr.AddReadyzCheck("admission", server.Ready))
}
