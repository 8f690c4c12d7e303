package admission

import (
	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// changes warns of what a changed EventBus will not do. Nothing is refused:
// Argo Events refuses another kind of bus, another streamConfig and another
// kind of authentication, because its bus cannot be changed. Here a changed
// streamConfig is applied to the streams, native and jetstream are one and the
// same bus, and its users and passwords do not come from the object.
func changes(old, now *v1alpha1.EventBus) []*v1alpha1.Problem {
	from, to := place(old), place(now)
	if from.managed && to.managed {
		if to.replicas < from.replicas {
			return []*v1alpha1.Problem{v1alpha1.Warn(to.path+".replicas", "a bus is not made smaller: it keeps its %d servers", from.replicas).
				Hinted("make a new EventBus, and move the event sources and sensors to it")}
		}
		return nil
	}
	if from.path == "" || to.path == "" || from.path == to.path && from.url == to.url {
		return nil
	}
	return []*v1alpha1.Problem{v1alpha1.Warn(to.path, "this is another bus: events and dead letters that are on the bus so far do not move").
		Hinted("let the sensors finish first, or make a new EventBus")}
}

// where is the bus that an EventBus stands for.
type where struct {
	path     string
	managed  bool
	replicas int32
	url      string
}

func place(b *v1alpha1.EventBus) where {
	const standard = 3
	switch s := b.Spec; {
	case s.JetStream != nil:
		w := where{path: "spec.jetstream", managed: true, replicas: standard}
		if r := s.JetStream.Replicas; r != nil {
			w.replicas = *r
		}
		return w
	case s.NATS != nil && s.NATS.Native != nil:
		// The streaming server made it three where it was less.
		return where{path: "spec.nats.native", managed: true, replicas: max(s.NATS.Native.Replicas, standard)}
	case s.JetStreamExotic != nil:
		return where{path: "spec.jetstreamExotic", url: s.JetStreamExotic.URL}
	default:
		return where{}
	}
}
