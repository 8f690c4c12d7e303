package ledger_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// load sends events to a webhook at a steady rate, each until it is accepted.
// Every try has an id of its own: one without an answer may have been stored,
// and does not count either way.
type load struct {
	url string
	// rate in events per second.
	rate int
	// padding makes the body larger, in bytes.
	padding int
	client  *http.Client

	mu       sync.Mutex
	accepted map[string]time.Time
	tried    map[string]bool
	refused  int
	statuses map[int]int
	// retryAfter is that of the last 503, and failure the last that was refused.
	retryAfter, failure string

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startLoad sends n events; with n 0, until finish is called.
func startLoad(t *testing.T, url string, rate, n int) *load {
	t.Helper()
	return (&load{url: url, rate: rate}).start(t, n)
}

func (l *load) start(t *testing.T, n int) *load {
	t.Helper()
	l.client = &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	}
	l.accepted, l.tried, l.statuses = map[string]time.Time{}, map[string]bool{}, map[int]int{}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	l.wg.Go(func() { l.run(ctx, n) })
	t.Cleanup(func() { cancel(); l.wg.Wait(); l.client.CloseIdleConnections() })
	return l
}

func (l *load) run(ctx context.Context, n int) {
	tick := time.NewTicker(time.Second / time.Duration(l.rate))
	defer tick.Stop()
	slots := make(chan struct{}, 256)
	for i := 0; n == 0 || i < n; i++ {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		l.wg.Go(func() { l.event(ctx, i); <-slots })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// event tries until one event is accepted, or the load is stopped.
func (l *load) event(ctx context.Context, i int) {
	for try := 0; ; try++ {
		if l.try(fmt.Sprintf("%d.%d", i, try)) {
			return
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
	}
}

// try is not cut off by finish: each request gets its answer.
func (l *load) try(id string) bool {
	l.mu.Lock()
	l.tried[id] = true
	l.mu.Unlock()
	body := fmt.Sprintf(`{"id":%q,"padding":%q}`, id, strings.Repeat("x", l.padding))
	resp, err := l.client.Post(l.url, "application/json", strings.NewReader(body)) //nolint:noctx // the client has a timeout
	if err != nil {
		l.refuse(0, "", err.Error())
		return false
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode/100 != 2 {
		l.refuse(resp.StatusCode, resp.Header.Get("Retry-After"), fmt.Sprintf("%s: %s", resp.Status, answer))
		return false
	}
	l.accept(id)
	return true
}

func (l *load) accept(id string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried[id] = true
	l.accepted[id] = now
}

func (l *load) refuse(status int, retryAfter, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
	l.statuses[status]++
	l.failure = why
	if status == http.StatusServiceUnavailable {
		l.retryAfter = retryAfter
	}
}

// count is how many events have been accepted.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

func (l *load) status(code int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statuses[code]
}

// finish stops sending and waits for the answers that are due.
func (l *load) finish() {
	l.cancel()
	l.wg.Wait()
}

// done waits until all n events have been accepted.
func (l *load) done(t *testing.T, timeout time.Duration) {
	t.Helper()
	ended := make(chan struct{})
	go func() { l.wg.Wait(); close(ended) }()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		l.cancel()
		<-ended
		t.Fatalf("senders not done after %s; %d accepted, last refusal: %s", timeout, l.count(), l.failure)
	}
}
