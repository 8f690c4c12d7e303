package argoworkflow

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// options are what args say.
type options struct {
	parameters            []parameter
	files                 []string
	labels                map[string]string
	name, generateName    string
	entrypoint            string
	serviceAccount        string
	fromKind, fromName    string
	priority              *int64
	scheduled             string
	dryRun, serverDryRun  bool
	lax                   bool // --strict=false
	wait, watch           bool
	memoized              bool
	restart               bool
	nodes                 nodeSelector
	nodesText             string
	message               string
	selector, fields      string
	names                 []string
	namespace, instance   string
	server, base          string
	insecure, plain       bool
	headers               []header
	token                 string
	kubeconfig, context   string
	as, asUID             string
	asGroups              []string
	hasNodes, hasPriority bool
}

type parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type header struct{ name, value string }

// selects tells that the workflows are found by what they are like.
func (o *options) selects() bool { return o.selector != "" || o.fields != "" }

// parseArgs reads args as the argo command does. Problems have the path of the
// argument.
func parseArgs(operation string, args []string) (options, error) {
	p := argParser{operation: operation, flags: flags(), args: args}
	for p.at < len(args) {
		p.next()
	}
	p.together()
	return p.o, errors.Join(p.errs...)
}

type argParser struct {
	operation string
	flags     map[string]flag
	args      []string
	at        int
	onlyNames bool // after --
	o         options
	errs      []error
}

func (p *argParser) problem(i int, format string, args ...any) *v1alpha1.Problem {
	bad := v1alpha1.Invalid("args"+v1alpha1.Index(i), format, args...)
	p.errs = append(p.errs, bad)
	return bad
}

// next reads one argument, with the value that may follow it.
func (p *argParser) next() {
	i, arg := p.at, p.args[p.at]
	p.at++
	switch {
	case !p.onlyNames && arg == "--":
		p.onlyNames = true
	case !p.onlyNames && strings.HasPrefix(arg, "--"):
		name, value, given := strings.Cut(arg[2:], "=")
		f, ok := p.flags[name]
		if !ok || !f.has(p.operation) {
			p.unknown(i, "--"+name)
			return
		}
		p.take(i, "--"+name, f, value, given)
	case !p.onlyNames && len(arg) > 1 && arg[0] == '-':
		p.letters(i, arg[1:])
	case arg == "": // a place that a parameter may fill
	case p.operation == opSubmit || p.operation == opSubmitFrom:
		p.problem(i, "%q is no flag", arg).Hinted("what to submit stands in source")
	default:
		p.o.names = append(p.o.names, arg)
	}
}

// letters reads flags such as -w, -pa=b and -wp a=b.
func (p *argParser) letters(i int, rest string) {
	for rest != "" {
		letter := rest[:1]
		rest = rest[1:]
		name := p.long(letter)
		if name == "" {
			p.unknown(i, "-"+letter)
			return
		}
		f := p.flags[name]
		if f.bool && !strings.HasPrefix(rest, "=") {
			p.take(i, "-"+letter, f, "", false)
			continue
		}
		value, given := strings.CutPrefix(rest, "=")
		p.take(i, "-"+letter, f, value, given || value != "")
		return
	}
}

func (p *argParser) long(letter string) string {
	for name, f := range p.flags {
		if f.short == letter && f.has(p.operation) {
			return name
		}
	}
	return ""
}

// take gives a flag its value, which is the next argument if none is given.
func (p *argParser) take(i int, shown string, f flag, value string, given bool) {
	switch {
	case f.bool && !given:
		value = "true"
	case f.bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			_ = p.problem(i, "%s is true or false", shown)
			return
		}
		value = strconv.FormatBool(b)
	case !given && p.at == len(p.args):
		p.problem(i, "%s needs a value", shown).Hinted("it is the next item of args")
		return
	case !given:
		value = p.args[p.at]
		i = p.at
		p.at++
	}
	if f.set == nil {
		return
	}
	if err := f.set(&p.o, value); err != nil {
		_ = p.problem(i, "%s: %v", shown, err)
	}
}

func (p *argParser) unknown(i int, shown string) {
	var known, elsewhere []string
	for name, f := range p.flags {
		if f.has(p.operation) {
			known = append(known, "--"+name)
		} else if shown == "--"+name || shown == "-"+f.short {
			elsewhere = append(elsewhere, f.of...)
		}
	}
	slices.Sort(known)
	bad := p.problem(i, "%s has no flag %s", p.operation, shown)
	near := ""
	if len(shown) > 2 {
		near = kind.Nearest(shown, known)
	}
	switch {
	case len(elsewhere) > 0:
		bad.Hinted("it is one of %s", strings.Join(slices.Compact(slices.Sorted(slices.Values(elsewhere))), ", "))
	case near != "":
		bad.Hinted("did you mean %s?", near)
	}
}

// together looks at flags that only make sense with others.
func (p *argParser) together() {
	o := &p.o
	warn := func(bad bool, format string, args ...any) {
		if bad {
			p.errs = append(p.errs, v1alpha1.Warn("args", format, args...))
		}
	}
	if p.operation == opSubmit && o.fromKind != "" {
		p.errs = append(p.errs, v1alpha1.Invalid("args", "--from does not go with submit, which submits the source").Hinted("use the operation submit-from"))
	}
	if p.operation == opSubmit || p.operation == opSubmitFrom {
		o.nodes, o.hasNodes = nil, false // only says what the command prints
	}
	if p.operation == opRetry {
		warn(o.restart != o.hasNodes, "--restart-successful and --node-field-selector have an effect together only")
		o.restart = o.restart && o.hasNodes
	}
	warn(o.message != "" && !o.hasNodes, "--message has no effect without --node-field-selector")
	warn(o.hasPriority && p.operation != opSubmit, "--priority has no effect on %s", p.operation)
	warn(o.scheduled != "" && p.operation != opSubmitFrom, "--scheduled-time has no effect on %s", p.operation)
	warn(o.token != "", "there is a token in clear, for everybody who may read the sensor (use server.token)")
	if o.server == "" {
		warn(o.base != "" || o.insecure || len(o.headers) > 0, "--argo-base-href, --insecure-skip-verify and --header have no effect without --argo-server")
	}
	if o.wait || o.watch {
		p.errs = append(p.errs, &v1alpha1.Problem{
			Path: "args", Severity: v1alpha1.Note, Message: "waiting for the workflow keeps one of the trigger's places occupied",
			Hint: "follow does not",
		})
	}
}
