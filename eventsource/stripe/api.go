package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

const (
	// account is the one place for endpoints: the account of the key.
	account = "account"

	endpoints  = "/v1/webhook_endpoints"
	answerTime = 30 * time.Second
	answerSize = 4 << 20
	maxPages   = 100
)

// api is Stripe's API for webhook endpoints (https://docs.stripe.com/api/webhook_endpoints).
// It takes forms and answers JSON.
type api struct {
	base    string
	key     *corev1.SecretKeySelector
	secrets secret.Reader
	clients *httpclient.Clients
}

var _ hooks.API = (*api)(nil)

type endpoint struct {
	ID     string   `json:"id"`
	URL    string   `json:"url"`
	Events []string `json:"enabled_events"`
	Status string   `json:"status"`
}

// List implements hooks.API.
func (a *api) List(ctx context.Context, _ string) ([]hooks.Hook, error) {
	var all []hooks.Hook
	after := ""
	for range maxPages {
		query := url.Values{"limit": {"100"}}
		if after != "" {
			query.Set("starting_after", after)
		}
		var page struct {
			Data    []endpoint `json:"data"`
			HasMore bool       `json:"has_more"`
		}
		if err := a.call(ctx, http.MethodGet, endpoints+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Data {
			all = append(all, hooks.Hook{ID: e.ID, URL: e.URL, Events: e.Events, Active: e.Status == "enabled"})
			after = e.ID
		}
		if !page.HasMore || len(page.Data) == 0 {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the account has more than %d webhook endpoints", maxPages*100)
}

// Create implements hooks.API. The endpoint's secret is Stripe's choice.
func (a *api) Create(ctx context.Context, _ string, want hooks.Hook, _ []byte) (string, error) {
	var made endpoint
	form := url.Values{"url": {want.URL}, "enabled_events[]": want.Events, "description": {"Signalbox"}}
	if err := a.call(ctx, http.MethodPost, endpoints, form, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", errors.New("the answer has no id")
	}
	return made.ID, nil
}

// Update implements hooks.API.
func (a *api) Update(ctx context.Context, _ string, want hooks.Hook, _ []byte) error {
	form := url.Values{"url": {want.URL}, "enabled_events[]": want.Events, "disabled": {"false"}}
	return a.call(ctx, http.MethodPost, endpoints+"/"+url.PathEscape(want.ID), form, nil)
}

// Delete implements hooks.API.
func (a *api) Delete(ctx context.Context, _, id string) error {
	err := a.call(ctx, http.MethodDelete, endpoints+"/"+url.PathEscape(id), nil, nil)
	var s *statusError
	if errors.As(err, &s) && s.status == http.StatusNotFound {
		return nil
	}
	return err
}

// statusError is an answer that is no success.
type statusError struct {
	method, path string
	status       int
	text         string
}

// Error implements error.
func (e *statusError) Error() string {
	s := fmt.Sprintf("the API of Stripe, %s %s: %d %s", e.method, e.path, e.status, http.StatusText(e.status))
	if e.text != "" {
		s += ": " + e.text
	}
	return s
}

func (a *api) call(ctx context.Context, method, path string, form url.Values, out any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	key, err := a.secrets.Secret(ctx, a.key)
	if err != nil {
		return fmt.Errorf("apiKey: %w", err)
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	client, err := a.clients.Client(ctx, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, answerSize))
	if err != nil {
		return fmt.Errorf("the API of Stripe, %s %s: %w", method, path, err)
	}
	if res.StatusCode/100 != 2 {
		return failed(res, method, path, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the API of Stripe, %s %s: the answer is not the JSON that was asked for: %w", method, path, err)
	}
	return nil
}

func failed(res *http.Response, method, path string, body []byte) error {
	var said struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &said)
	path, _, _ = strings.Cut(path, "?")
	err := &statusError{method: method, path: path, status: res.StatusCode, text: said.Error.Message}
	if l := hooks.RateLimits(res); l != nil {
		l.Cause = err
		return l
	}
	return err
}
