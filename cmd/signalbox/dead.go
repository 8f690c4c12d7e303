package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/eventbus"
)

type deadFlags struct {
	bus    busFlags
	filter eventbus.DeadFilter
	all    bool
	since  time.Duration
}

func newDead(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Look at dead letters, fire them again, drop them",
		Long:  "A dead letter is a firing that failed for good. It keeps the events, the errors and the action that was tried.",
	}
	group(cmd, newDeadList(g), newDeadShow(g),
		newDeadEach(g, "redrive", "Fire dead letters again", "sent to be fired again", (*eventbus.DeadLetters).Redrive),
		newDeadEach(g, "drop", "Remove dead letters for good", "dropped", (*eventbus.DeadLetters).Drop))
	return cmd
}

func (f *deadFlags) add(cmd *cobra.Command) {
	f.bus.add(cmd)
	f.bus.addNames(cmd)
	cmd.Flags().StringVar(&f.filter.Sensor, "sensor", "", "only those of this sensor")
	cmd.Flags().StringVar(&f.filter.Trigger, "trigger", "", "only those of this trigger")
	cmd.Flags().DurationVar(&f.since, "since", 0, "only those that failed within this time, such as 1h")
}

// ids completes ids, if a bus can be asked.
func (f *deadFlags) ids(cmd *cobra.Command, had []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	bus, closeBus, err := f.bus.open(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer closeBus()
	letters, err := bus.DeadLetters().List(ctx, f.wanted())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, l := range letters {
		if id := shortID(l.ID); !slices.Contains(had, id) {
			out = append(out, fmt.Sprintf("%s\t%s/%s: %s", id, l.Sensor, l.Trigger, oneLine(l.Reason, 60)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func unknownID(id string, err error) error {
	if errors.Is(err, eventbus.ErrNotFound) {
		return fmt.Errorf("there is no dead letter %s; signalbox dead list has the ids", id)
	}
	return err
}

func shortID(id string) string { return id[:min(12, len(id))] }

func (f *deadFlags) wanted() eventbus.DeadFilter {
	w := f.filter
	if f.since > 0 {
		w.Since = time.Now().Add(-f.since)
	}
	return w
}

func newDeadList(g *globals) *cobra.Command {
	f := &deadFlags{}
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List dead letters, the newest last",
		Args:              wantNothing,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bus, closeBus, err := f.bus.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeBus()
			letters, err := bus.DeadLetters().List(cmd.Context(), f.wanted())
			if err != nil {
				return err
			}
			if g.json() {
				if letters == nil {
					letters = []eventbus.DeadLetter{}
				}
				return writeJSON(cmd.OutOrStdout(), letters)
			}
			return writeLetters(cmd.OutOrStdout(), letters)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.filter.Limit, "limit", 0, "at most so many, the newest")
	return cmd
}

func writeLetters(out io.Writer, letters []eventbus.DeadLetter) error {
	if len(letters) == 0 {
		_, err := fmt.Fprintln(out, "no dead letters")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tFAILED\tSENSOR\tTRIGGER\tATTEMPTS\tWHY")
	for _, l := range letters {
		why := oneLine(l.Reason, 100)
		if !l.Redriven.IsZero() {
			why = "(redriven " + l.Redriven.Local().Format(time.DateTime) + ") " + why
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", shortID(l.ID), l.Time.Local().Format(time.DateTime), l.Sensor, l.Trigger, l.AttemptCount, why)
	}
	return w.Flush()
}

func oneLine(s string, most int) string {
	for i, r := range s {
		if r == '\n' || i >= most {
			return s[:i] + "..."
		}
	}
	return s
}

func newDeadShow(g *globals) *cobra.Command {
	f := &deadFlags{}
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a dead letter: errors, action, events",
		Long:  "Show a dead letter. An ID may be cut to what makes it unique; signalbox dead list has the ids.",
		Args:  wantID,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return noFiles(cmd, args, "")
			}
			return f.ids(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			bus, closeBus, err := f.bus.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeBus()
			l, err := bus.DeadLetters().Get(cmd.Context(), args[0])
			if err != nil {
				return unknownID(args[0], err)
			}
			if g.json() {
				return writeJSON(cmd.OutOrStdout(), l)
			}
			writeLetter(cmd.OutOrStdout(), l)
			return nil
		},
	}
	f.bus.add(cmd)
	f.bus.addNames(cmd)
	return cmd
}

func writeLetter(w io.Writer, l *eventbus.DeadLetter) {
	fmt.Fprintf(w, "Dead letter %s\nSensor:   %s/%s\nTrigger:  %s\nFailed:   %s after %d attempts\nWhy:      %s\n",
		l.ID, l.Namespace, l.Sensor, l.Trigger, l.Time.Local().Format(time.RFC3339), l.AttemptCount, l.Reason)
	if !l.Redriven.IsZero() {
		fmt.Fprintf(w, "Redriven: %s\n", l.Redriven.Local().Format(time.RFC3339))
	}
	if len(l.Attempts) > 0 {
		fmt.Fprintln(w, "\nAttempts:")
		for _, a := range l.Attempts {
			fmt.Fprintf(w, "  %s  %s\n", a.Time.Local().Format(time.RFC3339), a.Error)
		}
	}
	if l.Action != nil {
		cut := ""
		if l.Action.Cut {
			cut = " (cut)"
		}
		fmt.Fprintf(w, "\nAction%s: %s\n  %s\n", cut, l.Action.Kind, l.Action.Spec)
	}
	for _, dep := range slices.Sorted(maps.Keys(l.Events)) {
		e := l.Events[dep]
		fmt.Fprintf(w, "\nEvent of dependency %s, from %s/%s:\n", dep, e.From.Source, e.From.Event)
		_ = writeJSON(w, e.Event)
	}
}

func newDeadEach(g *globals, verb, short, doneWord string, do func(*eventbus.DeadLetters, context.Context, string) error) *cobra.Command {
	f := &deadFlags{}
	cmd := &cobra.Command{
		Use:   verb + " [ID...]",
		Short: short,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return f.ids(cmd, args)
		},
		Example: fmt.Sprintf("  signalbox dead %[1]s 3f2a9c01d4e5\n  signalbox dead %[1]s --sensor deploy --since 2h\n  signalbox dead %[1]s --all", verb),
		RunE: func(cmd *cobra.Command, ids []string) error {
			switch chosen := f.all || f.filter.Sensor != "" || f.filter.Trigger != "" || f.since > 0; {
			case len(ids) == 0 && !chosen:
				return fmt.Errorf("say which dead letters: %s ID... (signalbox dead list has the ids), or choose them with --sensor, --trigger, --since or --all", cmd.CommandPath())
			case len(ids) > 0 && chosen:
				return errors.New("give ids, or choose with --sensor, --trigger, --since or --all, not both")
			}
			bus, closeBus, err := f.bus.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeBus()
			if len(ids) == 0 {
				letters, err := bus.DeadLetters().List(cmd.Context(), f.wanted())
				if err != nil {
					return err
				}
				for _, l := range letters {
					ids = append(ids, l.ID)
				}
			}
			var errs []error
			n := 0
			for _, id := range ids {
				if err := do(bus.DeadLetters(), cmd.Context(), id); err != nil {
					errs = append(errs, unknownID(id, err))
					continue
				}
				n++
			}
			if g.json() {
				errs = append(errs, writeJSON(cmd.OutOrStdout(), map[string]int{"count": n}))
			} else if n > 0 || len(errs) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", n, doneWord)
			}
			return errors.Join(errs...)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all of them")
	return cmd
}
