package codecommit

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const locked = "secretHeader: {secret: {name: aws, key: key}}\n"

// testKind is an endpoint for an API destination.
func testKind(more string) hosttest.Kind {
	return hosttest.Kind{
		Kind: Kind, Config: "webhook: {endpoint: /hook}\n" + locked + more,
		Secrets: map[string]string{"aws/key": hosttest.Secret},
		Spoil:   func(h http.Header) { h.Set(defaultHeader, "wrong") },
	}
}

func sent(t testing.TB, body string) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(body), Secret: []byte(hosttest.Secret), ID: "d"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFixtures(t *testing.T) {
	const pull = " #12 open cache@a0f1490>main@7a81af3 by:dana unknown:not-sent token"
	testKind("").Fixtures(t, "aws-eventbridge", map[string]string{
		"codecommit-reference-updated.json": "push/updated referenceUpdated shop refs/heads/main 7a81af3..d1854ca by:dana unknown:not-sent token",
		"codecommit-pull-request.json":      "pull_request/opened pullRequestCreated shop to:main" + pull,
		"ecr-image-push.json":               "", "ecr-image-push-untagged.json": "", "ecr-image-delete.json": "",
	})
}

// TestWays are the ways to prove oneself, and what does not do.
func TestWays(t *testing.T) {
	body := bridge("i1", "referenceCreated", `"referenceFullName":"refs/heads/a","commitId":"b1"`)
	const topics = "sns: {topicArns: ['" + topic + "']}\n"
	basic := "webhook: {endpoint: /hook, basicAuth: {username: {name: aws, key: user}, password: {name: aws, key: key}}}\n"
	for name, tt := range map[string]struct {
		config, header, value string
		want                  int
		verified              string
	}{
		"secret header":            {locked, "X-Api-Key", "s3cr3t", 200, "token"},
		"wrong":                    {locked, "X-Api-Key", "s3cr3", 401, ""},
		"missing":                  {locked, "X-Other", "s3cr3t", 401, ""},
		"header of another name":   {"secretHeader: {name: x-mine, secret: {name: aws, key: key}}\n", "X-Mine", "s3cr3t", 200, "token"},
		"a further secret":         {"webhook: {endpoint: /hook, acceptedSecrets: [{name: aws, key: next}]}\n" + locked, "X-Api-Key", "n3xt", 200, "token"},
		"basic authentication":     {basic, "Authorization", "Basic ZGFuYTpzM2NyM3Q=", 200, "token"},
		"wrong password":           {basic, "Authorization", "Basic ZGFuYTpzM2NyM3Qx", 401, ""},
		"anybody":                  {"", "X-Other", "", 200, "none"},
		"anybody, where SNS is":    {topics, "X-Other", "", 401, ""},
		"secret, where SNS is":     {topics + locked, "X-Api-Key", "s3cr3t", 200, "token"},
		"raw, where SNS is":        {topics, "X-Amz-Sns-Rawdelivery", "true", 401, ""},
		"SNS by name alone":        {locked, "X-Amz-Sns-Message-Type", "Notification", 401, ""},
		"SNS by name, where it is": {topics, "X-Amz-Sns-Message-Type", "Notification", 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := testKind("")
			if k.Config = tt.config; !strings.Contains(tt.config, "webhook") {
				k.Config += "webhook: {endpoint: /hook}\n"
			}
			k.Secrets["aws/next"], k.Secrets["aws/user"] = "n3xt", "dana"
			e, r := k.Start(t)
			status, text := hosttest.Send(t, hosttest.URL(t, e), http.Header{tt.header: {tt.value}}, []byte(body))
			if status != tt.want {
				t.Fatalf("%d %s", status, text)
			}
			if status != http.StatusOK {
				if n := len(r.Stored()); n > 0 {
					t.Errorf("%d events", n)
				}
				return
			}
			ev := r.Next(t)
			d := hosttest.Read(t, ev)
			if ev.ID != "i1" || d.Git.Verified != tt.verified || strings.Contains(string(ev.Data), "s3cr3t") || string(d.Body) != body {
				t.Errorf("%s %s", ev.ID, ev.Data)
			}
		})
	}
}

func TestSender(t *testing.T) {
	k := testKind("")
	if h := k.Sign(t, eventsource.Sending{Body: []byte(`{}`), Secret: []byte("dana:s3cr3t")}); h.Get("Authorization") != "Basic ZGFuYTpzM2NyM3Q=" || h.Get(defaultHeader) != "" {
		t.Error(h)
	}
	if h := k.Sign(t, eventsource.Sending{Body: []byte(`{}`)}); h.Get("Authorization")+h.Get(defaultHeader) != "" || h.Get("User-Agent") != "Amazon/EventBridge/ApiDestinations" {
		t.Error(h)
	}
}

func TestTriggers(t *testing.T) {
	e, r := testKind("").Start(t)
	url := hosttest.URL(t, e)
	const two = `{"commit":"b1","created":true,"ref":"refs/heads/a"},{"commit":"c1","deleted":true,"ref":"refs/tags/v1"}`
	for name, tt := range map[string]struct {
		body string
		want []string // id, and the block as hosttest.Summary has it
	}{
		"one": {records(trigger("t1", "", `{"commit":"b1","ref":"refs/heads/a"}`)), []string{
			"t1 push/updated ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:not-sent token",
		}},
		"two": {records(trigger("t2", "", two)), []string{
			"t2 push/created ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:new-ref token",
			"t2/1 tag/deleted ReferenceChanges shop refs/tags/v1 c1.. by:dana unknown:deleted-ref token",
		}},
		"two records": {records(trigger("t3", "", two) + "," + trigger("t4", "", `{"commit":"b1","ref":"refs/heads/a"}`)), []string{
			"t3 push/created ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:new-ref token",
			"t3/1 tag/deleted ReferenceChanges shop refs/tags/v1 c1.. by:dana unknown:deleted-ref token",
			"t4 push/updated ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:not-sent token",
		}},
		"two records of one id": {records(trigger("t5", "", two) + "," + trigger("t5", "", `{"commit":"b1","ref":"refs/heads/a"}`)), []string{
			"t5 push/created ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:new-ref token",
			"t5/1 tag/deleted ReferenceChanges shop refs/tags/v1 c1.. by:dana unknown:deleted-ref token",
			"t5/2 push/updated ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:not-sent token",
		}},
		"part of many": {records(trigger("t6", `,"eventPartNumber":2,"eventTotalParts":3`, `{"commit":"b1","ref":"refs/heads/a"}`)), []string{
			"t6.2 push/updated ReferenceChanges shop refs/heads/a ..b1 by:dana unknown:not-sent token",
		}},
		"tried out": {records(strings.Replace(trigger("t7", "", two), "ReferenceChanges", testEvent, 1)), []string{
			"t7 ping/ TriggerEventTest shop by:dana unknown:not-sent token",
		}},
		"no references": {records(trigger("t8", "", "")), []string{
			"t8 other/ ReferenceChanges shop by:dana unknown:not-sent token",
		}},
		"a record of wrong types": {records(trigger("t9", "", `{"commit":7,"ref":[]}`) + `,{"eventId":"t10","codecommit":7,"eventSourceARN":{}}`), []string{
			"t9 other/ ReferenceChanges shop by:dana unknown:not-sent token",
			"t10 other/   unknown:not-sent token",
		}},
		"of another service": {records(strings.Replace(trigger("t11", "", two), "aws:codecommit", "aws:s3", 1)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second makes no more events
				if status, text := hosttest.Send(t, url, sent(t, tt.body), []byte(tt.body)); status != http.StatusOK {
					t.Fatalf("%d %s", status, text)
				}
			}
			for _, want := range tt.want {
				ev := r.Next(t)
				d := hosttest.Read(t, ev)
				if got := ev.ID + " " + hosttest.Summary(d.Git); got != want {
					t.Errorf("\n got %s\nwant %s", got, want)
				}
				if len(tt.want) == 1 && string(d.Body) != tt.body {
					t.Errorf("%s", d.Body)
				}
				if n := strings.Count(string(d.Body), `"eventSourceARN"`); n != 1 {
					t.Errorf("%d records in %s", n, d.Body)
				}
				if n := strings.Count(string(d.Body), `"ref":`); n > 1 && d.Git.RawEvent != testEvent {
					t.Errorf("%d references in %s", n, d.Body)
				}
			}
		})
	}
	if n := len(r.Stored()); n != 14 {
		t.Errorf("%d events", n)
	}
}

func TestTooMuch(t *testing.T) {
	refs := strings.TrimSuffix(strings.Repeat(`{},`, 2000), ",")
	padded := strings.Replace(trigger("t1", "", refs), "{", `{"x":"`+strings.Repeat("x", 20_000)+`",`, 1)
	for name, body := range map[string]string{
		"references": records(strings.TrimSuffix(strings.Repeat(trigger("t1", "", refs)+",", 3), ",")),
		"bytes":      records(padded + "," + padded),
		"records":    records(strings.TrimSuffix(strings.Repeat("{},", maxEvents+1), ",")),
	} {
		if _, err := decode([]byte(body)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestHostile(t *testing.T) {
	var bodies []string
	for _, b := range blocks {
		bodies = append(bodies, b.body)
	}
	bodies = append(bodies, `{"Records":[]}`, `{"Records":[null]}`, `{"Records":[7,{"codecommit":{"references":[null,7,{}]}}]}`, `{"Records":{}}`)
	testKind("").Hostile(t, func(body []byte) http.Header { return sent(t, string(body)) }, bodies)
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			k := testKind("")
			k.Fill(e)
			return k.Config
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := bridge(fmt.Sprint("i", n), "referenceCreated", `"referenceFullName":"refs/heads/a","commitId":"b1"`)
			if status, text := hosttest.Send(t, hosttest.URL(t, e), sent(t, body), []byte(body)); status != http.StatusOK {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func TestValidate(t *testing.T) {
	const hook = "webhook: {endpoint: /x}\n"
	for name, tt := range map[string]struct{ manifest, want string }{
		"header":              {hook + locked, ""},
		"SNS":                 {hook + "sns: {topicArns: ['arn:aws:sns:*:123456789012:*'], certificate: {name: a, key: b}}", ""},
		"all":                 {hook + locked + "sns: {topicArns: ['" + topic + "']}\nmetadata: {a: b}\nfilter: {expression: 'true'}", ""},
		"credentials":         {"webhook: {endpoint: /x, authSecret: {name: a, key: b}}", ""},
		"nothing":             {"{}", "error webhook: is missing"},
		"open":                {hook, "warning webhook: the endpoint takes requests from anybody"},
		"odd header":          {hook + "secretHeader: {name: 'a b', secret: {name: a, key: b}}", "error secretHeader.name: "},
		"sender's header":     {hook + "secretHeader: {name: content-type, secret: {name: a, key: b}}", "error secretHeader.name: "},
		"no secret":           {hook + "secretHeader: {name: X-A}", "error secretHeader.secret: is missing"},
		"no topics":           {hook + "sns: {}", "error sns.topicArns: is missing"},
		"empty topic":         {hook + "sns: {topicArns: ['']}", "error sns.topicArns[0]: is empty"},
		"no topic":            {hook + "sns: {topicArns: [events]}", "error sns.topicArns[0]: "},
		"half a topic":        {hook + "sns: {topicArns: ['arn:aws:sns:x']}", "error sns.topicArns[0]: "},
		"any topic":           {hook + "sns: {topicArns: ['*']}", "warning sns.topicArns[0]: topics of any account"},
		"any account":         {hook + "sns: {topicArns: ['arn:aws:sns:eu-central-1:*:events']}", "warning sns.topicArns[0]: topics of any account"},
		"any account, short":  {hook + "sns: {topicArns: ['arn:aws:sns:*']}", "warning sns.topicArns[0]: topics of any account"},
		"metadata at webhook": {"webhook: {endpoint: /x, insecure: true, metadata: {a: b}}", "warning webhook.metadata: has no effect"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			var got []string
			for _, p := range v1alpha1.Problems(err) {
				got = append(got, p.Severity.String()+" "+p.Path+": "+p.Message)
			}
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
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
	got := make(handlers, 1)
	e.Hooks = got
	k := testKind("")
	k.Fill(e)
	s := sourcetest.Build(b, Kind, k.Config, e)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func(context.Context, eventsource.Event) error { return nil }) }()
	handler := <-got
	body := bridge("i1", "referenceUpdated", `"referenceFullName":"refs/heads/a","commitId":"b1","oldCommitId":"a1"`)
	h := sent(b, body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
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
