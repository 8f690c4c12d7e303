package githost

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSplit(t *testing.T) {
	const body = ` { "b" : {"c":[9]} , "a" : { "c":[ {"x":"]"} , null,[1, 2] ] ,"d":1e5 } }`
	p, ok, err := Split([]byte(body), "a", "c")
	if !ok || err != nil || len(p.Items) != 3 {
		t.Fatal(p, ok, err)
	}
	for _, tt := range []struct {
		items []int
		want  string
	}{
		{[]int{0}, ` { "b" : {"c":[9]} , "a" : { "c":[{"x":"]"}] ,"d":1e5 } }`},
		{[]int{1, 2}, ` { "b" : {"c":[9]} , "a" : { "c":[null,[1, 2]] ,"d":1e5 } }`},
		{nil, ` { "b" : {"c":[9]} , "a" : { "c":[] ,"d":1e5 } }`},
	} {
		if got := string(p.With(tt.items...)); got != tt.want {
			t.Errorf("%v: %s", tt.items, got)
		}
	}
	for _, none := range []string{`{}`, `[]`, `null`, `{"a":[]}`, `{"a":{"c":{}}}`, `{"a":{"c":"[]"}}`, `{"a":null}`, `{"a":{"b":{"c":[]}}}`, ``, `{"a":{"c":[1`} {
		if _, ok, err := Split([]byte(none), "a", "c"); ok || err != nil {
			t.Errorf("%s: %v, %v", none, ok, err)
		}
	}
	for name, much := range map[string]string{
		"items": `{"a":{"c":[` + strings.Repeat("1,", maxRefs) + `1]}}`,
		"bytes": `{"x":"` + strings.Repeat("x", 1<<20) + `","a":{"c":[` + strings.Repeat("1,", 100) + `1]}}`,
	} {
		var own *ingress.Error
		if _, _, err := Split([]byte(much), "a", "c"); !errors.As(err, &own) || own.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestList(t *testing.T) {
	for text, want := range map[string]struct {
		n   int
		cut bool
	}{
		`[{"a":1},null,{"a":"x"},5,{"a":2}]`: {5, false},
		`{}`:                                 {0, false},
		`null`:                               {0, false},
		`"[]"`:                               {0, false},
		`[` + strings.Repeat("{},", maxItems) + `{}]`:          {maxItems, true},
		`[` + strings.Repeat("{},", maxItems-1) + `{"a":1e9}]`: {maxItems, false},
	} {
		var v struct {
			L    List[struct{ A int }]
			Next int
		}
		if err := json.Unmarshal([]byte(`{"l":`+text+`,"next":7}`), &v); err != nil || v.Next != 7 {
			t.Errorf("%.40s: %v", text, err)
		}
		if len(v.L.Items) != want.n || v.L.Cut != want.cut {
			t.Errorf("%.40s: %d %v", text, len(v.L.Items), v.L.Cut)
		}
	}
}

func TestID(t *testing.T) {
	if got := ID(nil, "", strings.Repeat("x", maxID+1), "\xff", "good"); got != "good" {
		t.Error(got)
	}
	if a, b := ID([]byte("a"), ""), ID([]byte("b")); a == b || len(a) != 64 || a != ID([]byte("a")) {
		t.Error(a, b)
	}
}

func TestEscape(t *testing.T) {
	if got := Escape("My Team", "a/b", "..", "~u", "{x}"); got != "/My%20Team/a%2Fb/%2E%2E/~u/%7Bx%7D" {
		t.Error(got)
	}
}

func newAPI(t *testing.T, answer http.HandlerFunc) *API {
	s := httptest.NewServer(answer)
	a := &API{Base: s.URL + "/api", Clients: Clients(secret.Objects{}), Authorize: func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer x")
		return nil
	}}
	t.Cleanup(func() { a.Clients.Close(); s.Close() })
	return a
}

func TestCall(t *testing.T) {
	var seen []string
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+r.Header.Get("If-None-Match"))
		switch r.URL.Path {
		case "/api/ok":
			if r.Header.Get("If-None-Match") == `"1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("ETag", `"1"`)
			_, _ = w.Write([]byte(`{"a":1}`))
		case "/api/guarded":
			_, _ = w.Write([]byte(")]}'\n{\"a\":2}"))
		case "/api/moved":
			http.Redirect(w, r, "/api/ok", http.StatusMovedPermanently)
		case "/api/html":
			_, _ = w.Write([]byte("<html>"))
		case "/api/busy":
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/api/large":
			_, _ = w.Write([]byte(`"` + strings.Repeat("x", answerSize) + `"`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"errors":[{"message":"no such thing"}]}`))
		}
	})
	a.Guard = ")]}'"
	for _, tt := range []struct {
		method, path string
		want         int
		err          string
	}{
		{"GET", "/ok", 1, ""},
		{"GET", "/ok", 1, ""}, // from the cache
		{"GET", a.Base + "/ok", 1, ""},
		{"GET", "/guarded", 2, ""},
		{"GET", "/moved", 1, ""},
		{"POST", "/moved", 0, "301"},
		{"GET", "/html", 0, "not the JSON"},
		{"GET", "/large", 0, "larger"},
		{"GET", "/none", 0, "404 Not Found: no such thing"},
		{"GET", "http://elsewhere.invalid/x", 0, "another host"},
	} {
		var out struct{ A int }
		_, err := a.Call(t.Context(), tt.method, tt.path, nil, &out)
		if out.A != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s %s: %+v, %v", tt.method, tt.path, out, err)
		}
	}
	if want := `GET /api/ok Bearer x "1"`; len(seen) < 2 || seen[1] != want {
		t.Errorf("%v", seen)
	}
	var limited *hooks.Limited
	if _, err := a.Call(t.Context(), "GET", "/busy", nil, nil); !errors.As(err, &limited) {
		t.Error(err)
	}
	_, err := a.Call(t.Context(), "GET", "/none", nil, nil)
	if !IsGone(err) || IsGone(limited) {
		t.Error(err)
	}
}

func TestSaid(t *testing.T) {
	got := map[string]string{}
	want := map[string]string{
		`{"message":"a"}`: "a", `{"error":{"message":"b"}}`: "b", `{"errors":[{"message":"c"}]}`: "c",
		`{"errors":{"x":1},"message":"d"}`: "d", `{"error":"x"}`: "", `[]`: "", `nonsense`: "",
	}
	for body := range want {
		got[body] = said([]byte(body))
	}
	if !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	if got := said([]byte(`{"message":"` + strings.Repeat("ä", 1000) + `"}`)); len(got) > longestText+3 || !strings.HasSuffix(got, "ä...") {
		t.Error(got)
	}
}
