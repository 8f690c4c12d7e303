package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/manifest"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

func manifestOptions(namespace string) manifest.Options {
	return manifest.Options{Sources: sources.Kinds, Triggers: triggers.Kinds, Namespace: namespace}
}

func newLint(g *globals) *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint PATH...",
		Short: "Check manifests",
		Long: "Check files, and all *.yaml, *.yml and *.json files in and below folders.\n" +
			"Exit code 1 if there are errors; with --strict also if there are warnings.",
		Example: "  signalbox lint manifests/\n  signalbox lint --strict -o json sensor.yaml",
		Args:    wantPaths,
		RunE: func(cmd *cobra.Command, args []string) error {
			set := manifest.Load(args, manifestOptions(""))
			write := manifest.WriteText
			if g.json() {
				write = manifest.WriteJSON
			}
			if err := write(cmd.OutOrStdout(), set.Problems); err != nil {
				return err
			}
			if len(set.Objects) == 0 && len(set.Problems) == 0 {
				return fmt.Errorf("there are no manifests in %s", strings.Join(args, ", "))
			}
			if !g.json() {
				objects := "objects"
				if len(set.Objects) == 1 {
					objects = "object"
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%d %s: %s\n", len(set.Objects), objects, manifest.Summarize(set.Problems))
			}
			if set.Count(v1alpha1.Error) > 0 || (strict && set.Count(v1alpha1.Warning) > 0) {
				return exitCode(1)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "fail on warnings too")
	return cmd
}
