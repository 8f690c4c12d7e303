package argocd

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	kjson "sigs.k8s.io/json"

	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// request is what one firing asks for, as far as it is known without asking Argo CD.
type request struct {
	// conf with all texts and parameters filled in.
	conf Config
	// values are set.helm.valuesObject.
	values map[string]any
	mark   mark
	// since is when the first attempt began.
	since time.Time
	// state is the trigger's; nil if it has none.
	state trigger.State
	// pushed is what affectedBy is about; nil without it.
	pushed *pushed
}

// newRequest fills the events into the configuration: first into texts, then by
// parameters, so that what an event holds is never taken for a template. Its
// errors are Permanent ones.
func (a *actor) newRequest(in trigger.Input) (*request, error) {
	r := &request{since: in.Since, state: a.env.State, mark: mark{
		id: in.ID, event: newest(in), trigger: in.Namespace + "/" + in.Sensor + "/" + in.Trigger,
	}}
	if err := r.fill(a, in); err != nil {
		if !trigger.IsPermanent(err) {
			err = trigger.Permanent(err)
		}
		return nil, err
	}
	return r, nil
}

func (r *request) fill(a *actor, in trigger.Input) error {
	conf, err := a.conf.with(in.Events)
	if err != nil {
		return err
	}
	if r.conf, err = trigger.Override(conf, a.params, in.Events); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	if by := r.conf.AffectedBy; by != nil {
		if r.pushed, err = pushedBy(in.Events[by.Dependency]); err != nil {
			return fmt.Errorf("affectedBy: the event of %q: %w", by.Dependency, err)
		}
	}
	r.mark.content = r.content()
	return nil
}

// with is a copy of c in which the texts are those for the events.
func (c *Config) with(events map[string]*event.Event) (Config, error) {
	var out Config
	raw, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return out, err
	}
	fill := func(path string, s string) string {
		t, textErr := param.CompileText(s)
		if textErr == nil && t.Fixed() {
			return s
		}
		var filled string
		if textErr == nil {
			filled, textErr = t.Of(events)
		}
		if textErr == nil && !mayBeEmpty(path) {
			if filled = strings.TrimSpace(filled); filled == "" {
				textErr = fmt.Errorf("the events make it empty")
			}
		}
		if textErr != nil && err == nil {
			err = fmt.Errorf("%s: %w", path, textErr)
		}
		return filled
	}
	out.eachText(func(path string, text *string) { *text = fill(path, *text) })
	if h := out.helm(); h != nil && h.ValuesObject != nil {
		var values any
		if jsonErr := kjson.UnmarshalCaseSensitivePreserveInts(h.ValuesObject.Raw, &values); jsonErr != nil {
			return out, jsonErr
		}
		values = eachString(values, func(s string) string { return fill("set.helm.valuesObject", s) })
		filled, jsonErr := json.Marshal(values)
		if jsonErr != nil {
			return out, jsonErr
		}
		h.ValuesObject.Raw = filled
	}
	return out, err
}

func (c *Config) helm() *Helm {
	if c.Set == nil {
		return nil
	}
	return c.Set.Helm
}

// mayBeEmpty tells whether a text at path may come to nothing. Elsewhere that
// would mean something else than its author wanted, such as a sync of whatever
// is the newest instead of one commit.
func mayBeEmpty(path string) bool {
	for _, prefix := range []string{"sync.revisions", "sync.info", "set.helm"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return strings.HasPrefix(path, "sync.resources") && strings.HasSuffix(path, ".namespace")
}

// eachString replaces the strings in a value of JSON.
func eachString(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		for i := range v {
			v[i] = eachString(v[i], f)
		}
	case map[string]any:
		for k := range v {
			v[k] = eachString(v[k], f)
		}
	}
	return v
}

// check is for what Validate lets pass because parameters might fill it.
func (r *request) check() error {
	c := &r.conf
	if c.Name == "" && c.Selector == "" && c.Project == "" && c.AffectedBy == nil {
		return fmt.Errorf("it does not say which applications")
	}
	if c.Server == nil && c.Namespace == "" {
		return fmt.Errorf("namespace is empty")
	}
	if c.Rollback != nil {
		if _, err := entryID(c.Rollback.To); err != nil {
			return fmt.Errorf("rollback.to: %w", err)
		}
	}
	if h := c.helm(); h != nil && h.ValuesObject != nil {
		if err := kjson.UnmarshalCaseSensitivePreserveInts(h.ValuesObject.Raw, &r.values); err != nil {
			return fmt.Errorf("set.helm.valuesObject: %w", err)
		}
	}
	if c.Operation == opSet && (c.Set == nil || c.Set.empty()) {
		return fmt.Errorf("set says nothing")
	}
	return nil
}

// newest is the time of the newest event, or of the firing if they have none.
func newest(in trigger.Input) time.Time {
	var t time.Time
	for _, e := range in.Events {
		if e.Time().After(t) {
			t = e.Time()
		}
	}
	if t.IsZero() {
		return in.Since
	}
	return t
}

// content is the same for requests that come to the same.
func (r *request) content() string {
	c := r.conf
	raw, err := json.Marshal([]any{c.Operation, c.Sync, c.Set, c.Rollback})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6])
}

// rollbackTo is the id of the entry; below 0 is the previous one.
func (r *request) rollbackTo() int64 {
	if r.conf.Rollback == nil {
		return -1
	}
	id, err := entryID(r.conf.Rollback.To)
	if err != nil {
		return -1
	}
	return id
}

// sync is never nil.
func (r *request) sync() *Sync {
	if r.conf.Sync == nil {
		return &Sync{}
	}
	return r.conf.Sync
}

// pinned tells whether the sync is of a given revision.
func (r *request) pinned() bool {
	return r.conf.Operation == opSync && (r.sync().Revision != "" || len(r.sync().Revisions) > 0)
}

// with sets what is to be set of a sync, in the request as the application has it.
func (r *request) changes() bool {
	return r.conf.Set != nil && (r.conf.Operation == opSet || r.conf.Operation == opSync)
}

// named tells whether one application is asked for by its name.
func (r *request) named() bool { return r.conf.Name != "" }
