package verdict_test

import (
	"testing"

	"github.com/signalbox-events/signalbox/sensor/verdict"
)

func TestClauseAsText(t *testing.T) {
	for want, c := range map[string]*verdict.Clause{
		"":                                   nil,
		`filters.data[0]: a = "b"; got "c"`:  {Path: "filters.data[0]", Outcome: verdict.Reject, Want: `a = "b"`, Got: `"c"`},
		"transform: .a; cannot be evaluated": {Path: "transform", Outcome: verdict.Error, Want: ".a", Err: "cannot be evaluated"},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
