// Package gitpoll looks again and again at the branches and tags of a Git
// repository, for hosts that cannot call, and emits an event for each that has changed.
package gitpoll

import (
	"errors"
	"slices"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// Kind is spec.gitPoll.
var Kind = eventsource.Kind{
	Kind:     kind.Of("gitPoll", New),
	DataKeys: []string{gitevent.Key, "metadata"},
}

// Config says which repository to look at, and for what.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`
	gitrepo.Access       `json:",inline"`

	// Interval between two looks, a Go duration. Each wait is up to a tenth
	// shorter or longer, so that many entries do not ask one host at once.
	// Defaults to 1m. Signalbox.
	// +optional
	Interval *v1alpha1.Duration `json:"interval,omitempty"`
	// Branches whose changes are emitted: names with * for any characters but /,
	// ** for any characters, and ? for one. Defaults to all, unless tags are given: then
	// none. Signalbox.
	// +optional
	Branches []string `json:"branches,omitempty"`
	// Tags whose changes are emitted, written like branches; v* for example, or
	// ** for all. Defaults to none. Signalbox.
	// +optional
	Tags []string `json:"tags,omitempty"`
	// Ignore are branches and tags that are not looked at although they match,
	// written like branches. refs/heads/... and refs/tags/... mean one sort only. Signalbox.
	// +optional
	Ignore []string `json:"ignore,omitempty"`
	// ChangedFiles tells which files have changed, in all and by commit. Off, events
	// have commits and no files. Defaults to true. Signalbox.
	// +optional
	ChangedFiles *bool `json:"changedFiles,omitempty"`
	// MaxCommits that an event has, the newest of them. 0 is none. Defaults to
	// 100. Signalbox.
	// +optional
	MaxCommits *int32 `json:"maxCommits,omitempty"`
	// EmitExisting emits, for what is there when the repository is looked at for
	// the first time, events as if it had been created just then. Otherwise it is
	// remembered without a word. Signalbox.
	// +optional
	EmitExisting bool `json:"emitExisting,omitempty"`
}

const (
	defaultInterval   = time.Minute
	shortestInterval  = 100 * time.Millisecond
	sparingInterval   = 5 * time.Second
	defaultMaxCommits = 100
	mostCommits       = 1000
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Interval == nil {
		c.Interval = v1alpha1.DurationOf(defaultInterval)
	}
	if len(c.Branches) == 0 && len(c.Tags) == 0 {
		c.Branches = []string{"**"}
	}
	if c.ChangedFiles == nil {
		c.ChangedFiles = new(true)
	}
	if c.MaxCommits == nil {
		c.MaxCommits = new(int32(defaultMaxCommits))
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{c.Access.Validate()}
	for _, l := range []struct {
		name     string
		patterns []string
	}{{"branches", c.Branches}, {"tags", c.Tags}, {"ignore", c.Ignore}} {
		for i, p := range l.patterns {
			errs = append(errs, v1alpha1.At(l.name+v1alpha1.Index(i), checkPattern(p)))
		}
	}
	if i := c.Interval; i != nil {
		switch {
		case i.Duration < shortestInterval:
			errs = append(errs, v1alpha1.Invalid("interval", "%s is too short, at least %s is needed", i.Duration, shortestInterval))
		case i.Duration < sparingInterval:
			errs = append(errs, &v1alpha1.Problem{
				Path: "interval", Severity: v1alpha1.Note, Message: "is short: hosts may limit how often they are asked",
			})
		}
	}
	if m := c.MaxCommits; m != nil && (*m < 0 || *m > mostCommits) {
		errs = append(errs, v1alpha1.Invalid("maxCommits", "%d is not between 0 and %d", *m, mostCommits))
	}
	return errors.Join(errs...)
}

// selection are the patterns of a configuration.
func (c *Config) selection() selection {
	return selection{slices.Clone(c.Branches), slices.Clone(c.Tags), slices.Clone(c.Ignore)}
}
