package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/sensortest"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

type testFlags struct {
	events, bodies []string
	as             string
	from           []string
	sensor         string
	secrets        string
	namespace      string
	namespaceFlag  *pflag.Flag
	fromCluster    string
	kube           clusterFlags
}

func newTest(g *globals) *cobra.Command {
	f := &testFlags{}
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "See what a sensor would do with an event, and why",
		Long: "With --event (or --body), tell what each dependency, transform, filter clause and condition of the\n" +
			"sensors in PATH says of the events, and the exact action that would be performed. Nothing is performed.\n" +
			"Without, run the checked-in cases (kind: SensorTest) in PATH; exit code 1 if one fails.",
		Example: "  signalbox test sensor.yaml --event opened.json\n" +
			"  signalbox test manifests/ --sensor deploy --from webhook/push --body push.json\n" +
			"  signalbox test manifests/\n" +
			"  signalbox test --from-cluster deploy --namespace prod --event opened.json",
		Args: f.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.events) > 0 && len(f.bodies) > 0 {
				return errors.New("give --event or --body, not both: with --event, a webhook's event is {\"body\": ...}")
			}
			if len(f.events)+len(f.bodies) == 0 && (f.sensor != "" || len(f.from) > 0) {
				return errors.New("--sensor and --from go with --event or --body; without these all cases are run")
			}
			if err := wantFolder("--secrets", f.secrets); err != nil {
				return err
			}
			var last secret.Reader = secret.Dir(f.secrets)
			if f.fromCluster != "" {
				c := f.kube.open()
				defer c.Close()
				dir, err := f.download(cmd.Context(), c)
				if err != nil {
					return err
				}
				defer func() { _ = os.RemoveAll(dir) }()
				args, last, f.sensor = []string{dir}, secret.First{last, clusterSecrets{c, f.namespace}}, f.fromCluster
			}
			set := manifest.Load(args, manifestOptions(f.namespace))
			r := &sensortest.Runner{Set: set, Triggers: triggers.Kinds, Secrets: func(namespace string) secret.Reader {
				return secret.First{set.Secrets(namespace), last}
			}}
			if len(f.events)+len(f.bodies) > 0 {
				return f.explain(cmd, g, r)
			}
			return runCases(cmd, g, r)
		},
	}
	cmd.Flags().StringArrayVarP(&f.events, "event", "e", nil, "file with an event: its data as JSON, or a whole CloudEvent; may be repeated, in order")
	cmd.Flags().StringArrayVar(&f.bodies, "body", nil, "file with the body of a request to a webhook, as its sender sends it, instead of --event")
	cmd.Flags().StringVar(&f.as, "as", "", "with --body: who sends it, SENDER or SENDER/EVENT (such as github/push), where the source or the body leaves it open")
	cmd.Flags().StringArrayVar(&f.from, "from", nil, "EVENTSOURCE/EVENT that the event comes from; once for all, or once for each event")
	cmd.Flags().StringVar(&f.sensor, "sensor", "", "only this sensor")
	cmd.Flags().StringVar(&f.secrets, "secrets", "", "folder of secrets and ConfigMaps, a file NAME/KEY each")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "namespace of objects that name none; with --from-cluster, of the sensor")
	f.namespaceFlag = cmd.Flags().Lookup("namespace")
	cmd.Flags().StringVar(&f.fromCluster, "from-cluster", "", "test the Sensor of this name in the Kubernetes cluster that kubectl uses, instead of one in PATH")
	f.kube.addFile(cmd)
	return cmd
}

func (f *testFlags) args(cmd *cobra.Command, args []string) error {
	switch {
	case f.fromCluster == "":
		return wantPaths(cmd, args)
	case len(args) > 0:
		return errors.New("give PATH or --from-cluster, not both")
	case len(f.events)+len(f.bodies) == 0:
		return errors.New("--from-cluster needs an event: --event FILE or --body FILE")
	}
	return nil
}

// download fetches the sensor's manifest, and what belongs to it.
func (f *testFlags) download(ctx context.Context, c *cluster.Cluster) (string, error) {
	var err error
	if f.namespace, err = namespaceOf(c, f.namespaceFlag); err != nil {
		return "", err
	}
	return download(ctx, c, f.namespace, f.fromCluster)
}

func (f *testFlags) explain(cmd *cobra.Command, g *globals, r *sensortest.Runner) error {
	var inputs []sensortest.Input
	flag := "--event"
	if len(f.bodies) > 0 {
		flag = "--body"
	}
	for i, file := range append(f.events, f.bodies...) {
		b, err := readFile(flag, file)
		if err != nil {
			return err
		}
		in := sensortest.Input{Name: file, Data: b, IsBody: len(f.bodies) > 0, As: f.as}
		switch {
		case len(f.from) == 1:
			in.From, err = parseAddress(f.from[0])
		case len(f.from) > i:
			in.From, err = parseAddress(f.from[i])
		case len(f.from) > 1:
			err = errors.New("give --from once for all events, or once for each")
		}
		if err != nil {
			return err
		}
		inputs = append(inputs, in)
	}
	reports, err := r.Explain(cmd.Context(), f.sensor, inputs)
	switch {
	case len(reports) == 0 && err != nil:
		return err
	case g.json():
		return errors.Join(writeJSON(cmd.OutOrStdout(), reports), err)
	}
	return errors.Join(sensortest.WriteReports(cmd.OutOrStdout(), reports), err)
}

func parseAddress(s string) (eventbus.Address, error) {
	source, name, ok := cutLast(s)
	if !ok {
		return eventbus.Address{}, fmt.Errorf("--from %s: want EVENTSOURCE/EVENT", s)
	}
	return eventbus.Address{Source: source, Event: name}, nil
}

func runCases(cmd *cobra.Command, g *globals, r *sensortest.Runner) error {
	results, err := r.RunCases(cmd.Context())
	if err != nil {
		return err
	}
	if g.json() {
		err = writeJSON(cmd.OutOrStdout(), results)
	} else {
		err = sensortest.WriteResults(cmd.OutOrStdout(), results)
	}
	if err != nil {
		return err
	}
	for _, res := range results {
		if len(res.Failures) > 0 {
			return exitCode(1)
		}
	}
	return nil
}
