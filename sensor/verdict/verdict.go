// Package verdict holds what the steps of an evaluation said, so that people
// can always ask why: signalbox test prints it, logs and dead letters quote it.
package verdict

// Outcome is what one step came to.
type Outcome string

// The outcomes.
const (
	Pass    Outcome = "pass"
	Reject  Outcome = "reject"  // evaluated, and not true
	Error   Outcome = "error"   // could not be evaluated
	Skipped Outcome = "skipped" // not needed any more, or nothing to do
)

// Clause is what one filter clause, or a transform, said.
type Clause struct {
	// Path of the clause from the dependency, such as filters.data[0].
	Path string `json:"path"`
	// Outcome of the clause.
	Outcome Outcome `json:"outcome"`
	// Want is the clause in words: `body.action = "opened"`.
	Want string `json:"want,omitempty"`
	// Got is the value it was compared with, shortened to 200 bytes.
	Got string `json:"got,omitempty"`
	// Err is why it could not be evaluated.
	Err string `json:"error,omitempty"`
}

// String is the clause as one line: path, words, what was got instead, and the error.
func (c *Clause) String() string {
	if c == nil {
		return ""
	}
	s := c.Path
	if c.Want != "" {
		s += ": " + c.Want
	}
	if c.Got != "" {
		s += "; got " + c.Got
	}
	if c.Err != "" {
		s += "; " + c.Err
	}
	return s
}

// Dependency is what a dependency said of an event.
type Dependency struct {
	// Name of the dependency.
	Name string `json:"name"`
	// Outcome is Pass if the event goes on to the conditions.
	Outcome Outcome `json:"outcome"`
	// Transform is nil if the dependency has none.
	Transform *Clause `json:"transform,omitempty"`
	// Filters are the clauses in the order of their evaluation.
	Filters []Clause `json:"filters,omitempty"`
}

// Why is the clause that decided against the event; nil if it passed.
func (d *Dependency) Why() *Clause {
	if d.Outcome == Pass {
		return nil
	}
	if d.Transform != nil && d.Transform.Outcome != Pass {
		return d.Transform
	}
	for i := range d.Filters {
		if o := d.Filters[i].Outcome; o == Reject || o == Error {
			return &d.Filters[i]
		}
	}
	return nil
}

// Condition is what a trigger's condition said.
type Condition struct {
	// Expression over dependency names.
	Expression string `json:"expression"`
	// Met tells whether the trigger fires.
	Met bool `json:"met"`
	// Have are the dependencies that have an event.
	Have []string `json:"have,omitempty"`
	// Missing are the dependencies that have none.
	Missing []string `json:"missing,omitempty"`
}

// Shorten cuts s to what a Clause shows.
func Shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
