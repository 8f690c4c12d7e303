package registrypoll

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"all fields", `
repositories: [ghcr.io/acme/api, nginx, "ghcr.io/acme/*", "localhost:5000/x"]
interval: 10m
tags: ["v*"]
ignore: ["*-dev"]
policy: {semver: "^1"}
actions: [push, delete]
emitExisting: true
maxRequests: 10
credentials: {name: pull, key: .dockerconfigjson}
cloud: ecr
caSecret: {name: ca, key: ca.crt}
plainHTTP: true
metadata: {a: b}
filter: {expression: image.tag != ""}`, ""},
		{"no repositories", "{}", "repositories: is empty"},
		{"a tag", "repositories: [ghcr.io/acme/api:v1]", "repositories[0]: "},
		{"capitals", "repositories: [ghcr.io/Acme/api]", "repositories[0]: "},
		{"a pattern of a host", "repositories: ['*.io/acme/api']", "repositories[0]: "},
		{"a pattern of the Docker Hub", "repositories: ['acme/*']", "repositories[0]: "},
		{"two policies", "repositories: [nginx]\npolicy: {semver: '*', newest: true}", "policy: wants exactly one"},
		{"no policy", "repositories: [nginx]\npolicy: {}", "policy: wants exactly one"},
		{"a range that is none", "repositories: [nginx]\npolicy: {semver: abc}", "policy.semver: "},
		{"a pattern that is none", "repositories: [nginx]\npolicy: {regexp: {pattern: '('}}", "policy.regexp.pattern: "},
		{"no pattern", "repositories: [nginx]\npolicy: {regexp: {sort: semver}}", "policy.regexp.pattern: is missing"},
		{"an order that is none", "repositories: [nginx]\npolicy: {regexp: {pattern: a, order: up}}", "policy.regexp.order: "},
		{"a sort that is none", "repositories: [nginx]\npolicy: {regexp: {pattern: a, sort: size}}", "policy.regexp.sort: "},
		{"a tag pattern", "repositories: [nginx]\ntags: ['[']", "tags[0]: "},
		{"an action", "repositories: [nginx]\nactions: [pull]", "actions[0]: "},
		{"an interval", "repositories: [nginx]\ninterval: 1ms", "interval: "},
		{"a short interval", "repositories: [nginx]\ninterval: 1s", "interval: is short"},
		{"no requests", "repositories: [nginx]\nmaxRequests: 0", "maxRequests: "},
		{"a cloud", "repositories: [nginx]\ncloud: ovh", "cloud: "},
		{"an unknown key", "repositories: [nginx]\ntag: v1", "tag: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("error: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v, want %s", err, c.want)
			}
		})
	}
}
