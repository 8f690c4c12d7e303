package bitbucket

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func secretRef(key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "bb"}, Key: key}
}

func TestConfig(t *testing.T) {
	const hook = "webhook: {endpoint: /hook, insecure: true}\n"
	const url = "webhook: {endpoint: /hook, insecure: true, url: https://h}\n"
	const auth = "auth: {oauthToken: {name: a, key: b}}\n"
	for name, tt := range map[string]struct{ text, want string }{
		"least":                 {hook, ""},
		"no webhook":            {"{}", "webhook: is missing"},
		"open":                  {"webhook: {endpoint: /hook}", "webhook: "},
		"signed":                {"webhook: {endpoint: /hook}\nwebhookSecret: {name: a, key: b}", ""},
		"no auth block":         {url + "repositories: [{owner: a, repositorySlug: b}]\nevents: [repo:push]", ""},
		"empty auth":            {hook + "auth: {}", "auth: is empty"},
		"half of basic":         {hook + "auth: {basic: {username: {name: a, key: b}}}", "auth.basic: needs"},
		"both":                  {hook + "auth: {oauthToken: {name: a, key: b}, basic: {username: {name: a, key: b}, password: {name: a, key: c}}}", "auth: has basic and oauthToken"},
		"nowhere":               {url + auth + "events: [repo:push]", "repositories: is missing"},
		"no events":             {url + auth + "workspaces: [a]", "events: is missing"},
		"deprecated":            {url + auth + "owner: a\nrepositorySlug: b\nprojectKey: c\nevents: [repo:push]", ""},
		"half of deprecated":    {hook + "owner: a", "owner: belongs"},
		"half of a repository":  {hook + "repositories: [{owner: a}]", "repositories[0]: needs"},
		"empty workspace":       {hook + `workspaces: [""]`, "workspaces[0]: is empty"},
		"odd event":             {hook + "events: [push]", "events[0]: "},
		"finish without a hook": {hook + "deleteHookOnFinish: true", "deleteHookOnFinish: has no effect"},
		"lookup without auth":   {hook + "changedFiles: {lookup: api}", "changedFiles.lookup: "},
		"odd url":               {hook + "apiURL: bitbucket", "apiURL: is no URL"},
		"misplaced metadata":    {"webhook: {endpoint: /hook, insecure: true, metadata: {a: b}}", "webhook.metadata: "},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			found := v1alpha1.Problems(err)
			switch {
			case tt.want == "" && len(found) > 0:
				t.Error(err)
			case tt.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0].Error(), tt.want)):
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
