package lua

import (
	"fmt"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// The values on the right are those of Lua 5.1.
func TestLibrary(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`("abc"):upper()`, "ABC"},
		{`("x"):rep(3)`, "xxx"},
		{`("x"):rep(0)`, ""},
		{`("x"):rep(-1)`, ""},
		{`#("x"):rep(3)`, "3"},
		{`1 .. 2`, "12"},
		{`"a" .. 1.5 .. "b"`, "a1.5b"},
		{`"a" .. (function() return "b", "c" end)()`, "ab"},
		{`select("#", (function() return 1, 2 end)())`, "2"},
		{`select("#", ((function() return 1, 2 end)()))`, "1"},
		{`setmetatable({}, {__concat = function(a, b) return "m" .. tostring(b) end}) .. "x"`, "mx"},
		{`"x" .. setmetatable({}, {__concat = function(a, b) return b .. "m" end}) .. "y"`, "xym"},
		{`(function(s) s = s .. "a" return s end)("q")`, "qa"},
		{`(function(a, s) s = a and s .. "a" or s return s end)(true, "q")`, "qa"},
		{`(function(s) local t s, t = s .. "a", 1 return s end)("q")`, "qa"},
		{`(function(...) local a, b = ... return a .. b end)("x", "y")`, "xy"},
		{`(function(a, ...) a = a .. select(1, ...) return a end)("x", "y")`, "xy"},
		{`(function() local o = {v = "v"} function o:m() return self.v .. "m" end return o:m() end)()`, "vm"},
		{`(function() local s = "" for i = 1, 120 do s = s .. i .. "," end return #s end)()`, "372"},
		{`("hello world"):find("wor")`, "7"},
		{`("hello world"):find("o", 6)`, "8"},
		{`("hello"):find("l", -2)`, "4"},
		{`("hello"):find("", 10)`, "nil"},
		{`("hello"):find("")`, "1"},
		{`("a.b"):find(".", 1, true)`, "2"},
		{`("hello"):match("^(h)(.-)o$")`, "h"},
		{`("hello"):match("l+")`, "ll"},
		{`("hello"):match("x")`, "nil"},
		{`("hello"):match("()ll()")`, "3"},
		{`("key = value"):match("^(%w+)%s*=%s*(%w+)$")`, "key"},
		{`("  trim "):match("^%s*(.-)%s*$")`, "trim"},
		{`("2026-11-21"):match("%d+%-(%d+)")`, "11"},
		{`("f(a(b)c)d"):match("%b()")`, "(a(b)c)"},
		{`("THE (quick) fox"):find("%((%a+)%)")`, "5"},
		{`("hello hello"):match("(h%a+) %1")`, "hello"},
		{`("THE (quick) fox"):gsub("%f[%a]%a+", "w")`, "w (w) w"},
		{`("hello"):gsub("l", "L")`, "heLLo"},
		{`("hello"):gsub("l", "L", 1)`, "heLlo"},
		{`("hello"):gsub("", "-")`, "-h-e-l-l-o-"},
		{`("hello"):gsub("l*", "x")`, "xhxexxox"},
		{`("abc"):gsub("%w", "%0%0")`, "aabbcc"},
		{`("hello world"):gsub("(%w+) (%w+)", "%2 %1")`, "world hello"},
		{`("abc"):gsub("b", {b = "B"})`, "aBc"},
		{`("abc"):gsub("b", {b = false})`, "abc"},
		{`("abc"):gsub("%w", function(c) if c == "b" then return "B" end end)`, "aBc"},
		{`("abc"):gsub("^a", "x")`, "xbc"},
		{`("aaa"):gsub("^a", "x")`, "xaa"},
		{`select(2, ("hello"):gsub("l", "L"))`, "2"},
		{`("a%b"):gsub("%%", "percent")`, "apercentb"},
		{`("x]y"):match("[]]")`, "]"},
		{`("x^y"):match("[x^]+")`, "x^"},
		{`("x-y"):match("[a%-x]+")`, "x-"},
		{`("abc123"):match("[a-c]+")`, "abc"},
		{`("abc123"):match("[^a-c]+")`, "123"},
		{`("0x1F"):match("%x+", 3)`, "1F"},
		{`("a\0b"):match("%z") == "\0"`, "true"},
		{`("aXb"):match("%u")`, "X"},
		{`("aXb"):match("%U+")`, "a"},
		{`("colour"):match("colou?r")`, "colour"},
		{`("color"):match("colou?r")`, "color"},
		{`("[[x]]"):match("%[%[(.-)%]%]")`, "x"},
		{`("a$"):match("a$")`, "nil"},
		{`("a$b"):match("a$b")`, "a$b"},
		{`string.format("%5.2f|%-5s|%05d|%+d", 3.14159, "ab", 42, 7)`, " 3.14|ab   |00042|+7"},
		{`string.format("%d%%", 50)`, "50%"},
		{`string.format("%x %X %o %c %e %g", 255, 255, 8, 65, 12345.678, 0.0001)`, "ff FF 10 A 1.234568e+04 0.0001"},
		{`string.format("%q", 'a "b"\n')`, "\"a \\\"b\\\"\\\n\""},
		{`string.format("%s %s %s", nil, true, {} ~= nil)`, "nil true true"},
		{`string.format("%.3s", "abcdef")`, "abc"},
		{`string.format("%5s", 1)`, "    1"},
		{`string.format("%i", 3.7)`, "3"},
		{`string.format("%g", 1e20)`, "1e+20"},
		{`table.concat({1, 2, "x"}, ", ")`, "1, 2, x"},
		{`table.concat({1, 2, 3}, "-", 2)`, "2-3"},
		{`table.concat({1, 2, 3}, "-", 2, 2)`, "2"},
		{`table.concat({})`, ""},
		{`#table.concat({("x"):rep(10)}, "y")`, "10"},
		{`(function() local t = {3, 1, 2} table.sort(t) return t[1] .. t[2] .. t[3] end)()`, "123"},
		{`math.floor(3.7) + math.max(1, 2) + math.abs(-1)`, "6"},
		{`os.time({year = 2026, month = 1, day = 2, hour = 12}) > 0`, "true"},
		{`os.date("!%Y-%m-%d", 0)`, "1970-01-01"},
		{`type(os.clock())`, "number"},
		{`tonumber("0x10") + tonumber("7", 8)`, "23"},
		{`select(2, pcall(error, "x", 0))`, "x"},
		{`collectgarbage("count")`, "0"},
		{`_VERSION`, "Lua 5.1"},
	} {
		t.Run(c.expr, func(t *testing.T) {
			got, err := transform(t, `local v = `+c.expr+` return {v = tostring(v)}`, `{}`)
			if want := `{"v":` + string(appendString(nil, c.want)) + `}`; err != nil || got != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		})
	}
}

func TestLibraryErrors(t *testing.T) {
	for _, expr := range []string{
		`("x"):find("[a")`, `("x"):find("%")`, `("x"):find("(x")`, `("x"):match("x)")`, `("x"):find("%1")`, `("x"):find("%b(")`, `("x"):find("%fx")`,
		`("x"):gsub("x", "%2")`, `("x"):gsub("x", nil)`, `("x"):gsub("x", function() return {} end)`, `("x"):rep(40):find(("(x)"):rep(33))`,
		`string.format("%y", 1)`, `string.format("%d", "x")`, `string.format("%")`, `string.format("%d")`, `string.format("%123d", 1)`,
		`string.rep()`, `table.concat({{}})`, `table.concat({1}, "", 1, 5)`, `{} .. "x"`, `nil .. "x"`, `string.format("%-+ #0-d", 1)`,
	} {
		t.Run(expr, func(t *testing.T) {
			if got, err := transform(t, `return {`+expr+`}`, `{}`); err == nil {
				t.Errorf("got %s, want an error", got)
			} else if len(err.Error()) > 200 {
				t.Errorf("a long error: %v", err)
			}
		})
	}
}

// Our pattern functions and gopher-lua's agree wherever both have an answer.
func TestPatternsAgree(t *testing.T) {
	texts := []string{"", "a", "hello world", "aaab", "a.b.c", "k1=v1,k2=v2", "  x  ", "(a(b))", "[x]", "12:34:56", "ÄÖ"}
	pats := []string{"a", ".", "a*", "a+b", "a-b", "l+", "(%w+)=(%w+)", "^%s*(.-)%s*$", "%b()", "[^,]+", "%d+:(%d+)", "[%w_]+$", "()a()", "%.", "x?", "^a", "b$", "[a-c]*"}
	l := lua.NewState()
	defer l.Close()
	for _, s := range texts {
		for _, p := range pats {
			expr := fmt.Sprintf("table.concat({tostring((string.find(%[1]q, %[2]q))), tostring((string.match(%[1]q, %[2]q))), (string.gsub(%[1]q, %[2]q, '<%%0>'))}, '|')", s, p)
			if err := l.DoString("R = " + expr); err != nil {
				t.Fatal(err)
			}
			got, err := transform(t, `return {`+expr+`}`, `{}`)
			if want := "[" + string(appendString(nil, l.GetGlobal("R").String())) + "]"; err != nil || got != want {
				t.Errorf("%q %q: got %s, %v; want %s", s, p, got, err, want)
			}
		}
	}
}
