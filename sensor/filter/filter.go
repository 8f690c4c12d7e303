// Package filter decides which events a dependency lets pass.
//
// A dependency's filters are groups: exprs, data, context, time, script and cel,
// evaluated in this order. The groups are combined by filtersLogicalOperator,
// the items of exprs and data by operators of their own.
//
// Everything that can be known without an event is checked at Compile. Eval
// returns what each clause said, so that people can see why an event passed or
// did not.
package filter

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// A Filter is the filters of one dependency, compiled. Its methods may be
// called from any number of goroutines.
type Filter struct {
	groups []group
	or     bool
	count  int
}

// A group is a kind of filter with its items.
type group struct {
	items []clause
	or    bool
	// always says that an error of this group rejects whatever the others say,
	// so that it is evaluated even where the outcome is already known.
	always bool
	// absent says that the group passes events without data.
	absent bool
}

// A clause is one item of a group, prepared.
type clause struct {
	path, want string
	eval       func(context.Context, *input) result
}

type result struct {
	outcome verdict.Outcome
	got     string
	err     error
}

// passIf is the result of a clause that could be evaluated.
func passIf(pass bool, got string) result {
	if pass {
		return result{outcome: verdict.Pass, got: got}
	}
	return result{outcome: verdict.Reject, got: got}
}

// failed is the result of a clause that could not be evaluated.
func failed(got string, err error) result {
	return result{outcome: verdict.Error, got: got, err: err}
}

// Compile checks and prepares the filters of one dependency. op is the
// dependency's filtersLogicalOperator. The error joins all problems, with paths
// from the dependency (filters.data[0].path); it may hold warnings only, which
// v1alpha1.Fatal tells. After a fatal one the Filter is nil. Without filters it
// is nil too, and passes everything.
func Compile(f *v1alpha1.EventDependencyFilter, op v1alpha1.LogicalOperator) (*Filter, error) {
	c := compiler{}
	or := c.operator("filtersLogicalOperator", op)
	if f == nil {
		return nil, c.err()
	}
	c.groups(f)
	if len(c.out) == 0 && len(c.problems) == 0 {
		if or {
			c.add(v1alpha1.Warn("filters", "holds no filter: with filtersLogicalOperator or, no event passes").
				Hinted("remove filters, or filtersLogicalOperator"))
		} else {
			c.add(v1alpha1.Warn("filters", "holds no filter: every event passes"))
		}
	}
	err := c.err()
	if v1alpha1.Fatal(err) != nil {
		return nil, err
	}
	out := &Filter{groups: c.out, or: or}
	for _, g := range out.groups {
		out.count += len(g.items)
	}
	return out, err
}

// compiler collects groups and problems.
type compiler struct {
	out      []group
	problems []error
}

func (c *compiler) err() error              { return errors.Join(c.problems...) }
func (c *compiler) add(p *v1alpha1.Problem) { c.problems = append(c.problems, p) }
func (c *compiler) failed(since int) bool {
	return v1alpha1.Fatal(errors.Join(c.problems[since:]...)) != nil
}

func (c *compiler) group(g group, item clause) {
	c.out = append(c.out, group{[]clause{item}, g.or, g.always, g.absent})
}

// operator tells whether op is or.
func (c *compiler) operator(path string, op v1alpha1.LogicalOperator) bool {
	switch op {
	case "", v1alpha1.And:
	case v1alpha1.Or:
		return true
	default:
		c.add(v1alpha1.Invalid(path, "unknown operator %q", string(op)).Hinted("write and or or, in small letters"))
	}
	return false
}

// groups compiles all groups in the order of their evaluation.
func (c *compiler) groups(f *v1alpha1.EventDependencyFilter) {
	exprs := group{or: c.operator("filters.exprLogicalOperator", f.ExprLogicalOperator), absent: true}
	for i, e := range f.Exprs {
		exprs.items = append(exprs.items, c.expr("filters.exprs"+v1alpha1.Index(i), e))
	}
	data := group{or: c.operator("filters.dataLogicalOperator", f.DataLogicalOperator), absent: true}
	for i, d := range f.Data {
		data.items = append(data.items, c.data("filters.data"+v1alpha1.Index(i), d))
	}
	for _, g := range []group{exprs, data} {
		if len(g.items) > 0 {
			c.out = append(c.out, g)
		}
	}
	if f.Context != nil {
		c.context("filters.context", *f.Context)
	}
	if f.Time != nil {
		c.group(group{}, c.time("filters.time", *f.Time))
	}
	if f.Script != "" {
		c.group(group{always: true, absent: true}, c.script("filters.script", f.Script))
	}
	if f.CEL != "" {
		c.group(group{}, c.cel("filters.cel", f.CEL))
	}
}

// Eval tells whether e passes, and what each clause said, in the order of their
// evaluation. Clauses that were not needed any more are Skipped. The data of e
// is what a transform made of it. A nil Filter passes everything.
//
// If ctx ends while a script or an expression runs, the outcome is Error and
// says nothing about the event.
func (f *Filter) Eval(ctx context.Context, e *event.Event) (verdict.Outcome, []verdict.Clause) {
	if f == nil {
		return verdict.Pass, nil
	}
	if len(f.groups) == 0 {
		return f.empty()
	}
	in := input{event: e, data: e.Data()}
	r := run{ctx: ctx, in: &in, clauses: make([]verdict.Clause, 0, f.count)}
	outcome := verdict.Outcome("")
	for i := range f.groups {
		g := &f.groups[i]
		if outcome != "" && (!g.always || outcome != verdict.Pass) {
			r.skip(g.items)
			continue
		}
		said := r.group(g)
		switch {
		case g.always && said == verdict.Error:
			outcome = verdict.Error
		case outcome != "":
		case f.or == (said == verdict.Pass): // decides
			outcome = said
		case f.or && said == verdict.Error:
			r.failed = true
		}
	}
	switch {
	case outcome != "":
	case !f.or:
		outcome = verdict.Pass
	case r.failed:
		outcome = verdict.Error
	default:
		outcome = verdict.Reject
	}
	return outcome, r.clauses
}

// empty is the verdict of filters: {}.
func (f *Filter) empty() (verdict.Outcome, []verdict.Clause) {
	if !f.or {
		return verdict.Pass, nil
	}
	return verdict.Reject, []verdict.Clause{{Path: "filters", Outcome: verdict.Reject, Want: "one of the filters, of which there are none"}}
}

// run is one evaluation.
type run struct {
	ctx     context.Context
	in      *input
	clauses []verdict.Clause
	failed  bool // under or: a group that did not pass could not be evaluated
}

func (r *run) skip(items []clause) {
	for i := range items {
		r.clauses = append(r.clauses, verdict.Clause{Path: items[i].path, Outcome: verdict.Skipped, Want: items[i].want})
	}
}

// group evaluates the items of g up to the one that decides. Under or, an item
// that fails is as good as false, and the group fails if none passes.
func (r *run) group(g *group) verdict.Outcome {
	none := verdict.Reject
	for i := range g.items {
		c := &g.items[i]
		res := r.clause(g, c)
		said := verdict.Clause{Path: c.path, Outcome: res.outcome, Want: c.want, Got: verdict.Shorten(res.got)}
		if res.err != nil {
			said.Err = verdict.Shorten(res.err.Error())
		}
		r.clauses = append(r.clauses, said)
		if g.or == (res.outcome == verdict.Pass) {
			r.skip(g.items[i+1:])
			return res.outcome
		}
		if res.outcome == verdict.Error {
			none = verdict.Error
		}
	}
	if g.or {
		return none
	}
	return verdict.Pass
}

func (r *run) clause(g *group, c *clause) (res result) {
	if g.absent && r.in.absent() {
		return passIf(true, "no data")
	}
	defer func() {
		if p := recover(); p != nil {
			res = failed("", fmt.Errorf("panic: %v", p))
		}
	}()
	return c.eval(r.ctx, r.in)
}
