package github

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
)

const (
	// appTokenLife is what GitHub allows at most, less what clocks may differ.
	appTokenLife = 9 * time.Minute
	clockSkew    = time.Minute
	// renewBefore a token ends, so that it does not end under way.
	renewBefore = 5 * time.Minute
)

// app makes the credentials of a GitHub App: a signed statement of who it is,
// and in exchange for that tokens of its installations, one for each owner.
type app struct {
	api    *api
	config *App

	lock          chan struct{}    // holds what is below; a channel, so that waiting ends with the context
	installations map[string]int64 // by owner
	tokens        map[int64]installationToken
}

type installationToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

func newApp(a *api, c *App) *app {
	return &app{
		api: a, config: c, lock: make(chan struct{}, 1),
		installations: map[string]int64{}, tokens: map[int64]installationToken{},
	}
}

// sign makes a token of the App itself: a JWT of RS256.
func (a *app) sign(ctx context.Context) (string, error) {
	b, err := a.api.secrets.Secret(ctx, a.config.PrivateKey)
	if err != nil {
		return "", fmt.Errorf("githubApp.privateKey: %w", err)
	}
	key, err := privateKey(b)
	if err != nil {
		return "", fmt.Errorf("githubApp.privateKey: %w", err)
	}
	now := time.Now()
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(fmt.Appendf(nil, `{"iat":%d,"exp":%d,"iss":"%d"}`,
		now.Add(-clockSkew).Unix(), now.Add(appTokenLife).Unix(), a.config.AppID))
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("githubApp.privateKey: %w", err)
	}
	return text + "." + encode(sig), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func privateKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the secret holds no PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if key, ok := key.(*rsa.PrivateKey); ok {
			return key, nil
		}
	}
	return nil, errors.New("the secret holds no RSA key")
}

// token for what belongs to the owner of a target.
func (a *app) token(ctx context.Context, target string) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a.lock <- struct{}{}:
		defer func() { <-a.lock }()
	}
	scope, name, _ := strings.Cut(target, "/")
	owner, _, _ := strings.Cut(name, "/")
	owner = strings.ToLower(owner)
	id, err := a.installation(ctx, scope, owner, target)
	if err != nil {
		return "", err
	}
	if t, ok := a.tokens[id]; ok && time.Until(t.ExpiresAt) > renewBefore {
		return t.Token, nil
	}
	return a.exchange(ctx, owner, id)
}

func (a *app) exchange(ctx context.Context, owner string, id int64) (string, error) {
	var t installationToken
	_, err := a.api.call(ctx, targetApp, http.MethodPost, "/app/installations/"+strconv.FormatInt(id, 10)+"/access_tokens", nil, &t)
	if err == nil && t.Token == "" {
		err = errors.New("the answer holds no token")
	}
	if err != nil {
		delete(a.installations, owner) // it may have been installed anew
		return "", fmt.Errorf("token of installation %d: %w", id, err)
	}
	a.tokens[id] = t
	return t.Token, nil
}

// installation of the App at an owner.
func (a *app) installation(ctx context.Context, scope, owner, target string) (int64, error) {
	if a.config.InstallationID != 0 {
		return a.config.InstallationID, nil
	}
	if id, ok := a.installations[owner]; ok {
		return id, nil
	}
	at := "/" + targetOrg + url.PathEscape(owner)
	if scope+"/" == targetRepo {
		repo, err := hub.RepoPath(strings.TrimPrefix(target, targetRepo))
		if err != nil {
			return 0, err
		}
		at = "/" + targetRepo + repo
	}
	var found struct {
		ID int64 `json:"id"`
	}
	if _, err := a.api.call(ctx, targetApp, http.MethodGet, at+"/installation", nil, &found); err != nil {
		return 0, fmt.Errorf("the App's installation for %s: %w", owner, err)
	}
	if found.ID == 0 {
		return 0, fmt.Errorf("the App's installation for %s: the answer holds no id", owner)
	}
	// Owners come with events, too; those of an open endpoint could be any.
	if len(a.installations) > 1000 {
		clear(a.installations)
		clear(a.tokens)
	}
	a.installations[owner] = found.ID
	return found.ID, nil
}
