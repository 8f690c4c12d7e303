package registry

import (
	"context"
	"net/http"
	"net/url"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Gitea's and Forgejo's packages (https://docs.gitea.com/usage/webhooks).
var gitea = provider{
	name: "gitea", title: "Gitea or Forgejo",
	byHeader: func(h http.Header) bool { return giteaEvent(h) != "" },
	byShape: func(in *input) bool {
		return in.inside("package", "type") && in.inside("package", "version")
	},
	signed: func() []verify.Scheme {
		return []verify.Scheme{
			verify.HMAC{Header: "X-Forgejo-Signature"},
			verify.HMAC{Header: "X-Gitea-Signature"},
			verify.HMAC{Header: "X-Gogs-Signature"},
			verify.HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256="},
		}
	},
	decode: decodeGitea,
	send: func(h http.Header, _ *input, s eventsource.Sending) {
		event := s.Event
		if event == "" {
			event = "package"
		}
		for _, product := range []string{"X-Gitea-", "X-Gogs-", "X-GitHub-"} {
			h.Set(product+"Event", event)
			h.Set(product+"Delivery", s.ID)
		}
	},
}

func giteaEvent(h http.Header) string {
	for _, name := range []string{"X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event"} {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}

var giteaActions = map[string]string{"created": imageevent.Push, "deleted": imageevent.Delete}

func decodeGitea(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Action  string `json:"action"`
		Package struct {
			Owner struct {
				Login string `json:"login"`
			} `json:"owner"`
			Type       string `json:"type"`
			Name       string `json:"name"`
			Version    string `json:"version"`
			HTMLURL    string `json:"html_url"`
			CreatedAt  string `json:"created_at"`
			Repository struct {
				FullName string `json:"full_name"`
			} `json:"repository"`
		} `json:"package"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		Sender struct {
			Login string `json:"login"`
		} `json:"sender"`
	}
	if event := giteaEvent(in.header); event != "" && event != "package" {
		return nil, nil
	}
	in.read(in.payload, &e)
	p := &e.Package
	if p.Type != "container" && (p.Type != "" || !in.doubt) {
		return nil, nil
	}
	id := in.header.Get("X-Gitea-Delivery")
	if id == "" {
		id = in.header.Get("X-Forgejo-Delivery")
	}
	f := found{id: id, Event: imageevent.Event{
		Repository: p.Owner.Login + "/" + p.Name, Tag: p.Version, Action: action(giteaActions, e.Action),
		URL: p.HTMLURL, SourceRepository: e.Repository.FullName, Actor: e.Sender.Login, RawEvent: e.Action, DeliveryID: id,
	}}
	if f.SourceRepository == "" {
		f.SourceRepository = p.Repository.FullName
	}
	if f.Action == imageevent.Push {
		f.OccurredAt = parseTime(p.CreatedAt)
	}
	if u, err := url.Parse(p.HTMLURL); err == nil && u.Host != "" {
		f.Registry = u.Scheme + "://" + u.Host
	}
	return []found{f}, nil
}
