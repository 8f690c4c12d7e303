package trigger_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

type config struct {
	Text string            `json:"text,omitempty"`
	N    int               `json:"count,omitempty"`
	Map  map[string]string `json:"map,omitempty"`
}

func (c *config) Default() {
	if c.N == 0 {
		c.N = 7
	}
}

func (c *config) Validate() error {
	if c.N < 0 {
		return v1alpha1.Invalid("count", "is negative")
	}
	if c.Text == "odd" {
		return v1alpha1.Warn("text", "is odd")
	}
	return nil
}

func TestOverride(t *testing.T) {
	e := event.New()
	if err := e.SetData(event.ApplicationJSON, []byte(`{"s":"odd","three":3,"minus":-1}`)); err != nil {
		t.Fatal(err)
	}
	before := config{Text: "a", N: 1, Map: map[string]string{"k": "v"}}
	for name, tc := range map[string]struct {
		params string
		want   config
		err    string
	}{
		"none":        {`[]`, before, ""},
		"set":         {`[{src: {dependencyName: d, dataKey: s}, dest: text}, {src: {dependencyName: d, dataKey: three, useRawData: true}, dest: count}]`, config{"odd", 3, before.Map}, ""},
		"in a map":    {`[{src: {dependencyName: d, dataKey: s}, dest: map.x}]`, config{"a", 1, map[string]string{"k": "v", "x": "odd"}}, ""},
		"default":     {`[{src: {dependencyName: d, dataTemplate: "x"}, dest: text}, {src: {dependencyName: d, dataKey: zz, value: ""}, dest: map.k}]`, config{"x", 1, map[string]string{"k": ""}}, ""},
		"wrong type":  {`[{src: {dependencyName: d, dataKey: s}, dest: count}]`, before, `after its parameters were applied: count: want a whole number, got the string "odd"`},
		"not valid":   {`[{src: {dependencyName: d, dataKey: minus, useRawData: true}, dest: count}]`, before, `after its parameters were applied: count: is negative`},
		"not present": {`[{src: {dependencyName: d, dataKey: zz}, dest: count}]`, before, `parameter 0, to "count"`},
	} {
		t.Run(name, func(t *testing.T) {
			var ps []v1alpha1.TriggerParameter
			if err := yaml.Unmarshal([]byte(tc.params), &ps); err != nil {
				t.Fatal(err)
			}
			l, err := param.Compile(ps)
			if err != nil {
				t.Fatal(err)
			}
			got, err := trigger.Override(before, l, map[string]*event.Event{"d": &e})
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.err) || !trigger.IsPermanent(err)) {
				t.Errorf("got %v", err)
			}
			if err == nil && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	if !reflect.DeepEqual(before, config{"a", 1, map[string]string{"k": "v"}}) {
		t.Errorf("the configuration was changed to %+v", before)
	}
}

func TestMarkedErrors(t *testing.T) {
	base := errors.New("base")
	both := fmt.Errorf("more: %w", trigger.After(trigger.Permanent(base), time.Minute))
	if !trigger.IsPermanent(both) || trigger.AskedWait(both) != time.Minute || !errors.Is(both, base) || both.Error() != "more: base" {
		t.Errorf("got %v", both)
	}
	if trigger.IsPermanent(base) || trigger.AskedWait(base) != 0 || trigger.IsPermanent(nil) {
		t.Error("an error without marks has some")
	}
}
