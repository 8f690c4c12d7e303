package v1alpha1_test

import (
	"errors"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestProblemsAreFlattenedAndPlaced(t *testing.T) {
	inner := errors.Join(
		v1alpha1.Invalid("url", "is required"),
		errors.Join(v1alpha1.Warn("", "is odd").Hinted("do %s", "this"), nil),
		errors.New("plain"),
	)
	err := v1alpha1.At("spec"+v1alpha1.Index(2), v1alpha1.At(v1alpha1.Key("a.b"), inner))
	if want := "spec[2][\"a.b\"].url: is required\nspec[2][\"a.b\"]: is odd (do this)\nspec[2][\"a.b\"]: plain"; err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
	if fatal := v1alpha1.Problems(v1alpha1.Fatal(err)); len(fatal) != 2 {
		t.Errorf("%v", fatal)
	}
	if v1alpha1.At("x", nil) != nil || v1alpha1.Fatal(v1alpha1.Warn("", "w")) != nil || v1alpha1.Problems(nil) != nil {
		t.Error("nothing is not nil")
	}
	if len(v1alpha1.Problems(inner)) != 3 || v1alpha1.Problems(inner)[0].Path != "url" {
		t.Error("At changed what it was given")
	}
}

func TestBackoff(t *testing.T) {
	var none *v1alpha1.Backoff
	if none.Attempts() != 1 || (&v1alpha1.Backoff{}).Attempts() != 5 || (&v1alpha1.Backoff{Steps: 3}).Attempts() != 3 {
		t.Error("attempts")
	}
	b := roundTrip[v1alpha1.Backoff](t, `{"duration":"2s","factor":2,"jitter":"0.5","steps":4}`)
	for k, want := range map[int]string{1: "2s", 2: "4s", 3: "8s", 60: "24h0m0s"} {
		if got := b.Wait(k, 0).String(); got != want {
			t.Errorf("wait %d: %s, want %s", k, got, want)
		}
	}
	if got := b.Wait(1, 1).String(); got != "3s" {
		t.Errorf("with all of its jitter: %s", got)
	}
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
	bad := roundTrip[v1alpha1.Backoff](t, `{"duration":-5,"factor":-1,"jitter":-1,"steps":-1}`)
	if ps := v1alpha1.Problems(bad.Validate()); len(ps) != 4 {
		t.Errorf("%v", ps)
	}
}
