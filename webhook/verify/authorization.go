package verify

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// Authorization is the secret in the Authorization header, in whichever way a
// sender can be told to write it: SECRET, Bearer SECRET, or Basic with the secret
// as the password or as USER:PASSWORD.
type Authorization struct{}

// Check implements Scheme.
func (Authorization) Check(h http.Header, _, key []byte, _ time.Time) error {
	value := h.Get("Authorization")
	if value == "" {
		return missing("want the secret in the header Authorization")
	}
	// All are compared, so that the time does not tell which one is close.
	ok := Same([]byte(value), key)
	scheme, rest, _ := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		ok = Same([]byte(strings.TrimSpace(rest)), key) || ok
	case strings.EqualFold(scheme, "Basic"):
		pair, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
		_, password, _ := strings.Cut(string(pair), ":")
		samePassword, samePair := Same([]byte(password), key), Same(pair, key)
		ok = ok || samePassword || samePair
	}
	if !ok {
		return wrong("the secret in the header Authorization is wrong")
	}
	return nil
}

// Sign implements Scheme. It writes Bearer SECRET.
func (Authorization) Sign(h http.Header, _, key []byte, _ time.Time) error {
	h.Set("Authorization", "Bearer "+string(key))
	return nil
}

// Verified implements Scheme.
func (Authorization) Verified() string { return ByToken }
