package lua

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/internal/limit"
)

func transform(t *testing.T, src, data string) (string, error) {
	t.Helper()
	s, err := Compile("script", src)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	out, err := s.Transform(t.Context(), []byte(data))
	return string(out), err
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct{ name, data string }{
		{"everything", `{"a":1,"b":[1,null,[2],"x",{"k":[]}],"e":{},"ea":[],"n":null}`},
		{"empty", `{}`},
		{"only nulls", `{"a":null,"b":[null,null]}`},
		{"nested arrays", `{"a":[[],[[]],[[1],[2,[3]]]]}`},
		{"numbers that float64 cannot hold", `{"a":9007199254740993,"b":[12345678901234567890,0.1234567890123456789],"c":-9007199254740993}`},
		{"numbers as they are written", `{"a":1.50,"b":1e3,"c":-0,"d":1E-7,"e":0.1,"f":[1.0]}`},
		{"texts", `{"a":"\"\\\n\r\t\u0001<>&ü€😀","ü":"x"}`},
		{"deep", `{"a":` + strings.Repeat("[", 400) + strings.Repeat("]", 400) + `}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := transform(t, `return event`, c.data)
			if err != nil || got != c.data {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.data)
			}
		})
	}
}

func TestTransform(t *testing.T) {
	const data = `{"body":{"a":"x","n":5,"big":9007199254740993,"nul":null,"arr":["p",null,"q"],"nums":[9007199254740993,1],"ea":[],"eo":{}}}`
	for _, c := range []struct{ name, src, want string }{
		{"a field", `event.body.message = 'updated' return {m = event.body.message, a = event.body.a}`, `{"a":"x","m":"updated"}`},
		{"a table with a length is an array", `return {1,2,x=3}`, `[1,2]`},
		{"an empty table", `return {}`, `{}`},
		{"an empty array by metatable", `return {a = setmetatable({}, {__is_array = true})}`, `{"a":[]}`},
		{"a metatable that is no mark", `return {a = setmetatable({}, {__is_array = 1})}`, `{"a":{}}`},
		{"an array that was emptied", `for i = 3, 1, -1 do table.remove(event.body.arr) end return {a = event.body.arr}`, `{"a":[]}`},
		{"an empty array with a key is an object", `event.body.ea.k = 1 return {a = event.body.ea}`, `{"a":{"k":1}}`},
		{"an empty array that is filled", `table.insert(event.body.ea, 1) return {a = event.body.ea}`, `{"a":[1]}`},
		{"null in an object is nil", `return {a = event.body.nul == nil, b = event.body.nul and 1 or 2}`, `{"a":true,"b":2}`},
		{"null in an array is json.null", `return {n = #event.body.arr, is = event.body.arr[2] == json.null, s = tostring(json.null)}`, `{"is":true,"n":3,"s":"null"}`},
		{"null from a script", `return {a = json.null, b = {json.null}}`, `{"a":null,"b":[null]}`},
		{"a null that is replaced", `event.body.nul = 1 return {a = event.body.nul}`, `{"a":1}`},
		{"a number that is touched is a float64", `return {a = event.body.big + 0}`, `{"a":9007199254740992}`},
		{"a number that is replaced by its neighbour", `event.body.big = 9007199254740994 return {a = event.body.big}`, `{"a":9007199254740994}`},
		{"an array whose items move", `local n = event.body.nums table.remove(n, 2) return {a = n}`, `{"a":[9007199254740992]}`},
		{"numbers", `return {a = 1, b = 1.5, c = 1e15, d = 1e21, e = 1e-7, f = -0.25, g = 2^53}`, `{"a":1,"b":1.5,"c":1000000000000000,"d":1e+21,"e":1e-07,"f":-0.25,"g":9007199254740992}`},
		{"keys that are numbers", `return {a = {[1.5] = "x", [-1] = "y"}}`, `{"a":{"-1":"y","1.5":"x"}}`},
		{"bytes that are no text", `return {a = string.char(255) .. "x"}`, `{"a":"\ufffdx"}`},
		{"the last of several results counts", `return {a = 1}, {b = 2}`, `{"b":2}`},
		{"print says nothing", `print("x") return {}`, `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := transform(t, c.src, data)
			if err != nil || got != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestTransformErrors(t *testing.T) {
	for _, c := range []struct{ name, src, data, want string }{
		{"no result", `x = 1`, `{}`, "the script returns nothing, not a table"},
		{"a number", `return 1`, `{}`, "the script returns a number, not a table"},
		{"an error", `error("boo")`, `{}`, "script:1: boo"},
		{"an error that is a table", `error({1})`, `{}`, "table"},
		{"nil has no fields", "local x\n\nx.a = 1", `{}`, "script:3: attempt to index"},
		{"concatenation of nil", `return {a = event.a .. "x"}`, `{}`, "script:1: attempt to concatenate a nil value"},
		{"a function", `return {a = function() end}`, `{}`, "holds a function"},
		{"a table as key", `return {[{}] = 1}`, `{}`, "a key that is a table"},
		{"not a number", `return {a = 0/0}`, `{}`, "JSON cannot say"},
		{"infinity", `return {a = 1/0}`, `{}`, "JSON cannot say"},
		{"a table that holds itself", `event.e = event return event`, `{}`, "holds itself"},
		{"an array", `return event`, `[1]`, "not a JSON object"},
		{"a text", `return event`, `"x"`, "not a JSON object"},
		{"no JSON", `return event`, `{"a":`, "not JSON"},
		{"no data", `return event`, ``, "not JSON"},
		{"an array of very many items", `return event`, `{"a":[` + strings.Repeat("1,", maxItems) + `1]}`, "more than 1048576 items"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := transform(t, c.src, c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v; want %q", got, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "traceback") {
				t.Errorf("the error holds a traceback: %v", err)
			}
		})
	}
}

func TestTest(t *testing.T) {
	for _, c := range []struct {
		name, src string
		want      bool
	}{
		{"true", `if event.body.a == "b" then return true end return false`, true},
		{"false", `return event.body.a == "c"`, false},
		{"a number is not true", `return 1`, false},
		{"a text is not true", `return "true"`, false},
		{"no result", `local x = true`, false},
		{"the last result counts", `return false, true`, true},
		{"arrays count from 1", `return event.arr[1] == "p" and #event.arr == 2`, true},
		{"nil last", `return true, nil`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Compile("script", c.src)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Test(t.Context(), []byte(`{"body":{"a":"b"},"arr":["p","q"]}`))
			if err != nil || got != c.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"syntax", "x = 1\ny = = 2", "line:2"},
		{"no end", `if true then`, "EOF"},
		{"goto nowhere", `goto x`, "x"},
		{"too large", strings.Repeat(" ", MaxSource+1), "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Compile("script", c.src)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

// Nothing that reaches out of the process or loads code is there.
func TestSandbox(t *testing.T) {
	for _, name := range []string{
		"io", "os.execute", "os.exit", "os.getenv", "os.setenv", "os.remove", "os.rename", "os.tmpname", "os.setlocale", "require", "module",
		"load", "loadstring", "loadfile", "dofile", "package", "debug", "coroutine", "channel", "getfenv", "setfenv", "newproxy",
		"_printregs", "string.dump", "_GOPHER_LUA_VERSION",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := transform(t, `local ok, v = pcall(function() return `+name+` end) return {v = tostring(v), s = event}`, `{}`)
			if err != nil || !strings.Contains(got, `"v":"nil"`) {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	t.Run("all globals", func(t *testing.T) {
		got, err := transform(t, `local n = {} for k in pairs(_G) do n[#n+1] = k end table.sort(n) return {n = table.concat(n, " ")}`, `{}`)
		want := `{"n":"_G _VERSION assert collectgarbage error event getmetatable ipairs json math next os pairs pcall print rawequal rawget rawset select setmetatable string table tonumber tostring type unpack xpcall"}`
		if err != nil || got != want {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

// What one event leaves behind, the next must not find.
func TestStateDoesNotLeak(t *testing.T) {
	s, err := Compile("script", `
		local seen = {x, string.x, math.x, getmetatable("").x, json.x, table.insert == nil, print == 1}
		x, string.x, math.x, getmetatable("").x, json.x = 1, 1, 1, 1, 1
		table.insert, print = nil, 1
		pcall(function() getmetatable(json.null).x = 1 end)
		pcall(function() math.randomseed(1) end)
		local n = 0
		for _, v in pairs(seen) do if v then n = n + 1 end end
		return {n = n}`)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		out, err := s.Transform(t.Context(), []byte(`{}`))
		if err != nil || string(out) != `{"n":0}` {
			t.Fatalf("got %s, %v", out, err)
		}
	}
}

// Every one of these would go on for ever, or take all memory there is.
func TestLimits(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"an endless loop", `while true do end`, "stopped"},
		{"an endless loop that catches errors", `while true do pcall(function() while true do end end) end`, "stopped"},
		{"an endless loop with xpcall", `while true do xpcall(function() error("x") end, function() while true do end end) end`, "stopped"},
		{"an endless recursion", `local function f() return 1 + f() end return f()`, "stack overflow"},
		{"an endless tail recursion", `local function f() return f() end return f()`, "stopped"},
		{"a metatable that calls itself", `local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x`, "overflow"},
		{"a text that doubles", `local s = "x" while true do s = s .. s end`, "more than"},
		{"a text that doubles by concat", `local s = "x" while true do s = table.concat({s, s}) end`, "more than"},
		{"a text that doubles by format", `local s = "x" while true do s = string.format("%s%s", s, s) end`, "more than"},
		{"a text that doubles by gsub", `local s = "xx" while true do s = s:gsub("x", "xx") end`, "stopped"},
		{"gsub of a long text by a long text", `local s = ("x"):rep(1000000) return {s:gsub("x", s)}`, "more than"},
		{"gsub with a function", `local s = ("x"):rep(1000000) return {s:gsub("x", function() return s end)}`, "more than"},
		{"rep", `return string.rep("x", 1e15)`, "more than"},
		{"a width", `return {string.format("%1000000000d", 1)}`, "too long"},
		{"many texts", `local t, s = {}, ("x"):rep(4000000) while true do t[#t+1] = s .. #t end`, "stopped"},
		{"many tables", `local t = {} while true do t = {t} end`, "stopped"},
		{"long holes in tables", `local t = {} while true do local u = {} u[1000000] = 1 t[#t+1] = u end`, "stopped"},
		{"a key far away", `local t = {} t[60000000] = 1 return {#t, t}`, ""},
		{"a pattern that goes back and forth", `return {("a"):rep(100):find((".-"):rep(50) .. "b")}`, "stopped"},
		{"a pattern with many stars", `return {("a"):rep(100):match(("a*"):rep(50) .. "b")}`, "stopped"},
		{"gmatch without end", `for _ in ("a"):rep(100):gmatch((".-"):rep(30) .. "b") do end`, "stopped"},
		{"unpack", `return unpack({}, 1, 1e9)`, "overflow"},
		{"a result that holds one table many times", `local t = {1} for i = 1, 60 do t = {t, t} end return t`, "larger than"},
		{"sort with an inconsistent order", `local t = {} for i = 1, 1000 do t[i] = i % 7 end table.sort(t, function() return true end) return {#t}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Compile("script", c.src)
			if err != nil {
				t.Fatal(err)
			}
			s.limits.Steps, s.limits.Time = 1_000_000, time.Minute // the time has a test of its own
			got, err := s.Transform(t.Context(), []byte(`{}`))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %d bytes, %v; want %q", len(got), err, c.want)
			}
		})
	}
}

func TestTimeLimit(t *testing.T) {
	s, err := Compile("script", `while true do end`)
	if err != nil {
		t.Fatal(err)
	}
	s.limits = limit.Limits{Time: 20 * time.Millisecond}
	if _, err := s.Test(t.Context(), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "stopped after") {
		t.Errorf("got %v", err)
	}
	s.limits = limit.Limits{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Test(ctx, []byte(`{}`)); err == nil {
		t.Error("the end of the context does not stop the script")
	}
}

func TestConcurrentUse(t *testing.T) {
	s, err := Compile("script", `local n = 0 for _, v in ipairs(event.l) do n = n + v end
		for k, v in ("a=1"):gmatch("(%w)=(%w)") do event[k] = v end
		event.n = string.format("%d", n) .. table.concat(event.l, ",") return event`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				out, err := s.Transform(context.Background(), []byte(`{"l":[1,2,3]}`))
				if err != nil || string(out) != `{"a":"1","l":[1,2,3],"n":"61,2,3"}` {
					t.Errorf("got %s, %v", out, err)
				}
			}
		})
	}
	wg.Wait()
}
