package manifest

import (
	"reflect"
	"testing"

	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/kind"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

// A kind that has come leaves the list of those to come.
func TestNoKindIsBothThereAndLater(t *testing.T) {
	l := laterKinds()
	for _, k := range sources.Kinds {
		if _, ok := l.sources[k.Name]; ok {
			t.Errorf("take the source %s out of later.tsv", k.Name)
		}
	}
	for _, k := range triggers.Kinds {
		if _, ok := l.triggers[k.Name]; ok {
			t.Errorf("take the trigger %s out of later.tsv", k.Name)
		}
	}
}

func TestLaterKindsAreReadWhole(t *testing.T) {
	l := laterKinds()
	if len(l.sources) < 10 || len(l.triggers) < 8 {
		t.Errorf("%d sources, %d triggers", len(l.sources), len(l.triggers))
	}
	for name, k := range l.sources {
		if k.config.NumField() == 0 || len(k.dataKeys) == 0 {
			t.Errorf("%s has no fields or no data", name)
		}
	}
	p := laterParser{types: map[string]reflect.Type{"string": reflect.TypeFor[string]()}}
	p.types["artifact"] = p.parse("inline:string file:{path:string}")
	source, _ := p.parse("source:artifact").FieldByName("F0")
	if source.Tag.Get("json") != "source" || source.Type.Kind() != reflect.Struct || source.Type.NumField() != 2 {
		t.Errorf("a block is not put in its place: %v", source)
	}
	err := kind.Check(l.sources["sqs"].config, []byte(`{"queue":"a","queues":"b","waitTimeSeconds":"x"}`))
	if want := "queues: unknown key \"queues\" is ignored (did you mean \"queue\"?)\n" +
		"waitTimeSeconds: want a whole number, got the string \"x\" (write it without quotes)"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
