package transform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/itchyny/gojq"

	"github.com/signalbox-events/signalbox/internal/limit"
)

// The limits of one run of a jq program. One call of a built-in function is one
// step, however long it takes.
const (
	jqTime   = time.Second
	jqSteps  = 10_000_000
	jqHeap   = 256 << 20
	jqResult = 8 << 20
	jqSource = 64 << 10
)

type jq struct {
	code   *gojq.Code
	limits limit.Limits
}

func compileJQ(src string) (*jq, error) {
	if len(src) > jqSource {
		return nil, fmt.Errorf("the program is larger than %d bytes", jqSource)
	}
	q, err := gojq.Parse(src)
	if err != nil {
		return nil, err
	}
	// Without options a program has no environment, no input but its own and no modules.
	if err := bound(reflect.ValueOf(q)); err != nil {
		return nil, err
	}
	code, err := gojq.Compile(q, multiplication())
	if err != nil {
		return nil, err
	}
	return &jq{code: code, limits: limit.Limits{Time: jqTime, Steps: jqSteps, Heap: jqHeap}}, nil
}

func (p *jq) apply(ctx context.Context, data []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("jq: panic: %v", r)
		}
	}()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // gojq keeps the digits of numbers that it does not calculate with
	var in any
	if err := d.Decode(&in); err != nil || d.More() {
		return nil, errors.New("the data is not JSON")
	}
	if _, ok := in.(map[string]any); !ok {
		return nil, errors.New("the data is not a JSON object")
	}
	meter := limit.New(ctx, p.limits)
	v, ok := p.code.RunWithContext(meter, in).Next()
	if stop := meter.Err(); stop != nil {
		return nil, fmt.Errorf("the jq program was %w", stop)
	}
	if !ok {
		return nil, errors.New("the jq program yields nothing")
	}
	switch v := v.(type) {
	case error:
		return nil, fmt.Errorf("jq: %w", v)
	case map[string]any:
		return encode(make([]byte, 0, len(data)+64), v, 1000)
	default:
		return nil, fmt.Errorf("the jq program yields %s, not an object", gojq.TypeOf(v))
	}
}

var errLarge = fmt.Errorf("the result is larger than %d bytes", jqResult)

// encode writes what jq yields, the keys of objects in order. What a value
// holds twice is written twice, so the size has to be watched while writing.
func encode(b []byte, v any, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, errors.New("the result is nested too deeply")
	}
	if len(b) > jqResult {
		return nil, errLarge
	}
	var err error
	switch v := v.(type) {
	case map[string]any:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = encode(b, k, depth-1); err != nil {
				return nil, err
			}
			b = append(b, ':')
			if b, err = encode(b, v[k], depth-1); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = encode(b, e, depth-1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	default:
		s, err := gojq.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode the result: %w", err)
		}
		if len(b)+len(s) > jqResult {
			return nil, errLarge
		}
		return append(b, s...), nil
	}
}
