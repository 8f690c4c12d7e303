package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

const (
	key   = "s3cr3t"
	dig   = "sha256:2c56a5f3d602c487e1f5b59b1a851df7852b6312141d9b235f8ef5f411b5759a"
	other = "sha256:c66a8eb7e6a7e395bf000e8884c7de131a5cf32a9f42de44a1b9ceaf47c8900e"
	// everything lets no event be dropped.
	everything = "\nactions: [push, delete, pull, scan, promote, quarantine, other]\nkinds: [image, index, chart, signature, other, unknown]\nuntagged: true\n"
	locked     = "webhook: {endpoint: /r}\nsecret: {name: reg, key: token}\n"
	lockedPath = "webhook: {endpoint: '/r/{token}'}\nsecret: {name: reg, key: token}\n"
	open       = "webhook: {endpoint: /r}\n"
)

// place is a source that runs.
type place struct {
	env *sourcetest.Env
	*sourcetest.Running
	path string
}

func newPlace(t testing.TB, config string) *place {
	t.Helper()
	e := sourcetest.NewEnv(t)
	e.Vault.Set("reg", "token", key)
	p := &place{env: e, Running: sourcetest.Start(t, Kind, config, e), path: "/r"}
	if strings.Contains(config, "{token}") {
		p.path = "/r/" + key
	}
	return p
}

type answered struct {
	status int
	text   string
}

func (p *place) post(t testing.TB, h http.Header, body string) answered {
	t.Helper()
	return post(t, p.env.URL(t, "12000", p.path), h, body)
}

func post(t testing.TB, url string, h http.Header, body string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{res.StatusCode, strings.TrimSpace(string(text))}
}

// blocks of the events that were stored, and their bodies.
func (p *place) blocks(t testing.TB) (lines, bodies []string) {
	t.Helper()
	for _, e := range p.Stored() {
		var d struct {
			Image imageevent.Event `json:"image"`
			Body  json.RawMessage  `json:"body"`
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		lines, bodies = append(lines, line(d.Image)), append(bodies, string(d.Body))
	}
	return lines, bodies
}

// line is all of a block that is not in its reference, and not the same in each test.
func line(e imageevent.Event) string {
	var b bytes.Buffer
	b.WriteString(strings.Join([]string{e.Provider, e.Action, e.Kind, e.Reference}, " "))
	for _, f := range [][2]string{
		{"raw", e.RawEvent},
		{"by", e.Actor},
		{"from", e.SourceRepository},
		{"url", e.URL},
		{"id", e.DeliveryID},
	} {
		if f[1] != "" {
			b.WriteString(" " + f[0] + "=" + f[1])
		}
	}
	if e.OccurredAt != nil {
		b.WriteString(" at=" + e.OccurredAt.Format("2006-01-02T15:04:05Z"))
	}
	if e.DigestChecked {
		b.WriteString(" checked")
	}
	return b.String()
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			e.Vault.Set("reg", "token", key)
			return locked
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := distributionBody(string(rune('a' + n)))
			a := post(t, e.URL(t, "12000", "/r"), http.Header{"Authorization": {"Bearer " + key}}, body)
			if a.status != http.StatusOK {
				return &statusError{a}
			}
			return nil
		},
	})
}

type statusError struct{ answered }

func (s *statusError) Error() string { return http.StatusText(s.status) + " " + s.text }

func distributionBody(id string) string {
	return `{"events":[{"id":"` + id + `","timestamp":"2026-03-01T10:00:00.5Z","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"digest":"` + dig + `","repository":"Shop/API","url":"https://reg.example.com/v2/shop/api/manifests/` + dig + `","tag":"1.2"},"request":{"host":"reg.example.com:443"},"actor":{"name":"ann"}}]}`
}

// Everything that a sender of ours makes passes with the right secret, and not
// with another; and means what it should.
func TestSamples(t *testing.T) {
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			config := s.config + everything
			if strings.Contains(" dockerhub quay aliyun ", " "+s.provider+" ") {
				config = lockedPath + config
			} else {
				config = locked + config
			}
			for _, fixed := range []bool{false, true} {
				c := config
				if fixed {
					c += "provider: " + s.provider
				} else if s.provider == "gitlab" || s.provider == "generic" || s.only {
					continue
				}
				p := newPlace(t, c)
				h, err := providerNamed(s.provider).header(eventsource.Sending{Body: []byte(s.body), Event: s.event, ID: "d-1", Secret: []byte(key), Now: now})
				if err != nil {
					t.Fatal(err)
				}
				if a := p.post(t, h, s.body); a.status != http.StatusOK {
					t.Fatalf("answered %d %s", a.status, a.text)
				}
				got, bodies := p.blocks(t)
				if strings.Join(got, "\n") != strings.Join(s.want, "\n") {
					t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(s.want, "\n     "))
				}
				for i, b := range bodies {
					want := s.body
					if len(s.bodies) > 0 {
						want = s.bodies[i]
					}
					if b != want {
						t.Errorf("body %d: got  %s\nwant %s", i, b, want)
					}
				}
				again(t, p, h, s, len(got))
				wrongSecret(t, p, s)
			}
		})
	}
}

// again sends a delivery once more, which is stored once where it can be told.
func again(t *testing.T, p *place, h http.Header, s sample, n int) {
	t.Helper()
	p.post(t, h, s.body)
	want := n
	if s.anonymous {
		want = 2 * n
	}
	if got := len(p.Stored()); got != want {
		t.Errorf("after the second delivery there are %d events, want %d", got, want)
	}
}

func wrongSecret(t *testing.T, p *place, s sample) {
	t.Helper()
	n := len(p.Stored())
	for _, secret := range []string{"", "wrong"} {
		h, err := providerNamed(s.provider).header(eventsource.Sending{Body: []byte(s.body), Event: s.event, ID: "d-2", Secret: []byte(secret), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		url := p.env.URL(t, "12000", "/r")
		if strings.HasPrefix(p.path, "/r/") {
			url += "/x" + secret
		}
		if a := post(t, url, h, s.body); a.status != http.StatusUnauthorized {
			t.Errorf("with the secret %q: answered %d %s, want 401", secret, a.status, a.text)
		}
	}
	if len(p.Stored()) != n {
		t.Error("a delivery with a wrong secret made an event")
	}
}
