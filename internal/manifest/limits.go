package manifest

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// Limits reads what an EventBus wants of its stream. The problems tell what is
// wrong and what is not honoured, with the reason; they are among those of the
// object too.
func Limits(bus *v1alpha1.EventBus) (eventbus.Limits, error) {
	var l eventbus.Limits
	var errs []error
	spec := bus.Spec
	switch {
	case spec.JetStream != nil:
		j := spec.JetStream
		if j.StreamConfig != nil {
			errs = append(errs, v1alpha1.At("spec.jetstream.streamConfig", readStreamConfig(*j.StreamConfig, &l)))
		}
		volume(j.Persistence, &l)
	case spec.JetStreamExotic != nil:
		errs = append(errs, v1alpha1.At("spec.jetstreamExotic.streamConfig", readStreamConfig(spec.JetStreamExotic.StreamConfig, &l)))
	case spec.NATS != nil && spec.NATS.Native != nil:
		errs = append(errs, v1alpha1.At("spec.nats.native", native(spec.NATS.Native, &l)))
	}
	return l, errors.Join(errs...)
}

func native(n *v1alpha1.NATSNative, l *eventbus.Limits) error {
	errs := []error{note("", "NATS Streaming is gone; a JetStream bus takes its place")}
	var err error
	if n.MaxAge != nil && *n.MaxAge != "" {
		l.MaxAge, err = durationOf(*n.MaxAge)
		errs = append(errs, v1alpha1.At("maxAge", err))
	}
	if n.MaxBytes != nil && *n.MaxBytes != "" {
		l.MaxBytes, err = parseSize(*n.MaxBytes)
		errs = append(errs, v1alpha1.At("maxBytes", err))
	}
	if n.MaxMsgs != nil {
		l.MaxMsgs = int64(*n.MaxMsgs) //nolint:gosec // a limit of 2^63 is none
	}
	volume(n.Persistence, l)
	return errors.Join(errs...)
}

// volume bounds the stream by the volume that was asked for, less a part that
// dead letters, state and the store's own files need.
func volume(p *v1alpha1.PersistenceStrategy, l *eventbus.Limits) {
	if p == nil || p.VolumeSize == nil {
		return
	}
	size := p.VolumeSize.Value() / 10 * 8
	if size > 0 && (l.MaxBytes <= 0 || size < l.MaxBytes) {
		l.MaxBytes = size
	}
}

// readStreamConfig reads the text that Argo Events calls streamConfig. Keys
// count whatever their case.
func readStreamConfig(text string, l *eventbus.Limits) error {
	keys := []string{"maxBytes", "maxMsgs", "maxAge", "replicas", "duplicates", "retention", "discard"}
	var fields map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &fields); err != nil {
		return v1alpha1.Invalid("", "is no YAML of %s", list(keys))
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		v := fields[key]
		if v == nil { // not given
			continue
		}
		var err error
		var n int64
		switch strings.ToLower(key) {
		case "maxbytes":
			l.MaxBytes, err = sizeOf(v)
		case "maxmsgs":
			l.MaxMsgs, err = wholeOf(v)
		case "maxage":
			l.MaxAge, err = durationOf(v)
		case "duplicates":
			l.Duplicates, err = durationOf(v)
		case "replicas":
			n, err = wholeOf(v)
			l.Replicas = int(n)
		case "retention":
			if n, err = wholeOf(v); err == nil && n != 0 {
				err = v1alpha1.Warn("", "is ignored: Signalbox keeps processed events for replay and purges them when space runs short")
			}
		case "discard":
			if n, err = wholeOf(v); err == nil && n == 0 {
				err = v1alpha1.Warn("", "0 (discard old) is ignored: unprocessed events are never dropped; a full bus refuses new ones")
			}
		default:
			errs = append(errs, kind.UnknownKey(v1alpha1.Key(key), key, keys))
			continue
		}
		errs = append(errs, v1alpha1.At(v1alpha1.Key(key), err))
	}
	return errors.Join(errs...)
}

// wholeOf reads a whole number; NATS has -1 for no limit. Numbers come as
// float64, since the text goes through JSON.
func wholeOf(v any) (int64, error) {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return max(int64(v), 0), nil
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return max(n, 0), nil
		}
	}
	return 0, v1alpha1.Invalid("", "want a whole number, got %v", v)
}

func sizeOf(v any) (int64, error) {
	if s, ok := v.(string); ok {
		return parseSize(s)
	}
	return wholeOf(v)
}

// parseSize reads 1GB and 64MB as NATS does (powers of 1024), and 64Mi as
// Kubernetes does.
func parseSize(s string) (int64, error) {
	text := strings.TrimSpace(s)
	if t, ok := strings.CutSuffix(strings.ToUpper(text), "B"); ok {
		text = strings.TrimSuffix(t, "I") + "i"
		if strings.TrimRight(text, "0123456789i") == "" {
			text = strings.TrimSuffix(text, "i")
		}
	}
	q, err := resource.ParseQuantity(text)
	if err != nil || !strings.ContainsAny(text, "0123456789") {
		return 0, v1alpha1.Invalid("", "%q is no size", s).Hinted("a number with a unit, such as 4MB")
	}
	return max(q.Value(), 0), nil
}

func durationOf(v any) (time.Duration, error) {
	switch v := v.(type) {
	case string:
		d, err := time.ParseDuration(v)
		switch {
		case err != nil:
		case d < 0:
			return 0, v1alpha1.Invalid("", "is negative")
		default:
			return d, nil
		}
		return 0, v1alpha1.Invalid("", "%q is no duration", v).Hinted("a number with a unit, such as 72h")
	case float64: // nanoseconds
		return max(time.Duration(v), 0), nil
	}
	return 0, v1alpha1.Invalid("", "%v is no duration", v).Hinted("a number with a unit, such as 72h")
}
