// Package registry runs a container registry for tests: the CNCF's distribution,
// in the process, with images in memory.
package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // where the images are
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
)

// Registry is a running registry. It speaks HTTP on the loopback interface.
type Registry struct {
	// Host with its port.
	Host string
	// Requests that it has answered, and that it has refused because of Limit.
	Requests, Refused atomic.Int64

	transport *http.Transport
	mu        sync.Mutex
	refuse    func(r *http.Request) (status int, header http.Header)
	paths     []string
}

// Options of a registry.
type Options struct {
	// Notify is the URL that is told of pushes; empty tells nobody.
	Notify string
	// Authorization is the value of the notifications' header of that name.
	Authorization string
}

// quiet turns off the registry's log, which is the same for all of the process.
var quiet = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) })

// Start runs a registry until the test ends.
func Start(t testing.TB, o Options) *Registry {
	t.Helper()
	quiet()
	config := &configuration.Configuration{Storage: configuration.Storage{"inmemory": {}, "delete": {"enabled": true}}}
	config.HTTP.Secret = "not so secret"
	config.Catalog.MaxEntries = 100
	if o.Notify != "" {
		config.Notifications.EventConfig.IncludeReferences = true
		config.Notifications.Endpoints = []configuration.Endpoint{{
			Name: "signalbox", URL: o.Notify, Headers: http.Header{"Authorization": {o.Authorization}},
			Timeout: time.Second, Threshold: 3, Backoff: 50 * time.Millisecond,
		}}
	}
	app := handlers.NewApp(t.Context(), config)
	r := &Registry{transport: &http.Transport{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.refused(w, req) {
			r.Refused.Add(1)
			return
		}
		r.Requests.Add(1)
		app.ServeHTTP(w, req)
	}))
	r.Host = strings.TrimPrefix(server.URL, "http://")
	t.Cleanup(func() {
		r.transport.CloseIdleConnections()
		server.Close()
		_ = app.Shutdown()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections() // that of the notifications
	})
	return r
}

// Refuse makes the registry ask f about each request: a status other than zero
// is answered with that header. Nil answers all.
func (r *Registry) Refuse(f func(r *http.Request) (status int, header http.Header)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}

func (r *Registry) refused(w http.ResponseWriter, req *http.Request) bool {
	r.mu.Lock()
	r.paths = append(r.paths, req.Method+" "+req.URL.RequestURI())
	f := r.refuse
	r.mu.Unlock()
	if f == nil {
		return false
	}
	status, header := f(req)
	if status == 0 {
		return false
	}
	for k, v := range header {
		w.Header()[k] = v
	}
	w.WriteHeader(status)
	return true
}

// Asked returns the requests since the last call, METHOD PATH.
func (r *Registry) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := r.paths
	r.paths = nil
	return paths
}

// Push pushes an image with random contents to REPOSITORY:TAG, and returns its digest.
func (r *Registry) Push(t testing.TB, to string) string {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.PushImage(t, to, image)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// PushImage pushes an image.
func (r *Registry) PushImage(t testing.TB, to string, image v1.Image) {
	t.Helper()
	if err := remote.Write(r.ref(t, to), image, remote.WithTransport(r.transport)); err != nil {
		t.Fatal(err)
	}
}

// PushIndex pushes an index of two images, and returns its digest.
func (r *Registry) PushIndex(t testing.TB, to string) string {
	t.Helper()
	index, err := random.Index(64, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(r.ref(t, to), index, remote.WithTransport(r.transport)); err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// Tag gives an image that is there another tag, or moves one there.
func (r *Registry) Tag(t testing.TB, from, tag string) {
	t.Helper()
	d, err := remote.Get(r.ref(t, from), remote.WithTransport(r.transport))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Tag(r.ref(t, from).Context().Tag(tag), d, remote.WithTransport(r.transport)); err != nil {
		t.Fatal(err)
	}
}

// Delete removes the tag REPOSITORY:TAG.
func (r *Registry) Delete(t testing.TB, tag string) {
	t.Helper()
	if err := remote.Delete(r.ref(t, tag), remote.WithTransport(r.transport)); err != nil {
		t.Fatal(err)
	}
}

func (r *Registry) ref(t testing.TB, to string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(r.Host + "/" + to)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
