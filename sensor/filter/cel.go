package filter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	cetypes "github.com/cloudevents/sdk-go/v2/types"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// The limits of one CEL evaluation.
const (
	celTime   = time.Second
	celCost   = 1_000_000
	celMemory = 4_000_000
	celSource = 64 << 10
)

// celEnv is the same for all filters: the variables data and event, the
// standard functions, strings, lists, sets, math, regular expressions and
// optional values, and functions of our own.
var celEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(append(functions(),
		cel.CustomTypeAdapter(adapter{types.DefaultTypeAdapter}),
		cel.Variable("data", cel.DynType),
		cel.Variable("event.id", cel.StringType),
		cel.Variable("event.source", cel.StringType),
		cel.Variable("event.type", cel.StringType),
		cel.Variable("event.subject", cel.StringType),
		cel.Variable("event.datacontenttype", cel.StringType),
		cel.Variable("event.time", cel.TimestampType),
		cel.Variable("event.extensions", cel.MapType(cel.StringType, cel.DynType)),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Lists(ext.ListsMaxRangeSize(10_000)),
		ext.Sets(),
		ext.Math(),
		ext.Regex(),
		ext.Encoders(),
		cel.ParserExpressionSizeLimit(celSource),
	)...)
})

// cel compiles filters.cel.
func (c *compiler) cel(path, text string) clause {
	said := clause{path: path, want: strings.Join(strings.Fields(text), " ")}
	env, err := celEnv()
	if err != nil { // cannot happen: the environment does not depend on input
		c.add(v1alpha1.Invalid(path, "CEL is not available: %v", err))
		return said
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			c.add(celProblem(path, text, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message)))
		}
		return said
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		c.add(v1alpha1.Invalid(path, "yields %s, not true or false", cel.FormatCELType(t)).Hinted("compare it with something"))
		return said
	}
	program, err := env.Program(checked,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(celCost),
		cel.MemoryLimit(celMemory),
		cel.InterruptCheckFrequency(100),
	)
	if err != nil {
		c.add(v1alpha1.Invalid(path, "%v", err))
		return said
	}
	shown := operands(checked)
	said.eval = func(ctx context.Context, in *input) result {
		ctx, stop := context.WithTimeoutCause(ctx, celTime, errors.New("took too long"))
		defer stop()
		out, _, err := program.ContextEval(ctx, activation{in})
		if err != nil {
			return failed(shown.of(in), err)
		}
		switch out {
		case types.True:
			return passIf(true, "")
		case types.False:
			return passIf(false, shown.of(in))
		default:
			return failed(shown.of(in), fmt.Errorf("yields a value of type %s, not true or false", out.Type().TypeName()))
		}
	}
	return said
}

func celProblem(path, text, message string) *v1alpha1.Problem {
	p := v1alpha1.Invalid(path, "%s", message)
	switch {
	case strings.Contains(message, "undeclared reference to 'event"):
		return p.Hinted("event has id, source, type, subject, time, datacontenttype and extensions")
	case strings.Contains(message, "undeclared reference to 'body'"), strings.Contains(message, "undeclared reference to 'header'"):
		return p.Hinted("the event's data is in data: write data.body")
	case strings.Contains(message, "undeclared reference"):
		return p.Hinted("there are data and event; texts need quotes")
	case strings.Contains(text, " and ") || strings.Contains(text, " or "):
		return p.Hinted("write && and ||")
	default:
		return p
	}
}

// activation gives an event's values to a program as it asks for them, so that
// data is decoded only where it is needed.
type activation struct{ in *input }

// Parent implements cel.Activation.
func (a activation) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (a activation) ResolveName(name string) (any, bool) {
	e := a.in.event
	switch name {
	case "data":
		v, err := a.in.value()
		if err != nil {
			return types.WrapErr(err), true
		}
		if v == nil {
			return types.NullValue, true
		}
		return v, true
	case "event.id":
		return e.ID(), true
	case "event.source":
		return e.Source(), true
	case "event.type":
		return e.Type(), true
	case "event.subject":
		return e.Subject(), true
	case "event.datacontenttype":
		return e.DataContentType(), true
	case "event.time":
		return e.Time(), true
	case "event.extensions":
		return extensions(e.Extensions()), true
	}
	return nil, false
}

// extensions are those of an event, each as a text, a whole number or a bool.
func extensions(of map[string]any) map[string]any {
	out := make(map[string]any, len(of))
	for k, v := range of {
		switch v := v.(type) {
		case string, bool:
			out[k] = v
		case int32:
			out[k] = int64(v)
		default:
			text, err := cetypes.Format(v)
			if err != nil {
				text = fmt.Sprint(v)
			}
			out[k] = text
		}
	}
	return out
}

// adapter makes CEL values of what template.Decode yields: whole numbers are
// int, or uint where they do not fit, all others double.
type adapter struct{ types.Adapter }

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case map[string]any:
		return types.NewStringInterfaceMap(a, v)
	case []any:
		return types.NewDynamicList(a, v)
	case json.Number:
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return types.Uint(u)
		}
		f, _ := v.Float64()
		return types.Double(f)
	}
	return a.Adapter.NativeToValue(v)
}
