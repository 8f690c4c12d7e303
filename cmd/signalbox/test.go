package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/sensortest"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

type testFlags struct {
	events, bodies []string
	from           []string
	sensor         string
	secrets        string
	namespace      string
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
			"  signalbox test manifests/",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set := manifest.Load(args, manifestOptions(f.namespace))
			r := &sensortest.Runner{Set: set, Triggers: triggers.Kinds, Secrets: func(namespace string) secret.Reader {
				return secret.First{set.Secrets(namespace), secret.Dir(f.secrets)}
			}}
			if len(f.events)+len(f.bodies) > 0 {
				return f.explain(cmd, g, r)
			}
			return runCases(cmd, g, r)
		},
	}
	cmd.Flags().StringArrayVarP(&f.events, "event", "e", nil, "file with an event: its data as JSON, or a whole CloudEvent; may be repeated, in order")
	cmd.Flags().StringArrayVar(&f.bodies, "body", nil, "file with the body of a webhook request, instead of --event")
	cmd.Flags().StringArrayVar(&f.from, "from", nil, "EVENTSOURCE/EVENT that the event comes from; once for all, or once for each event")
	cmd.Flags().StringVar(&f.sensor, "sensor", "", "only this sensor")
	cmd.Flags().StringVar(&f.secrets, "secrets", "", "folder of secrets and ConfigMaps, a file NAME/KEY each")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "namespace of objects that name none")
	cmd.MarkFlagsMutuallyExclusive("event", "body")
	return cmd
}

func (f *testFlags) explain(cmd *cobra.Command, g *globals, r *sensortest.Runner) error {
	var inputs []sensortest.Input
	for i, file := range append(f.events, f.bodies...) {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		in := sensortest.Input{Name: file, Data: b, IsBody: len(f.bodies) > 0}
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
