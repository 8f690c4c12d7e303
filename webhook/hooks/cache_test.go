package hooks

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCache(t *testing.T) {
	asked := map[string]int{}
	version := 1
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		etag := fmt.Sprintf("%q", fmt.Sprint(version, r.Header.Get("Authorization")))
		if r.URL.Path != "/plain" {
			w.Header().Set("ETag", etag)
		}
		w.Header().Set("X-RateLimit-Remaining", fmt.Sprint(100-len(asked)))
		w.Header().Set("Link", "<next>")
		if r.Header.Get("If-None-Match") == etag {
			asked["same"]++
			w.Header().Del("Link")
			w.WriteHeader(http.StatusNotModified)
			return
		}
		asked["new"]++
		size := 10
		if r.URL.Path == "/large" {
			size = largestAnswer + 5
		}
		_, _ = io.WriteString(w, strings.Repeat(fmt.Sprint(version%10), size))
	}))
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	cache := &Cache{Base: transport, Max: 20_000}
	get := func(method, path, who string) (string, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", who)
		resp, err := (&http.Client{Transport: cache}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || req.Header.Get("If-None-Match") != "" {
			t.Fatal(resp.Status, err, req.Header)
		}
		return string(b), resp.Header
	}
	counts := func(what string, fresh, same int) {
		t.Helper()
		if asked["new"] != fresh || asked["same"] != same {
			t.Errorf("%s: %v", what, asked)
		}
		clear(asked)
	}
	first, _ := get(http.MethodGet, "/a", "me")
	second, head := get(http.MethodGet, "/a", "me")
	if first != second || len(first) != 10 || head.Get("Link") != "<next>" || head.Get("X-RateLimit-Remaining") != "99" {
		t.Errorf("%q %q %v", first, second, head)
	}
	counts("the same twice", 1, 1)
	get(http.MethodGet, "/a", "you")
	counts("somebody else", 1, 0)
	version++
	if third, _ := get(http.MethodGet, "/a", "me"); third == first {
		t.Error("an old answer")
	}
	get(http.MethodGet, "/a", "me")
	counts("it has changed", 1, 1)
	get(http.MethodPost, "/a", "me")
	get(http.MethodGet, "/plain", "me")
	get(http.MethodGet, "/plain", "me")
	counts("nothing to remember", 3, 0)
	for range 2 {
		if got, _ := get(http.MethodGet, "/large", "me"); len(got) != largestAnswer+5 {
			t.Errorf("%d bytes", len(got))
		}
	}
	counts("too large to keep", 2, 0)
	for i := range 20 {
		get(http.MethodGet, fmt.Sprintf("/%d", i), "me")
	}
	counts("many", 20, 0)
	if cache.size > 20_000 || len(cache.entries) != cache.order.Len() || cache.order.Len() != 9 {
		t.Errorf("keeps %d bytes of %d", cache.size, cache.order.Len())
	}
	get(http.MethodGet, "/19", "me")
	get(http.MethodGet, "/0", "me")
	counts("the newest stay", 1, 1)
}

func TestRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		unix := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
		tests := map[string]struct {
			code int
			head map[string]string
			want time.Duration // 0: no limit
		}{
			"success":                   {200, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": unix(time.Hour)}, 0},
			"no right":                  {403, nil, 0},
			"no right, and some left":   {403, map[string]string{"X-RateLimit-Remaining": "17", "X-RateLimit-Reset": unix(time.Hour)}, 0},
			"nothing left":              {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": unix(30 * time.Minute)}, 30 * time.Minute},
			"nothing left, GitLab":      {429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": unix(30 * time.Second)}, 30 * time.Second},
			"seconds to go":             {429, map[string]string{"RateLimit-Reset": "42"}, 42 * time.Second},
			"milliseconds":              {429, map[string]string{"X-RateLimit-Reset": fmt.Sprint(now.Add(90 * time.Second).UnixMilli())}, 90 * time.Second},
			"retry after":               {403, map[string]string{"Retry-After": "60", "X-RateLimit-Reset": unix(time.Hour)}, time.Minute},
			"retry after a date":        {503, map[string]string{"Retry-After": now.UTC().Add(2 * time.Minute).Format(http.TimeFormat)}, 2 * time.Minute},
			"down":                      {503, nil, 0},
			"too many, no word":         {429, nil, time.Minute},
			"too many, nonsense":        {429, map[string]string{"Retry-After": "soon", "X-RateLimit-Reset": "NaN"}, time.Minute},
			"for ever":                  {429, map[string]string{"Retry-After": "1e300"}, 2 * time.Hour},
			"in the past":               {429, map[string]string{"X-RateLimit-Reset": unix(-time.Hour)}, time.Second},
			"their clock is an hour on": {429, map[string]string{"X-RateLimit-Reset": unix(time.Hour + time.Minute), "Date": now.UTC().Add(time.Hour).Format(http.TimeFormat)}, time.Minute},
		}
		for name, tt := range tests {
			resp := &http.Response{StatusCode: tt.code, Header: http.Header{}}
			for k, v := range tt.head {
				resp.Header.Set(k, v)
			}
			got := time.Duration(0)
			if l := RateLimits(resp); l != nil {
				got = l.Until.Sub(now).Round(time.Second)
				if !strings.Contains(l.Error(), "before") || l.Unwrap() == nil {
					t.Errorf("%s: %v", name, l)
				}
			}
			if got != tt.want {
				t.Errorf("%s: %s, want %s", name, got, tt.want)
			}
		}
	})
}
