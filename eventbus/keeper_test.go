package eventbus

import (
	"slices"
	"testing"
)

func TestReplicasThatAKeeperTries(t *testing.T) {
	for _, c := range []struct {
		name       string
		want, have int
		clustered  bool
		tries      []int
	}{
		{"a server on its own", 3, 1, false, []int{1}},
		{"one member", 1, 1, true, []int{1}},
		{"growing", 3, 1, true, []int{3, 1}},
		{"an even number that is asked for", 2, 1, true, []int{2, 1}},
		{"from three to five", 5, 3, true, []int{5, 3}},
		{"less is asked for than there is", 1, 3, true, []int{3}},
		{"not even from two to one", 1, 2, true, []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Bus{keeper: true, clustered: c.clustered}
			b.limits.Store(&Limits{Replicas: c.want})
			if got := grow(b.replicaChoices(), c.have); !slices.Equal(got, c.tries) {
				t.Fatalf("tries %v", got)
			}
		})
	}
}
