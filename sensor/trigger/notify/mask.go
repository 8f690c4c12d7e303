package notify

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// hosted are the services whose URL has a host where others have a token.
var hosted = []string{
	"bark", "generic", "gotify", "lark", "matrix", "mattermost", "ntfy", "opsgenie", "pagerduty", "rocketchat", "signal", "smtp", "zulip",
}

// label says what a URL leads to and nothing that is secret: "ntfy (ntfy.sh)".
func label(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a URL that cannot be read"
	}
	name, _, _ := strings.Cut(u.Scheme, "+")
	switch {
	case name == "http" || name == "https":
		return "webhook (" + u.Host + ")"
	case slices.Contains(hosted, name) && u.Host != "":
		return name + " (" + u.Host + ")"
	case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "":
		return "a URL of no known service"
	}
	return name
}

// holdsCredential tells whether the URL of a service has a password or token in it.
func holdsCredential(name string, u *url.URL) bool {
	switch name {
	case "generic":
		for key := range u.Query() {
			if strings.HasPrefix(key, "@") {
				return true
			}
		}
		return u.User != nil
	case "ntfy", "smtp":
		return u.User != nil
	}
	return true
}

const (
	mostError = 300
	shortest  = 3 // a part of a URL that is masked
)

var anyURL = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"']+`)

// mask makes one line of an error, without anything that stands in the URL but
// the host of services that have one.
func mask(err error, raw string) string {
	if err == nil {
		return "no reason given"
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = strings.ReplaceAll(text, raw, "***")
	text = anyURL.ReplaceAllString(text, "***")
	parts := secretParts(raw)
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	for _, part := range parts {
		if len(part) >= shortest {
			text = strings.ReplaceAll(text, part, "***")
		}
	}
	return cut(text, mostError)
}

func secretParts(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	name, _, _ := strings.Cut(u.Scheme, "+")
	var parts []string
	if !slices.Contains(hosted, name) && name != "http" && name != "https" {
		parts = append(parts, u.Host, u.Hostname())
	}
	password, _ := u.User.Password()
	parts = append(parts, u.User.String(), u.User.Username(), password, strings.Trim(u.Path, "/"), strings.Trim(u.EscapedPath(), "/"))
	parts = append(parts, strings.Split(u.Path, "/")...)
	for key, values := range u.Query() {
		for _, v := range append(values, key) {
			if len(v) > 5 { // shorter ones are switches such as yes
				parts = append(parts, v)
			}
		}
	}
	for _, p := range slices.Clone(parts) {
		if len(p) >= shortest {
			parts = append(parts, url.QueryEscape(p), url.PathEscape(p), base64.StdEncoding.EncodeToString([]byte(p)))
		}
	}
	parts = append(parts, base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)),
		base64.StdEncoding.EncodeToString([]byte("\x00"+u.User.Username()+"\x00"+password)))
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" })
}

// cut shortens a text to at most n bytes, at a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}
