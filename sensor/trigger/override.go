package trigger

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
)

// ErrClosed is what Render and Fire return after Close.
var ErrClosed = errors.New("the trigger is closed")

// Override applies a kind's own parameters to its configuration and decodes the
// result as if it had stood in the manifest: with its defaults, validated. The
// error is a Permanent one, because the same events give the same result.
func Override[C any, P interface {
	*C
	kind.Config
}](c C, ps *param.List, events map[string]*event.Event) (C, error) {
	if ps.Empty() {
		return c, nil
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return c, Permanent(fmt.Errorf("write the configuration: %w", err))
	}
	if raw, err = ps.Apply(raw, events); err != nil {
		return c, Permanent(err)
	}
	decoded, err := kind.Of[C, P, struct{}, struct{}]("", nil).Decode(raw)
	if err = v1alpha1.Fatal(err); err != nil {
		return c, Permanent(fmt.Errorf("after its parameters were applied: %w", err))
	}
	return *decoded.(P), nil
}
