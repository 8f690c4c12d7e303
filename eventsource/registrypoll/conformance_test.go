package registrypoll

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

// The suite looks for goroutines that were left behind, so here the registry is
// one that leaves none.
func TestConformance(t *testing.T) {
	var server *httptest.Server
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind,
		Setup: func(t *testing.T, e *sourcetest.Env) string {
			if len(e.Memory.All()) == 0 {
				server = httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
				t.Cleanup(server.Close)
			}
			return fmt.Sprintf("repositories: [%s/acme/api]\ninterval: 100ms\nplainHTTP: true\nemitExisting: true\n", strings.TrimPrefix(server.URL, "http://"))
		},
		Provoke: func(t *testing.T, _ *sourcetest.Env, n int) error {
			ref, err := name.ParseReference(fmt.Sprintf("%s/acme/api:v%d", strings.TrimPrefix(server.URL, "http://"), n))
			if err != nil {
				return err
			}
			image, err := random.Image(64, 1)
			if err != nil {
				return err
			}
			return remote.Write(ref, image, remote.WithTransport(server.Client().Transport))
		},
		Remembers: true,
	})
}
