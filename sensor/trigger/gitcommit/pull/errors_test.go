package pull

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// A pull request that was deleted, by what each host answers.
func TestGone(t *testing.T) {
	for name, d := range dialects() {
		said := map[string]string{
			GitHub:    `{"message":"Not Found","documentation_url":"https://docs.example.com/rest"}`,
			GitLab:    `{"message":"404 Not found"}`,
			Gitea:     `{"errors":null,"message":"The target couldn't be found.","url":"https://h/api/swagger"}`,
			Bitbucket: `{"type":"error","error":{"message":"Pull request 7 does not exist"}}`,
		}[name]
		for _, status := range []int{http.StatusNotFound, http.StatusGone} {
			_, _, err := newClient(t, d.config, d.auth, d.base, answer{want: d.get, status: status, body: said}).State(t.Context(), 7)
			if !errors.Is(err, ErrGone) || !trigger.IsPermanent(err) {
				t.Errorf("%s %d: %v", name, status, err)
			}
		}
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusInternalServerError} {
			_, _, err := newClient(t, d.config, d.auth, d.base, answer{want: d.get, status: status}).State(t.Context(), 7)
			if err == nil || errors.Is(err, ErrGone) {
				t.Errorf("%s %d: %v", name, status, err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for name, d := range dialects() {
		for _, tc := range []struct {
			answer    answer
			err       string
			permanent bool
			wait      time.Duration
		}{
			{answer{status: 401, body: `{"message":"Bad credentials"}`}, "Bad credentials: the token is wrong", true, 0},
			{answer{status: 403}, "the token may not do that", true, 0},
			{answer{status: 404}, "the repository is not there", true, 0},
			{answer{status: 429, header: map[string]string{"Retry-After": "120"}}, "429", false, 100 * time.Second},
			{answer{status: 403, body: `{"message":"You have exceeded a secondary rate limit"}`}, "403", false, 30 * time.Second},
			{answer{status: 500}, "500", false, 0},
			{answer{status: 301, header: map[string]string{"Location": "http://elsewhere.invalid/a?b"}}, "it has moved to http://elsewhere.invalid/a", true, 0},
			{answer{body: `<html>`}, "not the JSON", false, 0},
		} {
			a := tc.answer
			a.want = d.get
			_, _, err := newClient(t, d.config, d.auth, d.base, a).State(t.Context(), 7)
			if err == nil || !strings.Contains(err.Error(), tc.err) || trigger.IsPermanent(err) != tc.permanent || trigger.AskedWait(err) < tc.wait || tc.wait == 0 && trigger.AskedWait(err) > 0 {
				t.Errorf("%s %d: %v (permanent %v, wait %v)", name, a.status, err, trigger.IsPermanent(err), trigger.AskedWait(err))
			}
			if err != nil && strings.Contains(err.Error(), "tok\n") {
				t.Errorf("%v has the token", err)
			}
		}
	}
	d := dialects()[GitHub]
	for body, permanent := range map[string]bool{
		`{"message":"Validation Failed","errors":[{"resource":"PullRequest","field":"head","code":"invalid"}]}`: false,
		`{"message":"Validation Failed","errors":[{"message":"No commits between main and bot/x"}]}`:            true,
	} {
		_, err := newClient(t, d.config, d.auth, d.base, answer{want: d.find, body: `[]`}, answer{want: d.create, status: 422, body: body}).Open(t.Context(), request)
		if err == nil || trigger.IsPermanent(err) != permanent {
			t.Errorf("%s: %v", body, err)
		}
	}
}
