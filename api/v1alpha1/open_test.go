package v1alpha1_test

import (
	"encoding/json"
	"reflect"
	"testing"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// same compares JSON texts by value.
func same(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

func roundTrip[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if !same(t, text, string(b)) {
		t.Errorf("%s became %s", text, b)
	}
	return v
}

func TestOpenSourceSpec(t *testing.T) {
	s := roundTrip[v1alpha1.EventSourceSpec](t, `{"eventBusName":"b","replicas":2,"webhook":{"a.b":{"port":"1","big":9007199254740993},"n":null},"later":{},"type":"old","list":[1],"nothing":null}`)
	if s.Bus() != "b" || len(s.Sources) != 2 || string(s.Sources["webhook"]["a.b"].Raw) != `{"port":"1","big":9007199254740993}` {
		t.Errorf("%+v", s)
	}
	if len(s.Stray) != 3 || string(s.Stray["type"].Raw) != `"old"` {
		t.Errorf("%+v", s.Stray)
	}
	if c := s.DeepCopy(); !reflect.DeepEqual(*c, s) {
		t.Errorf("the copy differs: %+v", c)
	}
}

func TestOpenTriggerTemplate(t *testing.T) {
	trigger := roundTrip[v1alpha1.Trigger](t, `{"template":{"name":"t","conditions":"a","http":{"url":"u"},"unknown":[1]},"dlqTrigger":{"template":{"name":"d","log":{}}},"retryStrategy":{"duration":5,"factor":"2","jitter":0.5}}`)
	if kinds := trigger.Template.Kinds; len(kinds) != 2 || string(kinds["http"].Raw) != `{"url":"u"}` {
		t.Errorf("%v", kinds)
	}
	if kinds := trigger.DLQTrigger.Template.Kinds; len(kinds) != 1 {
		t.Errorf("%v", kinds)
	}
	if c := trigger.DeepCopy(); !reflect.DeepEqual(*c, trigger) {
		t.Errorf("the copy differs: %+v", c)
	}
}

func TestKeysAreCaseSensitive(t *testing.T) {
	var s v1alpha1.EventSourceSpec
	if err := json.Unmarshal([]byte(`{"EventBusName":"x"}`), &s); err != nil || s.EventBusName != "" || len(s.Stray) != 1 {
		t.Errorf("%+v %v", s, err)
	}
}

// A kind with the name of a fixed field would overwrite it silently.
func TestAKindCannotHideAFixedField(t *testing.T) {
	s := v1alpha1.EventSourceSpec{EventBusName: "b", Sources: map[string]map[string]apiextv1.JSON{"eventBusName": {}}}
	if b, err := json.Marshal(s); err == nil {
		t.Errorf("%s", b)
	}
}
