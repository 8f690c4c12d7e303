package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// directly is a source that is given deliveries without a server.
func directly(t testing.TB, config string) *source {
	t.Helper()
	e := sourcetest.NewEnv(t)
	return sourcetest.Build(t, Kind, config, e).(*source)
}

// Each value in each sample is replaced by one of each other type. Nothing
// panics, and what is authentic is not lost: it is refused aloud, or is of no
// interest in the first place, or makes events whose data can be written.
func TestWrongTypes(t *testing.T) {
	wrong := []string{`null`, `5`, `"x"`, `true`, `[]`, `{}`, `[[]]`, `[null]`, `{"a":null}`, `-1e400`, `""`}
	for _, s := range samples {
		src := directly(t, "webhook: {endpoint: /r, insecure: true}\nprovider: "+s.provider+"\n"+strings.ReplaceAll(s.config, "provider", "x")+everything)
		h, err := providerNamed(s.provider).header(eventsource.Sending{Body: []byte(s.body), Event: s.event, ID: "d-1", Now: now})
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal([]byte(s.body), &v); err != nil {
			t.Fatal(err)
		}
		n := 0
		mutate(v, func() {
			for _, w := range wrong {
				body, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				body = []byte(strings.Replace(string(body), `"@@@"`, w, 1))
				made, err := src.events(t.Context(), &ingress.Delivery{Header: h, Body: body, Verified: verify.ByNothing})
				n++
				check(t, made, err)
				if len(s.want) > 0 && err == nil && len(made) == 0 && !mayVanish(s.provider) {
					t.Errorf("%s: lost %s", s.name, body)
				}
			}
		})
		if n < len(wrong) {
			t.Errorf("%s: only %d", s.name, n)
		}
	}
}

// mayVanish are the providers of whose deliveries a changed value can make one
// that is of no interest: a layer, another sort of package, another event.
func mayVanish(provider string) bool {
	return !slices.Contains([]string{"dockerhub", "aliyun", "quay", "harbor", "zot"}, provider)
}

// mutate calls f with each value inside of v replaced by the mark in turn.
func mutate(v any, f func()) {
	switch v := v.(type) {
	case map[string]any:
		for k, old := range v {
			v[k] = "@@@"
			f()
			v[k] = old
			mutate(old, f)
		}
	case []any:
		for i, old := range v {
			v[i] = "@@@"
			f()
			v[i] = old
			mutate(old, f)
		}
	}
}

func check(t testing.TB, made []ingress.Made, err error) {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), "no delivery of") && !strings.HasPrefix(err.Error(), "mapping.") && !strings.Contains(err.Error(), "SNS") {
		t.Fatalf("got %v", err)
	}
	for _, m := range made {
		if m.Filtered {
			continue
		}
		if len(m.ID) > maxID || strings.ContainsAny(m.ID, " \n\r\x00") {
			t.Errorf("bad id %q", m.ID)
		}
		if _, err := json.Marshal(m.Blocks[0].Value); err != nil {
			t.Errorf("the block cannot be written: %v", err)
		}
		if m.Body != nil && !ingress.ValidJSON(m.Body) {
			t.Errorf("the body is no JSON: %s", m.Body)
		}
	}
}

// A delivery of which hardly anything can be read is still an event.
func TestUnreadable(t *testing.T) {
	for _, body := range []string{
		`{"events":5}`, `{"events":[5]}`, `{"events":[{"action":5,"target":[]}]}`,
		`{"push_data":[],"repository":"x"}`, `{"docker_url":5,"updated_tags":"x"}`, `{"event_data":7,"type":{}}`,
		`{"action":"push","target":"x"}`, `{"message":{"data":"%"},"subscription":""}`,
	} {
		p := newPlace(t, open)
		if a := p.post(t, http.Header{}, body); a.status != 200 {
			t.Errorf("%s: answered %d %s", body, a.status, a.text)
		}
		if n := len(p.Stored()); n != 1 {
			t.Errorf("%s: %d events", body, n)
		}
	}
}

// A fixed provider refuses what is of another, and auto what is of none.
func TestRefused(t *testing.T) {
	for _, tc := range []struct{ name, config, body, want string }{
		{"another's", "provider: harbor\n", distributionBody("1"), "this is no delivery of Harbor, for which this endpoint is, but of the CNCF's distribution"},
		{"nobody's", "provider: harbor\n", `{"a":1}`, "this is no delivery of Harbor"},
		{"nobody's, auto", "", `{"a":1}`, "no delivery of a registry that is known here"},
		{"a list", "", `[]`, "no delivery of a registry"},
		{"a number", "", `5`, "no delivery of a registry"},
		{"a mapping that finds nothing", "provider: generic\nmapping: {repository: body.x}\n", `{"a":1}`, "mapping.repository: no such key: x"},
		{"a mapping that costs too much", "provider: generic\nmapping: {repository: 'body.l.map(a, body.l.map(b, body.l.map(c, a + b + c))).size() > 0 ? \"x\" : \"y\"'}\n", `{"l":[` + strings.Repeat("1,", 400) + `1]}`, "mapping.repository: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlace(t, open+tc.config)
			if a := p.post(t, http.Header{}, tc.body); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.text, tc.want) {
				t.Errorf("answered %d %s, want 422 %s", a.status, a.text, tc.want)
			}
			if n := len(p.Stored()); n > 0 {
				t.Errorf("%d events", n)
			}
		})
	}
}

// By default there are events of what one would deploy.
func TestDefaults(t *testing.T) {
	event := func(id int, action, media, tag string) string {
		return `{"id":"` + strconv.Itoa(id) + `","action":"` + action + `","target":{"mediaType":"` + media + `","repository":"a","tag":"` + tag + `","digest":"` + dig + `"},"request":{"host":"h.io"}}`
	}
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	body := `{"events":[` + strings.Join([]string{
		event(1, "push", manifest, "1"), event(2, "pull", manifest, "1"), event(3, "delete", manifest, "1"), event(4, "push", manifest, ""),
		event(5, "push", manifest, "sha256-"+dig[7:]+".sig"), event(6, "push", manifest, "sha256-"+dig[7:]), event(7, "push", "application/vnd.oci.image.index.v1+json", "2"),
	}, ",") + `]}`
	p := newPlace(t, open)
	if a := p.post(t, http.Header{}, body); a.status != 200 || a.text != `{"ids":["1","7"]}` {
		t.Errorf("answered %d %s", a.status, a.text)
	}
	for _, tc := range []struct{ config, want string }{
		{"actions: [pull, delete]\n", `{"ids":["2","3"]}`},
		{"kinds: [signature]\n", `{"ids":["5","6"]}`},
		{"untagged: true\n", `{"ids":["1","4","7"]}`},
	} {
		p := newPlace(t, open+tc.config)
		if a := p.post(t, http.Header{}, body); a.text != tc.want {
			t.Errorf("%s: answered %s, want %s", tc.config, a.text, tc.want)
		}
	}
}

func FuzzEvents(f *testing.F) {
	for _, s := range samples {
		f.Add(s.provider, "", s.body)
	}
	f.Add("zot", "zotregistry.image.updated", `{"name":5}`)
	sources := map[string]*source{}
	for _, name := range providerNames() {
		config := "webhook: {endpoint: /r, insecure: true}\nprovider: " + name + everything
		if name == "generic" {
			config += genericConfig
		}
		sources[name] = directly(f, config)
	}
	f.Fuzz(func(t *testing.T, provider, ceType, body string) {
		if !ingress.ValidJSON([]byte(body)) {
			return
		}
		for _, name := range []string{provider, auto} {
			src := sources[name]
			if src == nil {
				continue
			}
			for _, header := range []string{"", "Ce-Type", "X-Github-Event", "X-Gitea-Event", verify.SNSTypeHeader} {
				h := http.Header{}
				if header != "" {
					h.Set(header, ceType)
				}
				if h.Get(verify.SNSTypeHeader) != "" && strings.Contains(body, verify.SNSSubscribe) {
					continue
				}
				made, err := src.events(context.Background(), &ingress.Delivery{Header: h, Body: []byte(body)})
				check(t, made, err)
			}
		}
	})
}

// FuzzReference looks for panics where references of others are taken apart.
func FuzzReference(f *testing.F) {
	f.Add("ghcr.io/a/b:1@sha256:00")
	f.Add("pkg:oci/a@1?repository_url=b")
	f.Fuzz(func(t *testing.T, text string) {
		host, repository, tag, digest := imageevent.Split(text)
		e := imageevent.Event{Registry: host, Repository: repository, Tag: tag, Digest: digest}
		e.Complete()
		first := e.Reference
		if e.Complete(); e.Reference != first {
			t.Errorf("%q: completed twice: %q, then %q", text, first, e.Reference)
		}
		var c found
		c.packageURL(text)
		parseTime(text)
	})
}

// BenchmarkPush is all of a delivery but the network.
func BenchmarkPush(b *testing.B) {
	src := directly(b, locked)
	src.env.Secrets.(*sourcetest.Vault).Set("reg", "token", key)
	body := []byte(githubBody("package", "1"))
	h := http.Header{"X-Github-Event": {"package"}, "X-Github-Delivery": {"1"}}
	if err := ghcr.signed()[0].Sign(h, body, []byte(key), now); err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/r", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header = h
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		verified, err := src.authenticate(r, body)
		if err != nil {
			b.Fatal(err)
		}
		made, err := src.events(context.Background(), &ingress.Delivery{Request: r, Header: h, Body: body, Verified: verified})
		if err != nil || len(made) != 1 {
			b.Fatal(made, err)
		}
		if _, err := json.Marshal(made[0].Blocks[0].Value); err != nil {
			b.Fatal(err)
		}
	}
}
