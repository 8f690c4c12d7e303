package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Set by the linker; see Makefile.
var (
	version = "dev"
	commit  = ""
)

// globals are the flags that all commands share.
type globals struct {
	output    string
	logLevel  string
	logFormat string
}

func newRoot() *cobra.Command {
	g := &globals{}
	cmd := &cobra.Command{
		Use:   "signalbox",
		Short: "Turn things that happen into things that get done",
		Long: "Signalbox reads the EventBus, EventSource and Sensor manifests of Argo Events and runs them:\n" +
			"sources put events on a bus, sensors evaluate them and fire triggers.",
		Version:           version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		ValidArgsFunction: noFiles,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if g.output != "text" && g.output != "json" {
				return fmt.Errorf("--output %s: want text or json", g.output)
			}
			return nil
		},
	}
	cmd.PersistentFlags().StringVarP(&g.output, "output", "o", "text", "how to print results: text or json")
	cmd.PersistentFlags().StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	cmd.PersistentFlags().StringVar(&g.logFormat, "log-format", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.SetVersionTemplate(versionLine())
	cmd.SetFlagErrorFunc(flagError)
	group(cmd, newRun(g), newLint(g), newTest(g), newSend(g), newDead(g), newFinish(g), newBus(g), newController(g), newVersion(g))
	return cmd
}

// logger writes to w as the flags say.
func (g *globals) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %s: want debug, info, warn or error", g.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch g.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %s: want text or json", g.logFormat)
}

func (g *globals) json() bool { return g.output == "json" }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version",
		Args:              wantNothing,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.json() {
				return writeJSON(cmd.OutOrStdout(), map[string]string{"version": version, "commit": commitID(), "go": goVersion()})
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionLine())
			return err
		},
	}
}

func versionLine() string {
	return fmt.Sprintf("signalbox %s %s %s\n", version, commitID(), goVersion())
}

func commitID() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

func goVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return strings.TrimPrefix(info.GoVersion, "go")
	}
	return "unknown"
}
