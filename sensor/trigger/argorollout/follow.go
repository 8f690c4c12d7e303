package argorollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// trail is a Result's Follow.
type trail struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Operation string `json:"operation"`
	// PodHash is the version that is followed; empty if it was not known.
	PodHash string `json:"podHash,omitempty"`
	// RestartAt is the time of a restart.
	RestartAt string `json:"restartAt,omitempty"`
	// Container and Image are what has been set.
	Container string `json:"container,omitempty"`
	Image     string `json:"image,omitempty"`
	// Paused says what a pause means.
	Paused string `json:"paused"`
}

// The phases of a Rollout.
const (
	phaseHealthy  = "Healthy"
	phaseDegraded = "Degraded"
	phasePaused   = "Paused"
	// abortedMessage is how the message of an aborted Rollout begins.
	abortedMessage = "RolloutAborted"
)

// await implements trigger.Follow's Await.
func await(ctx context.Context, tr trigger.Trigger, f trigger.Following) (trigger.Outcome, error) {
	var t trail
	if err := json.Unmarshal(f.Ref, &t); err != nil {
		return trigger.Outcome{}, trigger.Permanent(fmt.Errorf("what is followed: %w", err))
	}
	a, ok := tr.(*actor)
	if !ok {
		return trigger.Outcome{}, trigger.Permanent(errors.New("what is followed is of another kind"))
	}
	c, err := connect(a.env.Kubernetes, t.Namespace)
	if err != nil {
		return trigger.Outcome{}, err
	}
	w := &watcher{trail: t, work: work{api: c}}
	var out trigger.Outcome
	err = cluster.Until(ctx, c.of(rollouts), t.Name, func(o *unstructured.Unstructured) (bool, error) {
		v, err := look(o)
		if err != nil {
			return false, err
		}
		judged, err := w.judge(ctx, v)
		if judged == nil || err != nil {
			return false, err
		}
		out = *judged
		out.Details = v.details()
		return true, nil
	})
	switch {
	case errors.Is(err, cluster.ErrDeleted):
		return trigger.Outcome{Failed: true, Summary: w.String() + " has been deleted"}, nil
	case err != nil:
		return trigger.Outcome{}, fmt.Errorf("%s: %w", w, err)
	}
	return out, nil
}

// watcher looks how an action ends.
type watcher struct {
	trail
	work work
}

func (w *watcher) String() string { return "rollout " + w.Namespace + "/" + w.Name }

func (w *watcher) done(format string, args ...any) *trigger.Outcome {
	return &trigger.Outcome{Summary: w.String() + " " + fmt.Sprintf(format, args...)}
}

func (w *watcher) failed(format string, args ...any) *trigger.Outcome {
	o := w.done(format, args...)
	o.Failed = true
	return o
}

// judge says what the outcome is; nil if it is not known yet.
func (w *watcher) judge(ctx context.Context, v *view) (*trigger.Outcome, error) {
	if !v.trusted() {
		return nil, nil
	}
	var owner *owner
	if v.workload != nil || w.Operation == opSetImage {
		var err error
		if owner, err = w.work.owner(ctx, v); err != nil {
			if apierrors.IsNotFound(err) {
				return w.failed("has lost its workload"), nil
			}
			return nil, err
		}
		if v.workload != nil && !fresh(v, owner.object) {
			return nil, nil
		}
	}
	switch w.Operation {
	case opPause:
		if v.phase == phasePaused {
			return w.done("is paused"), nil
		}
		if !v.paused {
			return w.failed("has been resumed"), nil
		}
		return nil, nil
	case opSetImage:
		if other := w.otherImage(owner); other != "" {
			return w.failed("has another image by now: %s", other), nil
		}
	case opRestart:
		if !reached(v.restartedAt, w.RestartAt) {
			return nil, nil
		}
	}
	if w.PodHash != "" && w.Operation != opRestart && w.PodHash != v.podHash {
		return w.failed("has another version by now: %s instead of %s", v.podHash, w.PodHash), nil
	}
	return w.phase(v), nil
}

// phase judges by a phase that can be trusted.
func (w *watcher) phase(v *view) *trigger.Outcome {
	switch v.phase {
	case phaseHealthy:
		if w.Operation == opAbort {
			return w.failed("was updated before it could be aborted")
		}
		return w.done("is healthy at version %s", v.podHash)
	case phaseDegraded:
		if w.Operation == opAbort && v.abort {
			return w.done("is aborted, back at version %s", v.stable)
		}
		return w.failed("is degraded: %s", strings.Join(strings.Fields(v.message), " "))
	case phasePaused:
		at := ""
		if len(v.steps) > 0 {
			at = fmt.Sprintf(" at step %d of %d", v.at()+1, len(v.steps))
		}
		switch {
		case w.Operation == opRestart:
			return w.done("is restarted, and paused%s", at)
		case w.Operation == opAbort || v.endsByItself() || w.Paused == meansWait:
			return nil
		case w.Paused == meansFail:
			return w.failed("is paused%s: %s", at, v.message)
		}
		return w.done("is paused%s: %s", at, v.message)
	}
	return nil
}

// trusted tells whether the phase is about the latest spec and the latest orders.
// What is written to the status by others leaves the phase as it was until the
// controller comes round.
func (v *view) trusted() bool {
	switch {
	case !v.seen():
		return false
	case v.phase == phasePaused && !v.paused && (len(v.pauses) == 0 || v.promoteFull && v.updating()):
		return false // the pause is over
	case v.phase == phaseDegraded && strings.HasPrefix(v.message, abortedMessage) && (!v.abort || v.promoteFull && v.updating()):
		return false // it is being tried again
	case v.abort && v.updating() && v.phase != phaseDegraded:
		return false // it is about to be aborted
	}
	return true
}

// fresh tells whether the status is about the latest version of what workloadRef refers to.
func fresh(v *view, workload *unstructured.Unstructured) bool {
	g := workload.GetGeneration()
	return g == 0 || v.workloadObserved == strconv.FormatInt(g, 10) // PodTemplates have none
}

// otherImage is an image that has been set since; empty if there is none.
func (w *watcher) otherImage(o *owner) string {
	which, err := chosen(containers(o.template(), templatePath(o.resource)), w.Container)
	if err != nil {
		return err.Error()
	}
	for _, c := range which {
		if c.image != w.Image {
			return fmt.Sprintf("%s %v", c.name, c.image)
		}
	}
	return ""
}

// reached tells whether a restart of that time, or of a later one, has happened.
func reached(restarted, wanted string) bool {
	at, err := time.Parse(time.RFC3339, restarted)
	if err != nil {
		return false
	}
	want, err := time.Parse(time.RFC3339, wanted)
	return err != nil || !at.Before(want)
}
