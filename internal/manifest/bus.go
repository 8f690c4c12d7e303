package manifest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

func checkEventBus(b *v1alpha1.EventBus) error {
	var kinds []string
	var errs []error
	if n := b.Spec.NATS; n != nil {
		kinds = append(kinds, "nats")
		errs = append(errs, v1alpha1.At("spec.nats", natsBus(n)))
	}
	if j := b.Spec.JetStream; j != nil {
		kinds = append(kinds, "jetstream")
		errs = append(errs, v1alpha1.At("spec.jetstream", jetStreamBus(j)))
	}
	if b.Spec.Kafka != nil {
		kinds = append(kinds, "kafka")
		errs = append(errs, v1alpha1.Invalid("spec.kafka", "Kafka is not supported as an event bus").Hinted("use jetstream"))
	}
	if e := b.Spec.JetStreamExotic; e != nil {
		kinds = append(kinds, "jetstreamExotic")
		errs = append(errs, v1alpha1.At("spec.jetstreamExotic", errors.Join(
			required("url", e.URL), v1alpha1.At("tls", e.TLS.Validate()), v1alpha1.At("streamConfig", streamConfig(e.StreamConfig)))))
	}
	switch len(kinds) {
	case 0:
		errs = append(errs, v1alpha1.Invalid("spec", "has no kind of bus").Hinted("give jetstream or jetstreamExotic"))
	case 1:
	default:
		errs = append(errs, v1alpha1.Invalid("spec", "has more than one kind of bus: %s", list(kinds)).Hinted("keep one"))
	}
	return errors.Join(errs...)
}

func natsBus(n *v1alpha1.NATSBus) error {
	switch {
	case n.Native == nil && n.Exotic == nil:
		return v1alpha1.Invalid("", "needs native or exotic")
	case n.Native != nil && n.Exotic != nil:
		return v1alpha1.Invalid("", "has both native and exotic").Hinted("keep one")
	case n.Exotic != nil:
		return v1alpha1.Invalid("exotic", "NATS Streaming servers are not supported").Hinted("use jetstreamExotic with a NATS server that has JetStream")
	}
	errs := []error{
		size("native.maxBytes", n.Native.MaxBytes), size("native.maxPayload", n.Native.MaxPayload),
		span("native.maxAge", n.Native.MaxAge),
	}
	if a := n.Native.Auth; !slices.Contains([]string{"", "none", "token"}, a) {
		errs = append(errs, v1alpha1.Invalid("native.auth", "unknown word %q", a).Hinted("there are none, token"))
	}
	return errors.Join(errs...)
}

func jetStreamBus(j *v1alpha1.JetStreamBus) error {
	errs := []error{size("maxPayload", j.MaxPayload)}
	if r := j.Replicas; r != nil {
		switch {
		case *r < 1 || *r == 2:
			errs = append(errs, v1alpha1.Invalid("replicas", "has to be 1, 3 or 5, got %d", *r))
		case *r != 1 && *r != 3 && *r != 5:
			errs = append(errs, v1alpha1.Warn("replicas", "want 1, 3 or 5, got %d", *r))
		}
	}
	if j.StreamConfig != nil {
		errs = append(errs, v1alpha1.At("streamConfig", streamConfig(*j.StreamConfig)))
	}
	return errors.Join(errs...)
}

var streamConfigKeys = []string{"maxBytes", "maxMsgs", "maxAge", "replicas", "duplicates", "retention", "discard"}

// streamConfig checks the text of a streamConfig. Case does not matter in its keys.
func streamConfig(text string) error {
	var fields map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &fields); err != nil {
		return v1alpha1.Invalid("", "is no YAML of %s", list(streamConfigKeys))
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		i := slices.IndexFunc(streamConfigKeys, func(k string) bool { return strings.EqualFold(k, key) })
		if i < 0 {
			errs = append(errs, kind.UnknownKey(v1alpha1.Key(key), key, streamConfigKeys))
			continue
		}
		switch v := fields[key].(type) {
		case nil, float64: // numbers come as float64 from JSON
		case string:
			switch streamConfigKeys[i] {
			case "maxAge", "duplicates":
				errs = append(errs, span(key, &v))
			case "maxBytes":
				errs = append(errs, size(key, &v))
			default:
				errs = append(errs, v1alpha1.Invalid(key, "want a whole number, got %q", v))
			}
		default:
			errs = append(errs, v1alpha1.Invalid(key, "want a number or text"))
		}
	}
	return errors.Join(errs...)
}

func span(path string, s *string) error {
	if s == nil || *s == "" {
		return nil
	}
	d, err := time.ParseDuration(*s)
	switch {
	case err != nil:
		return v1alpha1.Invalid(path, "%q is no duration", *s).Hinted("a number with a unit, such as 72h")
	case d < 0:
		return v1alpha1.Invalid(path, "is negative")
	}
	return nil
}

var sizeText = regexp.MustCompile(`(?i)^-?[0-9]+ ?([kmgt]i?)?b?$`)

func size(path string, s *string) error {
	if s != nil && *s != "" && !sizeText.MatchString(*s) {
		return v1alpha1.Invalid(path, "%q is no size", *s).Hinted("a number with a unit, such as 4MB")
	}
	return nil
}

// list joins words: "a", "a and b", "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// some is list, cut where it gets long.
func some(words []string) string {
	const most = 8
	if len(words) <= most {
		return list(words)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}
