package codecommit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

// bridge makes an event of EventBridge.
func bridge(id, event, detail string) string {
	return `{"version":"0","id":"` + id + `","detail-type":"CodeCommit Something Change","source":"aws.codecommit","account":"123456789012",` +
		`"region":"eu-central-1","detail":{"event":"` + event + `","repositoryName":"shop","callerUserArn":"arn:aws:iam::123456789012:user/team/dana",` + detail + `}}`
}

func pullOf(event, status, merged, more string) string {
	body := bridge("i", event, `"repositoryNames":["shop"],"pullRequestId":"5","title":"T","pullRequestStatus":"`+status+`","isMerged":`+merged+
		`,"sourceReference":"refs/heads/a/b","destinationReference":"refs/heads/main","sourceCommit":"b1","destinationCommit":"a1","author":"arn:aws:iam::1:user/lee"`+more)
	return strings.Replace(body, `"repositoryName":"shop",`, "", 1)
}

// trigger makes a record of a trigger of a repository.
func trigger(id, more, references string) string {
	return `{"awsRegion":"us-east-1","codecommit":{"references":[` + references + `]},"eventId":"` + id + `","eventName":"ReferenceChanges",` +
		`"eventSource":"aws:codecommit","eventSourceARN":"arn:aws:codecommit:us-east-1:123456789012:shop","userIdentityARN":"arn:aws:iam::123456789012:user/dana"` + more + `}`
}

func records(items string) string { return `{"Records":[` + items + `]}` }

const (
	pr   = " shop to:main #5 open a/b@b1>main@a1"
	end  = " by:dana unknown:not-sent"
	made = " shop refs/heads/a "
)

// blocks are bodies, and the block as hosttest.Summary has it.
var blocks = map[string]struct{ body, want string }{
	"branch made":          {bridge("i", "referenceCreated", `"referenceFullName":"refs/heads/a","commitId":"b1"`), "push/created referenceCreated" + made + "..b1 by:dana unknown:new-ref"},
	"branch moved":         {bridge("i", "referenceUpdated", `"referenceFullName":"refs/heads/a","commitId":"b1","oldCommitId":"a1"`), "push/updated referenceUpdated" + made + "a1..b1" + end},
	"branch gone":          {bridge("i", "referenceDeleted", `"referenceFullName":"refs/heads/a","oldCommitId":"a1"`), "push/deleted referenceDeleted" + made + "a1.. by:dana unknown:deleted-ref"},
	"branch gone, commit":  {bridge("i", "referenceDeleted", `"referenceFullName":"refs/heads/a","commitId":"a1"`), "push/deleted referenceDeleted" + made + "a1.. by:dana unknown:deleted-ref"},
	"commits left out":     {bridge("i", "referenceUpdated", `"referenceFullName":"refs/heads/a"`), "push/updated referenceUpdated" + made[:len(made)-1] + end},
	"tag":                  {bridge("i", "referenceCreated", `"referenceType":"tag","referenceName":"v1","commitId":"b1"`), "tag/created referenceCreated shop refs/tags/v1 ..b1 by:dana unknown:new-ref"},
	"branch by its name":   {bridge("i", "referenceUpdated", `"referenceType":"branch","referenceName":"a","commitId":"b1","oldCommitId":"a1"`), "push/updated referenceUpdated" + made + "a1..b1" + end},
	"no reference":         {bridge("i", "referenceUpdated", `"commitId":"b1"`), "other/ referenceUpdated shop" + end},
	"merge without a ref":  {bridge("i", "unreferencedMergeCommitCreated", `"commitId":"b1"`), "other/ unreferencedMergeCommitCreated shop" + end},
	"opened":               {pullOf("pullRequestCreated", "Open", `"False"`, ""), "pull_request/opened pullRequestCreated" + pr + end},
	"new commits":          {pullOf("pullRequestSourceBranchUpdated", "Open", `"False"`, ""), "pull_request/updated pullRequestSourceBranchUpdated" + pr + end},
	"closed":               {pullOf("pullRequestStatusChanged", "Closed", `"False"`, ""), "pull_request/closed pullRequestStatusChanged" + strings.Replace(pr, "open", "closed", 1) + end},
	"closed by merging":    {pullOf("pullRequestStatusChanged", "Closed", `"True"`, ""), "pull_request/merged pullRequestStatusChanged" + strings.Replace(pr, "open", "merged", 1) + " merged:" + end},
	"opened again":         {pullOf("pullRequestStatusChanged", "Open", `"False"`, ""), "pull_request/reopened pullRequestStatusChanged" + pr + end},
	"merged":               {pullOf("pullRequestMergeStatusUpdated", "Closed", `"True"`, ""), "pull_request/merged pullRequestMergeStatusUpdated" + strings.Replace(pr, "open", "merged", 1) + " merged:" + end},
	"merged, as boolean":   {pullOf("pullRequestMergeStatusUpdated", "Closed", `true`, ""), "pull_request/merged pullRequestMergeStatusUpdated" + strings.Replace(pr, "open", "merged", 1) + " merged:" + end},
	"not merged":           {pullOf("pullRequestMergeStatusUpdated", "Open", `"False"`, ""), "pull_request/edited pullRequestMergeStatusUpdated" + pr + end},
	"rule made":            {pullOf("pullRequestApprovalRuleCreated", "Open", `"False"`, ""), "pull_request/edited pullRequestApprovalRuleCreated" + pr + end},
	"rule changed":         {pullOf("pullRequestApprovalRuleUpdated", "Open", `"False"`, ""), "pull_request/edited pullRequestApprovalRuleUpdated" + pr + end},
	"rule gone":            {pullOf("pullRequestApprovalRuleDeleted", "Open", `"False"`, ""), "pull_request/edited pullRequestApprovalRuleDeleted" + pr + end},
	"rule overridden":      {pullOf("pullRequestApprovalRuleOverridden", "Open", `"False"`, `,"overrideStatus":"OVERRIDE"`), "pull_request/edited pullRequestApprovalRuleOverridden" + pr + end},
	"approved":             {pullOf("pullRequestApprovalStateChanged", "Open", `"False"`, `,"approvalStatus":"APPROVE"`), "review/approved pullRequestApprovalStateChanged" + pr + end},
	"approval taken back":  {pullOf("pullRequestApprovalStateChanged", "Open", `"False"`, `,"approvalStatus":"REVOKE"`), "review/unapproved pullRequestApprovalStateChanged" + pr + end},
	"approval of tomorrow": {pullOf("pullRequestApprovalStateChanged", "Open", `"False"`, ""), "review/ pullRequestApprovalStateChanged" + pr + end},
	"comment":              {bridge("i", "commentOnPullRequestCreated", `"pullRequestId":5,"afterCommitId":"b1"`), "comment/created commentOnPullRequestCreated shop ..b1 #5  @b1>@" + end},
	"comment changed":      {bridge("i", "commentOnPullRequestUpdated", `"pullRequestId":"5","afterCommitId":"b1"`), "comment/updated commentOnPullRequestUpdated shop ..b1 #5  @b1>@" + end},
	"comment on a commit":  {bridge("i", "commentOnCommitCreated", `"afterCommitId":"b1"`), "comment/created commentOnCommitCreated shop ..b1" + end},
	"such a one changed":   {bridge("i", "commentOnCommitUpdated", `"afterCommitId":"b1"`), "comment/updated commentOnCommitUpdated shop ..b1" + end},
	"rule template":        {bridge("i", "approvalRuleTemplateCreated", `"x":1`), "other/ approvalRuleTemplateCreated shop" + end},
	"reaction":             {bridge("i", "reactionCreated", `"x":1`), "other/ reactionCreated shop" + end},
	"call of the API":      {`{"id":"i","source":"aws.codecommit","detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"GitPush"}}`, "other/ AWS API Call via CloudTrail  unknown:not-sent"},
	"notification":         {strings.Replace(bridge("i", "", `"x":1`), "detail-type", "detailType", 1), "other/ CodeCommit Something Change shop" + end},
	"nothing":              {`{}`, "other/   unknown:not-sent"},
	"null":                 {`null`, "other/   unknown:not-sent"},
	"wrong types":          {`{"id":7,"source":[],"region":{},"detail-type":null,"detail":{"event":"pullRequestCreated","repositoryName":7,"repositoryNames":"x","pullRequestId":{},"isMerged":[],"callerUserArn":1}}`, "pull_request/opened pullRequestCreated  unknown:not-sent"},
	"detail is a list":     {`{"source":"aws.codecommit","detail":[]}`, "other/   unknown:not-sent"},
	"huge number":          {bridge("i", "pullRequestCreated", `"pullRequestId":1e300`), "pull_request/opened pullRequestCreated shop" + end},
	"a negative number":    {bridge("i", "pullRequestCreated", `"pullRequestId":-5`), "pull_request/opened pullRequestCreated shop" + end},
}

func TestBlocks(t *testing.T) {
	e, r := testKind("metadata: {stage: test}").Start(t)
	url := hosttest.URL(t, e)
	n := 0
	for name, tt := range blocks {
		t.Run(name, func(t *testing.T) {
			n++
			body := strings.Replace(tt.body, `"id":"i"`, fmt.Sprintf(`"id":"i%d"`, n), 1)
			if status, text := hosttest.Send(t, url, sent(t, body), []byte(body)); status != http.StatusOK {
				t.Fatalf("%d %s", status, text)
			}
			ev := r.Next(t)
			d := hosttest.Read(t, ev)
			if string(d.Body) != body || d.Metadata["stage"] != "test" || d.Git.Provider != provider || d.Git.Commits == nil {
				t.Errorf("%+v", d)
			}
			if body != tt.body && (ev.ID != fmt.Sprint("i", n) || d.Git.DeliveryID != ev.ID) {
				t.Errorf("%s, %s", ev.ID, d.Git.DeliveryID)
			}
			if got, want := hosttest.Summary(d.Git), tt.want+" token"; got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestWholeBlock(t *testing.T) {
	all, err := decode([]byte(pullOf("pullRequestMergeStatusUpdated", "Closed", `"True"`, `,"displayName":"Dana","emailAddress":"dana@example.com"`)))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	const want = `action: "merged"
branch: "main"
changedFilesUnknown: "not-sent"
deliveryId: "i"
event: "pull_request"
provider: "codecommit"
pullRequest.author: "lee"
pullRequest.merged: true
pullRequest.number: 5
pullRequest.source.branch: "a/b"
pullRequest.source.repository: "shop"
pullRequest.source.sha: "b1"
pullRequest.state: "merged"
pullRequest.target.branch: "main"
pullRequest.target.repository: "shop"
pullRequest.target.sha: "a1"
pullRequest.title: "T"
pullRequest.url: "https://eu-central-1.console.aws.amazon.com/codesuite/codecommit/repositories/shop/pull-requests/5/details?region=eu-central-1"
rawEvent: "pullRequestMergeStatusUpdated"
repository.cloneURLs[0]: "https://git-codecommit.eu-central-1.amazonaws.com/v1/repos/shop"
repository.cloneURLs[1]: "ssh://git-codecommit.eu-central-1.amazonaws.com/v1/repos/shop"
repository.fullName: "shop"
repository.host: "git-codecommit.eu-central-1.amazonaws.com"
repository.url: "https://eu-central-1.console.aws.amazon.com/codesuite/codecommit/repositories/shop/browse?region=eu-central-1"
sender.email: "dana@example.com"
sender.id: "arn:aws:iam::123456789012:user/team/dana"
sender.kind: "user"
sender.login: "dana"
sender.name: "Dana"`
	if got := hosttest.Text(t, &all[0].event); got != want {
		t.Error(got)
	}
}

func TestTruncated(t *testing.T) {
	for event, want := range map[string]bool{"referenceCreated": true, "referenceUpdated": true, "referenceDeleted": false, "pullRequestCreated": false} {
		all, err := decode([]byte(bridge("i", event, `"referenceFullName":"refs/heads/a","commitId":"b1","oldCommitId":"a1"`)))
		if err != nil || all[0].event.CommitsTruncated != want {
			t.Errorf("%s: %+v, %v", event, all, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, tt := range []struct{ region, name, host, url string }{
		{"us-east-1", "a.b-c_d", "git-codecommit.us-east-1.amazonaws.com", "https://us-east-1.console.aws.amazon.com/codesuite/codecommit/repositories/a.b-c_d/browse?region=us-east-1"},
		{"cn-north-1", "a", "git-codecommit.cn-north-1.amazonaws.com.cn", "https://cn-north-1.console.amazonaws.cn/codesuite/codecommit/repositories/a/browse?region=cn-north-1"},
		{"us-gov-west-1", "a", "git-codecommit.us-gov-west-1.amazonaws.com", "https://us-gov-west-1.console.amazonaws-us-gov.com/codesuite/codecommit/repositories/a/browse?region=us-gov-west-1"},
		{"evil.example.com/", "a", "", ""},
		{"", "a", "", ""},
		{"us-east-1", "../a", "git-codecommit.us-east-1.amazonaws.com", ""},
		{"us-east-1", "", "git-codecommit.us-east-1.amazonaws.com", ""},
	} {
		b := newBlock("")
		placeOf(tt.region).about(&b.Repository, tt.name)
		if r := b.Repository; r.Host != tt.host || r.URL != tt.url || (len(r.CloneURLs) == 2) != (tt.url != "") || r.FullName != tt.name {
			t.Errorf("%+v", r)
		}
	}
}

func TestSenders(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:iam::1:user/dana":                    "dana user",
		"arn:aws:iam::1:user/team/dana":               "dana user",
		"arn:aws:sts::1:assumed-role/admin/dana@x.eu": "dana@x.eu unknown",
		"arn:aws:iam::1:root":                         "root unknown",
		"x":                                           "x unknown",
	} {
		if s := senderOf(arn); s.Login+" "+s.Kind != want || s.ID != arn {
			t.Errorf("%+v", s)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, tt := range blocks {
		f.Add([]byte(tt.body))
	}
	f.Add([]byte(records(trigger("t", "", `{"commit":"b1","ref":"refs/heads/a"},{"ref":"x","deleted":true}`) + "," + trigger("t", "", ""))))
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := decode(body)
		if err != nil {
			return
		}
		for _, one := range all {
			if one.body != nil && json.Valid(body) && !json.Valid(one.body) {
				t.Errorf("%s is no JSON", one.body)
			}
			e := one.event
			if e.Provider != provider || e.Event == "" || e.Commits == nil || e.ChangedFilesUnknown == "" {
				t.Errorf("%+v", e)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		}
	})
}
