package argocd_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const pushOf = `{git: {event: push, ref: refs/heads/main, branch: main, changedFiles: [services/a/x.yaml, base/b.yaml],
	repository: {host: github.com, fullName: Acme/Shop, url: 'https://github.com/Acme/Shop', cloneURLs: ['https://github.com/Acme/Shop.git'], defaultBranch: main}}}`

func (l *lab) pushed(texts ...string) trigger.Input {
	l.t.Helper()
	data := parse(l.t, texts[0])
	for _, m := range texts[1:] {
		over(data, parse(l.t, m))
	}
	raw, err := json.Marshal(data)
	if err != nil {
		l.t.Fatal(err)
	}
	in := l.input(1)
	e := in.Events["dep"].Clone()
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(raw)); err != nil {
		l.t.Fatal(err)
	}
	in.Events["dep"] = &e
	return in
}

func TestAffectedBy(t *testing.T) {
	l, s := serverLab(t)
	const image = `{image: {registry: ghcr.io, repository: acme/charts/shop, tag: 1.4.2, action: push, kind: chart}}`
	for _, tc := range []struct {
		name, app, data, by string
		want                bool
	}{
		{"https", "{}", "{}", "", true},
		{"with .git and capitals", "{spec: {source: {repoURL: 'HTTPS://GitHub.com/acme/SHOP.git'}}}", "{}", "", true},
		{"scp form", "{spec: {source: {repoURL: 'git@github.com:acme/shop.git'}}}", "{}", "", true},
		{"ssh with a port", "{spec: {source: {repoURL: 'ssh://git@ssh.github.com:443/acme/shop'}}}", "{}", "", true},
		{"a password and a slash", "{spec: {source: {repoURL: 'https://u:p@github.com/acme/shop/'}}}", "{}", "", true},
		{"another repository", "{spec: {source: {repoURL: 'https://github.com/acme/shop2'}}}", "{}", "", false},
		{"another host", "{spec: {source: {repoURL: 'https://gitlab.com/acme/shop'}}}", "{}", "", false},
		{"no URL at all", "{spec: {source: {repoURL: ':'}}}", "{}", "", false},
		{"another branch", "{}", "{git: {ref: refs/heads/dev, branch: dev}}", "", false},
		{"a branch with a slash", "{spec: {source: {targetRevision: a/b}}}", "{git: {ref: refs/heads/a/b, branch: a/b}}", "", true},
		{"a whole ref", "{spec: {source: {targetRevision: refs/heads/main}}}", "{}", "", true},
		{"HEAD is the default branch", "{spec: {source: {targetRevision: HEAD}}}", "{}", "", true},
		{"nothing is the default branch", "{spec: {source: {targetRevision: null}}}", "{}", "", true},
		{"HEAD is no other branch", "{spec: {source: {targetRevision: HEAD}}}", "{git: {ref: refs/heads/dev, branch: dev}}", "", false},
		{"a commit is never pushed", "{spec: {source: {targetRevision: " + one + "}}}", "{}", "", false},
		{"a tag in a range", "{spec: {source: {targetRevision: '1.x'}}}", "{git: {event: tag, ref: refs/tags/v1.5.0, branch: null, tag: v1.5.0}}", "", true},
		{"a tag out of a range", "{spec: {source: {targetRevision: '1.x'}}}", "{git: {event: tag, ref: refs/tags/v2.0.0, branch: null, tag: v2.0.0}}", "", false},
		{"a deleted branch", "{}", "{git: {deleted: true}}", "", false},
		{"no push", "{}", "{git: {event: pull_request, ref: null}}", "", false},
		{"one of several sources", multi, "{git: {repository: {url: 'https://github.com/acme/a', cloneURLs: null, fullName: acme/a}}}", "", true},
		{"its own folder", "{spec: {source: {path: services/a}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: .}}}", "{}", "", true},
		{"another folder", "{spec: {source: {path: services/b}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: .}}}", "{}", "", false},
		{"a folder that begins so", "{spec: {source: {path: base/b.y}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: .}}}", "{}", "", false},
		{"a base by a relative path", "{spec: {source: {path: services/b}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: '.; ../../base'}}}", "{}", "", true},
		{"a base from the root", "{spec: {source: {path: services/b}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: '/base'}}}", "{}", "", true},
		{"a glob", "{spec: {source: {path: x}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: '/services/*/*.yaml'}}}", "{}", "", true},
		{"a glob of another kind", "{spec: {source: {path: x}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: '/services/*.yaml'}}}", "{}", "", false},
		{"files that are not known", "{spec: {source: {path: services/b}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: .}}}", "{git: {changedFiles: null}}", "", true},
		{"files that are not known, and then not", "{spec: {source: {path: services/b}}, metadata: {annotations: {argocd.argoproj.io/manifest-generate-paths: .}}}", "{git: {changedFiles: null}}", ", unknownFiles: unaffected", false},
		{"no annotation", "{spec: {source: {path: services/b}}}", "{}", "", true},
		{"no annotation, by the path", "{spec: {source: {path: services/b}}}", "{}", ", sourcePath: true", false},
		{"no annotation, by its path", "{spec: {source: {path: ./services/a/}}}", "{}", ", sourcePath: true", true},
		{"the dry source", "{spec: {source: null, sourceHydrator: {drySource: {repoURL: 'https://github.com/acme/shop', targetRevision: main, path: x}, syncSource: {targetBranch: env, path: yaml}}}}", "{}", "", true},
		{"the synced branch", "{spec: {source: null, sourceHydrator: {drySource: {repoURL: 'https://github.com/acme/shop', targetRevision: dev, path: x}, syncSource: {targetBranch: main, path: yaml}}}}", "{}", "", true},
		{"an OCI source", "{spec: {source: {repoURL: 'oci://ghcr.io/acme/charts/shop', targetRevision: 1.4.2}}}", image, "", true},
		{"an OCI chart", "{spec: {source: {repoURL: ghcr.io/acme/charts, chart: shop, targetRevision: '1.*'}}}", image, "", true},
		{"another OCI chart", "{spec: {source: {repoURL: ghcr.io/acme/charts, chart: shopping, targetRevision: '1.*'}}}", image, "", false},
		{"an OCI chart of another version", "{spec: {source: {repoURL: ghcr.io/acme/charts, chart: shop, targetRevision: '2.*'}}}", image, "", false},
		{"an image that was deleted", "{spec: {source: {repoURL: ghcr.io/acme/charts, chart: shop, targetRevision: '1.*'}}}", strings.Replace(image, "push", "delete", 1), "", false},
	} {
		l.put(s, "shop", tc.app)
		data := []string{pushOf, tc.data}
		if strings.Contains(tc.data, "image:") {
			data = data[1:]
		}
		tr := l.build(at(s, "{operation: refresh, affectedBy: {dependency: dep"+tc.by+"}}"))
		r, err := tr.Fire(t.Context(), l.pushed(data...))
		if err != nil || strings.HasPrefix(r.Summary, "refresh of shop") != tc.want {
			t.Errorf("%s: %q, %v", tc.name, r.Summary, err)
		}
		if !tc.want && !strings.HasPrefix(r.Summary, "no application is concerned") {
			t.Errorf("%s: %q", tc.name, r.Summary)
		}
	}
	a, err := l.build(at(s, "{affectedBy: {dependency: dep}, sync: {revision: '{{ .Input.dep.data.git.ref }}'}}")).Render(t.Context(), l.pushed(pushOf))
	want := `"applications":{"namespace":"argocd","affectedBy":{"repositories":["github.com/acme/shop"],"name":"main","defaultBranch":true,"files":2}}`
	if err != nil || !strings.Contains(string(a.Spec), want) || !strings.Contains(string(a.Spec), `"revision":"refs/heads/main"`) {
		t.Errorf("rendered %s, %v", a.Spec, err)
	}
}
