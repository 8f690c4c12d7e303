package hub

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// RepoPath is owner/name for the path of a URL, escaped; an error if full is
// anything else.
func RepoPath(full string) (string, error) {
	owner, name, ok := strings.Cut(full, "/")
	if !ok || !segment(owner) || !segment(name) {
		return "", fmt.Errorf("%q is no owner/name of a repository", full)
	}
	return url.PathEscape(owner) + "/" + url.PathEscape(name), nil
}

func segment(s string) bool { return s != "" && s != "." && s != ".." && !strings.Contains(s, "/") }

var commitID = regexp.MustCompile(`^(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$`)

// IsCommit tells whether s is a whole commit id.
func IsCommit(s string) bool { return commitID.MatchString(s) }

// PayloadOf takes the JSON out of a form, whose field payload it is, or out of
// the query of a GET request. It is false if there is none.
func PayloadOf(r *http.Request, body []byte) ([]byte, bool) {
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		return []byte(q.Get("payload")), q.Has("payload")
	}
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return body, true
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("payload") {
		return nil, false
	}
	return []byte(form.Get("payload")), true
}

// File is one of the API's lists.
type File struct {
	Filename         string `json:"filename"`
	PreviousFilename string `json:"previous_filename"`
}

// AppendPaths appends the paths of files; one that was renamed has changed at both places.
func AppendPaths(to []string, files []File) []string {
	for _, f := range files {
		for _, p := range []string{f.Filename, f.PreviousFilename} {
			if p != "" {
				to = append(to, p)
			}
		}
	}
	return to
}
