package gitevent

import (
	"errors"
	"log/slog"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// How FilesConfig.Lookup says where files are looked up.
const (
	LookupAPI  = "api"
	LookupNone = "none"
)

// FilesConfig says what to do about changed files that a host does not send. Signalbox.
type FilesConfig struct {
	// Lookup is api, to ask the host for changed files that the payload does not
	// tell completely, or none. Defaults to api where credentials for the host's API
	// are given, and to none otherwise.
	// +kubebuilder:validation:Enum=api;none
	// +optional
	Lookup string `json:"lookup,omitempty"`
	// Timeout of that for one event, after which its files count as unknown.
	// Defaults to 3s.
	// +optional
	Timeout *v1alpha1.Duration `json:"timeout,omitempty"`
}

// Default fills in c, which is an entry's changedFiles and may be nil. credentials
// tells whether the host's API can be asked.
func (c *FilesConfig) Default(credentials bool) {
	if c == nil {
		return
	}
	if c.Lookup == "" {
		c.Lookup = LookupNone
		if credentials {
			c.Lookup = LookupAPI
		}
	}
	if c.Timeout == nil {
		c.Timeout = v1alpha1.DurationOf(DefaultTimeout)
	}
}

// Validate reports what is wrong with c, at paths below path; nil is fine.
// needs says what has to be given so that the API can be asked (set apiToken), and is
// empty if it can be.
func (c *FilesConfig) Validate(path, needs string) error {
	if c == nil {
		return nil
	}
	at := func(field string) string { return v1alpha1.Join(path, field) }
	var errs []error
	switch c.Lookup {
	case LookupAPI:
		if needs != "" {
			errs = append(errs, v1alpha1.Invalid(at("lookup"), "the host's API cannot be asked without credentials").Hinted("%s", needs))
		}
	case LookupNone, "":
	default:
		errs = append(errs, v1alpha1.Invalid(at("lookup"), "%q is unknown", c.Lookup).Hinted("api or none"))
	}
	if c.Timeout != nil && c.Timeout.Duration <= 0 {
		errs = append(errs, v1alpha1.Invalid(at("timeout"), "has to be positive").Hinted("for example 3s"))
	}
	return errors.Join(errs...)
}

// Uses makes the Lookup that c asks for with find; nil if there is to be none.
// A nil c asks where there are credentials.
func (c *FilesConfig) Uses(find Finder, credentials bool, log *slog.Logger) *Lookup {
	l := &Lookup{Find: find, Log: log}
	switch {
	case find == nil:
		return nil
	case c == nil && credentials:
		return l
	case c == nil || c.Lookup == LookupNone, c.Lookup == "" && !credentials:
		return nil
	}
	if c.Timeout != nil {
		l.Timeout = c.Timeout.Duration
	}
	return l
}
