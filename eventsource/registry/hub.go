package registry

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// Docker Hub (https://docs.docker.com/docker-hub/repos/manage/webhooks/), and
// Alibaba Cloud's registry, which tells nearly the same.
var (
	dockerhub = provider{
		name: "dockerhub", title: "Docker Hub",
		byShape: func(in *input) bool { return in.has("push_data", "repository") && !isAliyun(in) },
		decode:  decodeHub,
	}
	aliyun = provider{
		name: "aliyun", title: "Alibaba Cloud's registry",
		byShape: isAliyun,
		decode:  decodeHub,
	}
)

func isAliyun(in *input) bool {
	return in.has("push_data", "repository") && (in.inside("repository", "repo_full_name") || in.inside("repository", "region"))
}

func decodeHub(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Push struct {
			PushedAt  json.RawMessage `json:"pushed_at"`
			Pusher    string          `json:"pusher"`
			Tag       string          `json:"tag"`
			Digest    string          `json:"digest"`
			MediaType string          `json:"media_type"`
		} `json:"push_data"`
		Repository struct {
			RepoName string `json:"repo_name"`
			FullName string `json:"repo_full_name"`
			Region   string `json:"region"`
			URL      string `json:"repo_url"`
		} `json:"repository"`
	}
	in.read(in.payload, &e)
	pushed := strings.Trim(string(e.Push.PushedAt), `"`)
	f := found{Event: imageevent.Event{
		Registry: imageevent.DockerHub, Repository: e.Repository.RepoName, Tag: e.Push.Tag, Digest: e.Push.Digest,
		MediaType: e.Push.MediaType, Action: imageevent.Push, URL: e.Repository.URL, Actor: e.Push.Pusher, OccurredAt: parseTime(pushed),
	}}
	if isAliyun(in) {
		f.Repository, f.Registry = e.Repository.FullName, ""
		if e.Repository.Region != "" {
			f.Registry = "registry." + e.Repository.Region + ".aliyuncs.com"
		}
	}
	if pushed != "" && pushed != "null" {
		f.id = hashed("hub", f.Registry, f.Repository, f.Tag, f.Digest, pushed)
	}
	return []found{f}, nil
}
