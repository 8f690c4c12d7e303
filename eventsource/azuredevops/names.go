package azuredevops

import (
	"net/url"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

const (
	cloudHost   = "dev.azure.com"
	oldCloud    = ".visualstudio.com"
	defaultName = "DefaultCollection"
)

func (r *repository) block() gitevent.Repository {
	b := gitevent.Repository{DefaultBranch: bare(r.DefaultBranch)}
	u, err := url.Parse(r.RemoteURL)
	if err != nil || u.Host == "" {
		return b
	}
	u.User = nil // the organisation, or worse
	b.Host, b.URL = gitevent.HostOf(u.String()), u.String()
	organization, project, name := r.names(u)
	if organization != "" && name != "" {
		b.FullName = organization + "/" + project + "/" + name
	}
	ssh := r.SSHURL
	if ssh == "" && b.Host == cloudHost && b.FullName != "" {
		ssh = "git@ssh." + cloudHost + ":v3" + githost.Escape(organization, project, name)
	}
	b.CloneURLs = gitevent.CloneURLs(b.URL, ssh)
	return b
}

// names reads the three names from a repository's address, which is one of
//
//	https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY
//	https://ORGANIZATION.visualstudio.com/[DefaultCollection/]PROJECT/_git/REPOSITORY
//	https://HOST/[DIRECTORY/]COLLECTION/PROJECT/_git/REPOSITORY
//
// The project is left out where it is called as the repository is.
func (r *repository) names(u *url.URL) (organization, project, name string) {
	before, after, ok := strings.Cut(u.Path, "/_git/")
	if !ok {
		return "", "", ""
	}
	name = strings.Trim(strings.TrimPrefix(after, "_full/"), "/")
	segments := strings.FieldsFunc(before, func(c rune) bool { return c == '/' })
	host := strings.ToLower(u.Hostname())
	cloud := false
	if first, rest, ok := strings.Cut(host, "."); ok && "."+rest == oldCloud {
		organization, cloud = first, true
	} else if host == cloudHost && len(segments) > 0 {
		organization, segments, cloud = segments[0], segments[1:], true
	}
	if cloud {
		if len(segments) > 0 && strings.EqualFold(segments[0], defaultName) {
			segments = segments[1:]
		}
		project = githost.First(append(segments, r.Project.Name, name)...)
		return organization, project, name
	}
	// On premises, the payload tells whether the last segment is the project.
	project = githost.First(r.Project.Name, name)
	if n := len(segments); n > 0 && (strings.EqualFold(segments[n-1], project) || r.Project.Name == "" && n > 1) {
		project, segments = segments[n-1], segments[:n-1]
	}
	if n := len(segments); n > 0 {
		organization = segments[n-1]
	}
	return organization, project, name
}

// organizationOf is the organisation, or collection, of its address.
func organizationOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if first, rest, ok := strings.Cut(strings.ToLower(u.Hostname()), "."); ok && "."+rest == oldCloud {
		return first
	}
	segments := strings.FieldsFunc(u.Path, func(c rune) bool { return c == '/' })
	if len(segments) == 0 {
		return ""
	}
	return segments[len(segments)-1]
}
