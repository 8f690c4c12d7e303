package dataplane

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
)

// limitsOf reads what an EventBus wants of its stream. The problems tell what
// is wrong and what is ignored, with the reason.
func limitsOf(bus *v1alpha1.EventBus) (eventbus.Limits, error) {
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
		n := spec.NATS.Native
		errs = append(errs, v1alpha1.Warn("spec.nats.native", "NATS Streaming is gone; a JetStream bus takes its place"))
		if n.MaxAge != nil {
			d, err := time.ParseDuration(*n.MaxAge)
			if err != nil {
				errs = append(errs, v1alpha1.Invalid("spec.nats.native.maxAge", "%q is no duration", *n.MaxAge).Hinted("such as 72h"))
			}
			l.MaxAge = d
		}
		if n.MaxBytes != nil {
			size, err := parseSize(*n.MaxBytes)
			errs = append(errs, v1alpha1.At("spec.nats.native.maxBytes", err))
			l.MaxBytes = size
		}
		if n.MaxMsgs != nil {
			l.MaxMsgs = int64(*n.MaxMsgs) //nolint:gosec // a limit of 2^63 is none
		}
		volume(n.Persistence, &l)
	}
	return l, errors.Join(errs...)
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

// streamConfig is the text that Argo Events calls streamConfig. Keys count
// whatever their case.
func readStreamConfig(text string, l *eventbus.Limits) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	raw := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &raw); err != nil {
		return v1alpha1.Invalid("", "is no YAML object: %v", err)
	}
	var errs []error
	for key, v := range raw {
		var err error
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
			var n int64
			n, err = wholeOf(v)
			l.Replicas = int(n)
		case "retention":
			if n, _ := wholeOf(v); n != 0 {
				err = v1alpha1.Warn("", "is ignored: Signalbox keeps processed events for replay and purges them when space runs short")
			}
		case "discard":
			if n, _ := wholeOf(v); n == 0 {
				err = v1alpha1.Warn("", "0 (discard old) is ignored: unprocessed events are never dropped; a full bus refuses new ones")
			}
		default:
			err = v1alpha1.Warn("", "unknown key %q is ignored", key)
		}
		errs = append(errs, v1alpha1.At(v1alpha1.Key(key), err))
	}
	return errors.Join(errs...)
}

func wholeOf(v any) (int64, error) {
	switch v := v.(type) {
	case float64:
		return max(int64(v), 0), nil
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err == nil {
			return max(n, 0), nil
		}
	}
	return 0, v1alpha1.Invalid("", "%v is no whole number", v)
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
		return 0, v1alpha1.Invalid("", "%q is no size", s).Hinted("such as 512MB or 10Gi")
	}
	return max(q.Value(), 0), nil
}

func durationOf(v any) (time.Duration, error) {
	if s, ok := v.(string); ok {
		if d, err := time.ParseDuration(s); err == nil {
			return max(d, 0), nil
		}
	}
	if n, ok := v.(float64); ok {
		return max(time.Duration(n), 0), nil
	}
	return 0, v1alpha1.Invalid("", "%v is no duration", v).Hinted("such as 168h")
}
