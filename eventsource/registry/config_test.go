package registry

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name, config string
		want         []string // SEVERITY PATH: part of the message
	}{
		{"the least that is fine", locked, nil},
		{"open", open, []string{"warning webhook: anybody"}},
		{"open and meant", "webhook: {endpoint: /r, insecure: true}\n", nil},
		{"open but for SNS", open + "provider: ecr\nsns: {topicArns: [x]}\n", nil},
		{"several at once", "webhook: {}\nprovider: hub\nactions: [pull, tug]\nkinds: [x]\nregistry: https://x/y\nsecret: {name: a, key: b}\n", []string{
			"error webhook.endpoint: is missing", `error provider: there is no "hub"`, `error actions[1]: there is no "tug"`, `error kinds[0]: there is no "x"`, "error registry: ",
		}},
		{"Docker Hub with a secret that it cannot send", locked + "provider: dockerhub\n", []string{"error secret: dockerhub sends no secret"}},
		{"Docker Hub with its place", lockedPath + "provider: dockerhub\n", nil},
		{"a token without a secret", "webhook: {endpoint: '/r/{token}'}\n", []string{"error secret: is missing", "warning webhook: anybody"}},
		{"a header without a secret", open + "secretHeader: X\n", []string{"error secret: is missing", "warning webhook: "}},
		{"Nexus without a host", locked + "provider: nexus\n", []string{"warning registry: is missing"}},
		{"SNS without topics", locked + "sns: {topicArns: []}\n", []string{"error sns.topicArns: is missing"}},
		{"access", locked + "artifactory: {access: x}\nnexus: {access: subdomain}\n", []string{`error artifactory.access: there is no "x"`, `error nexus.access: there is no "subdomain"`}},
		{"checking", locked + "verifyDigest: {timeout: 1, onFailure: drop}\n", []string{`error verifyDigest.onFailure: there is no "drop"`, "error verifyDigest.timeout: "}},
		{"generic without a mapping", locked + "provider: generic\n", []string{"error mapping: is missing"}},
		{"a mapping that is not used", locked + "mapping: {repository: body.x}\n", []string{"warning mapping: is not used"}},
		{"a mapping that is wrong", locked + "provider: generic\nmapping: {tag: 'body.', digest: nope}\n", []string{"error mapping.repository: is missing", "error mapping.tag: ", "error mapping.digest: undeclared"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(strings.Replace(tc.config, "timeout: 1,", "timeout: '1',", 1)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			problems := v1alpha1.Problems(err)
			for i, p := range problems {
				got := p.Severity.String() + " " + p.Path + ": " + p.Message
				path, text, _ := strings.Cut(strings.Join(tc.want[min(i, len(tc.want)):min(i+1, len(tc.want))], ""), ": ")
				if i >= len(tc.want) || !strings.HasPrefix(got, path+": ") || !strings.Contains(got, text) {
					t.Errorf("problem %d: %s", i, got)
				}
			}
			if len(problems) != len(tc.want) {
				t.Errorf("%d problems, want %d: %v", len(problems), len(tc.want), err)
			}
		})
	}
}
