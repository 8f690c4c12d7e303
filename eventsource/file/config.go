// Package file emits an event when something happens to the files of a directory.
package file

import (
	"errors"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// Kind is spec.file.
var Kind = eventsource.Kind{
	Kind:     kind.Of("file", New),
	DataKeys: []string{"name", "op", "metadata"},
}

// Config says what to watch and for what.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// EventType is what has to happen to a file: CREATE, WRITE, REMOVE, RENAME
	// or CHMOD, or several of them as CREATE|WRITE.
	EventType string `json:"eventType"`
	// WatchPathConfig says which files are watched.
	WatchPathConfig WatchPath `json:"watchPathConfig"`
	// Polling looks at the files again and again instead of being told by the
	// operating system. File systems on a network need it. Events have the base
	// name of the file then, not its full path.
	// +optional
	Polling bool `json:"polling,omitempty"`
	// PollInterval is the time between two looks with polling. Defaults to 1s. Signalbox.
	// +optional
	PollInterval *v1alpha1.Duration `json:"pollInterval,omitempty"`
}

// WatchPath names files of one directory. Either path or pathRegexp is needed.
type WatchPath struct {
	// Directory is an absolute path. What lies in directories below it is not watched.
	Directory string `json:"directory"`
	// Path is the name of one file in the directory.
	// +optional
	Path string `json:"path,omitempty"`
	// PathRegexp is a regular expression (RE2) that a part of the file's name
	// has to match; with ^ and $ it is the whole name.
	// +optional
	PathRegexp string `json:"pathRegexp,omitempty"`
}

const (
	defaultPoll  = time.Second
	shortestPoll = 10 * time.Millisecond
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Polling && c.PollInterval == nil {
		c.PollInterval = v1alpha1.DurationOf(defaultPoll)
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	_, types := parseOps(c.EventType)
	_, match := c.WatchPathConfig.matcher()
	errs := []error{v1alpha1.At("eventType", types), v1alpha1.At("watchPathConfig", match)}

	switch dir := c.WatchPathConfig.Directory; {
	case dir == "":
		errs = append(errs, v1alpha1.Invalid("watchPathConfig.directory", "is missing"))
	case !filepath.IsAbs(dir):
		errs = append(errs, v1alpha1.Invalid("watchPathConfig.directory", "%q is not an absolute path", dir))
	}
	if p := c.PollInterval; p != nil {
		switch {
		case !c.Polling:
			errs = append(errs, v1alpha1.Warn("pollInterval", "has no effect without polling").Hinted("set polling: true"))
		case p.Duration < shortestPoll:
			errs = append(errs, v1alpha1.Invalid("pollInterval", "%s is too short, at least %s is needed", p.Duration, shortestPoll))
		}
	}
	return errors.Join(errs...)
}

// op is what happened to a file, a set of bits. They are those of fsnotify.
type op uint32

const (
	opCreate op = 1 << iota
	opWrite
	opRemove
	opRename
	opChmod
)

var opNames = []struct {
	name string
	op   op
}{{"CREATE", opCreate}, {"WRITE", opWrite}, {"REMOVE", opRemove}, {"RENAME", opRename}, {"CHMOD", opChmod}}

func parseOps(text string) (op, error) {
	if text == "" {
		return 0, v1alpha1.Invalid("", "is missing").Hinted("give CREATE, WRITE, REMOVE, RENAME or CHMOD, or several as CREATE|WRITE")
	}
	var ops op
	var errs []error
	for word := range strings.SplitSeq(text, "|") {
		o, err := parseOp(strings.TrimSpace(word))
		ops |= o
		errs = append(errs, err)
	}
	return ops, errors.Join(errs...)
}

func parseOp(word string) (op, error) {
	var names []string
	for _, n := range opNames {
		if strings.EqualFold(n.name, word) {
			return n.op, nil
		}
		names = append(names, n.name)
	}
	p := v1alpha1.Invalid("", "%q is none of %s", word, strings.Join(names, ", "))
	if near := kind.Nearest(word, names); near != "" {
		return 0, p.Hinted("did you mean %q?", near)
	}
	return 0, p
}

// matcher tells which names of the directory are meant. If only is not empty,
// it is the one name that matches.
type matcher struct {
	only    string
	pattern *regexp.Regexp
	// slash is set if the directory was given without a slash at its end. The
	// pattern may then expect one before the name, as it does in Argo Events.
	slash bool
}

func (m matcher) match(name string) bool {
	if m.pattern == nil {
		return name == m.only
	}
	return m.pattern.MatchString(name) || m.slash && m.pattern.MatchString("/"+name)
}

func (w WatchPath) matcher() (matcher, error) {
	m := matcher{slash: !strings.HasSuffix(w.Directory, "/")}
	switch {
	case w.Path == "" && w.PathRegexp == "":
		return m, v1alpha1.Invalid("", "names no file").Hinted("give path or pathRegexp")
	case w.Path != "" && w.PathRegexp != "":
		return m, v1alpha1.Invalid("", "has path and pathRegexp").Hinted("give one of them")
	case w.Path != "":
		m.only = strings.TrimPrefix(path.Clean("/"+w.Path), "/")
		if m.only == "" {
			return m, v1alpha1.Invalid("path", "%q is no name of a file", w.Path)
		}
		if dir, name := path.Split(m.only); dir != "" {
			m.only = "" // no file has that name
			return m, v1alpha1.Warn("path", "%q lies below the directory and is not watched", w.Path).
				Hinted("only the directory itself is: make it %q and the path %q", path.Join(w.Directory, dir)+"/", name)
		}
		return m, nil
	}
	pattern, err := regexp.Compile(w.PathRegexp)
	if err != nil {
		return m, v1alpha1.Invalid("pathRegexp", "%v", err)
	}
	m.pattern = pattern
	return m, nil
}
