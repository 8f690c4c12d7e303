package sensortest

import (
	"maps"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signalbox-events/signalbox/internal/kind"
)

// document is a Case with the keys that every manifest has.
type document struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Spec       CaseSpec          `json:"spec"`
}

// manifestCheck reports unknown keys and wrong types of a case: in a test a
// misspelled key must not pass unseen.
func manifestCheck(raw []byte) error { return kind.Check(reflect.TypeFor[document](), raw) }

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
