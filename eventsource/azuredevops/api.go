package azuredevops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const (
	version = "api-version=7.1"
	// details is the input that says how much of the resource is sent.
	details, detailsWanted = "resourceDetailsToSend", "all"
	consumer, action       = "webHooks", "httpRequest"
	// pageSize and mostPages bound a diff.
	pageSize, mostPages = 1000, 2*gitevent.MaxFiles/pageSize + 1
)

// hookAPI keeps subscriptions, each of which has one event. A target is EVENT
// PROJECT[/REPOSITORY].
type hookAPI struct {
	api *githost.API
	// keys may be nil.
	keys    *verify.Keys
	secrets secret.Reader
	// header is to have the secret; or else user, with the secret as its password.
	header string
	user   *corev1.SecretKeySelector
}

type subscription struct {
	ID               string            `json:"id,omitempty"`
	Status           string            `json:"status,omitempty"`
	PublisherID      string            `json:"publisherId"`
	EventType        string            `json:"eventType"`
	ResourceVersion  string            `json:"resourceVersion,omitempty"`
	ConsumerID       string            `json:"consumerId"`
	ConsumerActionID string            `json:"consumerActionId"`
	PublisherInputs  map[string]string `json:"publisherInputs"`
	ConsumerInputs   map[string]string `json:"consumerInputs"`
}

// publisher of an event, and the version of what it sends.
func publisher(event string) (id, version string) {
	switch {
	case strings.HasPrefix(event, "ms.vss-pipelines."):
		return "pipelines", "5.1-preview.1"
	case strings.HasPrefix(event, "ms.vss-release."):
		return "rm", "3.0-preview.1"
	case event == "ms.vss-code.git-pullrequest-comment-event":
		return "tfs", "2.0"
	}
	return "tfs", "1.0"
}

// List implements hooks.API.
func (h hookAPI) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	want, err := h.at(ctx, target)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"publisherId": {want.PublisherID}, "eventType": {want.EventType},
		"consumerId": {consumer}, "consumerActionId": {action},
	}
	var answer struct {
		Value []subscription `json:"value"`
	}
	if _, err := h.api.Call(ctx, http.MethodGet, "/_apis/hooks/subscriptions?"+query.Encode()+"&"+version, nil, &answer); err != nil {
		return nil, err
	}
	var all []hooks.Hook
	for _, s := range answer.Value {
		if !s.as(want) {
			continue
		}
		sent := githost.First(strings.ToLower(s.ConsumerInputs[details]), detailsWanted) // all is the default
		all = append(all, hooks.Hook{
			ID: s.ID, URL: s.ConsumerInputs["url"], Settings: map[string]string{details: sent},
			Active: s.Status == "enabled" || s.Status == "onProbation",
		})
	}
	return all, nil
}

// as tells whether s is about what want is about.
func (s *subscription) as(want *subscription) bool {
	same := func(key string) bool { return strings.EqualFold(s.PublisherInputs[key], want.PublisherInputs[key]) }
	return s.EventType == want.EventType && s.ConsumerID == consumer && same("projectId") && same("repository")
}

// at is the subscription of a target as far as the target tells.
func (h hookAPI) at(ctx context.Context, target string) (*subscription, error) {
	event, place, ok := strings.Cut(target, " ")
	project, repo, one := strings.Cut(place, "/")
	if !ok || project == "" {
		return nil, fmt.Errorf("%q is no target", target)
	}
	s := &subscription{EventType: event, ConsumerID: consumer, ConsumerActionID: action, PublisherInputs: map[string]string{}}
	s.PublisherID, s.ResourceVersion = publisher(event)
	var err error
	if s.PublisherInputs["projectId"], err = h.id(ctx, "/_apis/projects/"+project); err != nil {
		return nil, err
	}
	if one {
		s.PublisherInputs["repository"], err = h.id(ctx, "/"+project+"/_apis/git/repositories/"+repo)
	}
	return s, err
}

func (h hookAPI) id(ctx context.Context, path string) (string, error) {
	var it struct {
		ID string `json:"id"`
	}
	if _, err := h.api.Call(ctx, http.MethodGet, path+"?"+version, nil, &it); err != nil {
		return "", err
	}
	if it.ID == "" {
		return "", fmt.Errorf("GET %s: the answer has no id", path)
	}
	return it.ID, nil
}

// Create implements hooks.API.
func (h hookAPI) Create(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, error) {
	s, err := h.wanted(ctx, target, want, secret)
	if err != nil {
		return "", err
	}
	var made subscription
	_, err = h.api.Call(ctx, http.MethodPost, "/_apis/hooks/subscriptions?"+version, s, &made)
	return made.ID, err
}

// Update implements hooks.API. What is not sent is taken away, so the secret always is.
func (h hookAPI) Update(ctx context.Context, target string, want hooks.Hook, secret []byte) error {
	if secret == nil && h.keys != nil {
		var err error
		if secret, err = h.keys.Current(ctx); err != nil {
			return err
		}
	}
	s, err := h.wanted(ctx, target, want, secret)
	if err != nil {
		return err
	}
	s.ID, s.Status = want.ID, "enabled"
	_, err = h.api.Call(ctx, http.MethodPut, hookPath(want.ID), s, nil)
	return err
}

// Delete implements hooks.API.
func (h hookAPI) Delete(ctx context.Context, _, id string) error {
	_, err := h.api.Call(ctx, http.MethodDelete, hookPath(id), nil, nil)
	if githost.IsGone(err) {
		return nil
	}
	return err
}

func hookPath(id string) string {
	return "/_apis/hooks/subscriptions" + githost.Escape(id) + "?" + version
}

func (h hookAPI) wanted(ctx context.Context, target string, want hooks.Hook, secret []byte) (*subscription, error) {
	s, err := h.at(ctx, target)
	if err != nil {
		return nil, err
	}
	s.ConsumerInputs = map[string]string{"url": want.URL}
	for k, v := range want.Settings {
		s.ConsumerInputs[k] = v
	}
	switch {
	case len(secret) == 0:
	case h.header != "":
		s.ConsumerInputs["httpHeaders"] = h.header + ":" + string(secret)
	default:
		user, err := githost.Value(ctx, h.secrets, h.user)
		if err != nil {
			return nil, err
		}
		s.ConsumerInputs["basicAuthUsername"], s.ConsumerInputs["basicAuthPassword"] = user, string(secret)
	}
	return s, nil
}

// finder finds changed files.
type finder struct {
	api          *githost.API
	organization string
}

// find is a gitevent.Finder.
func (f finder) find(ctx context.Context, e *gitevent.Event) ([]string, error) {
	names := strings.Split(e.Repository.FullName, "/")
	if len(names) != 3 || !strings.EqualFold(names[0], f.organization) {
		return nil, gitevent.ErrUnknowable
	}
	query := url.Values{"baseVersionType": {"commit"}, "targetVersionType": {"commit"}, "$top": {strconv.Itoa(pageSize)}}
	base, target, common := e.Before, e.After, false
	switch p := e.PullRequest; {
	case p != nil:
		base, target, common = p.Target.SHA, p.Source.SHA, true
	case base == "":
		base, common = e.Repository.DefaultBranch, true
		query.Set("baseVersionType", "branch")
	}
	if base == "" || target == "" {
		return nil, gitevent.ErrUnknowable
	}
	query.Set("baseVersion", base)
	query.Set("targetVersion", target)
	query.Set("diffCommonCommit", strconv.FormatBool(common))
	return f.files(ctx, githost.Escape(names[1])+"/_apis/git/repositories"+githost.Escape(names[2])+"/diffs/commits", query)
}

func (f finder) files(ctx context.Context, path string, query url.Values) ([]string, error) {
	var files []string
	for page := range mostPages {
		query.Set("$skip", strconv.Itoa(page*pageSize))
		var answer struct {
			All     bool `json:"allChangesIncluded"`
			Changes []struct {
				Item struct {
					Path     string `json:"path"`
					IsFolder bool   `json:"isFolder"`
					Type     string `json:"gitObjectType"`
				} `json:"item"`
				From     string `json:"sourceServerItem"`
				Original string `json:"originalPath"`
			} `json:"changes"`
		}
		if _, err := f.api.Call(ctx, http.MethodGet, path+"?"+query.Encode()+"&"+version, nil, &answer); err != nil {
			var status *githost.StatusError
			if errors.As(err, &status) && status.Status == http.StatusNotFound {
				return nil, fmt.Errorf("%w (or the token may not read it)", err)
			}
			return nil, err
		}
		for _, c := range answer.Changes {
			if c.Item.IsFolder || c.Item.Type == "tree" {
				continue
			}
			for _, p := range []string{c.Item.Path, c.From, c.Original} {
				if p = strings.TrimPrefix(p, "/"); p != "" {
					files = append(files, p)
				}
			}
		}
		if answer.All && page == 0 || len(answer.Changes) < pageSize {
			return files, nil
		}
	}
	return nil, gitevent.ErrTooMany
}
