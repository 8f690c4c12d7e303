package hooks

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"io"
	"net/http"
	"sync"
)

const (
	defaultCache = 4 << 20
	// largestAnswer is what is kept of one answer at most.
	largestAnswer = 1 << 20
)

// Cache asks with the ETag of the answer before, and gives that answer again
// where the other side says that it still holds: such requests cost nothing of a
// quota. The other side is asked each time. The zero value is ready for use, by
// many goroutines.
type Cache struct {
	// Base sends the requests; http.DefaultTransport if nil.
	Base http.RoundTripper
	// Max bounds the answers that are kept, in bytes; 4 MiB if zero.
	Max int

	mu      sync.Mutex
	size    int
	order   list.List // of *answer, the one used last in front
	entries map[[32]byte]*list.Element
}

type answer struct {
	key  [32]byte
	etag string
	head http.Header
	body []byte
}

// RoundTrip implements http.RoundTripper.
func (c *Cache) RoundTrip(req *http.Request) (*http.Response, error) {
	base := c.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if req.Method != http.MethodGet || req.Header.Get("If-None-Match") != "" || req.Header.Get("Range") != "" {
		return base.RoundTrip(req)
	}
	key := keyOf(req)
	known := c.find(key)
	if known != nil {
		req = req.Clone(req.Context())
		req.Header.Set("If-None-Match", known.etag)
	}
	resp, err := base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && known != nil:
		return again(resp, known), nil
	case resp.StatusCode == http.StatusOK && resp.Header.Get("ETag") != "":
		return c.keep(key, resp)
	}
	return resp, nil
}

// keyOf tells requests apart that have different answers: who asks, and for which form.
func keyOf(req *http.Request) [32]byte {
	h := sha256.New()
	parts := []string{req.URL.String()}
	for _, name := range []string{"Authorization", "Private-Token", "Accept", "Accept-Encoding"} {
		parts = append(parts, req.Header.Get(name))
	}
	for _, p := range parts {
		_, _ = io.WriteString(h, p)
		h.Write([]byte{0})
	}
	return [32]byte(h.Sum(nil))
}

func (c *Cache) find(key [32]byte) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*answer)
}

// again is the answer known before, with what the new head says of limits.
func again(resp *http.Response, known *answer) *http.Response {
	_ = resp.Body.Close()
	head := known.head.Clone()
	for name, values := range resp.Header {
		if name != "Content-Length" && name != "Content-Encoding" && name != "Content-Type" {
			head[name] = values
		}
	}
	resp.Status, resp.StatusCode, resp.Header = "200 OK", http.StatusOK, head
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(known.body)), int64(len(known.body))
	return resp
}

// keep reads an answer and keeps it, unless it is large.
func (c *Cache) keep(key [32]byte, resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer+1))
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if len(body) > largestAnswer {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
		return resp, nil
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	c.store(&answer{key: key, etag: resp.Header.Get("ETag"), head: resp.Header.Clone(), body: body})
	return resp, nil
}

func (c *Cache) store(a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[[32]byte]*list.Element{}
	}
	if old := c.entries[a.key]; old != nil {
		c.drop(old)
	}
	c.entries[a.key] = c.order.PushFront(a)
	c.size += a.cost()
	limit := c.Max
	if limit <= 0 {
		limit = defaultCache
	}
	for c.size > limit && c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
}

func (c *Cache) drop(e *list.Element) {
	a := c.order.Remove(e).(*answer)
	delete(c.entries, a.key)
	c.size -= a.cost()
}

// cost counts the head roughly.
func (a *answer) cost() int { return len(a.body) + 2048 }
