package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestPullPolicy(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"signalbox":                                   corev1.PullAlways,
		"signalbox:latest":                            corev1.PullAlways,
		"registry.example:5000/signalbox":             corev1.PullAlways,
		"registry.example:5000/signalbox:v1":          corev1.PullIfNotPresent,
		"signalbox:v1":                                corev1.PullIfNotPresent,
		"signalbox@sha256:0123":                       corev1.PullIfNotPresent,
		"registry.example/signalbox:latest@sha256:01": corev1.PullIfNotPresent,
	} {
		o := Options{Image: image}
		if o.fill(); o.PullPolicy != want {
			t.Errorf("%s: %s, want %s", image, o.PullPolicy, want)
		}
	}
	o := Options{Image: "signalbox:v1", PullPolicy: corev1.PullNever}
	if o.fill(); o.PullPolicy != corev1.PullNever {
		t.Error("the user's choice was changed to", o.PullPolicy)
	}
}
