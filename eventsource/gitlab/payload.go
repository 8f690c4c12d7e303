package gitlab

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/webhook/githost"
)

// payload is what is read of all of GitLab's events. What is of a wrong type
// stays empty.
type payload struct {
	ObjectKind string `json:"object_kind"`
	EventName  string `json:"event_name"`
	Action     string `json:"action"`

	Project     *project   `json:"project"`
	ProjectName string     `json:"project_name"`
	Repository  repository `json:"repository"`
	// Of the system events of a project, or of its members.
	PathWithNamespace        string `json:"path_with_namespace"`
	ProjectPathWithNamespace string `json:"project_path_with_namespace"`

	Ref         string               `json:"ref"`
	Before      string               `json:"before"`
	After       string               `json:"after"`
	CheckoutSHA string               `json:"checkout_sha"`
	Commits     githost.List[commit] `json:"commits"`
	Total       text                 `json:"total_commits_count"`
	Changes     json.RawMessage      `json:"changes"`

	User         *user  `json:"user"`
	UserID       text   `json:"user_id"`
	UserName     string `json:"user_name"`
	UserUsername string `json:"user_username"`
	UserEmail    string `json:"user_email"`

	Object       object  `json:"object_attributes"`
	MergeRequest *object `json:"merge_request"`
	Commit       commit  `json:"commit"`

	// Tag is a release's name, or whether a job's ref is a tag.
	Tag         text   `json:"tag"`
	SHA         string `json:"sha"`
	BuildStatus string `json:"build_status"`
	Status      string `json:"status"`
	CommitURL   string `json:"commit_url"`
}

// kind is what the body says it is: object_kind, or event_name where there is
// none; empty for a body that a template of the user's made.
func (p *payload) kind() string { return githost.First(p.ObjectKind, p.EventName) }

type project struct {
	PathWithNamespace string `json:"path_with_namespace"`
	WebURL            string `json:"web_url"`
	GitHTTPURL        string `json:"git_http_url"`
	GitSSHURL         string `json:"git_ssh_url"`
	DefaultBranch     string `json:"default_branch"`
}

// repository is the older and poorer twin of project.
type repository struct {
	Homepage   string `json:"homepage"`
	GitHTTPURL string `json:"git_http_url"`
	GitSSHURL  string `json:"git_ssh_url"`
}

type user struct {
	ID       text   `json:"id"`
	Name     string `json:"name"`
	Username string `json:"username"`
	Email    string `json:"email"`
}

// object is what the event is about: a merge request, a comment, a pipeline, an issue.
type object struct {
	ID             text    `json:"id"`
	IID            text    `json:"iid"`
	Title          string  `json:"title"`
	URL            string  `json:"url"`
	State          string  `json:"state"`
	Action         string  `json:"action"`
	Status         string  `json:"status"`
	OldRev         string  `json:"oldrev"`
	SourceBranch   string  `json:"source_branch"`
	TargetBranch   string  `json:"target_branch"`
	Source         project `json:"source"`
	Target         project `json:"target"`
	LastCommit     commit  `json:"last_commit"`
	MergeCommitSHA string  `json:"merge_commit_sha"`
	Draft          bool    `json:"draft"`
	WorkInProgress bool    `json:"work_in_progress"`
	AuthorID       text    `json:"author_id"`
	CommitID       string  `json:"commit_id"`
	Ref            string  `json:"ref"`
	Tag            bool    `json:"tag"`
	SHA            string  `json:"sha"`
}

type commit struct {
	ID        text   `json:"id"`
	SHA       string `json:"sha"`
	Message   string `json:"message"`
	Timestamp string `json:"timestamp"`
	URL       string `json:"url"`
	Author    struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"author"`
	Added    paths `json:"added"`
	Modified paths `json:"modified"`
	Removed  paths `json:"removed"`
}

// text is a string, a number or a boolean, as text; empty if it is anything else.
type text string

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch {
	case len(b) == 0, b[0] == '{', b[0] == '[', b[0] == 'n':
	case b[0] == '"':
		var s string
		if json.Unmarshal(b, &s) == nil {
			*t = text(s)
		}
	default:
		*t = text(b)
	}
	return nil
}

// number is t as a number that is not negative; 0 if it is none.
func (t text) number() int64 {
	n, err := strconv.ParseInt(string(t), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// paths is a list of files; nil if it is not wholly one.
type paths []string

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (p *paths) UnmarshalJSON(b []byte) error {
	*p = nil
	var list []*string
	if json.Unmarshal(b, &list) != nil || list == nil {
		return nil
	}
	all := make([]string, 0, len(list))
	for _, s := range list {
		if s == nil || *s == "" {
			return nil
		}
		all = append(all, *s)
	}
	*p = all
	return nil
}

// timeLayouts are those that GitLab writes.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"}

func parseTime(s string) *time.Time {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return &t
		}
	}
	return nil
}
