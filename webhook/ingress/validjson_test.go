package ingress

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

var jsonTexts = []string{
	``, ` `, `1`, ` 1 `, `-0`, `01`, `1.`, `.5`, `1.5e+3`, `1e`, `1E-`, `-`, `+1`, `1 2`, `"`, `""`, `"a"`, `"\u00e4\n\/"`, `"\u00g0"`, `"\u12`, `"\x"`, `"\`,
	"\"\t\"", "\"\x00\"", "\"ä\"", "\"\xff\"", "\xff", "1\x00", "\x00", "[1]\x00", `true`, `tru`, `truex`, `false`, `null`, `nul`, `None`, `[]`, `[ ]`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`,
	`[`, `]`, `[}`, `{]`, `{}`, `{ }`, `{"a":1}`, `{"a":1,}`, `{"a" : [ {"b" : null} , 2 ] , "c":"d"}`, `{a:1}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{,}`, `{"a":1}}`, `[[]]`, `[{}]`, `[[[`, `{"a":{}}`, `[1]]`,
	"[\u00a01]", "\ufeff1", `"\ud800"`, `{"a":1,1}`, `[1,"a":2]`, `{"a":1,"b"}`,
	strings.Repeat("[", 10000) + strings.Repeat("]", 10000), strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
	strings.Repeat(`{"a":`, 9999) + `{}` + strings.Repeat("}", 9999), strings.Repeat(`{"a":`, 10000) + `{}` + strings.Repeat("}", 10000),
}

func TestValidJSON(t *testing.T) {
	for _, text := range jsonTexts {
		b := []byte(text)
		if want := json.Valid(b) && utf8.Valid(b); ValidJSON(b) != want {
			t.Errorf("%.40q: %v, want %v", text, !want, want)
		}
	}
}

func FuzzValidJSON(f *testing.F) {
	for _, text := range jsonTexts[:len(jsonTexts)-4] {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if want := json.Valid(b) && utf8.Valid(b); ValidJSON(b) != want {
			t.Errorf("%q: %v, want %v", b, !want, want)
		}
	})
}

func BenchmarkValidJSON(b *testing.B) {
	text := []byte(`{"commits":[` + strings.Repeat(`{"id":"0123456789abcdef","n":12.5,"message":"a message of some words","tags":[true,null]},`, 100) + `{}]}`)
	for name, valid := range map[string]func([]byte) bool{"ours": ValidJSON, "encoding": json.Valid} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if !valid(text) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
