// Package transform changes the data of an event before a dependency's filters
// look at it.
//
// A transform is a jq program or a Lua script. Both run with limits and reach
// neither files nor the environment nor the network.
package transform

import (
	"context"
	"errors"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/lua"
)

// A Transform is compiled once and applied from any number of goroutines.
type Transform struct {
	apply func(ctx context.Context, data []byte) ([]byte, error)
}

// Compile prepares a dependency's transform; jq wins where both are given. The
// error joins all problems, with paths from the dependency (transform.jq); it
// may hold warnings only. The Transform is nil after a fatal problem, and where
// there is nothing to do.
func Compile(t *v1alpha1.EventDependencyTransformer) (*Transform, error) {
	if t == nil {
		return nil, nil
	}
	switch {
	case t.JQ != "":
		var warning error
		if t.Script != "" {
			warning = v1alpha1.Warn("transform.script", "has no effect, because jq is given too").Hinted("remove one of the two")
		}
		p, err := compileJQ(t.JQ)
		if err != nil {
			return nil, errors.Join(v1alpha1.Invalid("transform.jq", "%v", err).
				Hinted("it has to be a jq program whose first result is an object, such as: .body.n = 1"), warning)
		}
		return &Transform{apply: p.apply}, warning
	case t.Script != "":
		s, err := lua.Compile("script", t.Script)
		if err != nil {
			return nil, v1alpha1.Invalid("transform.script", "%v", err).
				Hinted("it has to be a Lua 5.1 program that returns a table, such as: event.body.n = 1 return event")
		}
		return &Transform{apply: s.Transform}, nil
	default:
		return nil, v1alpha1.Warn("transform", "changes nothing").Hinted("give jq or script, or remove it")
	}
}

// Apply returns the new data of an event. data has to be a JSON object and is
// not changed. jq yields an object; a script may yield an array, too.
func (t *Transform) Apply(ctx context.Context, data []byte) ([]byte, error) {
	return t.apply(ctx, data)
}
