package hosttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// Kind is one entry of a kind under test.
type Kind struct {
	Kind eventsource.Kind
	// Config is the entry's, YAML; its endpoint is /hook on port 12000.
	Config string
	// Secrets are "name/key" and value.
	Secrets map[string]string
	// Spoil makes the credentials of a request wrong.
	Spoil func(http.Header)
}

// Start runs the entry.
func (k Kind) Start(t testing.TB) (*sourcetest.Env, *sourcetest.Running) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	k.Fill(e)
	return e, sourcetest.Start(t, k.Kind, k.Config, e)
}

// Fill puts the secrets into the surroundings.
func (k Kind) Fill(e *sourcetest.Env) {
	for place, value := range k.Secrets {
		name, key, _ := strings.Cut(place, "/")
		e.Vault.Set(name, key, value)
	}
}

// URL of the entry.
func URL(t testing.TB, e *sourcetest.Env) string { return e.URL(t, "12000", "/hook") }

// Summary is what matters of a block, on one line.
func Summary(e *gitevent.Event) string {
	parts := []string{string(e.Event) + "/" + e.Action, e.RawEvent, e.Repository.FullName}
	if e.Ref != "" {
		parts = append(parts, e.Ref)
	}
	if e.Ref == "" && e.Branch != "" {
		parts = append(parts, "to:"+e.Branch)
	}
	if e.Before+e.After != "" {
		parts = append(parts, short(e.Before)+".."+short(e.After))
	}
	for _, c := range e.Commits {
		parts = append(parts, "commit:"+short(c.ID))
	}
	if p := e.PullRequest; p != nil {
		parts = append(parts, fmt.Sprintf("#%d %s %s@%s>%s@%s", p.Number, p.State, p.Source.Branch, short(p.Source.SHA), p.Target.Branch, short(p.Target.SHA)))
		if p.Merged {
			parts = append(parts, "merged:"+short(p.MergeCommit))
		}
	}
	if e.Sender != nil {
		parts = append(parts, "by:"+e.Sender.Login)
	}
	if e.ChangedFiles != nil {
		parts = append(parts, "files:"+strings.Join(e.ChangedFiles, ","))
	}
	if e.ChangedFilesUnknown != "" {
		parts = append(parts, "unknown:"+e.ChangedFilesUnknown)
	}
	return strings.Join(append(parts, e.Verified), " ")
}

func short(sha string) string { return sha[:min(len(sha), 7)] }

// Fixtures sends each sample of a vendor: first with wrong credentials, which has
// to be answered 401 and make nothing, then as it is, twice, which has to make one
// event with the sample's body and a block that is as want says.
func (k Kind) Fixtures(t *testing.T, vendor string, want map[string]string) {
	samples := Samples(t, vendor)
	if len(samples) != len(want) {
		t.Errorf("%d samples, %d wanted", len(samples), len(want))
	}
	for _, s := range samples {
		t.Run(s.File, func(t *testing.T) {
			e, r := k.Start(t)
			url := URL(t, e)
			wrong := s.Header.Clone()
			k.Spoil(wrong)
			if status, text := Send(t, url, wrong, s.Body); status != http.StatusUnauthorized {
				t.Errorf("with wrong credentials: %d %s", status, text)
			}
			if n := len(r.Stored()); n > 0 {
				t.Fatalf("%d events of a request that is refused", n)
			}
			for range 2 {
				if status, text := Send(t, url, s.Header, s.Body); status != http.StatusOK {
					t.Fatalf("%d %s", status, text)
				}
			}
			if want[s.File] == "" {
				if n := len(r.Stored()); n > 0 {
					t.Errorf("%d events, want none", n)
				}
				return
			}
			if n := len(r.Stored()); n != 1 {
				t.Fatalf("%d events, want 1", n)
			}
			d := Read(t, r.Next(t))
			if got := Summary(d.Git); got != want[s.File] {
				t.Errorf("got  %s\nwant %s", got, want[s.File])
			}
			if !same(t, d.Body, s.Body) {
				t.Errorf("the body is another one: %s", d.Body)
			}
			for _, values := range d.Headers {
				if strings.Contains(strings.Join(values, " "), Secret) {
					t.Errorf("the secret is in the event: %v", d.Headers)
				}
			}
		})
	}
}

func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

// Sign makes the header that the kind's sender would send, or fails the test.
func (k Kind) Sign(t testing.TB, s eventsource.Sending) http.Header {
	t.Helper()
	if s.ID == "" {
		s.ID = "delivery-1"
	}
	h, err := k.Kind.Senders[0].Header(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Hostile sends bodies that nobody honest would, and wants one event, or none,
// of each, and no answer but those given.
func (k Kind) Hostile(t *testing.T, sign func(body []byte) http.Header, bodies []string) {
	e, r := k.Start(t)
	url := URL(t, e)
	for i, body := range append(bodies, Hostile()...) {
		status, text := Send(t, url, sign([]byte(body)), []byte(body))
		if status != http.StatusOK && status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
			t.Errorf("body %d, %.80s: %d %s", i, body, status, text)
		}
	}
	for _, ev := range r.Stored() {
		Read(t, ev)
	}
}

// Hostile are bodies that are bad for any decoder.
func Hostile() []string {
	return []string{
		"null", "[]", `""`, "0", "true", "{}", "[null]", `{"a":`, "\x00", "\xff\xfe", `{"a":"` + "\xff" + `"}`,
		strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
		strings.Repeat("[", 100_000),
		`{"` + strings.Repeat("x", 100_000) + `":1}`,
	}
}
