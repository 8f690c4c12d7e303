package lua

import (
	"sync"

	lua "github.com/yuin/gopher-lua"
)

// shared are the values of the libraries that states have in common. None of
// them can be changed by a script; the tables that hold them are made anew for
// each state.
type shared struct {
	base, str, tab, math, os, json map[string]lua.LValue

	strings *lua.LTable // a metatable of strings that nobody writes to
	concat  *lua.LFunction
	null    *lua.LUserData
}

var library = sync.OnceValue(func() *shared {
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for _, open := range []lua.LGFunction{lua.OpenBase, lua.OpenString, lua.OpenTable, lua.OpenMath, lua.OpenOs} {
		l.Push(l.NewFunction(open))
		l.Call(0, 0)
	}
	pick := func(from *lua.LTable, names ...string) map[string]lua.LValue {
		m := map[string]lua.LValue{}
		for _, n := range names {
			if v := from.RawGetString(n); v != lua.LNil {
				m[n] = v
			}
		}
		return m
	}
	table := func(name string) *lua.LTable { return l.GetGlobal(name).(*lua.LTable) }
	s := &shared{
		base: pick(table("_G"), "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget",
			"rawset", "select", "setmetatable", "tonumber", "tostring", "type", "unpack", "xpcall", "_VERSION"),
		str: pick(table("string"), "byte", "char", "len", "lower", "reverse", "sub", "upper"),
		tab: pick(table("table"), "getn", "insert", "maxn", "remove", "sort"),
		math: pick(table("math"), "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod",
			"frexp", "huge", "ldexp", "log", "log10", "max", "min", "mod", "modf", "pi", "pow", "rad", "random", "sin", "sinh",
			"sqrt", "tan", "tanh"),
		os:   pick(table("os"), "clock", "date", "difftime", "time"),
		null: l.NewUserData(),
	}
	mt := l.NewTable()
	mt.RawSetString("__tostring", l.NewFunction(func(l *lua.LState) int {
		l.Push(lua.LString("null"))
		return 1
	}))
	mt.RawSetString("__metatable", lua.LFalse)
	s.null.Metatable = mt
	nothing := l.NewFunction(func(*lua.LState) int { return 0 })
	for name, f := range map[string]lua.LGFunction{
		"find": find, "match": match, "gmatch": gmatch, "gfind": gmatch, "gsub": gsub, "rep": rep, "format": format,
	} {
		s.str[name] = l.NewFunction(f)
	}
	s.tab["concat"] = l.NewFunction(tableConcat)
	s.math["randomseed"] = nothing // the source of random numbers belongs to the whole process
	s.base["print"] = nothing
	s.base["collectgarbage"] = l.NewFunction(func(l *lua.LState) int {
		l.Push(lua.LNumber(0))
		return 1
	})
	s.concat = l.NewFunction(operatorConcat)
	s.json = map[string]lua.LValue{"null": s.null}
	s.strings = filled(l, s.str)
	s.strings.RawSetString("__index", s.strings)
	return s
})

// open gives a new state its globals. Most of a short run is the making of
// tables, so only what a script names is put there; names is nil for all of it.
func open(l *lua.LState, names map[string]bool) {
	s := library()
	g := l.G.Global
	for name, v := range s.base {
		if names == nil || names[name] {
			g.RawSetString(name, v)
		}
	}
	if names == nil {
		g.RawSetString("_G", g)
	}
	for _, t := range []struct {
		name string
		of   map[string]lua.LValue
	}{{"table", s.tab}, {"math", s.math}, {"os", s.os}, {"json", s.json}} {
		if names == nil || names[t.name] {
			g.RawSetString(t.name, filled(l, t.of))
		}
	}
	// The metatable of all strings is their library, as gopher-lua has it.
	// Scripts that could see or change it get one of their own.
	mt := s.strings
	if names == nil || names["string"] || names["getmetatable"] {
		mt = filled(l, s.str)
		mt.RawSetString("__index", mt)
		g.RawSetString("string", mt)
	}
	l.SetMetatable(lua.LString(""), mt)
}

func filled(l *lua.LState, with map[string]lua.LValue) *lua.LTable {
	t := l.CreateTable(0, len(with)+1)
	for name, v := range with {
		t.RawSetString(name, v)
	}
	return t
}
