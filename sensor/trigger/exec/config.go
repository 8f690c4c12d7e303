package exec

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says which program to run on this machine. Signalbox.
type Config struct {
	// Command is the program: a file in a folder that signalbox run --allow-exec
	// names, as a path from that folder or as an absolute path. No shell is used.
	Command string `json:"command"`
	// Args are the program's arguments. Each is one argument, whatever it holds,
	// and may be a Go template over the events: {{ .Input.DEPENDENCY.data.KEY }}.
	// +optional
	Args []string `json:"args,omitempty"`
	// Env are environment variables by name; values may be templates, too.
	// +optional
	Env map[string]string `json:"env,omitempty"`
	// SecureEnv are environment variables whose values are in secrets or
	// ConfigMaps. They replace those of env.
	// +optional
	SecureEnv []SecureVariable `json:"secureEnv,omitempty"`
	// InheritEnv gives the program the environment of the process, without what
	// begins with SIGNALBOX_. Otherwise it gets PATH and HOME of it only.
	// +optional
	InheritEnv bool `json:"inheritEnv,omitempty"`
	// Stdin is the program's standard input. Empty without it.
	// +optional
	Stdin *Stdin `json:"stdin,omitempty"`
	// WorkingDirectory is a folder that is or lies in one of --allow-exec, as a
	// path from that folder or as an absolute path. Defaults to the folder of
	// --allow-exec that has the command.
	// +optional
	WorkingDirectory string `json:"workingDirectory,omitempty"`
	// User that the program runs as: a name, UID or UID:GID. Only if the process
	// runs as root. Defaults to the user of the process.
	// +optional
	User string `json:"user,omitempty"`
	// Timeout is how long the program may take; then it and its children get
	// SIGTERM, and SIGKILL five seconds later. Defaults to 60s.
	// +optional
	Timeout *v1alpha1.Duration `json:"timeout,omitempty"`
	// MaxOutput is how many bytes of the standard output are kept, and of the
	// standard error as many: the beginning and the end, half each. At most 64 KiB.
	// Defaults to 16 KiB.
	// +optional
	MaxOutput int64 `json:"maxOutput,omitempty"`
	// SuccessExitCodes are those that count as done. Defaults to 0.
	// +optional
	SuccessExitCodes []int32 `json:"successExitCodes,omitempty"`
	// PermanentExitCodes are those after which it is not tried again.
	// +optional
	PermanentExitCodes []int32 `json:"permanentExitCodes,omitempty"`
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example args.0.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// Follow tells the outcome, which is known when the program has ended:
	// details.exitCode, details.stdout and details.stderr.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
}

// SecureVariable is an environment variable whose value comes from a secret or
// a ConfigMap. Signalbox.
type SecureVariable struct {
	// Name of the variable.
	Name string `json:"name"`
	// ValueFrom says where the value is.
	ValueFrom *v1alpha1.ValueFromSource `json:"valueFrom"`
}

// Stdin is what a program reads. Signalbox.
type Stdin struct {
	// Text, which may be a template over the events.
	// +optional
	Text string `json:"text,omitempty"`
	// DependencyName is that of the event whose data the program reads, as it is.
	// +optional
	DependencyName string `json:"dependencyName,omitempty"`
}

const (
	defaultTimeout = 60
	defaultOutput  = 16 << 10
	// mostOutput of both, written as JSON, still is an event that any bus takes.
	mostOutput = 64 << 10
	// ownVariables is how the variables begin that the trigger sets.
	ownVariables = "SIGNALBOX_"
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.MaxOutput == 0 {
		c.MaxOutput = defaultOutput
	}
	if len(c.SuccessExitCodes) == 0 {
		c.SuccessExitCodes = []int32{0}
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	add := func(path string, err error) { errs = append(errs, v1alpha1.At(path, err)) }
	filled := func(path string) bool {
		return slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool { return p.Dest == path })
	}
	if !filled("command") {
		add("command", validCommand(c.Command))
	}
	if !filled("workingDirectory") {
		add("workingDirectory", validPath(c.WorkingDirectory))
	}
	for i, text := range c.Args {
		add("args"+v1alpha1.Index(i), validText(text))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		path := v1alpha1.Join("env", v1alpha1.Key(name))
		add(path, errors.Join(validVariable(name), validText(c.Env[name])))
	}
	for i, v := range c.SecureEnv {
		path := "secureEnv" + v1alpha1.Index(i)
		add(path+".name", validVariable(v.Name))
		add(path+".valueFrom", validValueFrom(v.ValueFrom))
	}
	if s := c.Stdin; s != nil {
		add("stdin.text", validText(s.Text))
		if s.Text != "" && s.DependencyName != "" {
			add("stdin", v1alpha1.Invalid("", "has both text and dependencyName").Hinted("remove one"))
		}
	}
	if _, _, err := splitUser(c.User); err != nil && !filled("user") {
		add("user", err)
	}
	if c.Timeout != nil && c.Timeout.Duration <= 0 {
		add("timeout", v1alpha1.Invalid("", "has to be longer than 0"))
	}
	if c.MaxOutput < 0 || c.MaxOutput > mostOutput {
		add("maxOutput", v1alpha1.Invalid("", "is not between 1 and %d", mostOutput))
	}
	add("successExitCodes", validCodes(c.SuccessExitCodes))
	add("permanentExitCodes", validCodes(c.PermanentExitCodes))
	for i, code := range c.PermanentExitCodes {
		if slices.Contains(c.SuccessExitCodes, code) {
			add("permanentExitCodes"+v1alpha1.Index(i), v1alpha1.Invalid("", "%d is one of successExitCodes", code))
		}
	}
	_, err := param.Compile(c.Parameters)
	add("parameters", err)
	return errors.Join(append(errs, trigger.CheckFollow(c.Follow))...)
}

func validCommand(path string) error {
	if path == "" {
		return v1alpha1.Invalid("", "is required")
	}
	return validPath(path)
}

func validPath(path string) error {
	switch {
	case slices.Contains(strings.Split(filepath.ToSlash(path), "/"), ".."):
		return v1alpha1.Invalid("", "leads out of a folder with ..")
	case strings.ContainsRune(path, 0):
		return v1alpha1.Invalid("", "holds a zero byte")
	}
	return nil
}

func validText(text string) error {
	if strings.ContainsRune(text, 0) {
		return v1alpha1.Invalid("", "holds a zero byte")
	}
	_, err := param.CompileText(text)
	return err
}

func validVariable(name string) error {
	switch {
	case name == "":
		return v1alpha1.Invalid("", "is required")
	case strings.ContainsAny(name, "=\x00"):
		return v1alpha1.Invalid("", "is no name of an environment variable")
	case strings.HasPrefix(name, ownVariables):
		return v1alpha1.Invalid("", "is for the trigger itself to set")
	}
	return nil
}

func validValueFrom(v *v1alpha1.ValueFromSource) error {
	switch {
	case v == nil || v.SecretKeyRef == nil && v.ConfigMapKeyRef == nil:
		return v1alpha1.Invalid("", "is required").Hinted("give secretKeyRef or configMapKeyRef")
	case v.SecretKeyRef != nil && v.ConfigMapKeyRef != nil:
		return v1alpha1.Invalid("", "has two values").Hinted("remove one")
	case v.SecretKeyRef != nil:
		return v1alpha1.At("secretKeyRef", validReference(v.SecretKeyRef.Name, v.SecretKeyRef.Key))
	default:
		return v1alpha1.At("configMapKeyRef", validReference(v.ConfigMapKeyRef.Name, v.ConfigMapKeyRef.Key))
	}
}

func validReference(name, key string) error {
	var errs []error
	if name == "" {
		errs = append(errs, v1alpha1.Invalid("name", "is required"))
	}
	if key == "" {
		errs = append(errs, v1alpha1.Invalid("key", "is required"))
	}
	return errors.Join(errs...)
}

func validCodes(codes []int32) error {
	var errs []error
	for i, code := range codes {
		if code < 0 || code > 255 {
			errs = append(errs, v1alpha1.Invalid(v1alpha1.Index(i), "%d is no exit code", code).Hinted("they are 0 to 255"))
		}
	}
	return errors.Join(errs...)
}
