package artifact

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/signalbox-events/signalbox/internal/githubapp"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// token gets a token of the installation from the API that belongs to the
// repository's server.
func (a *GithubApp) token(ctx context.Context, env trigger.Env, client *http.Client, ep *transport.Endpoint) (string, error) {
	key, err := env.Secrets.Secret(ctx, a.PrivateKey)
	if err != nil {
		return "", lasting{err}
	}
	host := ep.Host
	if ep.Port > 0 {
		host = net.JoinHostPort(host, strconv.Itoa(ep.Port))
	}
	app := githubapp.Installation{Key: key, AppID: a.AppID, ID: a.InstallationID}
	token, err := app.Token(ctx, client, githubapp.API(ep.Protocol, host))
	var answer *githubapp.StatusError
	switch {
	case errors.As(err, &answer) && !passing(answer.Code), errors.Is(err, githubapp.ErrKey):
		return "", lasting{err}
	}
	return token, err
}
