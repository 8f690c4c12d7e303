package azuredevops

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func secretRef(key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "az"}, Key: key}
}

func TestConfig(t *testing.T) {
	const hook = "webhook: {endpoint: /hook, insecure: true}\n"
	const header = "secretHeader: {secret: {name: a, key: b}}\n"
	const full = "webhook: {endpoint: /hook, url: https://h}\naccessToken: {name: a, key: b}\norganizationURL: https://dev.azure.com/acme\nevents: [git.push]\n"
	for name, tt := range map[string]struct{ text, want string }{
		"least":                 {hook, ""},
		"no webhook":            {"{}", "webhook: is missing"},
		"header":                {"webhook: {endpoint: /hook}\n" + header, ""},
		"odd header":            {hook + "secretHeader: {name: 'a b', secret: {name: a, key: b}}", "secretHeader.name: "},
		"sender's header":       {hook + "secretHeader: {name: content-type, secret: {name: a, key: b}}", "secretHeader.name: "},
		"header without secret": {hook + "secretHeader: {name: X-A}", "secretHeader.secret: is missing"},
		"full":                  {full + header + "projects: [P]", ""},
		"nowhere":               {full + header, "repositories: is missing"},
		"half of a repository":  {hook + "repositories: [{project: P}]", "repositories[0]: needs"},
		"empty project":         {hook + `projects: [""]`, "projects[0]: is empty"},
		"odd event":             {hook + "events: [push]", "events[0]: "},
		"no organisation":       {hook + "accessToken: {name: a, key: b}", "organizationURL: is missing"},
		"odd organisation":      {hook + "organizationURL: acme", "organizationURL: is no URL"},
		"two secrets":           {strings.Replace(full, "https://h", "https://h, basicAuth: {username: {name: a, key: b}, password: {name: a, key: c}}", 1) + header + "projects: [P]", "secretHeader: cannot be kept"},
		"bearer":                {strings.Replace(full, "https://h", "https://h, authSecret: {name: a, key: b}", 1) + "projects: [P]", "webhook.authSecret: cannot be kept"},
		"finish without a hook": {hook + "deleteHookOnFinish: true", "deleteHookOnFinish: has no effect"},
		"lookup without token":  {hook + "changedFiles: {lookup: api}", "changedFiles.lookup: "},
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
