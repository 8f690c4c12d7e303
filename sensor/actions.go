package sensor

import (
	"container/list"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// actions holds the built triggers of a runner: one for each action whose
// template is fixed, and the most recently used ones of those whose parameters
// change the template, so that connections are reused where the settings are
// the same and are not where they differ.
type actions struct {
	env trigger.Env

	mu     sync.Mutex
	fixed  map[*actionPlan]*built
	made   map[[32]byte]*list.Element // of *made
	recent list.List
	closed bool
}

const mostMade = 64

// built is a trigger and what it was made from.
type built struct {
	trigger.Trigger
	template []byte           // after parameters
	follow   *v1alpha1.Follow // nil if nobody wants to know how it ends
}

type made struct {
	built
	key     [32]byte
	users   int
	evicted bool
}

func newActions(env trigger.Env) *actions {
	return &actions{env: env, fixed: map[*actionPlan]*built{}, made: map[[32]byte]*list.Element{}}
}

var errClosed = errors.New("the sensor has been stopped")

// get returns the trigger for a firing. Call release when it is not used any more.
func (c *actions) get(a *actionPlan, f *firing) (tr *built, release func(), err error) {
	if a.params == nil {
		tr, err := c.getFixed(a)
		return tr, func() {}, err
	}
	raw, err := a.params.Apply(a.template, f.events)
	if err != nil {
		return nil, nil, fmt.Errorf("parameters: %w", err)
	}
	return c.getMade(a, raw)
}

func (c *actions) getFixed(a *actionPlan) (*built, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tr, ok := c.fixed[a]; ok {
		return tr, nil
	}
	if c.closed {
		return nil, errClosed
	}
	tr, err := a.kind.Build(a.config, c.env)
	if err != nil {
		return nil, err
	}
	b := &built{tr, a.template, a.kind.FollowOf(a.config)}
	c.fixed[a] = b
	return b, nil
}

func (c *actions) getMade(a *actionPlan, raw []byte) (*built, func(), error) {
	key := sha256.Sum256(raw)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.made[key]; ok {
		m := e.Value.(*made)
		m.users++
		c.recent.MoveToFront(e)
		return &m.built, func() { c.release(m) }, nil
	}
	if c.closed {
		return nil, nil, errClosed
	}
	b, err := c.build(a, raw)
	if err != nil {
		return nil, nil, err
	}
	m := &made{built: b, key: key, users: 1}
	c.made[key] = c.recent.PushFront(m)
	if c.recent.Len() > mostMade {
		oldest := c.recent.Remove(c.recent.Back()).(*made)
		delete(c.made, oldest.key)
		oldest.evicted = true
		c.closeUnused(oldest)
	}
	return &m.built, func() { c.release(m) }, nil
}

func (c *actions) build(a *actionPlan, raw []byte) (built, error) {
	cfg, k, err := a.decode(raw)
	if err != nil {
		return built{}, err
	}
	tr, err := k.Build(cfg, c.env)
	return built{tr, raw, k.FollowOf(cfg)}, err
}

// decode reads a template to which the parameters have been applied. It has to
// be of the same kind as before.
func (a *actionPlan) decode(raw []byte) (kind.Config, trigger.Kind, error) {
	var t v1alpha1.TriggerTemplate
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, a.kind, fmt.Errorf("the template with its parameters: %w", err)
	}
	name, cfgRaw, err := theKind(&t)
	if err == nil && name != a.kind.Name {
		err = fmt.Errorf("the parameters change the kind of trigger from %s to %s", a.kind.Name, name)
	}
	if err != nil {
		return nil, a.kind, err
	}
	cfg, err := a.kind.Decode(cfgRaw)
	if err := v1alpha1.Fatal(err); err != nil {
		return nil, a.kind, fmt.Errorf("the template with its parameters: %w", v1alpha1.At("template."+name, err))
	}
	return cfg, a.kind, nil
}

func (c *actions) release(m *made) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.users--
	c.closeUnused(m)
}

func (c *actions) closeUnused(m *made) {
	if (m.evicted || c.closed) && m.users == 0 {
		if err := m.Close(); err != nil {
			c.env.Log.Warn("closing a trigger", "error", err)
		}
	}
}

// close lets go of all triggers; those in use go when they are released.
func (c *actions) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, tr := range c.fixed {
		errs = append(errs, tr.Close())
	}
	for e := c.recent.Front(); e != nil; e = e.Next() {
		c.closeUnused(e.Value.(*made))
	}
	return errors.Join(errs...)
}
