// Package hosttest is for the tests of the kinds of Git hosts: it sends requests,
// reads the samples beside this repository, and plays a host's API.
package hosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// Secret is what the samples are signed with.
const Secret = "s3cr3t"

// Sample is one request of a sender.
type Sample struct {
	File   string
	Header http.Header
	Body   []byte
}

// Samples are those of a vendor, by their files. The test is skipped if they are not there.
func Samples(t testing.TB, vendor string) []Sample {
	t.Helper()
	dir := find(filepath.Join("shared", "fixtures", "webhooks", vendor))
	if dir == "" {
		t.Skip("the samples are not beside this repository")
	}
	text, err := os.ReadFile(filepath.Join(dir, "headers.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var all []Sample
	for line := range strings.Lines(string(text)) {
		col := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(col) != 3 || col[0] == "file" {
			continue
		}
		i := slices.IndexFunc(all, func(s Sample) bool { return s.File == col[0] })
		if i < 0 {
			body, err := os.ReadFile(filepath.Join(dir, col[0]))
			if err != nil {
				t.Fatal(err)
			}
			i, all = len(all), append(all, Sample{File: col[0], Header: http.Header{}, Body: body})
		}
		all[i].Header.Add(col[1], col[2])
	}
	return all
}

// find looks for a path beside any of the folders above.
func find(path string) string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		if _, err := os.Stat(filepath.Join(dir, path)); err == nil {
			return filepath.Join(dir, path)
		}
	}
	return ""
}

// Send posts body and returns the answer.
func Send(t testing.TB, url string, header http.Header, body []byte) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(b))
}

// Data is what an event of a Git host has.
type Data struct {
	Headers  map[string][]string `json:"headers"`
	Body     json.RawMessage     `json:"body"`
	Git      *gitevent.Event     `json:"git"`
	Metadata map[string]string   `json:"metadata"`
}

// Read decodes an event's data, which has to have the block git.
func Read(t testing.TB, e eventsource.Event) Data {
	t.Helper()
	var d Data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		t.Fatalf("%v: %s", err, e.Data)
	}
	if d.Git == nil || len(d.Body) == 0 {
		t.Fatalf("no git, or no body: %s", e.Data)
	}
	return d
}

// Text writes a block as one line for each of its members that is not empty,
// "key: value", in the order of the keys; objects are written as keys with dots.
func Text(t testing.TB, e *gitevent.Event) string {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	var lines []string
	flatten("", v, &lines)
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func flatten(key string, v any, lines *[]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, w := range v {
			flatten(strings.TrimPrefix(key+"."+k, "."), w, lines)
		}
	case []any:
		for i, w := range v {
			flatten(fmt.Sprintf("%s[%d]", key, i), w, lines)
		}
	case nil, bool:
		if v != nil && v != false {
			*lines = append(*lines, fmt.Sprintf("%s: %v", key, v))
		}
	case float64:
		*lines = append(*lines, fmt.Sprintf("%s: %.0f", key, v))
	case string:
		if v != "" {
			*lines = append(*lines, fmt.Sprintf("%s: %q", key, v))
		}
	}
}

// Call is a request that a Host was sent.
type Call struct {
	Method, Path, Body string
	Header             http.Header
}

// Host plays a vendor's API and remembers what it was asked.
type Host struct {
	*httptest.Server
	mu    sync.Mutex
	calls []Call
}

// NewHost serves with answer, which gets the request's body and may be called by
// many goroutines.
func NewHost(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, body string)) *Host {
	h := &Host{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		h.calls = append(h.calls, Call{r.Method, r.URL.RequestURI(), string(b), r.Header.Clone()})
		h.mu.Unlock()
		answer(w, r, string(b))
	}))
	t.Cleanup(h.Close)
	return h
}

// Calls are the requests so far.
func (h *Host) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// JSON answers a value.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
