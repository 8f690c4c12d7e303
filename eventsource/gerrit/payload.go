package gerrit

import (
	"encoding/json"

	"github.com/signalbox-events/signalbox/webhook/githost"
)

// payload is what is read of all of Gerrit's events. What is of a wrong type
// stays empty.
type payload struct {
	Type        string                  `json:"type"`
	RefUpdate   refUpdate               `json:"refUpdate"`
	Change      *change                 `json:"change"`
	PatchSet    patchSet                `json:"patchSet"`
	NewRev      string                  `json:"newRev"`
	Project     name                    `json:"project"`
	ProjectName string                  `json:"projectName"`
	Approvals   githost.List[*vote]     `json:"approvals"`
	RefUpdates  githost.List[refUpdate] `json:"refUpdates"`

	// Who did it, by what was done.
	Submitter *account `json:"submitter"`
	Uploader  *account `json:"uploader"`
	Author    *account `json:"author"`
	Abandoner *account `json:"abandoner"`
	Restorer  *account `json:"restorer"`
	Changer   *account `json:"changer"`
	Editor    *account `json:"editor"`
	Adder     *account `json:"adder"`
	Remover   *account `json:"remover"`
	Deleter   *account `json:"deleter"`
}

type refUpdate struct {
	OldRev  string `json:"oldRev"`
	NewRev  string `json:"newRev"`
	RefName string `json:"refName"`
	Project string `json:"project"`
}

type change struct {
	Project name    `json:"project"`
	Branch  string  `json:"branch"`
	ID      string  `json:"id"`
	Number  int64   `json:"number"`
	Subject string  `json:"subject"`
	Owner   account `json:"owner"`
	URL     string  `json:"url"`
	Status  string  `json:"status"`
	WIP     bool    `json:"wip"`
}

type patchSet struct {
	Number   int64  `json:"number"`
	Revision string `json:"revision"`
	Ref      string `json:"ref"`
	Kind     string `json:"kind"`
}

// vote on a change. OldValue is there only where the vote has changed.
type vote struct {
	Type     string  `json:"type"`
	Value    string  `json:"value"`
	OldValue *string `json:"oldValue"`
}

type account struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Username string `json:"username"`
}

// who did it.
func (p *payload) who() *account {
	for _, a := range []*account{
		p.Submitter, p.Uploader, p.Author, p.Abandoner, p.Restorer, p.Changer, p.Editor, p.Adder, p.Remover, p.Deleter,
	} {
		if a != nil {
			return a
		}
	}
	return nil
}

// name is that of a project, which is a string, or an object with the name in it.
type name string

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (n *name) UnmarshalJSON(b []byte) error {
	var s string
	var o struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(b, &s) != nil {
		githost.Read(b, &o)
	}
	*n = name(githost.First(s, o.Name))
	return nil
}
