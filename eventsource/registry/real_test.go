package registry

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

// realRegistry runs the CNCF's distribution, which notifies url if that is not empty.
func realRegistry(t *testing.T, notify string) (host string) {
	t.Helper()
	logrus.SetOutput(io.Discard)
	config := &configuration.Configuration{Storage: configuration.Storage{"inmemory": {}, "delete": {"enabled": true}}}
	config.HTTP.Secret = "not so secret"
	config.Catalog.MaxEntries = 100
	if notify != "" {
		config.Notifications.EventConfig.IncludeReferences = true
		config.Notifications.Endpoints = []configuration.Endpoint{{
			Name: "signalbox", URL: notify, Headers: http.Header{"Authorization": {"Bearer " + key}},
			Timeout: time.Second, Threshold: 3, Backoff: 50 * time.Millisecond,
		}}
	}
	app := handlers.NewApp(context.Background(), config)
	server := httptest.NewServer(app)
	t.Cleanup(func() {
		server.Close()
		_ = app.Shutdown()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func pushOptions(t *testing.T) remote.Option {
	t.Helper()
	tr := &http.Transport{DialContext: (&net.Dialer{}).DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return remote.WithTransport(tr)
}

// An image and an index that are pushed into a real registry are an event each,
// once, though their layers and the index's images are reported as well; and
// again when the registry itself is asked before.
func TestRealRegistry(t *testing.T) {
	for name, config := range map[string]string{"told": "", "asked": "verifyDigest: {hosts: ['127.0.0.1:*'], timeout: 10s}\n"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, locked+config)
			host := realRegistry(t, p.env.URL(t, "12000", "/r"))
			mark := ""
			if config != "" {
				mark = " checked"
			}
			image, index := push(t, host)
			wait(t, p, 2)
			// What is pushed behind them is told behind them.
			last := pushImage(t, host+"/shop/last:1")
			wait(t, p, 3)
			got, _ := p.blocks(t)
			for i, want := range []string{
				"distribution push image " + host + "/shop/api:1@" + image + " raw=push",
				"distribution push index " + host + "/shop/api:multi@" + index + " raw=push",
				"distribution push image " + host + "/shop/last:1@" + last + " raw=push",
			} {
				if !strings.HasPrefix(got[i], want) || strings.HasSuffix(got[i], " checked") != (mark != "") {
					t.Errorf("event %d: got %s, want %s%s", i, got[i], want, mark)
				}
			}
			if len(got) != 3 {
				t.Errorf("%d events, want 3: %s", len(got), strings.Join(got, "\n"))
			}
		})
	}
}

func wait(t *testing.T, p *place, n int) {
	t.Helper()
	sourcetest.Eventually(t, "the events of the pushes", func() bool { return len(p.Stored()) >= n })
}

func push(t *testing.T, host string) (image, index string) {
	t.Helper()
	image = pushImage(t, host+"/shop/api:1")
	tree, err := random.Index(256, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/shop/api:multi")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, tree, pushOptions(t)); err != nil {
		t.Fatal(err)
	}
	digest, err := tree.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return image, digest.String()
}

func pushImage(t *testing.T, to string) string {
	t.Helper()
	image, err := random.Image(256, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, pushOptions(t)); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// What the registry says counts, and what happens when it says nothing is configured.
func TestVerifyDigest(t *testing.T) {
	host := realRegistry(t, "")
	digest := pushImage(t, host+"/shop/api:1")
	body := func(host, tag, digest string) string {
		return `{"events":[{"id":"1","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"shop/api","tag":"` + tag + `","digest":"` + digest + `"},"request":{"host":"` + host + `"}}]}`
	}
	hub := `{"push_data":{"tag":"1"},"repository":{"repo_name":"shop/api"}}`
	told := locked + "verifyDigest: {hosts: ['127.0.0.1:*'], onFailure: "
	dead := httptest.NewServer(http.NotFoundHandler())
	deadHost := strings.TrimPrefix(dead.URL, "http://")
	dead.Close()
	for _, tc := range []struct {
		name, config, body string
		status             int
		want               string
	}{
		{"the digest is right", told + "refuse}\n", body(host, "1", digest), 200, "distribution push image " + host + "/shop/api:1@" + digest + " raw=push id=1 checked"},
		{"the digest is another", told + "refuse}\n", body(host, "1", dig), 200, "distribution push image " + host + "/shop/api:1@" + digest + " raw=push id=1 checked"},
		{"by digest alone", told + "refuse}\nuntagged: true\n", body(host, "", digest), 200, "distribution push image " + host + "/shop/api@" + digest + " raw=push id=1 checked"},
		{"no digest is told", locked + "provider: nexus\nregistry: " + host + "\nverifyDigest: {}\n", `{"repositoryName":"h","action":"CREATED","component":{"format":"docker","name":"shop/api","version":"1"}}`, 200, "nexus push image " + host + "/shop/api:1@" + digest + " raw=CREATED id=d-1 checked"},
		{"there is no such tag", told + "refuse}\n", body(host, "2", dig), 200, ""},
		{"there is no such tag, emit", told + "emit}\n", body(host, "2", dig), 200, "distribution push image " + host + "/shop/api:2@" + dig + " raw=push id=1"},
		{"nobody answers", told + "refuse}\n", body(deadHost, "1", dig), 503, ""},
		{"nobody answers, emit", told + "emit}\n", body(deadHost, "1", dig), 200, "distribution push image " + deadHost + "/shop/api:1@" + dig + " raw=push id=1"},
		{"a host that may not be asked", locked + "verifyDigest: {}\n", body(host, "1", digest), 503, ""},
		{"not a push", told + "refuse}\nactions: [delete]\n", strings.Replace(body(deadHost, "1", dig), `"push"`, `"delete"`, 1), 200, "distribution delete image " + deadHost + "/shop/api:1@" + dig + " raw=delete id=1"},
		{"Docker Hub's name for another host", strings.Replace(lockedPath, "/r/{token}", "/r/{token}", 1) + "provider: dockerhub\nregistry: " + host + "\nverifyDigest: {}\n", hub, 200, "dockerhub push image " + host + "/shop/api:1@" + digest + " checked"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlace(t, tc.config)
			h := http.Header{"Authorization": {key}}
			if strings.Contains(tc.config, "nexus") {
				h = http.Header{nexusHeader: {"x"}, "X-Nexus-Webhook-Delivery": {"d-1"}}
				if err := nexus.signed()[0].Sign(h, []byte(tc.body), []byte(key), now); err != nil {
					t.Fatal(err)
				}
			}
			if a := p.post(t, h, tc.body); a.status != tc.status {
				t.Fatalf("answered %d %s, want %d", a.status, a.text, tc.status)
			}
			got, _ := p.blocks(t)
			if strings.Join(got, "\n") != tc.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), tc.want)
			}
		})
	}
}
