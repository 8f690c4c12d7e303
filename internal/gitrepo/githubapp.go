package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/githubapp"
)

// GithubApp is an app of GitHub that is installed where the repository is.
type GithubApp struct {
	// PrivateKey of the app, PEM.
	PrivateKey *corev1.SecretKeySelector `json:"privateKey"`
	// AppID of the app.
	AppID int64 `json:"appID"`
	// InstallationID of the app for the repository's owner.
	InstallationID int64 `json:"installationID"`
	// API is the address of GitHub's API. Defaults to that of the repository's server.
	// +optional
	API string `json:"api,omitempty"`
}

// Validate reports all that is wrong, with paths from the block.
func (a *GithubApp) Validate() error {
	var errs []error
	if a.PrivateKey == nil {
		errs = append(errs, v1alpha1.Invalid("privateKey", "is required"))
	}
	errs = append(errs, selector("privateKey", a.PrivateKey))
	if a.AppID <= 0 {
		errs = append(errs, v1alpha1.Invalid("appID", "is required"))
	}
	if a.InstallationID <= 0 {
		errs = append(errs, v1alpha1.Invalid("installationID", "is required"))
	}
	if u, err := url.Parse(a.API); a.API != "" && (err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http") {
		errs = append(errs, v1alpha1.Invalid("api", "is no address that begins with https://"))
	}
	return errors.Join(errs...)
}

// appToken is the token of an app, which is good for an hour.
type appToken struct {
	mu    sync.Mutex
	value string
	key   string // of the app, as it was then
	until time.Time
}

// appToken gets a token of the installation, or gives the one it has.
func (r *Remote) appToken(ctx context.Context) (string, error) {
	key, err := r.secrets.Secret(ctx, r.access.GithubApp.PrivateKey)
	if err != nil {
		return "", fmt.Errorf("githubApp: %w", err)
	}
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	if r.app.key == string(key) && time.Now().Before(r.app.until) {
		return r.app.value, nil
	}
	token, err := r.askForToken(ctx, key)
	if err != nil {
		return "", fmt.Errorf("githubApp: %w", err)
	}
	r.app.value, r.app.key, r.app.until = token, string(key), time.Now().Add(githubapp.TokenLife)
	return token, nil
}

// forgetToken is for a token that the server does not take.
func (r *Remote) forgetToken() {
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	r.app.until = time.Time{}
}

func (r *Remote) askForToken(ctx context.Context, key []byte) (string, error) {
	a := r.access.GithubApp
	client, err := r.clients.Client(ctx, r.access.TLS)
	if err != nil {
		return "", err
	}
	api := a.API
	if api == "" {
		api = githubapp.API(r.ep.Protocol, r.access.Place().Host)
	}
	return githubapp.Installation{Key: key, AppID: a.AppID, ID: a.InstallationID}.Token(ctx, client, api)
}
