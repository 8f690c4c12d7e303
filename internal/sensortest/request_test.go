package sensortest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/eventbus"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

const hosts = `
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: hosts}
spec:
  gitlab:
    token: {projects: [acme/shop], secretToken: {name: s, key: k}, webhook: {endpoint: /a}}
    signed: {projects: [acme/shop], signingToken: {name: s, key: k}, webhook: {endpoint: /b}}
  registry:
    hub: {provider: dockerhub, secret: {name: s, key: k}, webhook: {endpoint: "/hub/{token}"}}
    any: {secret: {name: s, key: k}, webhook: {endpoint: /any}}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: all}
spec:
  dependencies:
    - {name: token, eventSourceName: hosts, eventName: token}
    - {name: signed, eventSourceName: hosts, eventName: signed}
    - {name: hub, eventSourceName: hosts, eventName: hub}
    - {name: any, eventSourceName: hosts, eventName: any}
  triggers: [{template: {name: log, conditions: token || signed || hub || any, log: {}}}]
`

const (
	gitlabPush = `{"object_kind":"push","event_name":"push","ref":"refs/heads/main","before":"5f2a7a0d1f9a4f8f6b1f5d5f7f0e0c1b2a394857","after":"0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645","project":{"path_with_namespace":"acme/shop"},"commits":[],"total_commits_count":0}`
	hubPush    = `{"push_data":{"tag":"v1","pusher":"ada","pushed_at":1760000000},"repository":{"repo_name":"acme/api"}}`
)

// A request's body becomes what the source makes of it, whatever secrets the
// source wants.
func TestBodiesOfSenders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(hosts), 0o600); err != nil {
		t.Fatal(err)
	}
	set := manifest.Load([]string{file}, manifest.Options{Sources: sources.Kinds, Triggers: triggers.Kinds})
	r := &Runner{Set: set, Triggers: triggers.Kinds, Secrets: func(string) secret.Reader { return secret.Dir("") }}
	for _, c := range []struct{ event, body, as, fails string }{
		{"token", gitlabPush, "", ""},
		{"signed", gitlabPush, "gitlab/Push Hook", ""},
		{"hub", hubPush, "", ""},
		{"any", hubPush, "dockerhub", "want the secret"}, // which that sender cannot show
		{"any", hubPush, "gitlabb", `knows no sender "gitlabb"`},
		{"token", `{"foo":1}`, "", "as gitlab"},
		{"token", "no json", "", "as gitlab"},
	} {
		t.Run(c.event+" "+c.as, func(t *testing.T) {
			reports, err := r.Explain(t.Context(), "all", []Input{{
				Name: "body", From: eventbus.Address{Source: "hosts", Event: c.event}, Data: []byte(c.body), IsBody: true, As: c.as,
			}})
			switch {
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("error is %v, want %s", err, c.fails)
			case c.fails == "" && (err != nil || len(reports) != 1 || len(reports[0].Reports[0].Firings) != 1):
				t.Errorf("%+v, %v", reports, err)
			}
		})
	}
}
