package argoworkflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// mark is what a workflow was like before a firing had the server change it.
type mark struct {
	// Workflow is its namespace/name; empty in a mark that nobody has left.
	Workflow   string `json:"workflow,omitempty"`
	FinishedAt string `json:"finishedAt,omitempty"`
	// Nodes are suspend nodes that are to end.
	Nodes []string `json:"nodes,omitempty"`
	// Suspended tells that spec.suspend is to end.
	Suspended bool `json:"suspended,omitempty"`
}

const (
	// keepMarks is how long the same events may be tried again.
	keepMarks = 7 * 24 * time.Hour
	// markedNodes is how many nodes are marked. The server ends all in one write,
	// so that the first ones tell of the rest.
	markedNodes = 10
)

func (s *serverAPI) marks() trigger.Memory[mark] {
	return trigger.Memory[mark]{State: s.env.State, Name: "changed", Keep: keepMarks}
}

// markID is the key of what a firing does to a workflow.
func (act *action) markID(wf *unstructured.Unstructured) string {
	sum := sha256.Sum256([]byte(act.in.ID + "/" + act.workflow(wf)))
	return hex.EncodeToString(sum[:16])
}

func (act *action) workflow(wf *unstructured.Unstructured) string {
	return act.namespace + "/" + wf.GetName()
}

// changedBefore tells whether an earlier attempt has changed the workflow.
func (s *serverAPI) changedBefore(ctx context.Context, act *action, wf *unstructured.Unstructured) (bool, error) {
	m, err := s.marks().Get(ctx, act.markID(wf))
	if err != nil {
		return false, fmt.Errorf("look for earlier attempts: %w", err)
	}
	return m.Workflow == act.workflow(wf) && m.passed(act, wf), nil
}

// remember leaves the mark, unless there is one.
func (s *serverAPI) remember(ctx context.Context, act *action, wf *unstructured.Unstructured) error {
	m := mark{Workflow: act.workflow(wf), FinishedAt: text(wf.Object, "status", "finishedAt")}
	if act.operation == opResume && !act.options.hasNodes {
		m.Suspended, _, _ = unstructured.NestedBool(wf.Object, "spec", "suspend")
	}
	if all, _, err := readNodes(wf); err == nil && (act.operation == opResume || act.operation == opStop) {
		ids, _ := act.waiting(all)
		m.Nodes = ids[:min(len(ids), markedNodes)]
	}
	err := s.marks().Change(ctx, act.markID(wf), func(old mark) (mark, error) {
		if old.Workflow == m.Workflow {
			return old, trigger.ErrKeep
		}
		return m, nil
	})
	if err != nil {
		return fmt.Errorf("remember what it was like: %w", err)
	}
	return nil
}

// passed tells whether the change that the mark was left for has happened.
func (m mark) passed(act *action, wf *unstructured.Unstructured) bool {
	suspended, _, _ := unstructured.NestedBool(wf.Object, "spec", "suspend")
	switch act.operation {
	case opRetry:
		return text(wf.Object, "status", "finishedAt") != m.FinishedAt
	case opSuspend:
		return suspended || terminal(wf)
	case opTerminate:
		return text(wf.Object, "spec", "shutdown") == shutTerminate
	case opStop:
		if !act.options.hasNodes {
			return text(wf.Object, "spec", "shutdown") != ""
		}
	}
	if terminal(wf) {
		return true
	}
	all, _, err := readNodes(wf)
	if err != nil || len(m.Nodes) == 0 && !m.Suspended {
		return false
	}
	return (!m.Suspended || !suspended) && !slices.ContainsFunc(m.Nodes, func(id string) bool { return all[id].active() })
}
