package codecommit

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/githost"
)

// event is what is read of an event of EventBridge, and of a notification of the
// developer tools, which writes detailType. What is of a wrong type stays empty.
type event struct {
	ID         string `json:"id"`
	DetailType string `json:"detail-type"`
	Kind       string `json:"detailType"`
	Source     string `json:"source"`
	Region     string `json:"region"`
	Detail     detail `json:"detail"`
}

type detail struct {
	Event      string             `json:"event"`
	Repository string             `json:"repositoryName"`
	Names      githost.List[text] `json:"repositoryNames"`
	Caller     string             `json:"callerUserArn"`
	Name       string             `json:"displayName"`
	Email      string             `json:"emailAddress"`

	// Of a reference.
	RefType   string `json:"referenceType"`
	RefName   string `json:"referenceName"`
	FullRef   string `json:"referenceFullName"`
	Commit    string `json:"commitId"`
	OldCommit string `json:"oldCommitId"`

	// Of a pull request.
	Pull         text   `json:"pullRequestId"`
	Status       string `json:"pullRequestStatus"`
	Merged       text   `json:"isMerged"`
	Title        string `json:"title"`
	Author       string `json:"author"`
	SourceRef    string `json:"sourceReference"`
	TargetRef    string `json:"destinationReference"`
	SourceCommit string `json:"sourceCommit"`
	TargetCommit string `json:"destinationCommit"`
	Approval     string `json:"approvalStatus"`

	// Of a comment.
	AfterCommit string `json:"afterCommitId"`
}

// record is what a trigger of a repository sends in a list of them.
type record struct {
	Region     string `json:"awsRegion"`
	ID         string `json:"eventId"`
	Event      string `json:"eventName"`
	Source     string `json:"eventSource"`
	Repository string `json:"eventSourceARN"`
	Caller     string `json:"userIdentityARN"`
	// Part of an event that was too long for one message.
	Part  int `json:"eventPartNumber"`
	Parts int `json:"eventTotalParts"`
}

// id is the same for every part of an event, so the number goes with it.
func (r *record) id() string {
	if r.ID == "" || r.Parts < 2 {
		return r.ID
	}
	return r.ID + "." + strconv.Itoa(r.Part)
}

type reference struct {
	Commit  string `json:"commit"`
	Ref     string `json:"ref"`
	Created bool   `json:"created"`
	Deleted bool   `json:"deleted"`
}

// text is a string, or a number or boolean that is written as one elsewhere.
type text string

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	var s string
	switch {
	case json.Unmarshal(b, &s) == nil:
		*t = text(s)
	case len(b) > 0 && b[0] != '{' && b[0] != '[':
		*t = text(b)
	}
	return nil
}

func (t text) yes() bool { return strings.EqualFold(string(t), "true") }
