package hostile_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
)

// endpoint is one kind of source that takes requests.
type endpoint struct {
	// kind below spec.
	kind string
	// sender whose requests it takes, where that is not the kind; see eventsource.Sender.
	sender string
	// nested says that the kind has endpoint and port in a block webhook, and
	// context is what else stands there.
	nested  bool
	context []string
	// entry is the YAML of its one event, beside that.
	entry []string
	// body is a request that is accepted.
	body string
	// event is the sender's own name of the body's event, where it does not tell.
	event string
	// header, where it is not the sender's, signs any body as the sender would, with an id of its own for each
	// n, so that hostile content gets as far as it can.
	header func(body []byte, n int) http.Header
}

// secretValue is the value of the secret "hook", key "token", in all of them.
const secretValue = "s3cr3t"

// endpoints are attacked. A new kind gets a line here.
var endpoints = []endpoint{
	{
		kind: "webhook", entry: []string{"authSecret: {name: hook, key: token}", "rateLimit: {requests: 100000}"},
		body: `{"action":"opened","number":7,"labels":["a","b"],"user":{"name":"jane","admin":false},"at":null}`,
		header: func([]byte, int) http.Header {
			return http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + secretValue}}
		},
	},
	{
		kind: "cloudevents", entry: []string{"insecure: true"},
		body: `{"specversion":"1.0","id":"1","source":"/s","type":"com.example","time":"2026-01-02T03:04:05Z","data":{"a":[1,{"b":"c"}]}}`,
		header: func([]byte, int) http.Header {
			return http.Header{"Content-Type": {"application/cloudevents+json"}}
		},
	},
	{kind: "github", nested: true, entry: []string{"organizations: [acme]", "webhookSecret: " + token}, event: "push", body: `{"ref":"refs/heads/main","before":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857","after":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","created":false,"deleted":false,"forced":false,"commits":[{"id":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","message":"m","timestamp":"2026-11-20T21:14:05+01:00","author":{"name":"a","email":"a@example.com","username":"a"},"added":["a"],"removed":[],"modified":["b"]}],"repository":{"full_name":"acme/shop","html_url":"https://github.com/acme/shop","clone_url":"https://github.com/acme/shop.git","default_branch":"main"},"sender":{"login":"a","id":7,"type":"User"}}`},
	{kind: "gitlab", nested: true, entry: []string{"projects: [acme/shop]", "secretToken: " + token}, body: `{"object_kind":"push","event_name":"push","ref":"refs/heads/main","before":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857","after":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","checkout_sha":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","user_username":"a","user_id":4,"project":{"path_with_namespace":"acme/shop","web_url":"https://gitlab.example.com/acme/shop","git_http_url":"https://gitlab.example.com/acme/shop.git","default_branch":"main"},"commits":[{"id":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","message":"m","added":["a"],"modified":[],"removed":[]}],"total_commits_count":1}`},
	{kind: "gitea", nested: true, entry: []string{"organizations: [acme]", "webhookSecret: " + token}, event: "push", body: `{"ref":"refs/heads/main","before":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857","after":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","commits":[{"id":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","message":"m","added":["a"],"removed":null,"modified":[]}],"total_commits":1,"repository":{"full_name":"acme/shop","html_url":"https://git.example.com/acme/shop"},"sender":{"login":"a","id":7}}`},
	{kind: "bitbucket", nested: true, entry: []string{"repositories: [{owner: acme, repositorySlug: shop}]", "events: ['repo:push']", "webhookSecret: " + token}, event: "repo:push", body: `{"push":{"changes":[{"new":{"type":"branch","name":"main","target":{"hash":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645"}},"old":{"type":"branch","name":"main","target":{"hash":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857"}},"created":false,"closed":false,"forced":false,"commits":[{"hash":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","message":"m"}],"truncated":false},{"new":null,"old":{"type":"tag","name":"v1","target":{"hash":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857"}}}]},"repository":{"full_name":"acme/shop","links":{"html":{"href":"https://bitbucket.org/acme/shop"}}},"actor":{"display_name":"a","account_id":"1"}}`},
	{kind: "bitbucketserver", nested: true, entry: []string{"bitbucketserverBaseURL: https://git.example.com/rest", "projects: [ACME]", "events: ['repo:refs_changed']", "webhookSecret: " + token}, event: "repo:refs_changed", body: `{"eventKey":"repo:refs_changed","actor":{"name":"a"},"repository":{"slug":"shop","project":{"key":"ACME"},"links":{"self":[{"href":"https://git.example.com/x"}]}},"changes":[{"ref":{"id":"refs/heads/main","displayId":"main","type":"BRANCH"},"refId":"refs/heads/main","fromHash":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857","toHash":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","type":"UPDATE"}]}`},
	{kind: "azureDevOps", nested: true, context: []string{basic}, body: `{"id":"1","eventType":"git.push","subscriptionId":"s","resource":{"commits":[{"commitId":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","comment":"m"}],"refUpdates":[{"name":"refs/heads/main","oldObjectId":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857","newObjectId":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645"}],"repository":{"name":"shop","remoteUrl":"https://dev.azure.com/acme/p/_git/shop","defaultBranch":"refs/heads/main"},"pushedBy":{"uniqueName":"a"}},"createdDate":"2026-11-20T21:14:05Z"}`},
	{kind: "gerrit", nested: true, context: []string{"insecure: true"}, entry: []string{"hookName: s", "gerritBaseURL: https://review.example.com", "projects: [shop]", "events: [ref-updated]"}, body: `{"type":"ref-updated","submitter":{"username":"a"},"refUpdate":{"oldRev":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857","newRev":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","refName":"refs/heads/main","project":"shop"},"eventCreatedOn":1760000000}`},
	{kind: "registry", sender: "harbor", nested: true, entry: []string{"secret: " + token}, body: `{"type":"PUSH_ARTIFACT","occur_at":1760000000,"operator":"a","event_data":{"resources":[{"digest":"sha256:9f8e1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8","tag":"v1","resource_url":"harbor.example.com/acme/api:v1"}],"repository":{"date_created":1,"name":"api","namespace":"acme","repo_full_name":"acme/api","repo_type":"private"}}}`},
	{kind: "slack", nested: true, entry: []string{"signingSecret: " + token}, body: `{"type":"event_callback","event_id":"Ev1","team_id":"T1","event":{"type":"message","text":"hi","user":"U1","channel":"C1","ts":"1.2"}}`},
	{kind: "stripe", nested: true, entry: []string{"signingSecret: " + token}, body: `{"id":"evt_1","object":"event","type":"charge.succeeded","created":1760000000,"livemode":false,"data":{"object":{"id":"ch_1"}},"request":{"id":null}}`},
	{kind: "alertmanager", nested: true, context: []string{"authSecret: " + token}, body: `{"version":"4","groupKey":"g","status":"firing","receiver":"r","groupLabels":{"a":"b"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://a","alerts":[{"status":"firing","labels":{"alertname":"x"},"annotations":{},"startsAt":"2026-11-20T21:14:05Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"f"}]}`},
}

const (
	token = "{name: hook, key: token}"
	basic = "basicAuth: {username: {name: hook, key: user}, password: {name: hook, key: token}}"
)

func init() {
	for i := range endpoints {
		if e := &endpoints[i]; e.header == nil {
			e.header = e.bySender
		}
	}
}

func (e *endpoint) name() string {
	if e.sender != "" {
		return e.sender
	}
	return e.kind
}

func (e *endpoint) path() string { return "/" + strings.ToLower(e.name()) }

// bySender is a header as the endpoint's sender makes it.
func (e *endpoint) bySender(body []byte, n int) http.Header {
	for _, k := range sources.Kinds {
		for _, s := range k.Senders {
			if k.Name != e.kind || !strings.EqualFold(s.Name, e.name()) {
				continue
			}
			secret := []byte(secretValue)
			if slices.Contains(e.context, basic) {
				secret = []byte("hooks:" + secretValue)
			}
			sending := eventsource.Sending{Body: body, Event: e.event, ID: "delivery-" + strconv.Itoa(n) + "-" + strconv.FormatInt(started, 36), Secret: secret, Now: time.Now()}
			h, err := s.Header(sending)
			if err == nil {
				return h
			}
			// The sender cannot tell what this is; neither should the receiver.
			sending.Body = []byte(e.body)
			if h, err = s.Header(sending); err == nil {
				return h
			}
			panic(err)
		}
	}
	panic(e.kind + " knows no sender " + e.name())
}

// started keeps the ids of runs apart.
var started = time.Now().UnixNano()

// mutations are bodies of which one value is null, of another type, or much too much.
func (e *endpoint) mutations() []string {
	var out []string
	odd := []any{nil, true, "", "\u0000x", json.Number("-1e999999"), json.Number("12345678901234567890123"), []any{}, map[string]any{}, []any{nil, []any{nil}}, strings.Repeat("a/", 5000)}
	var root any
	decoder := json.NewDecoder(strings.NewReader(e.body))
	decoder.UseNumber()
	if err := decoder.Decode(&root); err != nil {
		panic(e.kind + ": the body is no JSON")
	}
	write := func() {
		b, err := json.Marshal(root)
		if err != nil {
			panic(err)
		}
		out = append(out, string(b))
	}
	var walk func(v any, set func(any))
	walk = func(v any, set func(any)) {
		for _, o := range odd {
			set(o)
			write()
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for k, child := range v {
				walk(child, func(n any) { v[k] = n })
			}
		case []any:
			for i, child := range v {
				walk(child, func(n any) { v[i] = n })
			}
		}
	}
	walk(root, func(n any) { root = n })
	slices.Sort(out)
	return out
}

// nasty are bodies that are no JSON of any use.
func nasty() []string {
	return []string{
		"", "null", "[", "{", `"`, "\x00", "\xff\xfe", "\"\xc3\x28\"", `{"a":"` + "\xed\xa0\x80" + `"}`, "{\"\xff\":1}",
		strings.Repeat("[", 100_000), strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
		strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000), strings.Repeat(`{"a":`, 50_000),
		"[" + strings.Repeat("{},", 100_000) + "{}]", "[" + strings.Repeat("[],", 100_000) + "[]]",
		"1" + strings.Repeat("0", 100_000), "1e" + strings.Repeat("9", 1000), `"` + strings.Repeat(`\u0000`, 20_000) + `"`,
		keys(50_000),
	}
}

func keys(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		b.WriteString(`"` + strconv.Itoa(i) + `":0,`)
	}
	b.WriteString(`"z":0}`)
	return b.String()
}
