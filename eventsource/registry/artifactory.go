package registry

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// JFrog Artifactory (https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhooks).
var artifactory = provider{
	name: "artifactory", title: "Artifactory",
	byHeader: func(h http.Header) bool { return h.Get(jfrogHeader) != "" },
	byShape:  func(in *input) bool { return in.has("event_type", "data") },
	signed:   func() []verify.Scheme { return []verify.Scheme{verify.HMAC{Header: jfrogHeader}} },
	instead: func(c *Config) verify.Scheme {
		if c.Artifactory != nil && c.Artifactory.Signed {
			return nil
		}
		return verify.Token{Header: jfrogHeader}
	},
	decode: decodeArtifactory,
	host:   hostArtifactory,
	send:   func(h http.Header, _ *input, _ eventsource.Sending) { h.Set("User-Agent", "JFrog Event/1.0") },
}

const jfrogHeader = "X-Jfrog-Event-Auth"

var artifactoryActions = map[string]string{
	"pushed": imageevent.Push, "deleted": imageevent.Delete, "promoted": imageevent.Promote,
}

func decodeArtifactory(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Domain    string `json:"domain"`
		EventType string `json:"event_type"`
		Data      struct {
			RepoKey   string `json:"repo_key"`
			Name      string `json:"name"`
			SHA256    string `json:"sha256"`
			ImageName string `json:"image_name"`
			Tag       string `json:"tag"`
		} `json:"data"`
		Origin string `json:"jpd_origin"`
		Source string `json:"source"`
	}
	in.read(in.payload, &e)
	d := &e.Data
	if e.Domain != "" && e.Domain != "docker" || e.Domain == "" && d.ImageName == "" && !in.doubt {
		return nil, nil // artifacts of all sorts, builds, releases
	}
	f := found{Event: imageevent.Event{
		Repository: d.RepoKey + "/" + d.ImageName, Tag: d.Tag, Action: action(artifactoryActions, e.EventType),
		Actor: e.Source[strings.LastIndexByte(e.Source, '/')+1:], RawEvent: e.EventType,
	}}
	if u, err := url.Parse(e.Origin); err == nil {
		f.Registry = u.Host
	}
	if len(d.SHA256) == 64 {
		f.Digest = "sha256:" + d.SHA256
	}
	switch d.Name {
	case "list.manifest.json":
		f.Kind = imageevent.KindIndex
	case "manifest.json":
		f.Kind = imageevent.KindImage
	}
	// Nothing in a delivery tells it from another one of the same digest.
	f.id = hashed("artifactory", string(in.body))
	return []found{f}, nil
}

// hostArtifactory makes of KEY/IMAGE the name by which it is pulled.
func hostArtifactory(s *source, f *found) {
	c := s.config.Artifactory
	if c == nil {
		c = &Artifactory{Access: byPath}
	}
	if s.config.Registry != "" {
		f.Registry = s.config.Registry
	}
	key, image, _ := strings.Cut(f.Repository, "/")
	if c.RepositoryKey != "" {
		key = c.RepositoryKey
	}
	switch c.Access {
	case bySubdomain:
		f.Registry, f.Repository = key+"."+f.Registry, image
	case byPort:
		f.Repository = image
	default:
		f.Repository = key + "/" + image
	}
}
