package sourcehut

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

const (
	zeros  = "0000000000000000000000000000000000000000"
	author = `"author":{"name":"Dana","email":"dana@example.com","time":"2025-10-09T08:53:20Z"}`
	ours   = " ~dana/shop "
)

// blocks are bodies, the event in the header, and the block as hosttest.Summary
// has it.
var blocks = map[string]struct{ body, event, want string }{
	"old: new branch":       {old(`{"name":"refs/heads/a/b","annotated_tag":null,"old":null,"new":{"id":"b1","message":"m"}}`), "", "push/created repo:post-update /x refs/heads/a/b ..b1 commit:b1 by:dana unknown:new-ref"},
	"old: tag":              {old(`{"name":"refs/tags/v1","annotated_tag":{"name":"v1"},"old":null,"new":{"id":"b1"}}`), "", "tag/created repo:post-update /x refs/tags/v1 ..b1 by:dana unknown:new-ref"},
	"old: branch with gone": {old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":null}`), "", "push/deleted repo:post-update /x refs/heads/a a1.. by:dana unknown:deleted-ref"},
	"old: a ref that is not told": {
		old(`{"annotated_tag":null,"name":"","old":null,"new":null}`), "", "other/ repo:post-update /x by:dana unknown:not-sent",
	},
	"old: no refs":             {old(""), "", "other/ repo:post-update /x by:dana unknown:not-sent"},
	"old: ids left out":        {old(`{"name":"refs/heads/a"}`), "", "push/ repo:post-update /x refs/heads/a by:dana unknown:not-sent"},
	"old: another header":      {old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":{"id":"b1"}}`), "repo:delete", "push/updated repo:post-update /x refs/heads/a a1..b1 by:dana unknown:not-sent"},
	"old: repository made":     {`{"id":1,"name":"shop","owner":{"canonical_name":"~dana","name":"dana"}}`, "repo:create", "repository/created repo:create" + ours + "unknown:not-sent"},
	"old: repository changed":  {`{"id":1,"name":"shop","owner":{"canonical_name":"~dana","name":"dana"}}`, "repo:update", "repository/updated repo:update" + ours + "unknown:not-sent"},
	"old: repository gone":     {`{"id":1}`, "repo:delete", "repository/deleted repo:delete /x unknown:not-sent"},
	"new branch":               {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a","target":"b1"},"old":null,"new":{"id":"b1"}}`), "", "push/created GIT_POST_RECEIVE" + ours + "refs/heads/a ..b1 by:lee unknown:new-ref"},
	"new branch, only target":  {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a","target":"b1"},"old":null,"new":null}`), "", "push/created GIT_POST_RECEIVE" + ours + "refs/heads/a ..b1 by:lee unknown:new-ref"},
	"new branch, no target":    {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"},"old":null,"new":null}`), "", "push/ GIT_POST_RECEIVE" + ours + "refs/heads/a by:lee unknown:not-sent"},
	"zeros":                    {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/tags/v1"},"old":{"id":"`+zeros+`"},"new":{"id":"b1"}}`), "", "tag/created GIT_POST_RECEIVE" + ours + "refs/tags/v1 ..b1 by:lee unknown:new-ref"},
	"gone":                     {graph("GIT_POST_RECEIVE", `{"ref":null,"old":{"id":"a1"},"new":null}`), "", "push/deleted GIT_POST_RECEIVE" + ours + "a1.. by:lee unknown:deleted-ref"},
	"gone, named":              {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/tags/v1"},"old":{"id":"a1"},"new":null}`), "", "tag/deleted GIT_POST_RECEIVE" + ours + "refs/tags/v1 a1.. by:lee unknown:deleted-ref"},
	"new is not asked for":     {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/tags/v1"},"old":{"id":"a1"}}`), "", "tag/ GIT_POST_RECEIVE" + ours + "refs/tags/v1 a1.. by:lee unknown:not-sent"},
	"notes":                    {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/notes/x"},"old":{"id":"a1"},"new":{"id":"b1"}}`), "", "push/updated GIT_POST_RECEIVE" + ours + "refs/notes/x a1..b1 by:lee unknown:not-sent"},
	"log":                      {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"c1"},"log":{"results":[{"id":"c1","message":"two"},{"id":"b1","message":"one"}]}}`), "", "push/updated GIT_POST_RECEIVE" + ours + "refs/heads/a a1..c1 commit:b1 commit:c1 by:lee unknown:not-sent"},
	"before the refs move":     {graph("GIT_PRE_RECEIVE", `{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"c1"}}`), "GIT_POST_RECEIVE", "other/ GIT_PRE_RECEIVE" + ours + "by:lee unknown:not-sent"},
	"repository made":          {graph("REPO_CREATED", ""), "", "repository/created REPO_CREATED" + ours + "by:lee unknown:not-sent"},
	"repository changed":       {graph("REPO_UPDATE", ""), "", "repository/updated REPO_UPDATE" + ours + "by:lee unknown:not-sent"},
	"repository gone":          {graph("REPO_DELETED", ""), "", "repository/deleted REPO_DELETED" + ours + "by:lee unknown:not-sent"},
	"no owner":                 {`{"data":{"webhook":{"event":"REPO_UPDATE","repository":{"name":"shop"}}}}`, "", "repository/updated REPO_UPDATE /x unknown:not-sent"},
	"a query of somebody else": {`{"data":{"me":{"username":"dana"}}}`, "GIT_POST_RECEIVE", "other/ GIT_POST_RECEIVE /x unknown:not-sent"},
	"null":                     {`null`, "x", "other/ x /x unknown:not-sent"},
	"wrong types":              {`{"data":{"webhook":{"event":7,"uuid":[],"repository":"x","pusher":[],"updates":{}}},"pusher":1,"refs":"x","name":{},"owner":[]}`, "", "other/ repo:post-update /x unknown:not-sent"},
	"wrong types inside":       {old(`{"name":[],"ref":7,"old":[1],"new":{"id":7,"parents":[{}],"author":3},"log":[]}`), "", "other/ repo:post-update /x by:dana unknown:not-sent"},
	"an element that is none":  {old(`null`), "", "other/ repo:post-update /x by:dana unknown:not-sent"},
}

// TestBlocks sends each body: an event of whatever form comes through.
func TestBlocks(t *testing.T) {
	e, r := testKind("repository: ~x/x\nmetadata: {stage: test}").Start(t)
	url := hosttest.URL(t, e)
	n := 0
	for name, tt := range blocks {
		t.Run(name, func(t *testing.T) {
			n++
			// The body's own ids would make the same event of several of them.
			body := strings.NewReplacer(`"op"`, fmt.Sprintf(`"op%d"`, n), `"u1"`, fmt.Sprintf(`"u%d"`, n)).Replace(tt.body)
			h := sign(t, "x", fmt.Sprint(n), body)
			h.Set(eventHeader, tt.event)
			if status, text := hosttest.Send(t, url, h, []byte(body)); status != http.StatusOK {
				t.Fatalf("%d %s", status, text)
			}
			d := hosttest.Read(t, r.Next(t))
			if string(d.Body) != body || d.Metadata["stage"] != "test" || d.Git.Provider != provider || d.Git.Commits == nil || d.Git.DeliveryID != fmt.Sprint(n) {
				t.Errorf("%+v", d)
			}
			want := strings.Replace(tt.want, " /x", " ~x/x", 1) + " signature"
			if got := hosttest.Summary(d.Git); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestWholeBlock(t *testing.T) {
	d := decoder{base: "https://git.example.com:8443/x/"}
	body := `{"data":{"webhook":{"uuid":"u1","event":"GIT_POST_RECEIVE","repository":{"name":"shop","owner":{"canonicalName":"~dana"},"HEAD":{"name":"refs/heads/main"}},` +
		`"pusher":{"canonicalName":"~dana","email":"dana@example.com"},"updates":[{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"b1"},` +
		`"log":{"results":[{"id":"b1","message":"one",` + author + `}]}}]}}}`
	e := d.decode("", []byte(body))
	const want = `action: "updated"
after: "b1"
before: "a1"
branch: "a"
changedFilesUnknown: "not-sent"
commits[0].author.email: "dana@example.com"
commits[0].author.name: "Dana"
commits[0].id: "b1"
commits[0].message: "one"
commits[0].timestamp: "2025-10-09T08:53:20Z"
event: "push"
provider: "sourcehut"
rawEvent: "GIT_POST_RECEIVE"
ref: "refs/heads/a"
repository.cloneURLs[0]: "https://git.example.com:8443/x/~dana/shop"
repository.cloneURLs[1]: "git@git.example.com:~dana/shop"
repository.defaultBranch: "main"
repository.fullName: "~dana/shop"
repository.host: "git.example.com:8443"
repository.url: "https://git.example.com:8443/x/~dana/shop"
sender.email: "dana@example.com"
sender.id: "~dana"
sender.kind: "user"
sender.login: "dana"`
	if got := hosttest.Text(t, &e); got != want {
		t.Error(got)
	}
}

func TestCommitsTruncated(t *testing.T) {
	commits := make([]string, logSize)
	for i := range commits {
		commits[i] = fmt.Sprintf(`{"id":"c%d"}`, i)
	}
	log := `{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"b1"},"log":{"results":[` + strings.Join(commits, ",") + `]}}`
	for name, tt := range map[string]struct {
		body string
		want bool
	}{
		"one commit":         {old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":{"id":"b1","message":"m","parents":["a1"]}}`), false},
		"the last of some":   {old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":{"id":"c1","message":"m","parents":["b1"]}}`), true},
		"a merge":            {old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":{"id":"c1","message":"m","parents":["a1","b1"]}}`), true},
		"none":               {graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"b1"}}`), true},
		"gone":               {graph("GIT_POST_RECEIVE", `{"ref":null,"old":{"id":"a1"},"new":null}`), false},
		"a log":              {graph("GIT_POST_RECEIVE", strings.Replace(log, strings.Join(commits[1:], ","), commits[1], 1)), false},
		"as long as it gets": {graph("GIT_POST_RECEIVE", log), true},
		"of a new branch":    {graph("GIT_POST_RECEIVE", strings.Replace(strings.Replace(log, strings.Join(commits[1:], ","), commits[1], 1), `{"id":"a1"}`, "null", 1)), true},
	} {
		t.Run(name, func(t *testing.T) {
			if e := (decoder{}).decode("", []byte(tt.body)); e.CommitsTruncated != tt.want {
				t.Errorf("%+v", e)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, tt := range blocks {
		f.Add(tt.event, []byte(tt.body))
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		bodies, err := split(body)
		if err != nil {
			return
		}
		for _, b := range bodies {
			if json.Valid(body) && !json.Valid(b) {
				t.Errorf("%s is no JSON", b)
			}
			e := decoder{base: defaultURL}.decode(event, b)
			if e.Provider != provider || e.Event == "" || e.Commits == nil || e.ChangedFilesUnknown == "" {
				t.Errorf("%+v", e)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		}
	})
}
