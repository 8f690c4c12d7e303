package hooks

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// unsaid is how long an API is left alone that does not say for how long.
	unsaid = time.Minute
	// longest bounds what an API may ask for.
	longest = 2 * time.Hour
)

// RateLimits tells whether a response refuses a request because of too many:
// 429, or 403 and 503 with headers that say so (Retry-After; X-RateLimit-* and
// RateLimit-* with nothing remaining). It is nil otherwise. Times that the API
// gives by its own clock are made ours by its Date. Until is within 2 hours.
func RateLimits(resp *http.Response) *Limited {
	h := resp.Header
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
	case http.StatusForbidden, http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" && !exhausted(h) {
			return nil
		}
	default:
		return nil
	}
	now := time.Now()
	theirs := now
	if d, err := http.ParseTime(h.Get("Date")); err == nil {
		theirs = d
	}
	wait := unsaid
	switch after, ok := retryAfter(h.Get("Retry-After"), theirs); {
	case ok:
		wait = after
	default:
		for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
			if reset, ok := resetAfter(h.Get(name), theirs); ok {
				wait = reset
				break
			}
		}
	}
	return &Limited{Until: now.Add(min(max(wait, time.Second), longest)), Cause: fmt.Errorf("status %s", resp.Status)}
}

// exhausted tells whether a quota says that nothing remains.
func exhausted(h http.Header) bool {
	for _, name := range []string{"X-RateLimit-Remaining", "RateLimit-Remaining"} {
		if v := strings.TrimSpace(h.Get(name)); v != "" {
			n, err := strconv.ParseFloat(v, 64)
			return err == nil && n <= 0
		}
	}
	return false
}

// retryAfter reads seconds or a date.
func retryAfter(v string, now time.Time) (time.Duration, bool) {
	if v == "" {
		return 0, false
	}
	if s, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && !math.IsNaN(s) {
		return seconds(s), true
	}
	at, err := http.ParseTime(v)
	return at.Sub(now), err == nil
}

// resetAfter reads seconds from now, a Unix time, or one in milliseconds: all are in use.
func resetAfter(v string, now time.Time) (time.Duration, bool) {
	s, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	switch {
	case err != nil || s < 0 || math.IsNaN(s):
		return 0, false
	case s > 1e11:
		s /= 1000
		fallthrough
	case s > 1e8:
		return seconds(s - float64(now.Unix())), true
	}
	return seconds(s), true
}

// seconds that do not overflow.
func seconds(s float64) time.Duration {
	if s >= longest.Seconds() {
		return longest
	}
	return time.Duration(max(s, 0) * float64(time.Second))
}
