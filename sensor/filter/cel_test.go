package filter_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/verdict"
)

func TestCEL(t *testing.T) {
	for _, c := range []struct {
		expr string
		want verdict.Outcome
	}{
		{`data.body.a == "x" && data.body.n == 5`, pass},
		{`data.body.n + 1 == 6 && data.body.n % 2 == 1`, pass},
		{`data.body.n > 4.5 && data.body.f < 2`, pass},
		{`data.body.f == 1.5`, pass},
		{`string(data.body.big) == "1234567"`, pass},
		{`data.body.huge == 12345678901234567890u`, pass},
		{`data.body.huge > data.body.big`, pass},
		{`data.body.nul == null`, pass},
		{`"p" in data.body.arr && data.body.arr[1] == "q" && size(data.body.arr) == 2`, pass},
		{`data.body.arr.exists(x, x.startsWith("q"))`, pass},
		{`data.body.obj.k == 1 && data.body["obj"]["k"] == 1`, pass},
		{`has(data.body.a) && !has(data.body.zz)`, pass},
		{`data.?body.?zz.orValue("d") == "d"`, pass},
		{`data.body.t`, pass},
		{`data.body.n`, fails},
		{`data.body.zz == 1`, fails},
		{`data.body.a > 5`, fails},
		{`data.body.a == 5`, reject},
		{`data.body.a == "y"`, reject},
		{`event.id == "id-1" && event.source == "webhook" && event.type == "webhook" && event.subject == "example"`, pass},
		{`event.datacontenttype == "application/json"`, pass},
		{`event.time == timestamp("2026-01-02T03:04:05.000000678Z") && event.time.getHours() == 3`, pass},
		{`event.time.getDayOfWeek("Europe/Berlin") == 5`, pass},
		{`event.extensions.traceparent == "00-abc" && "traceparent" in event.extensions`, pass},
		{`event.extensions.other == "x"`, fails},
		{`data.body.ref.matches("^refs/heads/")`, pass},
		{`data.body.ref.split("/").size() == 4`, pass},
		{`data.body.ref.glob("refs/heads/**")`, pass},
		{`data.body.ref.glob("refs/heads/*")`, reject},
		{`data.body.ref.glob("refs/*/release/?.x")`, pass},
		{`data.body.tag.semver(">= 1.4, < 2")`, pass},
		{`data.body.tag.semver("~1.3")`, reject},
		{`data.body.a.semver(">= 1")`, reject},
		{`data.body.tag.semver("what")`, fails},
		{`data.body.a.upperAscii() == "X" && "a,b".split(",") == ["a", "b"]`, pass},
		{`sets.contains(["p", "q", "r"], data.body.arr)`, pass},
		{`math.greatest(data.body.n, 3) == 5`, pass},
	} {
		t.Run(c.expr, func(t *testing.T) { check(t, "filters:\n  cel: |-\n    "+c.expr, payload, c.want) })
	}
}

func TestCELWithoutData(t *testing.T) {
	check(t, `filters: {cel: data == null}`, "", pass)
	check(t, `filters: {cel: 'event.type == "webhook"'}`, "no json", pass)
	check(t, `filters: {cel: 'event.type == "webhook" || data.a == 1'}`, "no json", pass)
	check(t, `filters: {cel: 'data.a == 1'}`, "no json", fails)
	check(t, `filters: {cel: 'data[0] == 1 && data.size() == 2'}`, "[1,2]", pass)
}

// Every one of these would take minutes or all memory there is.
func TestCELLimits(t *testing.T) {
	list := "[" + strings.Repeat("1,", 1000) + "1]"
	for _, c := range []struct{ name, expr string }{
		{"nested loops", `data.l.all(a, data.l.all(b, data.l.all(c, a + b + c > 0)))`},
		{"nested maps", `data.l.map(a, data.l.map(b, data.l.map(c, a))).size() > 0`},
		{"a long text", `data.l.map(a, data.s + data.s).join(data.s).size() > 0`},
		{"ranges", `lists.range(10000).all(a, lists.range(10000).all(b, a + b >= 0))`},
		{"a pattern over a long text in a loop", `data.l.all(a, data.l.all(b, data.s.matches("(x+x+)+y") == false))`},
		{"replace", `data.s.replace("x", data.s).replace("x", data.s).size() > 0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			clauses := check(t, "filters:\n  cel: |-\n    "+c.expr, `{"l":`+list+`,"s":"`+strings.Repeat("x", 10000)+`"}`, fails)
			t.Log(clauses[0].Err)
		})
	}
}

func TestCELStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	f := mustCompile(t, `filters: {cel: 'lists.range(5000).all(a, a >= 0)'}`)
	<-ctx.Done()
	if got, clauses := f.Eval(ctx, newEvent(payload)); got != fails {
		t.Errorf("got %s: %+v", got, clauses)
	}
}
