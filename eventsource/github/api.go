package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

// Targets of hooks begin with one of these, or are the App itself.
const (
	targetRepo = "repos/"
	targetOrg  = "orgs/"
	targetApp  = "app"
)

// Settings of a hook that are kept.
const (
	settingContent  = "content_type"
	settingInsecure = "insecure_ssl"
)

const publicAPI = "https://api.github.com"

// api is GitHub's, as one entry uses it.
type api struct {
	clients *httpclient.Clients
	secrets secret.Reader
	config  *Config
	app     *app // nil if there is a token
	rest    githost.API
}

var _ hooks.API = (*api)(nil)

func newAPI(c *Config, env eventsource.Env) *api {
	a := &api{clients: githost.Clients(env.Secrets), secrets: env.Secrets, config: c}
	a.rest = githost.API{Base: apiBase(c.GithubBaseURL), Clients: a.clients, TLS: c.TLS, Authorize: a.authorize}
	if c.APIToken == nil && c.GithubApp != nil {
		a.app = newApp(a, c.GithubApp)
	}
	return a
}

// apiBase is the API of the GitHub at that address.
func apiBase(address string) string {
	if address == "" {
		return publicAPI
	}
	address = strings.TrimRight(address, "/")
	u, err := url.Parse(address)
	if err != nil || strings.HasSuffix(u.Path, "/api/v3") || strings.HasPrefix(u.Host, "api.") || strings.Contains(u.Host, ".api.") {
		return address
	}
	return address + "/api/v3"
}

// targetKey is the key of the target in the context of a request.
type targetKey struct{}

// authorize a request as who may do it for the target.
func (a *api) authorize(ctx context.Context, r *http.Request) error {
	target, _ := ctx.Value(targetKey{}).(string)
	token := ""
	var err error
	switch {
	case a.app == nil:
		token, err = a.token(ctx)
	case target == targetApp:
		token, err = a.app.sign(ctx)
	default:
		token, err = a.app.token(ctx, target)
	}
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	return nil
}

// call asks the API for what belongs to the owner of a target.
func (a *api) call(ctx context.Context, target, method, path string, in, out any) (http.Header, error) {
	h, err := a.rest.Call(context.WithValue(ctx, targetKey{}, target), method, path, in, out)
	var status *githost.StatusError
	var limited *hooks.Limited
	if errors.As(err, &status) && !errors.As(err, &limited) && status.Status == http.StatusForbidden &&
		strings.Contains(strings.ToLower(status.Text), "rate limit") {
		// The secondary limit may come without a header that says so.
		err = &hooks.Limited{Until: time.Now().Add(time.Minute), Cause: err}
	}
	return h, err
}

const mostPages = 1000

// pages gets a list page by page, until there are no more or page returns false.
func pages[T any](ctx context.Context, a *api, target, path string, page func(T) bool) error {
	for range mostPages {
		var out T
		h, err := a.call(ctx, target, http.MethodGet, path, nil, &out)
		if err != nil {
			return err
		}
		m := nextLink.FindStringSubmatch(strings.Join(h.Values("Link"), ","))
		if !page(out) || m == nil {
			return nil
		}
		path = m[1]
	}
	return fmt.Errorf("%s: more than %d pages", path, mostPages)
}

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;[^,]*\brel="?next\b`)

func isStatus(err error, status int) bool {
	var e *githost.StatusError
	return errors.As(err, &e) && e.Status == status
}

func (a *api) token(ctx context.Context) (string, error) {
	if a.config.APIToken == nil {
		return "", errors.New("there is no apiToken")
	}
	b, err := a.secrets.Secret(ctx, a.config.APIToken)
	if err != nil {
		return "", fmt.Errorf("apiToken: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("apiToken: secret %q, key %q is missing or empty", a.config.APIToken.Name, a.config.APIToken.Key)
	}
	return token, nil
}

// hook as the API writes it.
type hook struct {
	ID     int64       `json:"id,omitempty"`
	Name   string      `json:"name,omitempty"`
	Active bool        `json:"active"`
	Events []string    `json:"events"`
	Config *hookConfig `json:"config,omitempty"`
}

type hookConfig struct {
	URL         string   `json:"url,omitempty"`
	ContentType string   `json:"content_type,omitempty"`
	InsecureSSL flexible `json:"insecure_ssl,omitempty"`
	Secret      string   `json:"secret,omitempty"`
}

// flexible is a text that old servers write as a number.
type flexible string

// UnmarshalJSON implements json.Unmarshaler.
func (f *flexible) UnmarshalJSON(b []byte) error {
	*f = flexible(strings.Trim(string(b), `"`))
	return nil
}

func configOf(want *hooks.Hook, secret []byte) *hookConfig {
	return &hookConfig{
		URL: want.URL, ContentType: want.Settings[settingContent],
		InsecureSSL: flexible(want.Settings[settingInsecure]), Secret: string(secret),
	}
}

func (h *hook) kept() hooks.Hook {
	c := h.Config
	if c == nil {
		c = &hookConfig{}
	}
	events := slices.Sorted(slices.Values(h.Events))
	return hooks.Hook{
		ID: strconv.FormatInt(h.ID, 10), URL: c.URL, Events: events, Active: h.Active,
		Settings: map[string]string{settingContent: c.ContentType, settingInsecure: string(c.InsecureSSL)},
	}
}

// path of a target's hooks.
func path(target string) (string, error) {
	if repo, ok := strings.CutPrefix(target, targetRepo); ok {
		repo, err := hub.RepoPath(repo)
		return "/" + targetRepo + repo + "/hooks", err
	}
	if org, ok := strings.CutPrefix(target, targetOrg); ok && org != "" {
		return "/" + targetOrg + url.PathEscape(org) + "/hooks", nil
	}
	return "", fmt.Errorf("%q is no target of hooks", target)
}

// List implements hooks.API.
func (a *api) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	if target == targetApp {
		var c hookConfig
		if _, err := a.call(ctx, target, http.MethodGet, "/app/hook/config", nil, &c); err != nil {
			return nil, err
		}
		h := (&hook{Active: true, Config: &c}).kept()
		h.ID = targetApp
		return []hooks.Hook{h}, nil
	}
	at, err := path(target)
	if err != nil {
		return nil, err
	}
	var all []hooks.Hook
	err = pages(ctx, a, target, at+"?per_page=100", func(page []hook) bool {
		for i := range page {
			all = append(all, page[i].kept())
		}
		return true
	})
	return all, err
}

// Create implements hooks.API.
func (a *api) Create(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, error) {
	if target == targetApp {
		return targetApp, a.Update(ctx, target, want, secret)
	}
	at, err := path(target)
	if err != nil {
		return "", err
	}
	var made hook
	_, err = a.call(ctx, target, http.MethodPost, at, &hook{Name: "web", Active: want.Active, Events: want.Events, Config: configOf(&want, secret)}, &made)
	if isStatus(err, http.StatusUnprocessableEntity) {
		if id, ok := a.adopt(ctx, target, want, secret); ok {
			return id, nil
		}
	}
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(made.ID, 10), nil
}

// adopt takes over the hook whose being there keeps want from being made.
func (a *api) adopt(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, bool) {
	all, err := a.List(ctx, target)
	if err != nil {
		return "", false
	}
	for _, h := range all {
		if h.URL == want.URL {
			want.ID = h.ID
			return h.ID, a.Update(ctx, target, want, secret) == nil
		}
	}
	return "", false
}

// Update implements hooks.API. The configuration has an address of its own,
// because a change beside other things without a secret would take that away.
func (a *api) Update(ctx context.Context, target string, want hooks.Hook, secret []byte) error {
	if target == targetApp {
		_, err := a.call(ctx, target, http.MethodPatch, "/app/hook/config", configOf(&want, secret), nil)
		return err
	}
	at, err := path(target)
	if err != nil {
		return err
	}
	at += "/" + url.PathEscape(want.ID)
	if _, err := a.call(ctx, target, http.MethodPatch, at+"/config", configOf(&want, secret), nil); err != nil {
		return err
	}
	_, err = a.call(ctx, target, http.MethodPatch, at, &hook{Active: want.Active, Events: want.Events}, nil)
	return err
}

// Delete implements hooks.API.
func (a *api) Delete(ctx context.Context, target, id string) error {
	if target == targetApp {
		return nil // it is a part of the App
	}
	at, err := path(target)
	if err != nil {
		return err
	}
	_, err = a.call(ctx, target, http.MethodDelete, at+"/"+url.PathEscape(id), nil, nil)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}
