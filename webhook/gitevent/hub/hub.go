// Package hub reads what the payloads of GitHub have in common with those of
// Gitea, Forgejo and Gogs, which were modelled on them.
package hub

import (
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// Payload of an event. Fields that it does not have are zero.
type Payload struct {
	Action  string `json:"action"`
	Number  int64  `json:"number"`
	Ref     string `json:"ref"`
	RefType string `json:"ref_type"`
	Before  string `json:"before"`
	After   string `json:"after"`
	// Forced is nil where the host does not say.
	Forced *bool `json:"forced"`
	// SHA is a status's commit, or that of a ref that Gitea tells is new.
	SHA string `json:"sha"`

	Commits      []Commit `json:"commits"`
	TotalCommits *int     `json:"total_commits"`

	Repository  Repository `json:"repository"`
	Sender      *User      `json:"sender"`
	Pusher      *User      `json:"pusher"`
	PullRequest *Pull      `json:"pull_request"`
	Issue       *Issue     `json:"issue"`
	Review      struct {
		State string `json:"state"`
		Type  string `json:"type"`
	} `json:"review"`
	Release struct {
		TagName string `json:"tag_name"`
	} `json:"release"`
}

// User is a person or a machine.
type User struct {
	ID       int64  `json:"id"`
	Login    string `json:"login"`
	Username string `json:"username"`
	Name     string `json:"name"`
	FullName string `json:"full_name"`
	Email    string `json:"email"`
	Type     string `json:"type"`
}

// Repository of a payload.
type Repository struct {
	Name          string `json:"name"`
	FullName      string `json:"full_name"`
	Owner         User   `json:"owner"`
	HTMLURL       string `json:"html_url"`
	CloneURL      string `json:"clone_url"`
	SSHURL        string `json:"ssh_url"`
	DefaultBranch string `json:"default_branch"`
}

// Commit of a push.
type Commit struct {
	ID        string   `json:"id"`
	Message   string   `json:"message"`
	Timestamp string   `json:"timestamp"`
	URL       string   `json:"url"`
	Author    User     `json:"author"`
	Added     []string `json:"added"`
	Modified  []string `json:"modified"`
	Removed   []string `json:"removed"`
}

// Pull request.
type Pull struct {
	ID             int64  `json:"id"`
	Number         int64  `json:"number"`
	HTMLURL        string `json:"html_url"`
	Title          string `json:"title"`
	State          string `json:"state"`
	Draft          bool   `json:"draft"`
	Merged         bool   `json:"merged"`
	MergedAt       string `json:"merged_at"`
	MergeCommitSHA string `json:"merge_commit_sha"`
	User           User   `json:"user"`
	Head           End    `json:"head"`
	Base           End    `json:"base"`

	// Gogs has no ends.
	HeadBranch string      `json:"head_branch"`
	BaseBranch string      `json:"base_branch"`
	HeadRepo   *Repository `json:"head_repo"`
	BaseRepo   *Repository `json:"base_repo"`
}

// End of a pull request.
type End struct {
	Ref  string      `json:"ref"`
	SHA  string      `json:"sha"`
	Repo *Repository `json:"repo"`
}

// Issue that may be a pull request.
type Issue struct {
	Number  int64  `json:"number"`
	HTMLURL string `json:"html_url"`
	Title   string `json:"title"`
	State   string `json:"state"`
	Draft   bool   `json:"draft"`
	User    User   `json:"user"`
	// PullRequest is not nil if it is one.
	PullRequest *struct {
		HTMLURL  string `json:"html_url"`
		MergedAt string `json:"merged_at"`
		Merged   bool   `json:"merged"`
	} `json:"pull_request"`
}

// Block makes the block's part.
func (r *Repository) Block() gitevent.Repository {
	if r == nil {
		return gitevent.Repository{}
	}
	b := gitevent.Repository{
		FullName: r.FullName, URL: r.HTMLURL, DefaultBranch: r.DefaultBranch,
		CloneURLs: gitevent.CloneURLs(r.CloneURL, r.SSHURL),
	}
	if owner := r.Owner.LoginName(); b.FullName == "" && owner != "" && r.Name != "" {
		b.FullName = owner + "/" + r.Name
	}
	if b.Host = gitevent.HostOf(r.HTMLURL); b.Host == "" {
		b.Host = gitevent.HostOf(r.CloneURL)
	}
	return b
}

// LoginName is the name that a user goes by.
func (u *User) LoginName() string {
	if u.Login != "" {
		return u.Login
	}
	return u.Username
}

// Block makes the block's part; nil if nothing is known.
func (u *User) Block() *gitevent.Sender {
	if u == nil || u.LoginName() == "" && u.Name == "" && u.Email == "" {
		return nil
	}
	s := &gitevent.Sender{Login: u.LoginName(), Name: u.FullName, Email: u.Email, Kind: "unknown"}
	if s.Name == "" {
		s.Name = u.Name
	}
	if u.ID != 0 {
		s.ID = strconv.FormatInt(u.ID, 10)
	}
	switch {
	case strings.EqualFold(u.Type, "bot") || strings.HasSuffix(s.Login, "[bot]"):
		s.Kind = "bot"
	case strings.EqualFold(u.Type, "user"):
		s.Kind = "user"
	}
	return s
}

// commits makes the block's part, and tells whether each has its lists of files.
func commits(from []Commit) (list []gitevent.Commit, complete bool) {
	list, complete = make([]gitevent.Commit, 0, len(from)), true
	for i := range from {
		c := &from[i]
		out := gitevent.Commit{
			ID: c.ID, Message: c.Message, URL: c.URL, Timestamp: gitevent.ParseTime(c.Timestamp),
			Added: paths(c.Added), Modified: paths(c.Modified), Removed: paths(c.Removed),
		}
		if p := (gitevent.Person{Name: c.Author.Name, Email: c.Author.Email, Login: c.Author.LoginName()}); p != (gitevent.Person{}) {
			out.Author = &p
		}
		if c.Added == nil && c.Modified == nil && c.Removed == nil {
			complete = false
		}
		list = append(list, out)
	}
	return list, complete
}

// paths leaves out what is no path, such as null.
func paths(in []string) []string {
	for i, p := range in {
		if p == "" {
			out := append([]string{}, in[:i]...)
			for _, p := range in[i:] {
				if p != "" {
					out = append(out, p)
				}
			}
			return out
		}
	}
	return in
}
