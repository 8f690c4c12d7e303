package resource

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

func TestChanged(t *testing.T) {
	p := newPlace(t)
	p.create(t, "a", "1")
	const more = "changed: [data.v, 'metadata.labels.x']"
	r := p.start(t, more)
	p.patch(t, "a", `{"data":{"other":"1"}}`)
	p.set(t, "a", "2")
	p.patch(t, "a", `{"metadata":{"labels":{"y":"1"}}}`)
	p.patch(t, "a", `{"metadata":{"labels":{"x":"1"}}}`)
	p.expect(t, r, "ADD a 1", "UPDATE a 1>2", "UPDATE a 2>2")
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	p.patch(t, "a", `{"data":{"other":"2"}}`)
	p.create(t, "b", "1")
	p.forget(t)
	r = p.start(t, more)
	p.expect(t, r, "ADD b 1")
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	p.set(t, "a", "3")
	p.patch(t, "a", `{"data":{"other":"3"}}`)
	p.forget(t)
	r = p.start(t, more)
	p.expect(t, r, "UPDATE a 3")
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	// Other paths than before: nothing is known of them, and nothing happens.
	config := p.recorded().Config
	r = p.start(t, "changed: [data.other]")
	sourcetest.Eventually(t, "the new paths to be looked at", func() bool { return p.recorded().Config != config })
	p.set(t, "a", "4")
	p.patch(t, "a", `{"data":{"other":"4"}}`)
	p.expect(t, r, "UPDATE a 4>4")
}

func TestFilters(t *testing.T) {
	for name, tc := range map[string]struct{ filter, want string }{
		"prefix":           {"prefix: a", "a1 a2"},
		"label":            {"labels: [{key: l, value: x}]", "a1"},
		"label !=":         {"labels: [{key: l, operation: '!=', value: x}]", "a2 b1 b2"},
		"label in":         {"labels: [{key: l, operation: in, value: 'x, why'}]", "a1 b1"},
		"label notin":      {"labels: [{key: l, operation: notin, value: 'x,why'}]", "a2 b2"},
		"label exists":     {"labels: [{key: l, operation: exists}]", "a1 b1"},
		"label !":          {"labels: [{key: l, operation: '!'}]", "a2 b2"},
		"label gt":         {"labels: [{key: num, operation: gt, value: '3'}]", "b2"},
		"field":            {"fields: [{key: data.v, value: one}]", "a1"},
		"field =":          {"fields: [{key: data.v, operation: '=', value: ^(one|two)$}]", "a1 a2"},
		"field !=":         {"fields: [{key: data.v, operation: '!=', value: one}]", "a2 b1"},
		"field of a bool":  {"fields: [{key: immutable, value: 'true'}]", "a2"},
		"field by bracket": {`fields: [{key: 'metadata.managedFields.#(operation=="Update").apiVersion', value: v1}, {key: metadata.name, value: "2$"}]`, "a2 b2"},
		"all hold":         {"prefix: b\n  labels: [{key: l, value: why}]\n  fields: [{key: data.v, value: three}]", "b1"},
		"createdBy past":   {"createdBy: 2020-01-01T00:00:00Z", ""},
		"createdBy future": {"createdBy: 2100-01-01T00:00:00Z", "a1 a2 b1 b2"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.create(t, "a1", "one", "l=x")
			p.create(t, "a2", "two")
			p.patch(t, "a2", `{"immutable":true}`)
			p.create(t, "b1", "three", "l=why")
			p.create(t, "b2", "", "num=4")
			p.patch(t, "b2", `{"data":null}`)
			r := p.start(t, "filter:\n  "+tc.filter)
			sourcetest.Eventually(t, "the events", func() bool { return len(r.Stored()) >= len(strings.Fields(tc.want)) })
			got := map[string]bool{}
			for _, e := range r.Stored() {
				got[decode(t, e).Body.Name] = true
			}
			for _, name := range strings.Fields(tc.want) {
				if !got[name] {
					t.Errorf("%s is missing", name)
				}
				delete(got, name)
			}
			if len(got) > 0 {
				t.Errorf("these should not pass: %v", got)
			}
		})
	}
}

func TestLabelsComeAndGo(t *testing.T) {
	p := newPlace(t)
	r := p.start(t, "filter: {labels: [{key: l, value: x}]}")
	p.create(t, "a", "1")
	for range 2 {
		p.patch(t, "a", `{"metadata":{"labels":{"l":"x"}}}`)
		p.patch(t, "a", `{"metadata":{"labels":{"l":"y"}}}`)
	}
	for _, want := range []string{"ADD a 1", "DELETE a 1", "ADD a 1", "DELETE a 1"} {
		if got := line(t, r.Next(t)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestManyObjects(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	p := newPlace(t)
	const many = 2000
	create := func(from, to int) {
		work := make(chan int)
		done := make(chan error)
		for range 16 {
			go func() {
				var err error
				for i := range work {
					m := fmt.Sprintf("m%04d", i)
					if _, e := p.maps.Create(t.Context(), configMap(m), metav1.CreateOptions{}); e != nil {
						err = e
					}
				}
				done <- err
			}()
		}
		for i := from; i < to; i++ {
			work <- i
		}
		close(work)
		for range 16 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	create(0, many/2)
	r := p.start(t, "")
	create(many/2, many)
	sourcetest.Eventually(t, "an event for each", func() bool { return len(r.Stored()) == many })
	if err := r.Stop(t); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, v := range p.env.Memory.All() {
		size += len(v)
	}
	t.Logf("%d bytes of state for %d objects", size, many)
	if size > many*100 {
		t.Errorf("%d bytes of state for %d objects", size, many)
	}
	p.delete(t, "m0000")
	p.forget(t)
	began := time.Now()
	r = p.start(t, "")
	p.expect(t, r, "DELETE m0000")
	t.Logf("compared in %s", time.Since(began))
}
