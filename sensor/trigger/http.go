package trigger

import (
	"context"
	"net/http"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// HTTP hands out the clients for all outgoing HTTP of the process, so that
// limits, time-outs, proxies and TLS are decided in one place and connections
// are shared. Package httpclient implements it.
type HTTP interface {
	// Client returns the client for the given TLS settings; nil means the
	// system's. Secrets are read anew when they have changed. Proxy environment
	// variables apply. The client follows redirects and has no time-out of its
	// own: use a context.
	Client(ctx context.Context, tls *v1alpha1.TLSConfig) (*http.Client, error)
	// UserAgent is what the clients call themselves in requests without a
	// User-Agent. Setting it spares them a copy of the request's headers.
	UserAgent() string
}
