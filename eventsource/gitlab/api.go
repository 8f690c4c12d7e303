package gitlab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const (
	perPage  = 100
	maxPages = 100
	ssl      = "enable_ssl_verification"
)

// hookAPI keeps hooks of projects and groups. Its targets are the paths of them
// in the API.
type hookAPI struct {
	api *githost.API
	// wanted are the events of the hook, in the API's words.
	wanted []string
	// keys are what hooks are signed with: tokens in JSON. Nil for nothing.
	keys *verify.Keys
}

// tokens are the secrets of a hook, as the API takes them.
type tokens struct {
	Token        string `json:"token,omitempty"`
	SigningToken string `json:"signing_token,omitempty"`
}

// List implements hooks.API. An event that this GitLab does not know, or that is
// none of this sort of hook, counts as wanted: there is nothing to mend about it.
func (a *hookAPI) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	var all []hooks.Hook
	err := a.pages(ctx, target+"/hooks", func(b []byte) (int, error) {
		var list []map[string]any
		if err := json.Unmarshal(b, &list); err != nil {
			return 0, fmt.Errorf("the list of hooks: %w", err)
		}
		for _, h := range list {
			all = append(all, a.hook(h))
		}
		return len(list), nil
	})
	return all, err
}

func (a *hookAPI) hook(fields map[string]any) hooks.Hook {
	h := hooks.Hook{Active: true, Settings: map[string]string{ssl: fmt.Sprint(fields[ssl])}}
	if id, ok := fields["id"].(float64); ok {
		h.ID = strconv.FormatFloat(id, 'f', -1, 64)
	}
	h.URL, _ = fields["url"].(string)
	for _, e := range hookEvents {
		on, known := fields[e.api].(bool)
		if on || !known && slices.Contains(a.wanted, e.api) {
			h.Events = append(h.Events, e.api)
		}
	}
	return h
}

// Create implements hooks.API.
func (a *hookAPI) Create(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, error) {
	in, err := request(target, want, secret)
	if err != nil {
		return "", err
	}
	var made struct {
		ID text `json:"id"`
	}
	if _, err := a.api.Call(ctx, http.MethodPost, target+"/hooks", in, &made); err != nil {
		return "", err
	}
	return string(made.ID), nil
}

// Update implements hooks.API. The tokens are always sent, because GitLab forgets
// them where the URL changes.
func (a *hookAPI) Update(ctx context.Context, target string, want hooks.Hook, secret []byte) error {
	if secret == nil && a.keys != nil {
		var err error
		if secret, err = a.keys.Current(ctx); err != nil {
			return err
		}
	}
	in, err := request(target, want, secret)
	if err != nil {
		return err
	}
	_, err = a.api.Call(ctx, http.MethodPut, target+"/hooks/"+url.PathEscape(want.ID), in, nil)
	return err
}

// Delete implements hooks.API.
func (a *hookAPI) Delete(ctx context.Context, target, id string) error {
	_, err := a.api.Call(ctx, http.MethodDelete, target+"/hooks/"+url.PathEscape(id), nil, nil)
	if githost.IsGone(err) {
		return nil
	}
	return err
}

// request is the body that makes or changes a hook. It has every event that such
// a hook has, because some are on unless they are turned off.
func request(target string, want hooks.Hook, secret []byte) (map[string]any, error) {
	in := map[string]any{"url": want.URL, ssl: want.Settings[ssl] == "true"}
	group := isGroup(target)
	for _, e := range hookEvents {
		if group || !e.groups {
			in[e.api] = slices.Contains(want.Events, e.api)
		}
	}
	if secret != nil {
		var t tokens
		if err := json.Unmarshal(secret, &t); err != nil {
			return nil, fmt.Errorf("the hook's tokens: %w", err)
		}
		if t.Token != "" {
			in["token"] = t.Token
		}
		if t.SigningToken != "" {
			in["signing_token"] = t.SigningToken
		}
	}
	return in, nil
}

func isGroup(target string) bool { return len(target) > 8 && target[:8] == "/groups/" }

// pages calls read with each page of a list; read returns how many it had.
func (a *hookAPI) pages(ctx context.Context, path string, read func([]byte) (int, error)) error {
	return pages(ctx, a.api, path, read)
}

func pages(ctx context.Context, api *githost.API, path string, read func([]byte) (int, error)) error {
	for page := 1; page <= maxPages; page++ {
		var raw json.RawMessage
		h, err := api.Call(ctx, http.MethodGet, fmt.Sprintf("%s?per_page=%d&page=%d", path, perPage, page), nil, &raw)
		if err != nil {
			return err
		}
		n, err := read(raw)
		if err != nil {
			return err
		}
		// GitLab leaves the header empty on the last page; a proxy may have taken it away.
		if next, ok := h["X-Next-Page"]; ok && next[0] == "" || !ok && n < perPage {
			return nil
		}
	}
	return fmt.Errorf("%s has more than %d pages", path, maxPages)
}

// pair reads the two tokens of a hook as one secret: tokens in JSON. Reading it
// has both Keys remember what they were.
type pair struct{ token, signing *verify.Keys }

// Secret implements secret.Reader.
func (p pair) Secret(ctx context.Context, _ *corev1.SecretKeySelector) ([]byte, error) {
	var t tokens
	for _, one := range []struct {
		keys *verify.Keys
		into *string
	}{{p.token, &t.Token}, {p.signing, &t.SigningToken}} {
		if one.keys == nil {
			continue
		}
		v, err := one.keys.Current(ctx)
		if err != nil {
			return nil, err
		}
		*one.into = string(v)
	}
	return json.Marshal(t)
}

// ConfigMap implements secret.Reader.
func (p pair) ConfigMap(context.Context, *corev1.ConfigMapKeySelector) ([]byte, error) {
	return nil, nil
}
