package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signalbox-events/signalbox/internal/kind"
)

// wantPaths is for commands that read manifests.
func wantPaths(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say which manifests: %s PATH..., files or folders; see %[1]s --help", cmd.CommandPath())
	}
	return nil
}

// wantNothing is for commands that take flags only.
func wantNothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, got %s; see %s --help", verb(cmd), quoted(args), cmd.CommandPath())
	}
	return nil
}

// wantID is for commands that take one dead letter.
func wantID(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return fmt.Errorf("say which dead letter: %s ID; signalbox dead list has the ids", cmd.CommandPath())
	case 1:
		return nil
	}
	return fmt.Errorf("%s takes one ID, got %s", verb(cmd), quoted(args))
}

// group makes a command out of others, which it lists on its own.
func group(cmd *cobra.Command, subs ...*cobra.Command) {
	cmd.AddCommand(subs...)
	cmd.DisableFlagsInUseLine = true
	cmd.Args = wantCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

func wantCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := "there are " + strings.Join(names, ", ")
	if near := kind.Nearest(args[0], names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("there is no command %q; %s", strings.TrimSpace(verb(cmd)+" "+args[0]), hint)
}

// verb is a command without the program's name, which stands before each error.
func verb(cmd *cobra.Command) string {
	return strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()))
}

// flagError says what is wrong with a flag, and where the right ones stand.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() { // a command that is misspelt has no flags
		if e := wantCommand(cmd, cmd.Flags().Args()); e != nil {
			return e
		}
	}
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		name, hint := unknown.GetSpecifiedName(), ""
		if near := kind.Nearest(name, names); near != "" {
			hint = fmt.Sprintf(" (did you mean --%s?)", near)
		}
		dashes := "--"
		if len(unknown.GetSpecifiedShortnames()) > 0 {
			dashes = "-"
		}
		err = fmt.Errorf("there is no flag %s%s%s", dashes, name, hint)
	case errors.As(err, &invalid):
		want := map[string]string{"duration": "a duration such as 90s or 2h", "int": "a whole number", "bool": "true or false"}
		f := invalid.GetFlag()
		if want[f.Value.Type()] != "" {
			err = fmt.Errorf("--%s %s: want %s", f.Name, invalid.GetValue(), want[f.Value.Type()])
		}
	}
	return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
}

// readFile reads what a flag names.
func readFile(flag, file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, file, plain(err))
	}
	return b, nil
}

// wantFolder is for flags that name a folder; empty means that it was not given.
func wantFolder(flag, dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", flag, dir, plain(err))
	case !info.IsDir():
		return fmt.Errorf("%s %s: is no folder", flag, dir)
	}
	return nil
}

// wantExec is for the folders of --allow-exec.
func wantExec(dir string) error {
	if dir == "" {
		return errors.New("--allow-exec: want a folder")
	}
	if err := wantFolder("--allow-exec", dir); err != nil {
		return err
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("--allow-exec %s: everybody may write in it, and so have any program run: chmod o-w", dir)
	}
	return nil
}

// plain is err without the path and the system call, which are told beside it.
func plain(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func quoted(args []string) string {
	var out []string
	for _, a := range args {
		out = append(out, fmt.Sprintf("%q", a))
	}
	return strings.Join(out, " ")
}

// noFiles is for arguments that are no files.
func noFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
