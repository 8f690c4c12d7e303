package manifest

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
)

func TestLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		spec   string
		want   eventbus.Limits
		errors string // parts of the problems, by |
	}{
		"nothing said":      {`jetstream: {version: latest}`, eventbus.Limits{}, ""},
		"stream config":     {"jetstream: {streamConfig: \"maxBytes: 64MB\\nmaxMsgs: 5000\\nmaxAge: 24h\\nreplicas: 3\\nduplicates: 30s\\ndiscard: 1\\n\"}", eventbus.Limits{MaxBytes: 64 << 20, MaxMsgs: 5000, MaxAge: 24 * time.Hour, Replicas: 3, Duplicates: 30 * time.Second}, ""},
		"keys of any case":  {"jetstream: {streamConfig: \"maxbytes: 1048576\\nMaxMsgs: -1\"}", eventbus.Limits{MaxBytes: 1 << 20}, ""},
		"discard old":       {"jetstream: {streamConfig: \"discard: 0\"}", eventbus.Limits{}, "spec.jetstream.streamConfig.discard: 0 (discard old) is ignored"},
		"retention":         {"jetstream: {streamConfig: \"retention: 2\"}", eventbus.Limits{}, "spec.jetstream.streamConfig.retention: is ignored"},
		"volume":            {`jetstream: {persistence: {volumeSize: 10Gi}}`, eventbus.Limits{MaxBytes: 10 << 30 / 10 * 8}, ""},
		"volume below":      {"jetstream: {streamConfig: \"maxBytes: 100GB\", persistence: {volumeSize: 1Gi}}", eventbus.Limits{MaxBytes: 1 << 30 / 10 * 8}, ""},
		"wrong values":      {"jetstreamExotic: {url: x, streamConfig: \"maxBytes: lots\\nmaxAge: soon\\nmaxMsgs: many\"}", eventbus.Limits{}, `maxBytes: "lots" is no size|maxAge: "soon" is no duration|maxMsgs: want a whole number, got many`},
		"no yaml":           {"jetstreamExotic: {url: x, streamConfig: \"a: b: c\"}", eventbus.Limits{}, "streamConfig: is no YAML of maxBytes"},
		"what is no number": {"jetstream: {streamConfig: \"retention: work\\ndiscard: new\\nmaxMsgs: 1.5\\nmaxAge: [1]\"}", eventbus.Limits{}, "retention: want a whole number, got work|discard: want a whole number, got new|maxMsgs: want a whole number, got 1.5|maxAge: [1] is no duration"},
		"native":            {`nats: {native: {maxAge: 72h, maxBytes: 1GB, maxMsgs: 100}}`, eventbus.Limits{MaxAge: 72 * time.Hour, MaxBytes: 1 << 30, MaxMsgs: 100}, "spec.nats.native: NATS Streaming is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			var bus v1alpha1.EventBus
			if err := yaml.UnmarshalStrict([]byte(tc.spec), &bus.Spec); err != nil {
				t.Fatal(err)
			}
			got, err := Limits(&bus)
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			var text strings.Builder
			for _, p := range v1alpha1.Problems(err) {
				text.WriteString(p.Error() + "\n")
			}
			if (tc.errors == "") != (err == nil) {
				t.Errorf("problems %q", text.String())
			}
			for _, want := range strings.Split(tc.errors, "|") {
				if !strings.Contains(text.String(), want) {
					t.Errorf("problems %q, want %q among them", text.String(), want)
				}
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"64MB": 64 << 20, "1GB": 1 << 30, "1gb": 1 << 30, "512": 512, "512B": 512, "10Gi": 10 << 30, "10GiB": 10 << 30, "1k": 1000, "-1": 0, "2KB": 2 << 10,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "lots", "1XB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
