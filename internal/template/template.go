// Package template runs the Go templates that manifests hold.
//
// Templates have the functions of text/template and sprig, without those that
// look at the environment or the network. They are other people's programs in
// our process: an execution is bounded in time, in its output and in the size
// of every value it makes.
//
// Numbers print as people write them: 1234567 and 1234567.5, never 1.234567e+06.
package template

import (
	"bytes"
	"errors"
	"fmt"
	"text/template"
	"time"
)

// The limits of one execution.
const (
	// MaxOutput is the largest output, and the largest text a function makes, in bytes.
	MaxOutput = 1 << 20
	// MaxTime is how long an execution may take.
	MaxTime = time.Second
	// MaxSource is the largest template text, in bytes.
	MaxSource = 256 << 10
	// maxLoops bounds the turns of all ranges of one execution.
	maxLoops = 1_000_000
	// maxDepth bounds templates that call templates.
	maxDepth = 100
)

// NoValue is what a template prints for a key that its input does not have.
const NoValue = "<no value>"

var (
	errOutput = fmt.Errorf("the output is larger than %d bytes", MaxOutput)
	errTime   = fmt.Errorf("took longer than %v", MaxTime)
	errLoops  = fmt.Errorf("ranged over more than %d items", maxLoops)
	errDepth  = fmt.Errorf("templates call each other more than %d deep", maxDepth)
)

// A Template is compiled once and executed often, from any number of goroutines.
type Template struct {
	text *template.Template
	time time.Duration
}

// Compile parses text. Errors carry name and the line.
func Compile(name, text string) (*Template, error) {
	if len(text) > MaxSource {
		return nil, fmt.Errorf("the template is larger than %d bytes", MaxSource)
	}
	t, err := template.New(name).Funcs(functions()).Parse(text)
	if err != nil {
		return nil, err
	}
	for _, each := range t.Templates() {
		if each.Tree != nil {
			instrument(each.Tree)
		}
	}
	return &Template{text: t, time: MaxTime}, nil
}

// Execute runs the template with input as .Input. Input comes from Decode, or
// is a string or another plain value. A key that input does not have prints
// NoValue.
//
// A template can change input (with set, merge and the like): do not share one
// input between executions that run at the same time.
func (t *Template) Execute(input any) (string, error) {
	return t.ExecuteRoot(map[string]any{"Input": input})
}

// ExecuteRoot runs the template with root itself as the dot, for callers that
// have more to offer than .Input. The rest is as with Execute.
func (t *Template) ExecuteRoot(root map[string]any) (string, error) {
	out := output{deadline: time.Now().Add(t.time)}
	if err := t.text.Execute(&out, root); err != nil {
		for _, limit := range []error{errOutput, errTime, errLoops, errDepth} {
			if errors.Is(err, limit) {
				return "", fmt.Errorf("template %s: %w", t.text.Name(), limit)
			}
		}
		return "", err
	}
	return out.String(), nil
}

// output collects what a template prints. The marks that instrument puts into
// the template arrive as writes too, which is how a loop that prints nothing is
// noticed.
type output struct {
	bytes.Buffer
	deadline time.Time
	loops    int
	depth    int
}

// The marks; they are told from text by their address.
var (
	markTurn  = []byte("t")
	markEnter = []byte("e")
	markLeave = []byte("l")
)

func (o *output) Write(p []byte) (int, error) {
	if len(p) == 1 {
		switch &p[0] {
		case &markTurn[0]:
			if o.loops++; o.loops > maxLoops {
				return 0, errLoops
			}
			return len(p), o.late()
		case &markEnter[0]:
			if o.depth++; o.depth > maxDepth {
				return 0, errDepth
			}
			return len(p), o.late()
		case &markLeave[0]:
			o.depth--
			return len(p), nil
		}
	}
	if o.Len()+len(p) > MaxOutput {
		return 0, errOutput
	}
	if err := o.late(); err != nil {
		return 0, err
	}
	return o.Buffer.Write(p)
}

func (o *output) late() error {
	if time.Now().After(o.deadline) {
		return errTime
	}
	return nil
}
