package eventbus

import (
	"bytes"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
)

func example() *event.Event {
	e := event.New()
	e.SetID("3f1e6a1c-8f6b-4c4e-9d5e-0d3f6a2b1c77")
	e.SetType("webhook")
	e.SetSource("webhook")
	e.SetSubject("example")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC))
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.DataEncoded = []byte(`{"body":{"ref":"refs/heads/main"}}`)
	if err := e.Context.SetDataContentType(event.ApplicationJSON); err != nil {
		panic(err)
	}
	return &e
}

// wire passes headers through the client's own writing and reading of them.
func wire(t testing.TB, h nats.Header) nats.Header {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("NATS/1.0\r\n")
	for name, values := range h {
		for _, v := range values {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	b.WriteString("\r\n")
	back, err := nats.DecodeHeadersMsg(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestEventsComeBack(t *testing.T) {
	plain := func(change func(*event.Event)) *event.Event {
		e := example()
		change(e)
		return e
	}
	old := event.New(event.CloudEventsVersionV03)
	old.SetID("1")
	old.SetType("t")
	old.SetSource("s")
	old.SetDataSchema("https://example.com/schema")
	for name, e := range map[string]*event.Event{
		"usual":        example(),
		"no data":      plain(func(e *event.Event) { e.DataEncoded = nil }),
		"binary data":  plain(func(e *event.Event) { e.DataEncoded, e.DataBase64 = []byte{0, 255, 13, 10}, true }),
		"base64 text":  plain(func(e *event.Event) { e.DataBase64 = true }),
		"odd texts":    plain(func(e *event.Event) { e.SetSubject("a: \"b\"\r\n%41 größe") }),
		"schema":       plain(func(e *event.Event) { e.SetDataSchema("https://example.com/a?b=c#d") }),
		"odd source":   plain(func(e *event.Event) { e.SetSource("https://example.com/a b?x=%20") }),
		"empty ext":    plain(func(e *event.Event) { e.SetExtension("empty", "") }),
		"content type": plain(func(e *event.Event) { e.SetDataContentType("text/plain; charset=\"utf-8\"") }),
		"time zone":    plain(func(e *event.Event) { e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))) }),
		"version 0.3":  &old,
	} {
		t.Run(name, func(t *testing.T) {
			h, err := encode(e, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(wire(t, h.h), e.DataEncoded)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != e.String() || !bytes.Equal(got.DataEncoded, e.DataEncoded) || got.DataBase64 != e.DataBase64 {
				t.Fatalf("got\n%v\nwant\n%v", got, e)
			}
		})
	}
}

func TestForeignMessages(t *testing.T) {
	for _, c := range []struct {
		name, data string
		h          nats.Header
		ok         bool
	}{
		{"canonical names", "x", nats.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "CE-SOURCE": {"s"}, "ce-Type": {"t"}}, true},
		{"content-type header", "x", nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"s"}, "ce-type": {"t"}, "Content-Type": {"text/plain"}}, true},
		{"structured", `{"specversion":"1.0","id":"1","source":"s","type":"t","data":{}}`, nats.Header{"content-type": {"application/cloudevents+json"}}, true},
		{"structured, broken", `{"specversion":"1.0"`, nats.Header{"content-type": {"application/cloudevents+json"}}, false},
		{"nothing", "x", nil, false},
		{"no id", "", nats.Header{"ce-specversion": {"1.0"}, "ce-source": {"s"}, "ce-type": {"t"}}, false},
		{"unknown version", "", nats.Header{"ce-specversion": {"9"}, "ce-id": {"1"}, "ce-source": {"s"}, "ce-type": {"t"}}, false},
		{"bad time", "", nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"s"}, "ce-type": {"t"}, "ce-time": {"now"}}, false},
		{"no values", "", nats.Header{"ce-specversion": {}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := decode(c.h, []byte(c.data))
			if (err == nil) != c.ok {
				t.Fatalf("got %v, %v", e, err)
			}
			if err == nil && (e.ID() != "1" || e.Source() != "s" || e.Type() != "t") {
				t.Fatalf("got %v", e)
			}
		})
	}
}

func TestEventsThatCannotBeEncoded(t *testing.T) {
	noID := event.New()
	badName := example()
	badName.Context.(*event.EventContextV1).Extensions = map[string]any{"a: b": "x"}
	badValue := example()
	badValue.Context.(*event.EventContextV1).Extensions = map[string]any{"a": struct{}{}}
	for name, e := range map[string]*event.Event{"nil": nil, "empty": {}, "no id": &noID, "bad name": badName, "bad value": badValue} {
		if h, err := encode(e, 0); err == nil {
			t.Errorf("%s: encoded as %v", name, h.h)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("NATS/1.0\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: %2\r\nce-type: t\r\nce-x: y\r\n\r\n"), []byte("{}"))
	f.Add([]byte("NATS/1.0\r\ncontent-type: application/cloudevents+json\r\n\r\n"), []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`))
	f.Add([]byte("NATS/1.0\r\nce-specversion: 0.3\r\nce-id: 1\r\nce-source: s\r\nce-type: t\r\nce-datacontentencoding: base64\r\n\r\n"), []byte("eA=="))
	f.Fuzz(func(t *testing.T, header, data []byte) {
		h, err := nats.DecodeHeadersMsg(header)
		if err != nil {
			return
		}
		e, err := decode(h, data)
		if err != nil {
			return
		}
		// What can be read can be written and read again.
		again, err := encode(e, 0)
		if err != nil {
			return
		}
		back, err := decode(wire(t, again.h), e.DataEncoded)
		if err != nil || back.ID() != e.ID() || back.Type() != e.Type() || back.Subject() != e.Subject() {
			t.Fatalf("%v came back as %v, %v", e, back, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := example()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(e, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e := example()
	h, err := encode(e, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(h.h, e.DataEncoded); err != nil {
			b.Fatal(err)
		}
	}
}
