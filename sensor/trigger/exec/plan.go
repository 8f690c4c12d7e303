package exec

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// plan is a configuration whose texts are parsed.
type plan struct {
	conf    Config
	args    []param.Text
	env     []text // in order of names
	stdin   param.Text
	timeout time.Duration
}

type text struct {
	name string
	of   param.Text
}

// newPlan takes a configuration that has been validated.
func newPlan(c Config) (*plan, error) {
	p := &plan{conf: c, timeout: defaultTimeout * time.Second}
	if c.Timeout != nil {
		p.timeout = c.Timeout.Duration
	}
	for i, s := range c.Args {
		t, err := param.CompileText(s)
		if err != nil {
			return nil, v1alpha1.At("args"+v1alpha1.Index(i), err)
		}
		p.args = append(p.args, t)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		t, err := param.CompileText(c.Env[name])
		if err != nil {
			return nil, v1alpha1.At(v1alpha1.Join("env", v1alpha1.Key(name)), err)
		}
		p.env = append(p.env, text{name, t})
	}
	if c.Stdin != nil {
		var err error
		if p.stdin, err = param.CompileText(c.Stdin.Text); err != nil {
			return nil, v1alpha1.At("stdin.text", err)
		}
	}
	return p, nil
}

const masked = "***"

// variable is one of the program's environment.
type variable struct {
	name, value string
	secure      bool
}

// call is one run of a program, complete but for what is on the disk.
type call struct {
	*plan
	args  []string
	vars  []variable
	stdin []byte
	// secrets are the texts that nobody may see.
	secrets []string
}

func (p *plan) call(ctx context.Context, in trigger.Input, secrets secret.Reader) (*call, error) {
	c := &call{plan: p}
	for i, t := range p.args {
		s, err := of(t, in)
		if err != nil {
			return nil, c.failed(trigger.Permanent(fmt.Errorf("args[%d]: %w", i, err)))
		}
		c.args = append(c.args, s)
	}
	for _, v := range p.env {
		s, err := of(v.of, in)
		if err != nil {
			return nil, c.failed(trigger.Permanent(fmt.Errorf("env.%s: %w", v.name, err)))
		}
		c.set(variable{name: v.name, value: s})
	}
	if err := c.addSecrets(ctx, secrets); err != nil {
		return nil, c.failed(err)
	}
	if err := c.addInput(in); err != nil {
		return nil, c.failed(trigger.Permanent(err))
	}
	for name, value := range map[string]string{
		"FIRING": in.ID, "NAMESPACE": in.Namespace, "SENSOR": in.Sensor, "TRIGGER": in.Trigger, "ATTEMPT": strconv.Itoa(in.Attempt),
	} {
		c.set(variable{name: ownVariables + name, value: value})
	}
	return c, nil
}

// of is a text that a program can be handed.
func of(t param.Text, in trigger.Input) (string, error) {
	s, err := t.Of(in.Events)
	if err == nil && strings.ContainsRune(s, 0) {
		err = fmt.Errorf("holds a zero byte")
	}
	return s, err
}

func (c *call) set(v variable) {
	for i := range c.vars {
		if c.vars[i].name == v.name {
			c.vars[i] = v
			return
		}
	}
	c.vars = append(c.vars, v)
}

func (c *call) failed(err error) error { return fmt.Errorf("run %s: %w", c.conf.Command, err) }

// shortest is the length of the shortest secret that is looked for in outputs.
// A shorter one would make them unreadable and hide nothing.
const shortest = 4

func (c *call) addSecrets(ctx context.Context, secrets secret.Reader) error {
	for i, v := range c.conf.SecureEnv {
		var value []byte
		var err error
		if ref := v.ValueFrom.SecretKeyRef; ref != nil {
			value, err = secrets.Secret(ctx, ref)
		} else {
			value, err = secrets.ConfigMap(ctx, v.ValueFrom.ConfigMapKeyRef)
		}
		switch {
		case err != nil:
			return fmt.Errorf("secureEnv[%d]: %w", i, err)
		case value == nil: // optional, and not there
			continue
		case slices.Contains(value, 0):
			return fmt.Errorf("secureEnv[%d]: the value holds a zero byte", i)
		}
		s := string(value)
		c.set(variable{name: v.Name, value: s, secure: true})
		if v.ValueFrom.SecretKeyRef != nil {
			c.hide(s)
		}
	}
	return nil
}

// hide keeps a secret out of the outputs: the whole, each of its lines, for programs that
// write them one by one, and the base64 of the whole.
func (c *call) hide(s string) {
	for _, part := range append(strings.Split(s, "\n"), s) {
		if part = strings.TrimSpace(part); len(part) >= shortest {
			c.secrets = append(c.secrets, part)
		}
	}
	if len(s) >= shortest {
		c.secrets = append(c.secrets, base64.StdEncoding.EncodeToString([]byte(s)))
	}
}

func (c *call) addInput(in trigger.Input) error {
	s := c.conf.Stdin
	switch {
	case s == nil:
		return nil
	case s.DependencyName != "":
		if e := in.Events[s.DependencyName]; e != nil {
			c.stdin = e.Data()
		}
		return nil
	}
	out, err := c.plan.stdin.Of(in.Events)
	c.stdin = []byte(out)
	if err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	return nil
}

// defaultPath is where programs look for others if the process has no PATH.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// environment is the program's, as the system wants it. home is that of another
// user, or empty.
func (c *call) environment(home string) []string {
	var all []string
	has := map[string]bool{}
	for _, v := range c.vars {
		all = append(all, v.name+"="+v.value)
		has[v.name] = true
	}
	add := func(name, value string) {
		if value != "" && !has[name] {
			all = append(all, name+"="+value)
			has[name] = true
		}
	}
	add("HOME", home)
	if c.conf.InheritEnv {
		for _, kv := range os.Environ() {
			if name, value, ok := strings.Cut(kv, "="); ok && name != "" && !strings.HasPrefix(name, ownVariables) {
				add(name, value)
			}
		}
	}
	add("PATH", os.Getenv("PATH"))
	add("PATH", defaultPath)
	add("HOME", os.Getenv("HOME"))
	return all
}
