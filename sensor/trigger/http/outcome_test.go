package http_test

import (
	"encoding/json"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/http"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestStatus(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, tc := range map[string]struct {
		status             int
		body, after, allow string
		summary, err       string
		wait               time.Duration
	}{
		"no policy":               {500, "broken", "", "", "500 Internal Server Error", "", 0},
		"allowed":                 {201, "", "", "200,201", "201 Created", "", 0},
		"not allowed":             {404, " no such\n thing\x00 ", "7", "200,201", "", `404 Not Found is not in policy.status.allow: no such thing?`, 0},
		"success is not allowed":  {204, "", "", "200", "", `204 No Content is not in policy.status.allow`, 0},
		"allowed failure":         {503, "", "9", "503", "503 Service Unavailable", "", 0},
		"long answer":             {500, long, "", "200", "", `500 Internal Server Error is not in policy.status.allow: ` + long[:200] + "...", 0},
		"too many requests":       {429, "", "7", "200", "", `429 Too Many Requests is not in policy.status.allow`, 7 * time.Second},
		"unavailable":             {503, "later", "120", "200", "", `503 Service Unavailable is not in policy.status.allow: later`, 2 * time.Minute},
		"wait for ever":           {503, "", "99999999999999", "200", "", `503 Service Unavailable is not in policy.status.allow`, v1alpha1.MaxWait},
		"wait is no number":       {503, "", "soon", "200", "", `503 Service Unavailable is not in policy.status.allow`, 0},
		"wait is negative":        {503, "", "-7", "200", "", `503 Service Unavailable is not in policy.status.allow`, 0},
		"wait until a time past":  {503, "", "Wed, 21 Oct 2015 07:28:00 GMT", "200", "", `503 Service Unavailable is not in policy.status.allow`, 0},
		"wait until a far future": {503, "", "Fri, 21 Oct 2095 07:28:00 GMT", "200", "", `503 Service Unavailable is not in policy.status.allow`, v1alpha1.MaxWait},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				w.Header().Set("Retry-After", tc.after)
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}))
			defer server.Close()
			in := triggertest.Input(1)
			in.Policy = nil
			if tc.allow != "" {
				in.Policy = &v1alpha1.TriggerPolicy{Status: &v1alpha1.StatusPolicy{}}
				for _, s := range strings.Split(tc.allow, ",") {
					n, err := strconv.Atoi(s)
					if err != nil {
						t.Fatal(err)
					}
					in.Policy.Status.Allow = append(in.Policy.Status.Allow, int32(n))
				}
			}
			r, err := triggertest.Build(t, http.Kind, "url: "+server.URL+"/p?key=hidden", triggertest.NewEnv(t)).Fire(t.Context(), in)
			if tc.err == "" {
				if err != nil || r.Summary != tc.summary {
					t.Errorf("got %q, %v", r.Summary, err)
				}
				return
			}
			if want := "POST " + server.URL + "/p?...: " + tc.err; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if got := trigger.AskedWait(err); got != tc.wait {
				t.Errorf("waits %v, want %v", got, tc.wait)
			}
			if trigger.IsPermanent(err) {
				t.Error("the error is permanent")
			}
		})
	}
}

func TestErrors(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	address := strings.TrimPrefix(gone.URL, "http://")
	for name, tc := range map[string]struct {
		config, err string
		permanent   bool
	}{
		"nobody listens":         {"url: 'http://name:pass@" + address + "/x?token=abc'", "POST http://" + address + "/x?...: dial tcp", false},
		"missing value":          {"{url: 'http://a/', payload: [{src: {dependencyName: dep, dataKey: zz}, dest: a}]}", `POST http://a/: payload: parameter 0, to "a": event of dependency "dep": there is no data at "zz"`, true},
		"missing parameter":      {"{url: 'http://a/', parameters: [{src: {dependencyName: dep, dataKey: zz}, dest: url}]}", `parameter 0, to "url": event of dependency "dep": there is no data at "zz"`, true},
		"text for a number":      {"{url: 'http://a/', parameters: [{src: {dependencyName: dep, dataKey: number}, dest: timeout}]}", `after its parameters were applied: timeout: want a whole number, got the string "1"`, true},
		"parameters make no URL": {"{url: 'x', parameters: [{src: {dependencyName: dep, dataKey: text}, dest: url}]}", `after its parameters were applied: url: does not begin with http`, true},
		"header of two lines":    {"{url: 'http://a/', dynamicHeaders: [{src: {dependencyName: dep, dataTemplate: \"a\\nb\"}, dest: X-A}]}", `POST http://a/: dynamicHeaders: the value for X-A holds a line break`, true},
		"missing secret":         {"{url: 'http://a/', secureHeaders: [{name: A, valueFrom: {secretKeyRef: {name: gone, key: k}}}]}", `POST http://a/: secureHeaders[0]: secret "gone", key "k": not found`, false},
		"secret of two lines":    {"{url: 'http://a/', secureHeaders: [{name: A, valueFrom: {secretKeyRef: {name: s, key: lines}}}]}", `POST http://a/: secureHeaders[0]: the value holds a line break`, false},
		"missing password":       {"{url: 'http://a/', basicAuth: {password: {name: gone, key: k}}}", `POST http://a/: basicAuth.password: secret "gone", key "k": not found`, false},
		"missing authority":      {"{url: 'https://a/', tls: {caCertSecret: {name: gone, key: k}}}", `POST https://a/: tls.caCertSecret: secret "gone", key "k": not found`, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := triggertest.NewEnv(t)
			e.PutSecret("s", "lines", "a\nb\n")
			_, err := triggertest.Build(t, http.Kind, tc.config, e).Fire(t.Context(), triggertest.Input(1))
			if err == nil || !strings.HasPrefix(err.Error(), tc.err) || trigger.IsPermanent(err) != tc.permanent {
				t.Errorf("got %v (permanent: %v)", err, trigger.IsPermanent(err))
			}
			for _, hidden := range []string{":pass", "abc"} {
				if strings.Contains(fmt.Sprint(err), hidden) {
					t.Errorf("the error shows %q: %v", hidden, err)
				}
			}
		})
	}
}

func TestDetails(t *testing.T) {
	for name, tc := range map[string]struct{ follow, body, want string }{
		"nobody wants to know": {"", `{"a":1}`, `null`},
		"JSON":                 {"follow: {emit: true}", `{"number":1234567890123456789}`, `{"body":{"number":1234567890123456789},"status":202}`},
		"text":                 {"follow: {}", "queued\n", `{"body":"queued\n","status":202}`},
		"nothing":              {"follow: {}", "", `{"body":"","status":202}`},
		"a secret in it":       {"follow: {}", "you are s3cr3t-token", `{"body":"you are ***","status":202}`},
		"too much":             {"follow: {}", strings.Repeat("x", 20<<10), `{"body":"` + strings.Repeat("x", 16<<10) + `","status":202}`},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				w.WriteHeader(nethttp.StatusAccepted)
				_, _ = io.WriteString(w, tc.body)
			}))
			defer server.Close()
			e := triggertest.NewEnv(t)
			e.PutSecret("api", "token", "s3cr3t-token")
			in := triggertest.Input(1)
			in.Policy = nil
			config := "url: " + server.URL + "\nsecureHeaders: [{name: X-Token, valueFrom: {secretKeyRef: {name: api, key: token}}}]\n" + tc.follow
			r, err := triggertest.Build(t, http.Kind, config, e).Fire(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := json.Marshal(r.Details); err != nil || string(got) != tc.want || r.Follow != nil {
				t.Errorf("got %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}
