package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

func TestConformance(t *testing.T) {
	for name, c := range map[string]sourcetest.Case{
		"random ids": {},
		"own ids":    {StableIDs: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.Kind, c.Answers, c.Concurrent = Kind, true, true
			c.Setup = func(*testing.T, *sourcetest.Env) string { return "endpoint: /push\nidHeader: X-Id" }
			c.Provoke = func(t *testing.T, e *sourcetest.Env, n int) error {
				var header []string
				if c.StableIDs {
					header = []string{"X-Id", fmt.Sprint(n)}
				}
				a := send(t, http.MethodPost, e.URL(t, "12000", "/push"), fmt.Sprintf(`{"n":%d}`, n), header...)
				if a.status != http.StatusOK {
					return fmt.Errorf("%d %s", a.status, a.body)
				}
				return nil
			}
			sourcetest.Run(t, c)
		})
	}
}

type answer struct {
	status int
	body   string
	header http.Header
}

func send(t testing.TB, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "test")
	for pair := range slices.Chunk(header, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	tr := &http.Transport{DisableCompression: true}
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
	return answer{res.StatusCode, strings.TrimSpace(string(b)), res.Header}
}

func TestData(t *testing.T) {
	const plain = "endpoint: /push"
	const head = `"header":{"Content-Length":["`
	ua := func(length string) string { return head + length + `"],"User-Agent":["test"]}` }
	tests := []struct {
		name, manifest, method, path, body string
		header                             []string
		want                               string // data, or STATUS and a part of the answer
	}{
		{
			"JSON keeps digits and keys", plain, "POST", "/push", ` {"n":12345678901234567890, "f":1.50,"a":1,"a":2} `,
			[]string{"Content-Type", "application/json"},
			`{"header":{"Content-Length":["50"],"Content-Type":["application/json"],"User-Agent":["test"]},"body":{"n":12345678901234567890, "f":1.50,"a":1,"a":2}}`,
		},
		{"JSON without a type", plain, "POST", "/push", `{"a":1}`, nil, `{` + ua("7") + `,"body":{"a":1}}`},
		{"JSON with a byte order mark", plain, "POST", "/push", "\ufeff[1]", nil, `{` + ua("6") + `,"body":[1]}`},
		{
			"JSON of another type", plain, "POST", "/push", `[1]`,
			[]string{"Content-Type", "application/vnd.x+json; v=1"},
			`{"header":{"Content-Length":["3"],"Content-Type":["application/vnd.x+json; v=1"],"User-Agent":["test"]},"body":[1]}`,
		},
		{
			"JSON as text", plain, "POST", "/push", `{"Type":"x"}`,
			[]string{"Content-Type", "text/plain"},
			`{"header":{"Content-Length":["12"],"Content-Type":["text/plain"],"User-Agent":["test"]},"body":{"Type":"x"}}`,
		},
		{
			"a number as text stays text", plain, "POST", "/push", `123`,
			[]string{"Content-Type", "text/plain"},
			`{"header":{"Content-Length":["3"],"Content-Type":["text/plain"],"User-Agent":["test"]},"body":"123"}`,
		},
		{"a number without a type", plain, "POST", "/push", `123`, nil, `{` + ua("3") + `,"body":123}`},
		{"text", plain, "POST", "/push", "hello\n\"you\"", nil, `{` + ua("11") + `,"body":"hello\n\"you\""}`},
		{"text that begins as JSON", plain, "POST", "/push", `{"a":`, nil, `{` + ua("5") + `,"body":"{\"a\":"}`},
		{"spaces", plain, "POST", "/push", "  ", nil, `{` + ua("2") + `,"body":"  "}`},
		{"nothing", plain, "POST", "/push", "", nil, `{` + ua("0") + `,"body":null}`},
		{
			"nothing, said to be JSON", plain, "POST", "/push", "",
			[]string{"Content-Type", "application/json"},
			`{"header":{"Content-Length":["0"],"Content-Type":["application/json"],"User-Agent":["test"]},"body":null}`,
		},
		{
			"binary", plain, "POST", "/push", "\x00\xff",
			[]string{"Content-Type", "image/png"},
			`{"header":{"Content-Length":["2"],"Content-Type":["image/png"],"User-Agent":["test"]},"body":"AP8=","bodyEncoding":"base64"}`,
		},
		{
			"form", plain, "POST", "/push", "b=x&a=1&a=2%20",
			[]string{"Content-Type", "application/x-www-form-urlencoded"},
			`{"header":{"Content-Length":["14"],"Content-Type":["application/x-www-form-urlencoded"],"User-Agent":["test"]},"body":{"a":["1","2 "],"b":["x"]}}`,
		},
		{
			"form with charset", plain, "POST", "/push", "a=1",
			[]string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
			`{"header":{"Content-Length":["3"],"Content-Type":["application/x-www-form-urlencoded; charset=utf-8"],"User-Agent":["test"]},"body":{"a":["1"]}}`,
		},
		{"query", plain, "POST", "/push?b=x&a=1&a=2", "1", nil, `{` + ua("1") + `,"body":1,"query":{"a":["1","2"],"b":["x"]}}`},
		{"GET", plain + "\nmethod: GET", "GET", "/push?b=x&a=1&a=2", "", nil, `{"header":{"User-Agent":["test"]},"body":{"a":["1","2"],"b":["x"]}}`},
		{"GET without a query", plain + "\nmethod: GET", "GET", "/push", "", nil, `{"header":{"User-Agent":["test"]},"body":{}}`},
		{"PUT", plain + "\nmethod: PUT", "PUT", "/push", "1", nil, `{` + ua("1") + `,"body":1}`},
		{"DELETE", plain + "\nmethod: DELETE", "DELETE", "/push", "", nil, `{"header":{"User-Agent":["test"]},"body":null}`},
		{"HEAD", plain + "\nmethod: HEAD", "HEAD", "/push", "", nil, `{"header":{"User-Agent":["test"]},"body":null}`},
		{"path", "endpoint: push/{team}/{rest:.*}", "POST", "/push/a%22b/c/d", "1", nil, `{` + ua("1") + `,"body":1,"path":{"team":"a\"b","rest":"c/d"}}`},
		{"metadata", plain + "\nmetadata: {b: 'x\"', a: '1'}", "POST", "/push", "1", nil, `{` + ua("1") + `,"body":1,"metadata":{"a":"1","b":"x\""}}`},
		{"repeated headers", plain, "POST", "/push", "1", []string{"x-a", "1", "X-A", "2", "Host", "x"}, `{"header":{"Content-Length":["1"],"User-Agent":["test"],"X-A":["1","2"]},"body":1}`},
		{
			"credentials are masked", plain, "POST", "/push", "1",
			[]string{"Authorization", "Bearer geheim"},
			`{"header":{"Authorization":["*** Masked Auth Secret ***"],"Content-Length":["1"],"User-Agent":["test"]},"body":1}`,
		},
		{"said to be JSON", plain, "POST", "/push", "{", []string{"Content-Type", "application/json"}, "400 said to be JSON"},
		{"said to be JSON, not UTF-8", plain, "POST", "/push", "\"\xff\"", []string{"Content-Type", "application/json"}, "400 not UTF-8"},
		{"bad form", plain, "POST", "/push", "a=%zz", []string{"Content-Type", "application/x-www-form-urlencoded"}, "400 form"},
		{"other method", plain, "PUT", "/push", "1", nil, "405 use POST"},
		{"other path", plain, "POST", "/pull", "1", nil, "404 "},
		{"too large", plain + "\nmaxPayloadSize: 3", "POST", "/push", "1234", nil, "413 larger than 3 bytes"},
		{"form too large", plain + "\nmaxPayloadSize: 3", "POST", "/push", "a=11", []string{"Content-Type", "application/x-www-form-urlencoded"}, "413 larger than 3 bytes"},
		{"id too long", plain + "\nidHeader: x-id", "POST", "/push", "1", []string{"X-Id", strings.Repeat("x", 256)}, "400 X-Id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := sourcetest.NewEnv(t)
			r := sourcetest.Start(t, Kind, tt.manifest, e)
			got := send(t, tt.method, e.URL(t, "12000", tt.path), tt.body, tt.header...)
			if status, text, ok := strings.Cut(tt.want, " "); ok && len(status) == 3 {
				if fmt.Sprint(got.status) != status || !strings.Contains(got.body, text) || len(r.Stored()) > 0 {
					t.Errorf("%d %s, want %s", got.status, got.body, tt.want)
				}
				return
			}
			event := r.Next(t)
			if string(event.Data) != tt.want || got.status != 200 {
				t.Errorf("%d\n got %s\nwant %s", got.status, event.Data, tt.want)
			}
			if !json.Valid(event.Data) {
				t.Error("the data is no JSON")
			}
			if tt.method != "HEAD" && got.body != `{"id":"`+event.ID+`"}` {
				t.Errorf("answer %s, id %s", got.body, event.ID)
			}
		})
	}
}

var randomID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func TestIDsAndTraces(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "endpoint: /\nidHeader: idempotency-key", e)
	url := e.URL(t, "12000", "/")
	for _, tt := range []struct {
		header []string
		id     string
		trace  string
	}{
		{nil, "", "map[]"},
		{[]string{"Idempotency-Key", "k1"}, "k1", "map[]"},
		{[]string{"Idempotency-Key", ""}, "", "map[]"},
		{[]string{"traceparent", "00-1-2-01"}, "", "map[traceparent:00-1-2-01]"},
		{[]string{"traceparent", "00-1-2-01", "tracestate", "a=b"}, "", "map[traceparent:00-1-2-01 tracestate:a=b]"},
		{[]string{"tracestate", "a=b"}, "", "map[]"},
	} {
		send(t, "POST", url, "1", tt.header...)
		got := r.Next(t)
		if tt.id != "" && got.ID != tt.id || tt.id == "" && !randomID.MatchString(got.ID) {
			t.Errorf("%v: id %q", tt.header, got.ID)
		}
		if fmt.Sprint(got.Extensions) != tt.trace {
			t.Errorf("%v: extensions %v", tt.header, got.Extensions)
		}
	}
}

func TestSecretsAreReadAtUse(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "endpoint: /\nauthSecret: {name: hook, key: token}", e)
	url := e.URL(t, "12000", "/")
	for _, tt := range []struct {
		secret, token string
		want          int
	}{{"", "one", 500}, {"one", "one", 200}, {"two", "one", 401}, {"two", "two", 200}} {
		if tt.secret != "" {
			e.Vault.Set("hook", "token", tt.secret)
		}
		if got := send(t, "POST", url, "1", "Authorization", "Bearer "+tt.token); got.status != tt.want {
			t.Errorf("secret %q, token %q: %d", tt.secret, tt.token, got.status)
		}
	}
	if n := len(r.Stored()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestBusTroubles(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "endpoint: /", e)
	url := e.URL(t, "12000", "/")
	r.Fail(errors.New("away"))
	if got := send(t, "POST", url, "1"); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v", got)
	}
	r.Fail(fmt.Errorf("x: %w", eventsource.ErrTooLarge))
	if got := send(t, "POST", url, "1"); got.status != 413 {
		t.Errorf("%+v", got)
	}
	r.Fail(nil)
	if got := send(t, "POST", url, "1"); got.status != 200 {
		t.Errorf("%+v", got)
	}
}

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct{ manifest, want string }{
		"as Argo Events has it": {"endpoint: /x\nport: '12000'\nmethod: POST\nauthSecret: {name: a, key: b}", ""},
		"open":                  {"endpoint: /x", "warning : the endpoint takes requests from anybody"},
		"all at once": {
			"method: post\nport: x\nidHeader: a b\nurll: x\nfilter: {expression: '1 +'}",
			"warning urll: unknown key|error endpoint: is missing|error method: |error port: |error idHeader: |warning : the endpoint|error filter.expression: ",
		},
		"port as a number": {"endpoint: /x\nport: 12000\nauthSecret: {name: a, key: b}", "error port: want a string"},
		"secret as an id":  {"endpoint: /x\nidHeader: authorization\nauthSecret: {name: a, key: b}", "error idHeader: an id is not secret"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			problems := v1alpha1.Problems(err)
			want := strings.Split(tt.want, "|")
			if tt.want == "" {
				want = nil
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

func TestRoutes(t *testing.T) {
	c, err := Kind.Decode([]byte(`{"endpoint":"x/{a}","method":"PUT","port":"8080"}`))
	if v1alpha1.Fatal(err) != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", Kind.Routes(c)); got != "[{Port:8080 Methods:[PUT] Path:/x/{a} ServerCert:nil ServerKey:nil ClientCA:nil Secrets:<nil> Owner:{Namespace: EventSource: Event:}}]" {
		t.Error(got)
	}
}
