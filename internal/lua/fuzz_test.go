package lua

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/internal/limit"
)

func FuzzLua(f *testing.F) {
	for _, s := range []string{
		`return event`, `event.a = nil return event`, `return {1, 2, x = 3}`, `while true do end`, `return ("x"):rep(1e9)`,
		`for k, v in pairs(event) do event[k .. "x"] = v end return event`, `return {("abc"):gsub("(b)", "%1%1")}`,
		`local function f(a, ...) a = a .. ... return f(a, a) end return f("x", "y")`, `return setmetatable({}, {__is_array = true})`,
		`return {string.format("%5.1f %q %s", 1, "x", {})}`, `error({})`, `return unpack({1, 2, 3})`, `table.sort(event.l) return event`,
	} {
		f.Add(s, `{"a":1,"l":[1,null,[2],{"k":[]}],"n":null,"big":12345678901234567890}`)
	}
	f.Fuzz(func(t *testing.T, src, data string) {
		s, err := Compile("script", src)
		if err != nil {
			return
		}
		s.limits = limit.Limits{Time: 100 * time.Millisecond, Steps: 100_000, Heap: MaxHeap}
		_, _ = s.Test(context.Background(), []byte(data))
		out, err := s.Transform(context.Background(), []byte(data))
		if err == nil && !json.Valid(out) {
			t.Errorf("%q is no JSON", out)
		}
	})
}

// What a script returns untouched is what the event held.
func FuzzRoundTrip(f *testing.F) {
	f.Add(`{"a":1,"b":[1,null,[2],"x",{"k":[]}],"e":{},"ea":[],"n":null,"f":1.50,"s":"\u0000\ud800"}`)
	f.Fuzz(func(t *testing.T, data string) {
		var in any
		d := json.NewDecoder(strings.NewReader(data))
		d.UseNumber()
		if d.Decode(&in) != nil || d.More() {
			return
		}
		if _, ok := in.(map[string]any); !ok {
			return
		}
		s, err := Compile("script", `return event`)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Transform(context.Background(), []byte(data))
		if err != nil {
			return // nested too deeply
		}
		d = json.NewDecoder(strings.NewReader(string(out)))
		d.UseNumber()
		var back any
		if err := d.Decode(&back); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		a, _ := json.Marshal(in)
		b, _ := json.Marshal(back)
		if string(a) != string(b) && !strings.Contains(data, `"[`) && !duplicates(data) {
			t.Errorf("%s\nbecame\n%s", a, b)
		}
	})
}

// duplicates guesses whether an object of data has a key twice, of which only one survives.
func duplicates(data string) bool {
	seen := map[string]bool{}
	for _, part := range strings.Split(data, `"`) {
		if seen[part] {
			return true
		}
		seen[part] = true
	}
	return strings.Contains(data, `\`)
}

func BenchmarkTest(b *testing.B) {
	s, err := Compile("script", `if event.body.a == "b" and event.body.d.e == "z" then return true else return false end`)
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(`{"header":{"Content-Type":["application/json"]},"body":{"a":"b","n":5,"d":{"e":"z"},"l":[1,2,3]}}`)
	b.ReportAllocs()
	for b.Loop() {
		if pass, err := s.Test(context.Background(), data); !pass || err != nil {
			b.Fatal(err)
		}
	}
}
