package registry

import (
	"context"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// Harbor 1.x and 2.x (https://goharbor.io/docs/2.12.0/working-with-projects/project-configuration/configure-webhooks/).
var harbor = provider{
	name: "harbor", title: "Harbor",
	byShape: func(in *input) bool {
		if in.cloud != nil {
			return strings.HasPrefix(in.cloud.Type, "harbor.")
		}
		return in.has("event_data")
	},
	decode: decodeHarbor,
}

var harborActions = map[string]string{
	"PUSH_ARTIFACT": imageevent.Push, "pushImage": imageevent.Push, "harbor.artifact.pushed": imageevent.Push,
	"PULL_ARTIFACT": imageevent.Pull, "pullImage": imageevent.Pull, "harbor.artifact.pulled": imageevent.Pull,
	"DELETE_ARTIFACT": imageevent.Delete, "deleteImage": imageevent.Delete, "harbor.artifact.deleted": imageevent.Delete,
	"SCANNING_COMPLETED": imageevent.Scan, "scanningCompleted": imageevent.Scan, "harbor.scan.completed": imageevent.Scan,
	"SCANNING_FAILED": imageevent.Scan, "scanningFailed": imageevent.Scan, "harbor.scan.failed": imageevent.Scan,
	"SCANNING_STOPPED": imageevent.Scan, "scanningStopped": imageevent.Scan, "harbor.scan.stopped": imageevent.Scan,
	"UPLOAD_CHART": imageevent.Push, "uploadChart": imageevent.Push,
	"DOWNLOAD_CHART": imageevent.Pull, "downloadChart": imageevent.Pull,
	"DELETE_CHART": imageevent.Delete, "deleteChart": imageevent.Delete,
}

type harborData struct {
	Resources []struct {
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
		URL    string `json:"resource_url"`
	} `json:"resources"`
	Repository struct {
		FullName string `json:"repo_full_name"`
	} `json:"repository"`
}

func decodeHarbor(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Type       string     `json:"type"`
		OccurredAt float64    `json:"occur_at"`
		Operator   string     `json:"operator"`
		Data       harborData `json:"event_data"`
	}
	base := found{}
	if c := in.cloud; c != nil {
		in.read(in.payload, &e.Data)
		e.Type, e.Operator = c.Type, c.Operator
		base.OccurredAt = parseTime(c.Time)
	} else {
		in.read(in.payload, &e)
		base.OccurredAt = unixTime(e.OccurredAt)
	}
	base.Action, base.RawEvent, base.Actor = action(harborActions, e.Type), e.Type, e.Operator
	base.Repository = e.Data.Repository.FullName
	if strings.Contains(strings.ToLower(e.Type), "chart") {
		base.Kind = imageevent.KindChart
	}
	id := func(digest, tag string) string {
		if in.cloud != nil || e.OccurredAt == 0 {
			return "" // it has an id of its own, or nothing that tells it from another
		}
		return hashed("harbor", e.Type, strconv.FormatFloat(e.OccurredAt, 'f', -1, 64), base.Repository, digest, tag)
	}
	if len(e.Data.Resources) == 0 { // quotas, replications, retention
		base.id = id(string(in.body), "")
		return []found{base}, nil
	}
	var list []found
	for _, r := range e.Data.Resources {
		f := base
		f.Tag, f.Digest = r.Tag, r.Digest
		var repository, tag, digest string
		f.Registry, repository, tag, digest = imageevent.Split(withoutScheme(r.URL))
		if f.Repository == "" {
			f.Repository = repository
		}
		if f.Tag == "" {
			f.Tag = tag
		}
		if f.Digest == "" {
			f.Digest = digest
		}
		f.id = id(r.Digest, r.Tag)
		list = append(list, f)
	}
	return list, nil
}
