package argorollout

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says what to do with a Rollout of Argo Rollouts. Texts may be Go
// templates over the events: {{ .Input.DEPENDENCY.data.KEY }}. Signalbox.
type Config struct {
	// Operation is setImage, promote, promoteFull, abort, retry, pause, resume,
	// restart or undo.
	Operation string `json:"operation"`
	// Name of the Rollout.
	Name string `json:"name"`
	// Namespace of the Rollout. Defaults to the sensor's.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// SetImage is for the operation setImage.
	// +optional
	SetImage *SetImage `json:"setImage,omitempty"`
	// Undo is for the operation undo.
	// +optional
	Undo *Undo `json:"undo,omitempty"`
	// Expect is what has to hold for promote, promoteFull, abort, retry and
	// resume. Otherwise there is nothing to do.
	// +optional
	Expect *Expect `json:"expect,omitempty"`
	// OnNothing is what it means if there is nothing to do, such as a Rollout to
	// promote that is not paused: succeed (default), or fail, which the
	// retryStrategy tries again.
	// +optional
	OnNothing string `json:"onNothing,omitempty"`
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example setImage.image.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// Follow waits until the Rollout is Healthy, Degraded or paused.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
	// FollowPaused is what it means for follow if the Rollout is paused until
	// somebody promotes it: succeed (default), fail, or wait for what comes then. A
	// pause with a duration is always waited for.
	// +optional
	FollowPaused string `json:"followPaused,omitempty"`
}

// SetImage says which image to set. Signalbox.
type SetImage struct {
	// Container is the name of a container, also of an init container, or * for
	// all of them. Not needed if there is only one.
	// +optional
	Container string `json:"container,omitempty"`
	// Image is the whole reference, such as registry.example.com/team/app:v2.
	Image string `json:"image"`
}

// Undo says what to go back to. Signalbox.
type Undo struct {
	// Revision is the number of a revision, as text. Defaults to the one before
	// the current one.
	// +optional
	Revision string `json:"revision,omitempty"`
}

// Expect says which state of a Rollout an event is about. Signalbox.
type Expect struct {
	// PodHash is the version: status.currentPodHash.
	// +optional
	PodHash string `json:"podHash,omitempty"`
	// Step is the position of the current step, from 0, as text: status.currentStepIndex.
	// +optional
	Step string `json:"step,omitempty"`
	// Paused wants that the Rollout is paused. Without it promote also skips a step
	// that is running, such as an analysis.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// The operations.
const (
	opSetImage    = "setImage"
	opPromote     = "promote"
	opPromoteFull = "promoteFull"
	opAbort       = "abort"
	opRetry       = "retry"
	opPause       = "pause"
	opResume      = "resume"
	opRestart     = "restart"
	opUndo        = "undo"
)

// What nothing to do, and a pause, can mean.
const (
	meansSucceed = "succeed"
	meansFail    = "fail"
	meansWait    = "wait"
)

var (
	operations = []string{opSetImage, opPromote, opPromoteFull, opAbort, opRetry, opPause, opResume, opRestart, opUndo}
	guarded    = []string{opPromote, opPromoteFull, opAbort, opRetry, opResume}
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.OnNothing == "" {
		c.OnNothing = meansSucceed
	}
	if c.FollowPaused == "" {
		c.FollowPaused = meansSucceed
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	add := func(path string, err error) { errs = append(errs, v1alpha1.At(path, err)) }
	required := func(path, value string) {
		filled := slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool { return p.Dest == path })
		if value == "" && !filled {
			errs = append(errs, v1alpha1.Invalid(path, "is required"))
		}
		_, err := param.CompileText(value)
		add(path, err)
	}
	optional := func(path, value string) {
		_, err := param.CompileText(value)
		add(path, err)
	}
	add("operation", oneOf(c.Operation, operations))
	required("name", c.Name)
	optional("namespace", c.Namespace)
	switch {
	case c.SetImage != nil:
		required("setImage.image", c.SetImage.Image)
		optional("setImage.container", c.SetImage.Container)
		add("setImage", c.onlyFor(opSetImage))
	case c.Operation == opSetImage:
		required("setImage.image", "")
	}
	if c.Undo != nil {
		optional("undo.revision", c.Undo.Revision)
		add("undo.revision", validNumber(c.Undo.Revision, 1))
		add("undo", c.onlyFor(opUndo))
	}
	if c.Expect != nil {
		optional("expect.podHash", c.Expect.PodHash)
		optional("expect.step", c.Expect.Step)
		add("expect.step", validNumber(c.Expect.Step, 0))
		add("expect", c.onlyFor(guarded...))
	}
	add("onNothing", oneOf(c.OnNothing, []string{meansSucceed, meansFail}))
	add("followPaused", oneOf(c.FollowPaused, []string{meansSucceed, meansFail, meansWait}))
	_, err := param.Compile(c.Parameters)
	add("parameters", err)
	return errors.Join(append(errs, trigger.CheckFollow(c.Follow))...)
}

func (c *Config) onlyFor(ops ...string) error {
	if slices.Contains(ops, c.Operation) || !slices.Contains(operations, c.Operation) {
		return nil
	}
	return v1alpha1.Warn("", "has no effect on %s", c.Operation)
}

func oneOf(word string, known []string) error {
	if slices.Contains(known, word) {
		return nil
	}
	bad := v1alpha1.Invalid("", "%q is not known", word)
	if word == "" {
		bad = v1alpha1.Invalid("", "is required")
	}
	if near := kind.Nearest(word, known); near != "" {
		return bad.Hinted("did you mean %s?", near)
	}
	return bad.Hinted("use one of %s", strings.Join(known, ", "))
}

// validNumber is for texts that are to become numbers; a template may.
func validNumber(text string, least int64) error {
	if text == "" || strings.Contains(text, "{{") {
		return nil
	}
	_, err := parseNumber(text, least)
	return err
}

func parseNumber(text string, least int64) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil || n < least {
		return 0, v1alpha1.Invalid("", "%q is no number from %d", text, least)
	}
	return n, nil
}
