// Package bus reconciles EventBus objects: a StatefulSet of signalbox bus with
// its certificates and passwords, and the removal of what deleted sensors leave
// on it.
package bus

import (
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

const (
	defaultReplicas   = 3
	defaultVolume     = "20Gi" // jetstream
	defaultNATSVolume = "10Gi" // nats.native
)

// plan is what an EventBus asks for, brought to what can be had.
type plan struct {
	bus *v1alpha1.EventBus
	// section is the path of the pods' fields: jetstream or nats.native.
	section  []string
	pods     v1alpha1.BusPods
	replicas int32
	// volume is nil for an emptyDir.
	volume *v1alpha1.PersistenceStrategy
	// maxPayload and maxStore in bytes; 0 means the default.
	maxPayload, maxStore int64
	// ignored are fields that have no effect, with the reason.
	ignored []string
	// refused are changes that are not made, with the reason.
	refused []string
}

// newPlan reads a valid EventBus that is run for the user. live is its
// StatefulSet, or nil. The error is a problem of the manifest.
func newPlan(bus *v1alpha1.EventBus, live *appsv1.StatefulSet) (*plan, error) {
	p := &plan{bus: bus}
	var err error
	if j := bus.Spec.JetStream; j != nil {
		p.section, p.pods = []string{"spec", "jetstream"}, j.BusPods
		err = p.jetStream(j)
	} else {
		p.section, p.pods = []string{"spec", "nats", "native"}, bus.Spec.NATS.Native.BusPods
		err = p.native(bus.Spec.NATS.Native)
	}
	if err != nil {
		return nil, err
	}
	if p.pods.MetricsContainerTemplate != nil {
		p.ignore("metricsContainerTemplate", "the bus serves its metrics itself, at port 7777")
	}
	if live != nil {
		p.keep(live)
	}
	if p.volume != nil {
		// Streams may take 8 tenths, see manifest.Limits.
		size := p.volume.VolumeSize.Value() / 10 * 9
		if p.maxStore == 0 || size < p.maxStore {
			p.maxStore = size
		}
	}
	return p, nil
}

func (p *plan) ignore(field, reason string) {
	p.ignored = append(p.ignored, strings.Join(p.section, ".")+"."+field+" is ignored: "+reason)
}

func (p *plan) jetStream(j *v1alpha1.JetStreamBus) error {
	p.replicas = defaultReplicas
	if j.Replicas != nil {
		p.replicas = *j.Replicas
	}
	if p.replicas != 1 && p.replicas != 3 && p.replicas != 5 {
		return v1alpha1.Invalid("spec.jetstream.replicas", "has to be 1, 3 or 5, got %d", p.replicas)
	}
	p.persistence(defaultVolume)
	if v := j.Version; v != "" && v != "latest" {
		p.ignore("version", "the bus is part of Signalbox and has its version")
	}
	if j.ReloaderContainerTemplate != nil {
		p.ignore("reloaderContainerTemplate", "the bus follows changes itself, there is no such container")
	}
	if len(j.StartArgs) > 0 {
		p.ignore("startArgs", "they are arguments of another server")
	}
	if j.Settings != nil {
		p.settings(*j.Settings)
	}
	return p.payload("spec.jetstream.maxPayload", j.MaxPayload)
}

// settings are lines of NATS's configuration: KEY: VALUE.
func (p *plan) settings(text string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimRight(strings.TrimSpace(line), ",;")
		end := strings.IndexAny(line, ":= \t")
		if end <= 0 {
			if line != "" {
				p.ignore("settings", fmt.Sprintf("%q is no setting of JetStream", line))
			}
			continue
		}
		key, value := line[:end], strings.Trim(line[end:], ":= \t\"'")
		switch strings.ToLower(key) {
		case "max_file_store", "max_file", "store_max_file":
			size, err := manifest.Size(value)
			if n, e := strconv.ParseInt(value, 10, 64); e == nil && n < 0 {
				size, err = 0, nil // no limit
			}
			if err != nil {
				p.ignore("settings", fmt.Sprintf("%s: %q is no size", key, value))
				continue
			}
			p.maxStore = size
		case "max_memory_store", "max_mem_store", "max_mem":
			p.ignore("settings", key+": streams are on disk")
		default:
			p.ignore("settings", key+" is not among what can be set (max_file_store)")
		}
	}
}

func (p *plan) native(n *v1alpha1.NATSNative) error {
	switch {
	case n.Replicas <= 3: // as Argo Events has it
		p.replicas = 3
	default:
		p.replicas = 5
		if n.Replicas != 5 {
			p.ignored = append(p.ignored, fmt.Sprintf("spec.nats.native.replicas is taken as 5, not %d: a bus has 1, 3 or 5", n.Replicas))
		}
	}
	p.persistence(defaultNATSVolume)
	if n.Auth == "none" {
		p.ignore("auth", "clients always show a password, which they find in a Secret")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"maxSubs", n.MaxSubs != nil},
		{"raftHeartbeatTimeout", n.RaftHeartbeatTimeout != nil},
		{"raftElectionTimeout", n.RaftElectionTimeout != nil},
		{"raftLeaseTimeout", n.RaftLeaseTimeout != nil},
		{"raftCommitTimeout", n.RaftCommitTimeout != nil},
	} {
		if f.set {
			p.ignore(f.name, "JetStream has no such setting")
		}
	}
	return p.payload("spec.nats.native.maxPayload", n.MaxPayload)
}

func (p *plan) payload(path string, text *string) error {
	if text == nil || *text == "" {
		return nil
	}
	var err error
	p.maxPayload, err = manifest.Size(*text)
	return v1alpha1.At(path, err)
}

func (p *plan) persistence(size string) {
	if p.pods.Persistence == nil {
		return
	}
	v := *p.pods.Persistence
	if v.VolumeSize == nil || v.VolumeSize.IsZero() {
		q := resource.MustParse(size)
		v.VolumeSize = &q
	}
	if v.AccessMode == nil || *v.AccessMode == "" {
		mode := corev1.ReadWriteOnce
		v.AccessMode = &mode
	}
	p.volume = &v
}

// keep takes back what a StatefulSet cannot do, or what would lose events.
func (p *plan) keep(live *appsv1.StatefulSet) {
	if n := live.Spec.Replicas; n != nil && *n > p.replicas {
		p.refused = append(p.refused, fmt.Sprintf(
			"a bus does not get smaller, because its members hold events: it stays at %d replicas rather than %d", *n, p.replicas))
		p.replicas = *n
	}
	have := volumeOf(live)
	path := strings.Join(p.section, ".") + ".persistence"
	switch {
	case have == nil && p.volume != nil:
		p.refused = append(p.refused, path+" cannot be added to a bus that runs; make another EventBus")
	case have != nil && p.volume == nil:
		p.refused = append(p.refused, path+" cannot be taken from a bus that runs, its volumes stay")
	case have != nil && !sameVolume(have, p.volume):
		p.refused = append(p.refused, fmt.Sprintf("%s cannot be changed on a bus that runs, its volumes stay at %s; change the claims themselves",
			path, have.VolumeSize))
	default:
		return
	}
	p.volume = have
}

// volumeOf is what the claims of a StatefulSet ask for; nil if it has none.
func volumeOf(s *appsv1.StatefulSet) *v1alpha1.PersistenceStrategy {
	for _, c := range s.Spec.VolumeClaimTemplates {
		if c.Name != dataVolume {
			continue
		}
		v := &v1alpha1.PersistenceStrategy{StorageClassName: c.Spec.StorageClassName}
		size := c.Spec.Resources.Requests[corev1.ResourceStorage]
		v.VolumeSize = &size
		if len(c.Spec.AccessModes) > 0 {
			v.AccessMode = &c.Spec.AccessModes[0]
		}
		return v
	}
	return nil
}

func sameVolume(a, b *v1alpha1.PersistenceStrategy) bool {
	return equal(a.StorageClassName, b.StorageClassName) && equal(a.AccessMode, b.AccessMode) && a.VolumeSize.Cmp(*b.VolumeSize) == 0
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
