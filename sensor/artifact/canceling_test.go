package artifact_test

import (
	"context"
	"net/http"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// canceling ends a context once a client has failed, so that a test need not
// wait for the further attempts.
type canceling struct {
	trigger.HTTP
	cancel func()
}

func (c canceling) Client(ctx context.Context, t *v1alpha1.TLSConfig) (*http.Client, error) {
	client, err := c.HTTP.Client(ctx, t)
	if err != nil {
		return nil, err
	}
	own := *client
	own.Transport = failing{client.Transport, c.cancel}
	return &own, nil
}

type failing struct {
	http.RoundTripper
	cancel func()
}

func (f failing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.RoundTripper.RoundTrip(r)
	if err != nil {
		f.cancel()
	}
	return resp, err
}
