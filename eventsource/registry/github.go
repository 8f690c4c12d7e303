package registry

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// GitHub's container registry
// (https://docs.github.com/en/webhooks/webhook-events-and-payloads#package).
var ghcr = provider{
	name: "ghcr", title: "GitHub's container registry",
	byHeader: func(h http.Header) bool { return h.Get("X-GitHub-Event") != "" },
	byShape: func(in *input) bool {
		return in.has("registry_package") || in.inside("package", "package_version")
	},
	signed: func() []verify.Scheme {
		return []verify.Scheme{verify.HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256="}}
	},
	decode: decodeGHCR,
	send: func(h http.Header, in *input, s eventsource.Sending) {
		event := s.Event
		switch {
		case event != "":
		case in.has("registry_package"):
			event = "registry_package"
		default:
			event = "package"
		}
		h.Set("X-GitHub-Event", event)
		h.Set("X-GitHub-Delivery", s.ID)
		h.Set("User-Agent", "GitHub-Hookshot/signalbox")
	},
}

type githubPackage struct {
	Name        string `json:"name"`
	Ecosystem   string `json:"ecosystem"`
	PackageType string `json:"package_type"`
	HTMLURL     string `json:"html_url"`
	UpdatedAt   string `json:"updated_at"`
	Owner       struct {
		Login string `json:"login"`
	} `json:"owner"`
	Version struct {
		ID        int64  `json:"id"`
		Version   string `json:"version"`
		Name      string `json:"name"`
		HTMLURL   string `json:"html_url"`
		UpdatedAt string `json:"updated_at"`
		Container *struct {
			Tag struct {
				Name   string `json:"name"`
				Digest string `json:"digest"`
			} `json:"tag"`
			Labels struct {
				Source string `json:"source"`
			} `json:"labels"`
			Manifest struct {
				Digest    string `json:"digest"`
				MediaType string `json:"media_type"`
				Config    struct {
					MediaType string `json:"media_type"`
				} `json:"config"`
			} `json:"manifest"`
		} `json:"container_metadata"`
		PackageURL string `json:"package_url"`
	} `json:"package_version"`
}

// isContainer distrusts what sort of package it is said to be: GitHub's own
// samples have npm beside docker.
func (p *githubPackage) isContainer() bool {
	is := func(s string) bool { return strings.EqualFold(s, "container") || strings.EqualFold(s, "docker") }
	return p.Version.Container != nil || is(p.PackageType) || is(p.Ecosystem)
}

var githubActions = map[string]string{
	"published": imageevent.Push, "updated": imageevent.Push, "deleted": imageevent.Delete,
}

func decodeGHCR(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Action          string         `json:"action"`
		Package         *githubPackage `json:"package"`
		RegistryPackage *githubPackage `json:"registry_package"`
		Repository      struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		Sender struct {
			Login string `json:"login"`
		} `json:"sender"`
	}
	name := in.header.Get("X-GitHub-Event")
	if name != "" && name != "package" && name != "registry_package" {
		return nil, nil
	}
	in.read(in.payload, &e)
	p := e.Package
	if p == nil {
		p = e.RegistryPackage
	}
	if p == nil || !p.isContainer() && p.PackageType+p.Ecosystem != "" {
		return nil, nil
	}
	v := &p.Version
	f := found{Event: imageevent.Event{
		Repository: p.Owner.Login + "/" + p.Name, Action: action(githubActions, e.Action), URL: v.HTMLURL,
		SourceRepository: e.Repository.FullName, Actor: e.Sender.Login,
		OccurredAt: parseTime(v.UpdatedAt), RawEvent: e.Action, DeliveryID: in.header.Get("X-GitHub-Delivery"),
	}}
	if f.URL == "" {
		f.URL = p.HTMLURL
	}
	if f.OccurredAt == nil {
		f.OccurredAt = parseTime(p.UpdatedAt)
	}
	f.Registry, _, _, _ = imageevent.Split(strings.TrimSuffix(v.PackageURL, ":"))
	if f.Registry == "" {
		f.Registry = "ghcr.io"
	}
	digests := []string{v.Version, v.Name}
	if c := v.Container; c != nil {
		f.Tag, f.MediaType = c.Tag.Name, c.Manifest.MediaType
		f.Kind = imageevent.KindOfConfig(c.Manifest.Config.MediaType)
		digests = append([]string{c.Manifest.Digest, c.Tag.Digest}, digests...)
		if f.SourceRepository == "" {
			f.SourceRepository = strings.TrimPrefix(c.Labels.Source, "https://github.com/")
		}
	}
	if i := slices.IndexFunc(digests, isDigest); i >= 0 {
		f.Digest = digests[i]
	}
	// A hook for both package and registry_package gets two deliveries of a push,
	// with ids of their own.
	f.id = hashed("ghcr", e.Action, f.Repository, strconv.FormatInt(v.ID, 10), f.Tag, f.Digest, p.UpdatedAt, v.UpdatedAt)
	return []found{f}, nil
}

func isDigest(s string) bool {
	return strings.HasPrefix(s, "sha256:") || strings.HasPrefix(s, "sha512:")
}
