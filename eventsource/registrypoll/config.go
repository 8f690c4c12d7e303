// Package registrypoll looks again and again at the tags of repositories of a
// container registry, for registries that cannot call and as a safety net for
// those that can, and emits an event for each tag that is new or has moved.
package registrypoll

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// Kind is spec.registryPoll.
var Kind = eventsource.Kind{
	Kind:     kind.Of("registryPoll", New),
	DataKeys: []string{imageevent.Key, "metadata"},
}

// Config says which repositories to look at, and for what.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Repositories to look at, with their registry: ghcr.io/acme/api, nginx (of the
	// Docker Hub). A path with * or ? stands for all that match in the registry's
	// catalog (* is any characters but /), where it has one; many do not. Signalbox.
	Repositories []string `json:"repositories"`
	// Interval between two looks, a Go duration. Each wait is up to a tenth
	// shorter or longer. Defaults to 5m. Signalbox.
	// +optional
	Interval *v1alpha1.Duration `json:"interval,omitempty"`
	// Tags to look at: names with * for any characters, and ? for one. Defaults to
	// all but those that cosign makes for signatures and the like. Signalbox.
	// +optional
	Tags []string `json:"tags,omitempty"`
	// Ignore are tags that are not looked at although they match. Signalbox.
	// +optional
	Ignore []string `json:"ignore,omitempty"`
	// Policy picks one tag of those of a repository, whose changes alone are
	// emitted. Without it those of every tag are. Signalbox.
	// +optional
	Policy *Policy `json:"policy,omitempty"`
	// Actions that are emitted: push, delete. Defaults to push. Signalbox.
	// +optional
	Actions []string `json:"actions,omitempty"`
	// EmitExisting emits events also for what is there when a repository is
	// looked at for the first time (with a policy: for the tag that it picks).
	// Otherwise it is remembered without a word. Signalbox.
	// +optional
	EmitExisting bool `json:"emitExisting,omitempty"`
	// MaxRequests is how many requests one look makes at most, over all
	// repositories, beside those that list tags. What is left over comes with the
	// next look. Defaults to 100. Signalbox.
	// +optional
	MaxRequests *int32 `json:"maxRequests,omitempty"`
	// Credentials is a .dockerconfigjson with what the registries want. Signalbox.
	// +optional
	Credentials *corev1.SecretKeySelector `json:"credentials,omitempty"`
	// Cloud gets credentials from the cloud that the process runs in: ecr, gar or
	// acr. The process needs an identity there. Signalbox.
	// +optional
	Cloud string `json:"cloud,omitempty"`
	// CASecret is a certificate authority to trust besides the system's, PEM. Signalbox.
	// +optional
	CASecret *corev1.SecretKeySelector `json:"caSecret,omitempty"`
	// PlainHTTP speaks HTTP with registries, not HTTPS. Signalbox.
	// +optional
	PlainHTTP bool `json:"plainHTTP,omitempty"`
}

// Policy picks a tag. Exactly one field is set.
type Policy struct {
	// Semver picks the highest version in a range: ">=1.4 <2", "^1", "*".
	// Prereleases only count if the range names one: ">=1.0.0-0". Signalbox.
	// +optional
	Semver string `json:"semver,omitempty"`
	// Newest picks, of all tags that are new or have moved since the look before,
	// the one whose image was made last. Signalbox.
	// +optional
	Newest bool `json:"newest,omitempty"`
	// Regexp picks the last tag in an order. Signalbox.
	// +optional
	Regexp *RegexpPolicy `json:"regexp,omitempty"`
}

// RegexpPolicy orders tags by a part of them.
type RegexpPolicy struct {
	// Pattern that tags match, as a whole: main-(\d+)-[0-9a-f]+. They are ordered by
	// its first group, or by all if it has none.
	Pattern string `json:"pattern"`
	// Sort is numerical, alphabetical or semver. Defaults to numerical.
	// +optional
	Sort string `json:"sort,omitempty"`
	// Order is ascending (the highest is picked) or descending (the lowest is).
	// Defaults to ascending.
	// +optional
	Order string `json:"order,omitempty"`
}

const (
	defaultInterval    = 5 * time.Minute
	shortestInterval   = 100 * time.Millisecond
	sparingInterval    = 30 * time.Second
	defaultMaxRequests = 100
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Interval == nil {
		c.Interval = v1alpha1.DurationOf(defaultInterval)
	}
	if len(c.Actions) == 0 {
		c.Actions = []string{imageevent.Push}
	}
	if c.MaxRequests == nil {
		c.MaxRequests = new(int32(defaultMaxRequests))
	}
	if c.Policy != nil && c.Policy.Regexp != nil {
		if c.Policy.Regexp.Sort == "" {
			c.Policy.Regexp.Sort = numerical
		}
		if c.Policy.Regexp.Order == "" {
			c.Policy.Regexp.Order = ascending
		}
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{c.checkRepositories(), c.Policy.check()}
	for _, l := range []struct {
		name     string
		patterns []string
	}{{"tags", c.Tags}, {"ignore", c.Ignore}} {
		for i, p := range l.patterns {
			if _, err := path.Match(p, ""); p == "" || err != nil {
				errs = append(errs, v1alpha1.Invalid(l.name+v1alpha1.Index(i), "%q is no pattern", p).Hinted("for example v*"))
			}
		}
	}
	for i, a := range c.Actions {
		if a != imageevent.Push && a != imageevent.Delete {
			errs = append(errs, v1alpha1.Invalid("actions"+v1alpha1.Index(i), "%q is not seen by looking", a).Hinted("push or delete"))
		}
	}
	if i := c.Interval; i != nil {
		switch {
		case i.Duration < shortestInterval:
			errs = append(errs, v1alpha1.Invalid("interval", "%s is too short, at least %s is needed", i.Duration, shortestInterval))
		case i.Duration < sparingInterval:
			errs = append(errs, &v1alpha1.Problem{Path: "interval", Severity: v1alpha1.Note, Message: "is short: registries limit how often they are asked"})
		}
	}
	if m := c.MaxRequests; m != nil && *m < 1 {
		errs = append(errs, v1alpha1.Invalid("maxRequests", "%d leaves nothing to look with", *m))
	}
	if c.Cloud != "" && !slices.Contains(clouds(), c.Cloud) {
		errs = append(errs, v1alpha1.Invalid("cloud", "there is no cloud %q here", c.Cloud).Hinted("one of %s", strings.Join(clouds(), ", ")))
	}
	return errors.Join(errs...)
}

func (c *Config) checkRepositories() error {
	if len(c.Repositories) == 0 {
		return v1alpha1.Invalid("repositories", "is empty").Hinted("for example ghcr.io/acme/api")
	}
	var errs []error
	for i, r := range c.Repositories {
		if _, err := placeOf(r, c.PlainHTTP); err != nil {
			errs = append(errs, v1alpha1.Invalid("repositories"+v1alpha1.Index(i), "%v", err).Hinted("for example ghcr.io/acme/api, without a tag"))
		}
	}
	return errors.Join(errs...)
}

// place is where to look: one repository, or all that match a pattern in a registry.
type place struct {
	registry   name.Registry
	repository name.Repository
	pattern    string // of the path, "" for one repository
}

func placeOf(text string, plain bool) (place, error) {
	var options []name.Option
	if plain {
		options = append(options, name.Insecure)
	}
	if !strings.ContainsAny(text, "*?[") {
		r, err := name.NewRepository(text, options...)
		if err != nil {
			return place{}, fmt.Errorf("%q is no repository", text)
		}
		return place{registry: r.Registry, repository: r}, nil
	}
	host, rest, _ := strings.Cut(text, "/")
	if _, err := path.Match(rest, ""); err != nil || rest == "" || !strings.ContainsAny(host, ".:") && host != "localhost" || strings.ContainsAny(host, "*?[") {
		return place{}, fmt.Errorf("%q is no registry with a pattern behind it", text)
	}
	r, err := name.NewRegistry(host, options...)
	if err != nil {
		return place{}, fmt.Errorf("%q is no registry", host)
	}
	return place{registry: r, pattern: rest}, nil
}

func (p *Policy) check() error {
	if p == nil {
		return nil
	}
	given := 0
	for _, is := range []bool{p.Semver != "", p.Newest, p.Regexp != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return v1alpha1.Invalid("policy", "wants exactly one of semver, newest and regexp")
	}
	if _, err := newPicker(p); err != nil {
		return v1alpha1.At("policy", err)
	}
	return nil
}

// selects tells which tags are looked at.
func (c *Config) selects(tag string) bool {
	in := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, tag); return ok })
	}
	if len(c.Tags) == 0 {
		return !attached.MatchString(tag) && !in(c.Ignore)
	}
	return in(c.Tags) && !in(c.Ignore)
}

// attached are tags of what belongs to an image: signatures, attestations, referrers.
var attached = regexp.MustCompile(`^sha(256|512)-[0-9a-f]+(\.[a-z0-9]+)?$`)
