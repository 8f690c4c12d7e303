package gitevent

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Decode reads a payload into a struct of what is needed of it, and passes over
// values of a wrong type: they stay zero, and the rest is read. It is false if
// nothing of use can be read. Types with an UnmarshalJSON that returns errors break that.
func Decode(body []byte, into any) bool {
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	return err == nil || errors.As(err, &wrong)
}

// ParseTime reads a time of RFC 3339; nil if it is none.
func ParseTime(text string) *time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() <= 1 {
		return nil
	}
	return &t
}

// HostOf is the host of a URL as Repository.Host has it, "" if there is none.
func HostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	if port, ok := map[string]string{"https": ":443", "http": ":80", "ssh": ":22"}[u.Scheme]; ok {
		host = strings.TrimSuffix(host, port)
	}
	return host
}

// CloneURLs are urls as Repository.CloneURLs has them: without empty ones, https first.
func CloneURLs(urls ...string) []string {
	urls = slices.DeleteFunc(urls, func(u string) bool { return u == "" })
	slices.SortStableFunc(urls, func(a, b string) int { return rank(a) - rank(b) })
	return slices.Compact(urls)
}

func rank(u string) int {
	switch {
	case strings.HasPrefix(u, "https://"):
		return 0
	case strings.HasPrefix(u, "http://"):
		return 1
	}
	return 2
}
