package gitlab

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

func TestFiles(t *testing.T) {
	const (
		compare = "/api/v4/projects/acme%2Fapi/repository/compare?"
		mr      = "/api/v4/projects/acme%2Fapi/merge_requests/4"
	)
	diffs := []any{
		map[string]any{"old_path": "b", "new_path": "b"},
		map[string]any{"old_path": "from", "new_path": "to", "renamed_file": true},
		map[string]any{"old_path": "a", "new_path": "a"},
	}
	push := func(before, after string) *gitevent.Event {
		e := &gitevent.Event{}
		e.SetPush("refs/heads/x", before, after)
		e.Repository = gitevent.Repository{FullName: "acme/api", DefaultBranch: "main"}
		return e
	}
	pull := &gitevent.Event{Event: gitevent.Pull, Repository: gitevent.Repository{FullName: "acme/api"}, PullRequest: &gitevent.PullRequest{Number: 4}}
	many := make([]any, 100)
	for i := range many {
		many[i] = map[string]any{"old_path": fmt.Sprintf("f%d", i), "new_path": fmt.Sprintf("f%d", i)}
	}
	for name, tt := range map[string]struct {
		event *gitevent.Event
		files map[string]any
		want  string
		err   error
	}{
		"push": {push("a1", "b1"), map[string]any{compare + "from=a1&straight=true&to=b1": map[string]any{"diffs": diffs}}, "[b from to a]", nil},
		"new branch": {
			push("0", "b1"), map[string]any{compare + "from=main&straight=false&to=b1": map[string]any{"diffs": diffs}}, "[b from to a]", nil,
		},
		"timeout":        {push("a1", "b1"), map[string]any{compare + "from=a1&straight=true&to=b1": map[string]any{"compare_timeout": true}}, "", gitevent.ErrTooMany},
		"gone":           {push("a1", "0"), nil, "", gitevent.ErrUnknowable},
		"not there":      {push("a1", "b1"), nil, "", &githost.StatusError{}},
		"merge request":  {pull, map[string]any{mr + "/diffs?per_page=100&page=1": diffs}, "[b from to a]", nil},
		"two pages":      {pull, map[string]any{mr + "/diffs?per_page=100&page=1": many, mr + "/diffs?per_page=100&page=2": diffs[2:]}, "101 files", nil},
		"old GitLab":     {pull, map[string]any{mr + "/changes": map[string]any{"changes": diffs}}, "[b from to a]", nil},
		"old, too many":  {pull, map[string]any{mr + "/changes": map[string]any{"changes": diffs, "overflow": true}}, "", gitevent.ErrTooMany},
		"no list at all": {pull, map[string]any{mr + "/diffs?per_page=100&page=1": "x"}, "", errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			v, e := newVendor(t), env(t)
			v.files = tt.files
			c := decodeYAML(t, v.manifest())
			api := c.api(e.Env)
			defer api.Clients.Close()
			files, err := finder{api}.find(t.Context(), tt.event)
			got := fmt.Sprint(files)
			if len(files) > 100 {
				got = fmt.Sprintf("%d files", len(files))
			}
			var status *githost.StatusError
			switch {
			case tt.err == nil && (err != nil || got != tt.want):
				t.Errorf("%s, %v", got, err)
			case errors.Is(tt.err, errors.ErrUnsupported) || errors.As(tt.err, &status):
				if err == nil {
					t.Error("no error")
				}
			case !errors.Is(err, tt.err):
				t.Errorf("%v, want %v", err, tt.err)
			}
		})
	}
}

func TestLookUp(t *testing.T) {
	v, e := newVendor(t), env(t)
	v.files["/api/v4/projects/acme%2Fapi/repository/compare?from=a1&straight=true&to=b1"] = map[string]any{
		"diffs": []any{map[string]any{"old_path": "z", "new_path": "z"}, map[string]any{"old_path": "y", "new_path": "y"}},
	}
	body := pushOf("refs/heads/x", "a1", "b1", `,"commits":[],"total_commits_count":0`)
	const listen = "webhook: {endpoint: /}\naccessToken: {name: gitlab, key: access}\ngitlabBaseURL: "
	for manifest, want := range map[string]string{
		listen + v.url: "forced commits=0/0 files=[y z]",
		listen + v.url + "\nchangedFiles: {lookup: none}": "forced commits=0/0 files=force-push",
	} {
		r := sourcetest.Start(t, Kind, manifest, e)
		if a := post(t, e.URL(t, "12000", "/"), []byte(body), sent(t, body, "", want)); a.status != http.StatusOK {
			t.Fatalf("%+v", a)
		}
		got := read(t, r.Next(t)).Git
		if s := summary(&got); !strings.HasSuffix(s, want) {
			t.Errorf("%s, want %s", s, want)
		}
		if err := r.Stop(t); err != nil {
			t.Error(err)
		}
	}
}
