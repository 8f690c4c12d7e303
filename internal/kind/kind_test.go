package kind_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

type inner struct {
	Deep  string             `json:"deep,omitempty"`
	Wait  *v1alpha1.Duration `json:"wait,omitempty"`
	Bytes []byte             `json:"bytes,omitempty"`
}

type config struct {
	v1alpha1.EventCommon `json:",inline"`
	Name                 string           `json:"name,omitempty"`
	Port                 int32            `json:"port,omitempty"`
	On                   bool             `json:"on,omitempty"`
	List                 []inner          `json:"list,omitempty"`
	Map                  map[string]inner `json:"map,omitempty"`
	Inner                *inner           `json:"inner,omitempty"`
	Any                  any              `json:"any,omitempty"`
	hidden               string
}

func (c *config) Default() {
	if c.Name == "" {
		c.Name = "default"
	}
}

func (c *config) Validate() error {
	var errs []error
	if c.Port == 0 {
		errs = append(errs, v1alpha1.Invalid("port", "is required"))
	}
	if c.Name == "bad" {
		errs = append(errs, v1alpha1.Invalid("name", "is bad"))
	}
	return errors.Join(errs...)
}

func (c *config) build(struct{}) (string, error) { return c.Name + c.hidden, nil }

var ofConfig = kind.Of("it", func(c config, e struct{}) (string, error) { return c.build(e) })

func TestCheck(t *testing.T) {
	for _, tc := range []struct{ name, raw, want string }{
		{"all fits", `{"name":"a","port":5,"on":true,"list":[{"deep":"x","wait":"3s","bytes":"YQ=="}],"map":{"k":{"wait":5}},"any":[1],"filter":{"expression":"a"}}`, ""},
		{"null is not given", `{"name":null,"list":[null],"inner":null}`, ""},
		{"wrong types, all of them", `{"name":5,"port":"5","on":"yes","list":{},"map":[],"inner":"x"}`, `inner: want an object, got the string "x"
list: want a list, got an object
map: want an object, got a list
name: want a string, got the number 5 (put it in quotes: "5")
on: want true or false, got the string "yes" (write it without quotes)
port: want a whole number, got the string "5" (write it without quotes)`},
		{"numbers that do not fit", `{"port":1.5,"list":[{"deep":true}]}`, `list[0].deep: want a string, got true (put it in quotes: "true"; yes, no, on, off, y and n are booleans in YAML too)
port: want a whole number, got the number 1.5`},
		{"a type's own JSON", `{"inner":{"wait":"soon","bytes":"!"}}`, `inner.bytes: want a base64 string, got the string "!"
inner.wait: "soon" is no duration: write a number with a unit, such as 10s or 1m30s`},
		{"unknown keys", `{"nmae":1,"Port":1,"zzzzzz":1,"map":{"a.b":{"dep":1}}}`, `Port: unknown key "Port" is ignored (did you mean "port"?)
map["a.b"].dep: unknown key "dep" is ignored (did you mean "deep"?)
nmae: unknown key "nmae" is ignored (did you mean "name"?)
zzzzzz: unknown key "zzzzzz" is ignored`},
		{"misplaced keys", `{"deep":"x","expression":"y","inner":{"filter":{}}}`, `deep: unknown key "deep" is ignored (it belongs inside inner)
expression: unknown key "expression" is ignored (it belongs inside filter)
inner.filter: unknown key "filter" is ignored (it belongs beside inner, one level up)`},
		{"not an object", `[]`, `want an object, got a list`},
		{"not JSON", `{`, `is no JSON: unexpected EOF`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if err := kind.Check(reflect.TypeFor[config](), []byte(tc.raw)); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	good, err := kind.Prune(reflect.TypeFor[config](), []byte(`{"name":5,"port":12345678901234567890,"list":[{"deep":1,"wait":"1s"},7],"any":9007199254740993}`))
	var c config
	if uerr := json.Unmarshal(good, &c); uerr != nil || v1alpha1.Fatal(err) == nil {
		t.Fatalf("%v, %v", uerr, err)
	}
	if c.Name != "" || c.Port != 0 || len(c.List) != 2 || c.List[0].Wait == nil || c.List[0].Deep != "" || !strings.Contains(string(good), "9007199254740993") {
		t.Errorf("%s", good)
	}
}

func TestDecode(t *testing.T) {
	c, err := ofConfig.Decode([]byte(`{"port":1}`))
	if err != nil || c.(*config).Name != "default" {
		t.Errorf("%v %v", c, err)
	}
	if got, err := ofConfig.Build(c, struct{}{}); got != "default" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	c, err = ofConfig.Decode([]byte(`{"port":1,"nmae":"x"}`))
	if c == nil || err == nil || v1alpha1.Fatal(err) != nil {
		t.Errorf("an unknown key is a warning: %v %v", c, err)
	}
	c, err = ofConfig.Decode([]byte(`{"Port":1}`))
	if c == nil || !strings.Contains(v1alpha1.Fatal(err).Error(), "port: is required") {
		t.Errorf("keys are case-sensitive: %v %v", c, err)
	}
}

// What else is wrong is told beside a value of a wrong type, but not what is
// only wrong because of it.
func TestDecodeTellsAllProblemsAtOnce(t *testing.T) {
	c, err := ofConfig.Decode([]byte(`{"port":"x","name":"bad"}`))
	want := "port: want a whole number, got the string \"x\" (write it without quotes)\nname: is bad"
	if c != nil || err == nil || err.Error() != want {
		t.Errorf("%v, %v", c, err)
	}
}

func TestNearest(t *testing.T) {
	few := []string{"url", "verifyCert", "triggers", "a"}
	dependency := []string{"name", "eventSourceName", "eventName", "filters", "transform", "filtersLogicalOperator"}
	trigger := []string{"template", "parameters", "policy", "retryStrategy", "rateLimit", "atLeastOnce", "dlqTrigger"}
	stream := []string{"maxBytes", "maxMsgs", "maxAge", "replicas", "duplicates", "retention", "discard"}
	hook := []string{"endpoint", "method", "port", "url", "serverCertSecret", "serverKeySecret", "authSecret", "maxPayloadSize"}
	for _, tc := range []struct {
		key   string
		known []string
		want  string
	}{
		{"URL", few, "url"},
		{"verifycert", few, "verifyCert"},
		{"triggres", few, "triggers"},
		{"x", few, ""},
		{"completely", few, ""},

		{"eventSource", dependency, "eventSourceName"},
		{"event", dependency, "eventName"},
		{"source", dependency, "eventSourceName"},
		{"sourceName", dependency, "eventSourceName"},
		{"event_name", dependency, "eventName"},
		{"eventsource", dependency, "eventSourceName"},
		{"filter", dependency, "filters"},
		{"logicalOperator", dependency, "filtersLogicalOperator"},
		{"dependencyName", dependency, "name"},
		{"vent", dependency, ""},
		{"on", dependency, ""},

		{"retry", trigger, "retryStrategy"},
		{"rate", trigger, "rateLimit"},
		{"limit", trigger, "rateLimit"},
		{"dlq", trigger, "dlqTrigger"},
		{"param", trigger, "parameters"},
		{"once", trigger, "atLeastOnce"},

		{"age", stream, "maxAge"},
		{"max", stream, ""}, // three begin so
		{"dupes", stream, ""},
		{"replica", stream, "replicas"},

		{"path", hook, ""},
		{"webhookUrl", hook, "url"},
		{"secret", hook, "authSecret"},
		{"cert", hook, "serverCertSecret"},
		{"maxPayload", hook, "maxPayloadSize"},
		{"ports", hook, "port"},
	} {
		if got := kind.Nearest(tc.key, tc.known); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.key, got, tc.want)
		}
	}
}
