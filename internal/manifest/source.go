package manifest

import (
	"cmp"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// eventSource checks an EventSource and decodes its entries. It takes out of the
// spec what is no kind of source.
func (c *checker) eventSource(es *v1alpha1.EventSource) ([]Entry, error) {
	var errs []error
	if r := es.Spec.Replicas; r != nil && *r < 0 {
		errs = append(errs, v1alpha1.Invalid("spec.replicas", "is negative"))
	}
	errs = append(errs, checkPublic(&es.Spec))
	for _, key := range slices.Sorted(maps.Keys(es.Spec.Stray)) {
		path := v1alpha1.Join("spec", v1alpha1.Key(key))
		switch {
		case !c.isSource(key):
			errs = append(errs, kind.UnknownKey(path, key, c.specKeys()))
		case es.Spec.Stray[key].Raw != nil:
			errs = append(errs, v1alpha1.Invalid(path, "want event names, each with its configuration"))
		}
	}
	es.Spec.Stray = nil

	var entries []Entry
	events, taken := 0, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(es.Spec.Sources)) {
		path := v1alpha1.Join("spec", v1alpha1.Key(name))
		if !c.isSource(name) {
			errs = append(errs, kind.UnknownKey(path, name, c.specKeys()))
			delete(es.Spec.Sources, name)
			continue
		}
		events += len(es.Spec.Sources[name])
		for _, event := range slices.Sorted(maps.Keys(es.Spec.Sources[name])) {
			at := v1alpha1.Join(path, v1alpha1.Key(event))
			if event == "" {
				errs = append(errs, v1alpha1.Invalid(at, "an event needs a name"))
			}
			if other, ok := taken[event]; ok {
				errs = append(errs, v1alpha1.Invalid(at, "the event name %q is taken by %s", event, other).
					Hinted("event names are unique in an EventSource"))
			}
			taken[event] = at
		}
		found, err := c.sourceKind(name, path, es)
		errs = append(errs, err)
		entries = append(entries, found...)
	}
	if events == 0 {
		errs = append(errs, v1alpha1.Invalid("spec", "has no events").Hinted("give a kind of source with at least one event"))
	}
	entries, err := routesOfOne(entries)
	return entries, errors.Join(append(errs, err)...)
}

// checkPublic checks what says how the outside reaches the endpoints.
func checkPublic(spec *v1alpha1.EventSourceSpec) error {
	var errs []error
	if b := spec.BaseURL; b != "" && !IsBaseURL(b) {
		errs = append(errs, v1alpha1.Invalid("spec.baseURL", "%q is no address to put paths behind", b).Hinted("for example https://hooks.example.com"))
	}
	if i := spec.Ingress; i != nil {
		host := strings.TrimPrefix(i.Host, "*.")
		if why := validation.IsDNS1123Subdomain(host); len(why) > 0 {
			errs = append(errs, v1alpha1.Invalid("spec.ingress.host", "%q is no host name", i.Host).Hinted("for example hooks.example.com"))
		}
		if host != i.Host && spec.BaseURL == "" {
			errs = append(errs, v1alpha1.Warn("spec.ingress.host", "does not tell the public address").Hinted("set spec.baseURL too"))
		}
	}
	return errors.Join(errs...)
}

// IsBaseURL tells whether paths can be put behind s to make URLs of them.
func IsBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.RawQuery == "" && u.Fragment == ""
}

// sourceKind decodes the entries of one kind.
func (c *checker) sourceKind(name, path string, es *v1alpha1.EventSource) ([]Entry, error) {
	var errs []error
	var entries []Entry
	k, here := c.Sources.Named(name)
	if !here {
		errs = append(errs, v1alpha1.Warn(path, "sources of kind %s are not supported yet by this version", name).
			Hinted("the other events of the EventSource are not held up"))
	}
	for _, event := range slices.Sorted(maps.Keys(es.Spec.Sources[name])) {
		at := v1alpha1.Join(path, v1alpha1.Key(event))
		raw := es.Spec.Sources[name][event].Raw
		if raw == nil {
			raw = []byte("{}")
		}
		if !here {
			errs = append(errs, v1alpha1.At(at, asWarnings(kind.Check(c.later.sources[name].config, raw))))
			continue
		}
		config, err := k.Decode(raw)
		errs = append(errs, v1alpha1.At(at, err))
		if config == nil || v1alpha1.Fatal(err) != nil {
			continue
		}
		eventsource.SetBase(config, cmp.Or(es.Spec.PublicBase(), c.BaseURL))
		e := Entry{Kind: k, Event: event, Path: at, Config: config}
		if k.Routes != nil {
			e.Routes = k.Routes(config)
		}
		entries = append(entries, e)
	}
	return entries, errors.Join(errs...)
}

func (c *checker) isSource(name string) bool {
	_, here := c.Sources.Named(name)
	_, later := c.later.sources[name]
	return here || later
}

// specKeys are all keys that the spec of an EventSource can have.
func (c *checker) specKeys() []string {
	keys := slices.Concat(fixedKeys[v1alpha1.EventSourceSpec](), slices.Collect(maps.Keys(c.later.sources)))
	for _, k := range c.Sources {
		keys = append(keys, k.Name)
	}
	slices.Sort(keys)
	return keys
}

// asWarnings tells problems of what does not run anyway.
func asWarnings(err error) error {
	var errs []error
	for _, p := range v1alpha1.Problems(err) {
		q := *p
		q.Severity = max(q.Severity, v1alpha1.Warning)
		errs = append(errs, &q)
	}
	return errors.Join(errs...)
}

// routesOfOne returns the entries of one EventSource without those that are in
// the way of an earlier one, and their problems.
func routesOfOne(entries []Entry) ([]Entry, error) {
	var kept []Entry
	var errs []error
	for _, e := range entries {
		var p *v1alpha1.Problem
		for _, other := range kept {
			if p = clash(e, other); p != nil {
				errs = append(errs, p)
				break
			}
		}
		if p == nil {
			kept = append(kept, e)
		}
	}
	return kept, errors.Join(errs...)
}

// clash is the problem of an entry that cannot receive HTTP requests because
// of another one; nil if both can.
func clash(e, other Entry) *v1alpha1.Problem {
	for _, r := range e.Routes {
		for _, o := range other.Routes {
			switch {
			case r.Port != o.Port:
			case routesMeet(r, o):
				return v1alpha1.Invalid(e.Path, "receives requests at port %s %s, as %s does", r.Port, r.Path, other.Path).
					Hinted("give it another endpoint or port")
			case !sameCerts(r, o):
				return v1alpha1.Invalid(e.Path, "has other certificates for port %s than %s", r.Port, other.Path).
					Hinted("a port has one certificate")
			}
		}
	}
	return nil
}
