package githost

import (
	"net/url"
	"strings"
)

// HostOf is the host of a URL as gitevent.Repository has it: lower case, with its
// port if that is not the scheme's own. Empty if text is no URL.
func HostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	host, port := strings.ToLower(u.Host), u.Port()
	switch {
	case u.Scheme == "https" && port == "443", u.Scheme == "http" && port == "80", u.Scheme == "ssh" && port == "22":
		return strings.TrimSuffix(host, ":"+port)
	}
	return strings.TrimSuffix(host, ":")
}
