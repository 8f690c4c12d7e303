package apply

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// hasMeta tells whether live has the labels, annotations and the controller of
// wish. Generations do not count these.
func hasMeta(wish, live client.Object) bool {
	want, have := metav1.GetControllerOf(wish), metav1.GetControllerOf(live)
	return hasAll(live.GetLabels(), wish.GetLabels()) && hasAll(live.GetAnnotations(), wish.GetAnnotations()) &&
		want != nil && have != nil && want.UID == have.UID
}

func hasAll(have, want map[string]string) bool {
	for k, v := range want {
		if w, ok := have[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// contains tells whether live has everything that wish has, metadata left out.
// Lists have to be of one length; live may have more keys in maps.
func contains(live, wish map[string]any) bool {
	for k, want := range wish {
		if k == "metadata" {
			continue
		}
		if !containsValue(live[k], want) {
			return false
		}
	}
	return true
}

func containsValue(live, wish any) bool {
	switch want := wish.(type) {
	case map[string]any:
		have, ok := live.(map[string]any)
		if !ok {
			return len(want) == 0
		}
		for k, v := range want {
			if !containsValue(have[k], v) {
				return false
			}
		}
		return true
	case []any:
		have, _ := live.([]any)
		if len(have) != len(want) {
			return false
		}
		for i := range want {
			if !containsValue(have[i], want[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(live, wish)
}

// dropEmpty removes nulls, which typed objects have where a time is not set.
func dropEmpty(m map[string]any) {
	for k, v := range m {
		switch v := v.(type) {
		case nil:
			delete(m, k)
		case map[string]any:
			dropEmpty(v)
		case []any:
			for _, item := range v {
				if item, ok := item.(map[string]any); ok {
					dropEmpty(item)
				}
			}
		}
	}
}
