package gerrit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixtures lie beside this repository.
const fixtures = "../../../shared/fixtures/webhooks/gerrit"

const origin = "https://review.example.com/"

type answer struct {
	status int
	body   string
}

func post(t testing.TB, url string, body string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, strings.TrimSpace(string(b))}
}

func sent(t testing.TB, body, secret string) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(body), ID: "1", Secret: []byte(secret), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

type data struct {
	Headers  http.Header       `json:"headers"`
	Body     json.RawMessage   `json:"body"`
	Git      gitevent.Event    `json:"git"`
	Metadata map[string]string `json:"metadata"`
}

func read(t testing.TB, e eventsource.Event) data {
	t.Helper()
	var d data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		t.Fatalf("%v in %s", err, e.Data)
	}
	return d
}

// summary is what a person looks at first in a block.
func summary(e *gitevent.Event) string {
	s := fmt.Sprintf("%s %s raw=%s repo=%s", e.Event, e.Action, e.RawEvent, e.Repository.FullName)
	for _, one := range []struct{ name, value string }{{"ref", e.Ref}, {"branch", e.Branch}, {"tag", e.Tag}} {
		if one.value != "" {
			s += fmt.Sprintf(" %s=%s", one.name, one.value)
		}
	}
	if e.Before+e.After != "" {
		s += fmt.Sprintf(" %.8s..%.8s", e.Before, e.After)
	}
	for _, one := range []struct {
		name string
		on   bool
	}{{"created", e.Created}, {"deleted", e.Deleted}, {"truncated", e.CommitsTruncated}} {
		if one.on {
			s += " " + one.name
		}
	}
	if e.ChangedFiles != nil {
		s += fmt.Sprintf(" files=%v", e.ChangedFiles)
	} else {
		s += " files=" + e.ChangedFilesUnknown
	}
	if p := e.PullRequest; p != nil {
		s += fmt.Sprintf(" pr=%d:%s %s@%s(%.8s)->%s@%s by %s", p.Number, p.State, p.Source.Repository, p.Source.Branch, p.Source.SHA, p.Target.Repository, p.Target.Branch, p.Author)
		if p.Draft {
			s += " draft"
		}
		if p.Merged {
			s += fmt.Sprintf(" merged=%.8s", p.MergeCommit)
		}
	}
	if e.Sender != nil {
		s += " sender=" + e.Sender.Login
	}
	return s
}

const fixtureChange = "platform/shop@refs/changes/11/4711/2(c870a0b8)->platform/shop@main by dana"

// wantFixtures tells what each file's block has, as summary writes it.
var wantFixtures = map[string]string{
	"ref-updated.json":      "push updated raw=ref-updated repo=platform/shop ref=refs/heads/main branch=main e79113f5..14091a9f truncated files=not-sent sender=lee",
	"patchset-created.json": "pull_request updated raw=patchset-created repo=platform/shop branch=main files=not-sent pr=4711:open " + fixtureChange + " sender=dana",
	"change-merged.json":    "pull_request merged raw=change-merged repo=platform/shop branch=main files=not-sent pr=4711:merged " + fixtureChange + " merged=14091a9f sender=lee",
	"comment-added.json":    "review approved raw=comment-added repo=platform/shop branch=main files=not-sent pr=4711:open " + fixtureChange + " sender=lee",
}

func TestFixtures(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.json"))
	if err != nil || len(files) == 0 {
		t.Skip("the fixtures are not beside this repository")
	}
	if len(files) < len(wantFixtures) {
		t.Errorf("only %q", files)
	}
	e := sourcetest.NewEnv(t)
	e.Vault.Set("gerrit", "token", "s3cr3t")
	r := sourcetest.Start(t, Kind, "webhook: {endpoint: /gerrit, authSecret: {name: gerrit, key: token}}", e)
	url := e.URL(t, "12000", "/gerrit")
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			body := string(b)
			for _, secret := range []string{"", "wrong"} {
				if a := post(t, url, body, sent(t, body, secret)); a.status != http.StatusUnauthorized {
					t.Errorf("secret %q: %d %s", secret, a.status, a.body)
				}
			}
			h := sent(t, body, "s3cr3t")
			h.Set("X-Origin-Url", origin)
			first, again := post(t, url, body, h), post(t, url, body, h)
			event := r.Next(t)
			if first.status != http.StatusOK || first != again || first.body != `{"id":"`+event.ID+`"}` {
				t.Errorf("%+v, %+v", first, again)
			}
			got := read(t, event)
			if string(got.Body) != body || got.Git.Provider != "gerrit" || got.Git.Verified != "token" {
				t.Errorf("%s", event.Data)
			}
			repo := got.Git.Repository
			if repo.Host != "review.example.com" || repo.URL != origin+"platform/shop" ||
				fmt.Sprint(repo.CloneURLs) != "[https://review.example.com/a/platform/shop ssh://review.example.com:29418/platform/shop]" {
				t.Errorf("%+v", repo)
			}
			if want, ok := wantFixtures[name]; !ok {
				t.Log(summary(&got.Git))
			} else if s := summary(&got.Git); s != want {
				t.Errorf("\n got %s\nwant %s", s, want)
			}
		})
	}
	if n := len(r.Stored()); n != len(files) {
		t.Errorf("%d events of %d files", n, len(files))
	}
}

func refOf(name, before, after string) string {
	return fmt.Sprintf(`{"type":"ref-updated","refUpdate":{"oldRev":%q,"newRev":%q,"refName":%q,"project":"shop"},"submitter":{"username":"lee"}}`, before, after, name)
}

func changeOf(kind, status, more string) string {
	return fmt.Sprintf(`{"type":%q,"change":{"project":{"name":"shop"},"branch":"refs/heads/main","id":"I1","number":5,"subject":"S","status":%q,"owner":{"username":"dana"}},`+
		`"patchSet":{"number":1,"revision":"c1","ref":"refs/changes/05/5/1"},"project":"shop"%s}`, kind, status, more)
}

const (
	zeros      = "0000000000000000000000000000000000000000"
	shopChange = "shop@refs/changes/05/5/1(c1)->shop@main by dana"
	of         = " repo=shop branch=main files=not-sent pr=5:"
)

var blocks = map[string]struct{ body, want string }{
	"branch by its short name": {refOf("main", "a1", "b1"), "push updated raw=ref-updated repo=shop ref=refs/heads/main branch=main a1..b1 truncated files=not-sent sender=lee"},
	"branch that is new":       {refOf("refs/heads/a/b", zeros, "b1"), "push created raw=ref-updated repo=shop ref=refs/heads/a/b branch=a/b ..b1 created truncated files=new-ref sender=lee"},
	"branch that is gone":      {refOf("refs/heads/x", "a1", zeros), "push deleted raw=ref-updated repo=shop ref=refs/heads/x branch=x a1.. deleted files=deleted-ref sender=lee"},
	"tag":                      {refOf("refs/tags/v1", zeros, "b1"), "tag created raw=ref-updated repo=shop ref=refs/tags/v1 tag=v1 ..b1 created truncated files=new-ref sender=lee"},
	"ref of a change":          {refOf("refs/changes/05/5/meta", "a1", "b1"), "push updated raw=ref-updated repo=shop ref=refs/changes/05/5/meta a1..b1 truncated files=not-sent sender=lee"},
	"settings":                 {refOf("refs/meta/config", "a1", "b1"), "push updated raw=ref-updated repo=shop ref=refs/meta/config a1..b1 truncated files=not-sent sender=lee"},
	"ref without commits":      {`{"type":"ref-updated","refUpdate":{"refName":"main","project":"shop"}}`, "push  raw=ref-updated repo=shop ref=refs/heads/main branch=main truncated files=not-sent"},
	"no ref at all":            {`{"type":"ref-updated","project":"shop"}`, "other  raw=ref-updated repo=shop files=not-sent"},
	"batch of one":             {`{"type":"batch-ref-updated","refUpdates":[{"oldRev":"a1","newRev":"b1","refName":"refs/heads/x","project":"shop"}]}`, "push updated raw=batch-ref-updated repo=shop ref=refs/heads/x branch=x a1..b1 truncated files=not-sent"},

	"first patch set":   {changeOf("patchset-created", "NEW", `,"uploader":{"username":"dana"}`), "pull_request opened raw=patchset-created" + of + "open " + shopChange + " sender=dana"},
	"another message":   {strings.Replace(changeOf("patchset-created", "NEW", ""), `"number":1,`, `"number":2,"kind":"NO_CODE_CHANGE",`, 1), "pull_request edited raw=patchset-created" + of + "open " + shopChange},
	"rebase":            {strings.Replace(changeOf("patchset-created", "NEW", ""), `"number":1,`, `"number":2,"kind":"TRIVIAL_REBASE",`, 1), "pull_request updated raw=patchset-created" + of + "open " + shopChange},
	"merged":            {changeOf("change-merged", "MERGED", `,"newRev":"d1","submitter":{"username":"lee"}`), "pull_request merged raw=change-merged" + of + "merged " + shopChange + " merged=d1 sender=lee"},
	"abandoned":         {changeOf("change-abandoned", "ABANDONED", `,"abandoner":{"username":"lee"}`), "pull_request closed raw=change-abandoned" + of + "closed " + shopChange + " sender=lee"},
	"restored":          {changeOf("change-restored", "NEW", `,"restorer":{"username":"lee"}`), "pull_request reopened raw=change-restored" + of + "open " + shopChange + " sender=lee"},
	"deleted":           {changeOf("change-deleted", "NEW", `,"deleter":{"username":"lee"}`), "pull_request deleted raw=change-deleted" + of + "open " + shopChange + " sender=lee"},
	"topic":             {changeOf("topic-changed", "NEW", `,"changer":{"username":"lee"}`), "pull_request edited raw=topic-changed" + of + "open " + shopChange + " sender=lee"},
	"work in progress":  {strings.Replace(changeOf("wip-state-changed", "NEW", ""), `"number":5,`, `"number":5,"wip":true,`, 1), "pull_request draft raw=wip-state-changed" + of + "open " + shopChange + " draft"},
	"ready":             {changeOf("wip-state-changed", "NEW", ""), "pull_request ready raw=wip-state-changed" + of + "open " + shopChange},
	"comment":           {changeOf("comment-added", "NEW", `,"comment":"recheck","author":{"username":"lee"}`), "comment  raw=comment-added" + of + "open " + shopChange + " sender=lee"},
	"vote of before":    {changeOf("comment-added", "NEW", `,"approvals":[{"type":"Code-Review","value":"2"}]`), "comment  raw=comment-added" + of + "open " + shopChange},
	"vote of a machine": {changeOf("comment-added", "NEW", `,"approvals":[{"type":"Verified","value":"1","oldValue":"0"},null,7]`), "comment  raw=comment-added" + of + "open " + shopChange},
	"vote +1":           {changeOf("comment-added", "NEW", `,"approvals":[{"type":"Code-Review","value":"1","oldValue":"0"}]`), "review  raw=comment-added" + of + "open " + shopChange},
	"vote -1":           {changeOf("comment-added", "NEW", `,"approvals":[{"type":"Code-Review","value":"-1","oldValue":"0"}]`), "review changes_requested raw=comment-added" + of + "open " + shopChange},
	"vote taken back":   {changeOf("comment-added", "NEW", `,"approvals":[{"type":"Code-Review","value":"0","oldValue":"2"}]`), "review unapproved raw=comment-added" + of + "open " + shopChange},
	"vote removed":      {changeOf("vote-deleted", "NEW", `,"remover":{"username":"lee"}`), "review unapproved raw=vote-deleted" + of + "open " + shopChange + " sender=lee"},

	"project":         {`{"type":"project-created","projectName":"shop","headName":"refs/heads/main"}`, "repository created raw=project-created repo=shop files=not-sent"},
	"project's head":  {`{"type":"project-head-updated","projectName":"shop"}`, "repository head-updated raw=project-head-updated repo=shop files=not-sent"},
	"of tomorrow":     {`{"type":"dance-danced","project":{"name":"shop"}}`, "other  raw=dance-danced repo=shop files=not-sent"},
	"no type":         {`{"a":1}`, "other  raw= repo= files=not-sent"},
	"null":            {`null`, "other  raw= repo= files=not-sent"},
	"wrong types":     {`{"type":"change-merged","change":[],"patchSet":7,"project":[1],"submitter":"x","newRev":{}}`, "pull_request merged raw=change-merged repo= files=not-sent"},
	"huge number":     {`{"type":"change-merged","change":{"number":1e300,"project":null}}`, "pull_request merged raw=change-merged repo= files=not-sent"},
	"type of a wrong": {`{"type":["ref-updated"],"refUpdate":null}`, "other  raw= repo= files=not-sent"},
	"deep":            {`{"type":"comment-added","approvals":` + strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000) + `}`, "comment  raw=comment-added repo= files=not-sent"},
}

// TestBlocks sends each body: an event of whatever form comes through.
func TestBlocks(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "webhook: {endpoint: gerrit, method: GET}\nmetadata: {stage: test}", e)
	url := e.URL(t, "12000", "/gerrit")
	for name, tt := range blocks {
		t.Run(name, func(t *testing.T) {
			if a := post(t, url, tt.body, sent(t, tt.body, "")); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			got := read(t, r.Next(t))
			if string(got.Body) != tt.body || got.Metadata["stage"] != "test" || got.Git.Verified != "none" || got.Git.Commits == nil {
				t.Errorf("%+v", got)
			}
			if s := summary(&got.Git); s != tt.want {
				t.Errorf("\n got %s\nwant %s", s, tt.want)
			}
		})
	}
}

func TestBatch(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "webhook: {endpoint: /}", e)
	const body = `{"submitter":{"username":"lee"},"refUpdates":[{"oldRev":"a1","newRev":"b1","refName":"x","project":"shop"}, ` +
		`{"oldRev":"a2","newRev":"b2","refName":"refs/tags/v1","project":"shop"}],"type":"batch-ref-updated"}`
	a := post(t, e.URL(t, "12000", "/"), body, sent(t, body, ""))
	first, second := r.Next(t), r.Next(t)
	if a.body != fmt.Sprintf(`{"ids":[%q,%q]}`, first.ID, second.ID) || second.ID != first.ID+"/1" {
		t.Errorf("%s", a.body)
	}
	one, two := read(t, first), read(t, second)
	if one.Git.Branch != "x" || two.Git.Tag != "v1" || one.Git.Sender.Login != "lee" || two.Git.Repository.FullName != "shop" {
		t.Errorf("%s, %s", first.Data, second.Data)
	}
	if !bytes.Contains(two.Body, []byte(`"refUpdates":[{"oldRev":"a2"`)) || bytes.Contains(two.Body, []byte("a1")) {
		t.Errorf("%s", two.Body)
	}
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(*testing.T, *sourcetest.Env) string { return "webhook: {endpoint: /gerrit}" },
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := refOf("main", "a1", fmt.Sprintf("b%d", n))
			if a := post(t, e.URL(t, "12000", "/gerrit"), body, sent(t, body, "")); a.status != http.StatusOK {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		},
	})
}

func TestValidate(t *testing.T) {
	const (
		safe  = "webhook: {endpoint: /x, insecure: true, url: 'https://hooks.example.com'}\n"
		login = "auth: {username: {name: a, key: u}, password: {name: a, key: p}}\ngerritBaseURL: https://review.example.com\n"
	)
	for name, tt := range map[string]struct{ manifest, want string }{
		"as Argo Events has it": {
			safe + login + "hookName: h\nevents: [patchset-created]\nprojects: [a/b]\nsslVerify: true\nmaxTries: 3\ndeleteHookOnFinish: true\nmetadata: {a: b}\nfilter: {expression: 'true'}", "",
		},
		"nothing":             {"{}", "error webhook: is missing"},
		"open":                {"webhook: {endpoint: /x}", "warning webhook: the endpoint takes requests from anybody"},
		"half a login":        {safe + "auth: {username: {name: a, key: u}}\ngerritBaseURL: https://x\nprojects: [p]\nevents: [e]", "error auth: needs username and password"},
		"login to nowhere":    {safe + "auth: {username: {name: a, key: u}, password: {name: a, key: p}}\nprojects: [p]\nevents: [e]", "error gerritBaseURL: is missing"},
		"base":                {"webhook: {endpoint: /x, insecure: true}\ngerritBaseURL: review", "error gerritBaseURL: is no URL"},
		"no events":           {safe + login + "projects: [a]", "error events: is missing"},
		"nowhere to keep it":  {safe + login + "events: [a]", "warning projects: is missing"},
		"empty names":         {safe + login + "projects: ['']\nevents: [' ']", "error events[0]: is empty|error projects[0]: is empty"},
		"tries":               {safe + "maxTries: -1", "error maxTries: is negative"},
		"delete nothing":      {safe + "deleteHookOnFinish: true", "note deleteHookOnFinish: has no effect"},
		"lookup for nobody":   {safe + "changedFiles: {lookup: api}", "error changedFiles.lookup: "},
		"metadata at webhook": {"webhook: {endpoint: /x, insecure: true, metadata: {a: b}}", "warning webhook.metadata: has no effect"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			problems := v1alpha1.Problems(err)
			var want []string
			if tt.want != "" {
				want = strings.Split(tt.want, "|")
			}
			if len(problems) != len(want) {
				t.Fatalf("got %v, want %q", err, want)
			}
			for i, p := range problems {
				if got := p.Severity.String() + " " + p.Path + ": " + p.Message; !strings.HasPrefix(got, want[i]) {
					t.Errorf("got %q, want %q", got, want[i])
				}
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, tt := range blocks {
		f.Add(origin, []byte(tt.body))
	}
	f.Add("http://[::1]:8080/r", []byte(refOf("%zz/../x", "a", "b")))
	f.Fuzz(func(t *testing.T, origin string, body []byte) {
		bodies, err := split(body)
		if err != nil {
			return
		}
		for _, b := range bodies {
			e := decode(origin, b)
			if e.Provider != provider || e.Event == "" || e.Commits == nil || e.ChangedFiles == nil && e.ChangedFilesUnknown == "" {
				t.Errorf("%+v", e)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		}
	})
}

// handlers is an eventsource.Hooks without a network.
type handlers chan http.Handler

// Serve implements eventsource.Hooks.
func (h handlers) Serve(ctx context.Context, _ eventsource.Route, handler http.Handler) error {
	h <- handler
	<-ctx.Done()
	return nil
}

// BenchmarkPush is all that happens to a push but the network and the bus.
func BenchmarkPush(b *testing.B) {
	e := sourcetest.NewEnv(b)
	e.Vault.Set("gerrit", "token", "s3cr3t")
	got := make(handlers, 1)
	e.Hooks = got
	s := sourcetest.Build(b, Kind, "webhook: {endpoint: /, authSecret: {name: gerrit, key: token}}", e)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func(context.Context, eventsource.Event) error { return nil }) }()
	handler := <-got
	body := refOf("main", "a1", "b1")
	h := sent(b, body, "s3cr3t")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		req.Header = h
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, req); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
