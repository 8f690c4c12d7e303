// Package gitevent is what all Git hosts' events have in common: the block "git"
// in the data of an event, beside the host's own payload. A filter on it works
// for every host.
package gitevent

import "time"

// Key is the block's key in the data of an event.
const Key = "git"

// Event is the block. Text that is not known is left out; zeros of a commit id
// count as not known.
type Event struct {
	// Provider is the host's kind: github, gitlab, bitbucket, bitbucketserver,
	// gitea, forgejo, gogs, azureDevOps, gerrit, codecommit, git (polled).
	Provider string `json:"provider"`
	// Event is the sort of thing that happened.
	Event Sort `json:"event"`
	// Action within the sort; see the constants.
	Action string `json:"action,omitempty"`
	// RawEvent is the host's own name of the event.
	RawEvent string `json:"rawEvent,omitempty"`
	// DeliveryID is the host's id of the delivery.
	DeliveryID string `json:"deliveryId,omitempty"`
	// HookID is the host's id of the hook that sent it.
	HookID string `json:"hookId,omitempty"`
	// InstallationID is that of a GitHub App.
	InstallationID string `json:"installationId,omitempty"`
	// Verified tells how the sender was checked.
	Verified string `json:"verified"`

	Repository Repository `json:"repository"`

	// Ref is whole: refs/heads/main, refs/tags/v1. For a pull request it is left out.
	Ref string `json:"ref,omitempty"`
	// Branch that Ref is, or the branch that a pull request is to be merged into.
	Branch string `json:"branch,omitempty"`
	// Tag that Ref is.
	Tag string `json:"tag,omitempty"`
	// Before and After are the ref's commits; not there for a ref that is new, or gone.
	// For a status, a check, a pipeline or a deployment, After is the commit that it is of.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Created and Deleted are about Ref.
	Created bool `json:"created"`
	Deleted bool `json:"deleted"`
	// Forced is nil where the host does not say.
	Forced *bool `json:"forced,omitempty"`

	// Commits that the host sent, the newest last.
	Commits []Commit `json:"commits"`
	// CommitsTotal is how many there are in all, where the host says.
	CommitsTotal *int `json:"commitsTotal,omitempty"`
	// CommitsTruncated tells that Commits are not all.
	CommitsTruncated bool `json:"commitsTruncated"`

	// ChangedFiles are the paths that were added, modified or removed, sorted;
	// null if they are not known, which ChangedFilesUnknown explains; for events
	// that change no files that is not-sent.
	ChangedFiles []string `json:"changedFiles"`
	// ChangedFilesUnknown is one of the Unknown constants; empty if they are known.
	ChangedFilesUnknown string `json:"changedFilesUnknown,omitempty"`

	PullRequest *PullRequest `json:"pullRequest,omitempty"`
	Sender      *Sender      `json:"sender,omitempty"`
}

// Sort is the sort of an event.
type Sort string

// Sorts of events. A push of a tag is Tag, any other push Push, also where a
// branch is made or removed by it. Branch is the separate event that some hosts send then.
const (
	Push         Sort = "push"
	Tag          Sort = "tag"
	Branch       Sort = "branch"
	Pull         Sort = "pull_request"
	Review       Sort = "review"
	Comment      Sort = "comment"
	Release      Sort = "release"
	Status       Sort = "status"
	Check        Sort = "check"
	Pipeline     Sort = "pipeline"
	Deployment   Sort = "deployment"
	Repo         Sort = "repository"
	Installation Sort = "installation"
	Issue        Sort = "issue"
	Ping         Sort = "ping"
	Other        Sort = "other"
)

// Actions. Those of pushes, tags and branches are created, updated, deleted;
// those of pull requests all but updated's twin edited, which is about the text.
// Sorts that are not listed have the host's own word.
const (
	Created          = "created"
	Updated          = "updated"
	Deleted          = "deleted"
	Opened           = "opened"
	Edited           = "edited"
	Reopened         = "reopened"
	Closed           = "closed"
	Merged           = "merged"
	Approved         = "approved"
	Unapproved       = "unapproved"
	ChangesRequested = "changes_requested"
	Ready            = "ready"
	Draft            = "draft"
)

// Why the changed files are not known.
const (
	UnknownNotSent      = "not-sent"        // the host sends none
	UnknownTruncated    = "truncated"       // the host sent a part
	UnknownForcePush    = "force-push"      // what went away is not in the payload
	UnknownNewRef       = "new-ref"         // there is nothing to compare with
	UnknownDeletedRef   = "deleted-ref"     // there is nothing any more
	UnknownMinimal      = "minimal-payload" // the hook is set to send little
	UnknownLookupFailed = "lookup-failed"   // the host was asked and did not tell
	UnknownTooMany      = "too-many"        // more than MaxFiles
)

// MaxFiles is how many changed files an event has at most.
const MaxFiles = 3000

// Repository that the event is about.
type Repository struct {
	// Host is lower case, with its port if that is not the scheme's own.
	Host string `json:"host,omitempty"`
	// FullName as the host writes it: acme/api, group/sub/api, org/project/api.
	FullName string `json:"fullName"`
	// URL for people.
	URL string `json:"url,omitempty"`
	// CloneURLs, https first.
	CloneURLs     []string `json:"cloneURLs,omitempty"`
	DefaultBranch string   `json:"defaultBranch,omitempty"`
}

// Commit as the host sent it. The lists are nil where it sends none.
type Commit struct {
	ID        string     `json:"id"`
	Message   string     `json:"message,omitempty"`
	Timestamp *time.Time `json:"timestamp,omitempty"`
	Author    *Person    `json:"author,omitempty"`
	URL       string     `json:"url,omitempty"`
	Added     []string   `json:"added,omitempty"`
	Modified  []string   `json:"modified,omitempty"`
	Removed   []string   `json:"removed,omitempty"`
}

// Person who made a commit.
type Person struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	Login string `json:"login,omitempty"`
}

// PullRequest is also GitLab's merge request and Gerrit's change.
type PullRequest struct {
	// Number that people see.
	Number int64  `json:"number"`
	ID     string `json:"id,omitempty"`
	URL    string `json:"url,omitempty"`
	Title  string `json:"title,omitempty"`
	// State is open, closed or merged.
	State       string  `json:"state,omitempty"`
	Draft       bool    `json:"draft"`
	Merged      bool    `json:"merged"`
	Source      PullEnd `json:"source"`
	Target      PullEnd `json:"target"`
	MergeCommit string  `json:"mergeCommit,omitempty"`
	Author      string  `json:"author,omitempty"`
}

// PullEnd is one end of a pull request. Repository is empty where it is gone.
type PullEnd struct {
	Repository string `json:"repository,omitempty"`
	Branch     string `json:"branch,omitempty"`
	SHA        string `json:"sha,omitempty"`
}

// Sender is who did it.
type Sender struct {
	ID    string `json:"id,omitempty"`
	Login string `json:"login,omitempty"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	// Kind is user, bot or unknown.
	Kind string `json:"kind"`
}
