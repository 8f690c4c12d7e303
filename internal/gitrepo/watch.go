package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxListing bounds the list of refs, in bytes.
	maxListing = 128 << 20
	// longestPause bounds what a server may ask for.
	longestPause = time.Hour
)

// refused is an error of a server that does not hand out what is wanted.
type refused struct{ text string }

func (r *refused) Error() string { return "the server says: " + r.text }

// watch sees in a server's answers what the protocol's library passes over.
type watch struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w watch) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		if pause, ok := retryAfter(resp.Header, time.Now()); ok {
			_ = resp.Body.Close()
			return nil, &Later{Until: time.Now().Add(pause), Status: resp.Status}
		}
		resp.Body = cut{io.LimitReader(resp.Body, 1<<10), resp.Body}
	case resp.StatusCode >= 300:
		resp.Body = cut{io.LimitReader(resp.Body, 1<<10), resp.Body}
	case r.Method == http.MethodPost:
		body, err := sayings(resp.Body)
		if err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
		resp.Body = cut{body, resp.Body}
	default:
		resp.Body = cut{&bounded{r: resp.Body, left: maxListing, err: errors.New("the list of refs is too long")}, resp.Body}
	}
	return resp, nil
}

// cut reads from one and closes the other.
type cut struct {
	io.Reader
	io.Closer
}

// sayings looks whether a server answers with an error line, "ERR text", where a
// pack should begin.
func sayings(r io.Reader) (io.Reader, error) {
	head := make([]byte, 8)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n < 8 || string(head[4:]) != "ERR " {
		return io.MultiReader(bytes.NewReader(head[:n]), r), nil
	}
	length, err := strconv.ParseUint(string(head[:4]), 16, 16)
	if err != nil || length < 8 {
		return nil, &refused{"?"}
	}
	text, err := io.ReadAll(io.LimitReader(r, min(int64(length)-8, 1<<10)))
	if err != nil {
		return nil, err
	}
	return nil, &refused{string(bytes.TrimSpace(text))}
}

func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if v == "" {
		return 0, false
	}
	var d time.Duration
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(n, 0), int(longestPause/time.Second))) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	} else {
		return 0, false
	}
	return min(max(d, 0), longestPause), true
}

// bounded fails with err after a number of bytes.
type bounded struct {
	r    io.Reader
	left int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// ErrTooLarge is what errors wrap if more would have to be fetched than is allowed.
var ErrTooLarge = fmt.Errorf("more than %d MiB would have to be fetched", maxPack>>20)
