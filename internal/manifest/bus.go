package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func checkEventBus(b *v1alpha1.EventBus) error {
	var kinds []string
	_, err := Limits(b)
	errs := []error{err}
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
			required("url", e.URL), v1alpha1.At("tls", e.TLS.Validate()))))
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
	errs := []error{size("native.maxPayload", n.Native.MaxPayload)}
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
	return errors.Join(errs...)
}

func size(path string, s *string) error {
	if s == nil || *s == "" {
		return nil
	}
	_, err := parseSize(*s)
	return v1alpha1.At(path, err)
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
