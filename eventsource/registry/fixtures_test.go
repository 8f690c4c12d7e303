package registry

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/webhook/verify"
)

// fixtures is the folder of recorded deliveries; the test is skipped where it is absent.
func fixtures(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		at := filepath.Join(dir, "shared", "fixtures", "webhooks")
		if _, err := os.Stat(at); err == nil {
			return at
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("there is no folder shared/fixtures/webhooks above this one")
		}
		dir = up
	}
}

// recorded is a delivery's body with its headers.
func recorded(t testing.TB, folder, file string) (http.Header, string) {
	t.Helper()
	dir := filepath.Join(fixtures(t), folder)
	body, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(dir, "headers.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for row := range strings.Lines(string(table)) {
		cells := strings.SplitN(strings.TrimRight(row, "\n"), "\t", 3)
		if cells[0] == file {
			h.Add(cells[1], cells[2])
		}
	}
	if len(h) == 0 {
		t.Fatalf("%s/%s has no headers", folder, file)
	}
	return h, string(body)
}

func TestFixtures(t *testing.T) {
	const (
		at   = " at=2025-10-09T08:53:20Z"
		main = "sha256:2c56a5f3d602c487e1f5b59b1a851df7852b6312141d9b235f8ef5f411b5759a"
		gone = "sha256:4c1332dd12b71f7644f32f20f56ad1fd5826f27bf9b8e62bca8e80a871b0c13f"
		leaf = "sha256:48e6aed16ede5afb3855adb6aeb7c33ab69aeb08edf580c6fe28ab0b6278fc05"
		tree = "sha256:c66a8eb7e6a7e395bf000e8884c7de131a5cf32a9f42de44a1b9ceaf47c8900e"
		help = "sha256:cc57fc1903e444cf6a726490b43b27ee9f87facc037f86872201847c565b45fb"
		reg  = "https://registry.example.com/v2/"
		aws  = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/api"
		bot  = " by=ci-bot"
	)
	for _, tc := range []struct {
		folder, file, config string
		want                 []string
	}{
		{"distribution", "push-manifest.json", locked, []string{"distribution push image registry.example.com/shop/api:1.4.2@" + main + " raw=push" + bot + " url=" + reg + "shop/api/manifests/" + main + " id=6f553efe-4351-5180-b556-2e61cc88f2d2" + at}},
		{"distribution", "push-layers-then-manifest.json", locked, []string{"distribution push image registry.example.com/shop/api:1.4.2@" + main + " raw=push" + bot + " url=" + reg + "shop/api/manifests/" + main + " id=a30e53d2-1aa2-594e-9865-2c60fa883d4c" + at}},
		{"distribution", "push-index.json", locked, []string{"distribution push index registry.example.com/shop/api:1.4@" + tree + " raw=push" + bot + " url=" + reg + "shop/api/manifests/" + tree + " id=4fb279d3-4ee2-57db-b458-332845113970" + at}},
		{"distribution", "push-by-digest.json", locked, []string{"distribution push image registry.example.com/shop/api@" + leaf + " raw=push" + bot + " url=" + reg + "shop/api/manifests/" + leaf + " id=6c2ed1b9-a529-5f4d-a88d-80dd8183b6d9" + at}},
		{"distribution", "push-helm-chart.json", locked, []string{"distribution push image registry.example.com/charts/shop:0.9.1@" + help + " raw=push" + bot + " url=" + reg + "charts/shop/manifests/" + help + " id=b77f491a-0503-5e87-b0f3-4fe6e3dce3c6" + at}},
		{"distribution", "delete.json", locked, []string{"distribution delete unknown registry.example.com/shop/api@" + gone + " raw=delete id=eb1a9935-9cc5-57f3-8913-c2a0e25656da" + at}},
		{"distribution", "pull.json", locked, []string{"distribution pull image registry.example.com/shop/api:1.4.2@" + main + " raw=pull url=" + reg + "shop/api/manifests/" + main + " id=0ff0e043-dde5-5ba6-8691-7597ca0764ee" + at}},
		{"gitlab-registry", "registry-push.json", locked + "provider: gitlab\n", []string{"gitlab push image registry.gitlab.example.com/acme/shop/api:1.4.2@" + main + " raw=push by=project_74_bot url=https://registry.gitlab.example.com/v2/acme/shop/api/manifests/" + main + " id=7ffbd2ba-a7ec-5239-bb24-ff13ae04706b" + at}},
		{"dockerhub", "push.json", lockedPath, []string{"dockerhub push index docker.io/acme/shop-api:1.4.2 by=acmebot url=https://hub.docker.com/r/acme/shop-api" + at}},
		{"ghcr", "package-published.json", locked, []string{"ghcr push image ghcr.io/acme/shop-api:1.4.2@" + main + " raw=published by=dana from=Acme/shop url=https://github.com/orgs/Acme/packages/container/shop-api/57755790 id=fb7f36d3-1843-596f-abd3-2205237d7b65" + at}},
		{"ghcr", "package-published-untagged.json", locked, []string{"ghcr push image ghcr.io/acme/shop-api@" + main + " raw=published by=dana from=Acme/shop url=https://github.com/orgs/Acme/packages/container/shop-api/57755790 id=171f06af-5afc-5c63-b946-9bf8e3312aae" + at}},
		{"ghcr", "registry-package-published.json", locked, []string{"ghcr push image ghcr.io/acme/shop-api:1.4.2@" + main + " raw=published by=dana from=Acme/shop url=https://github.com/orgs/Acme/packages/container/shop-api/57755790 id=2ecc11af-18d9-5ca3-8b68-34232061233a" + at}},
		{"ghcr", "registry-package-updated.json", locked, []string{"ghcr push image ghcr.io/acme/shop-api:latest@" + main + " raw=updated by=dana from=Acme/shop url=https://github.com/orgs/Acme/packages/container/shop-api/57755790 id=e0c0ecc2-e981-5891-9043-343638622724" + at}},
		{"quay", "repo-push.json", lockedPath, []string{"quay push unknown quay.io/acme/shop-api:1.4.2 raw=repo_push url=https://quay.io/repository/acme/shop-api", "quay push unknown quay.io/acme/shop-api:latest raw=repo_push url=https://quay.io/repository/acme/shop-api"}},
		{"quay", "repo-push-no-tags.json", lockedPath, []string{"quay push unknown quay.io/acme/shop-api raw=repo_push url=https://quay.io/repository/acme/shop-api"}},
		{"quay", "vulnerability-found.json", lockedPath, []string{"quay scan unknown quay.io/acme/shop-api:latest raw=vulnerability_found url=https://quay.io/repository/acme/shop-api"}},
		{"quay", "build-success.json", lockedPath, []string{"quay other unknown quay.io/acme/shop-api:1.4.2@" + main + " raw=build_success url=https://quay.io/repository/acme/shop-api"}},
		{"harbor", "v1-push-image.json", locked, []string{"harbor push unknown harbor.example.com/shop/api:1.4.2@" + main + " raw=pushImage" + bot + at}},
		{"harbor", "v1-delete-image.json", locked, []string{"harbor delete unknown harbor.example.com/shop/api:1.4.1@" + gone + " raw=deleteImage" + bot + at}},
		{"harbor", "v2-push-artifact.json", locked, []string{"harbor push unknown harbor.example.com/shop/api:1.4.2@" + main + " raw=PUSH_ARTIFACT by=robot$shop+ci" + at}},
		{"harbor", "v2-push-artifact-untagged.json", locked, []string{"harbor push unknown harbor.example.com/shop/api@" + leaf + " raw=PUSH_ARTIFACT" + bot + at}},
		{"harbor", "v2-pull-artifact.json", locked, []string{"harbor pull unknown harbor.example.com/shop/api@" + main + " raw=PULL_ARTIFACT by=robot$shop+scanner" + at}},
		{"harbor", "v2-delete-artifact.json", locked, []string{"harbor delete unknown harbor.example.com/shop/api:1.4.1@" + gone + " raw=DELETE_ARTIFACT" + bot + at}},
		{"harbor", "v2-scanning-completed.json", locked, []string{"harbor scan unknown harbor.example.com/shop/api@" + main + " raw=SCANNING_COMPLETED by=auto" + at}},
		{"harbor", "cloudevents-artifact-pushed.json", locked, []string{"harbor push unknown harbor.example.com/shop/api:1.4.2@" + main + " raw=harbor.artifact.pushed" + bot + " id=f134da76-0acd-525a-b0d9-914a95b2f7aa" + at}},
		{"acr", "push.json", locked, []string{"acr push image acme.azurecr.io/shop/api:1.4.2@" + main + " raw=push id=18f87c6a-9cb3-5d2d-bf54-ed6a7ab4095b" + at}},
		{"acr", "push-untagged.json", locked, []string{"acr push image acme.azurecr.io/shop/api@" + leaf + " raw=push id=3162e3ce-aebd-51e8-9a8b-55948b5211a2" + at}},
		{"acr", "delete.json", locked, []string{"acr delete image acme.azurecr.io/shop/api@" + gone + " raw=delete id=1d561195-8c70-57df-83c9-5e77458ad16e" + at}},
		{"acr", "chart-push.json", locked + "registry: acme.azurecr.io\n", []string{"acr push chart acme.azurecr.io/repo:shop-0.9.1.tgz@" + help + " raw=chart_push id=98214cdd-2b41-5722-bf5b-5dd5dc68a333" + at}},
		{"acr", "ping.json", locked, nil},
		{"acr", "eventgrid-image-pushed.json", lockedPath, []string{"acr push image acme.azurecr.io/shop/api:1.4.2@" + main + " raw=push id=617a4162-fe08-578c-b898-e02008e97ae1" + at}},
		{"acr", "eventgrid-subscription-validation.json", lockedPath, nil},
		{"aws-eventbridge", "ecr-image-push.json", locked, []string{"ecr push unknown " + aws + ":1.4.2@" + main + " raw=PUSH id=b9533306-619b-54bc-b639-45f4ef2c0107" + at}},
		{"aws-eventbridge", "ecr-image-push-untagged.json", locked, []string{"ecr push unknown " + aws + "@sha256:0fce2ae3032deb090bb809541995836b7369145eb6f09be9d690f5ae6ca09981 raw=PUSH id=086ae9b0-0746-56a6-a067-62a47c5fae06" + at}},
		{"aws-eventbridge", "ecr-image-delete.json", locked, []string{"ecr delete unknown " + aws + ":1.4.1@" + gone + " raw=DELETE id=68110c6e-09dd-570b-8361-23fdd27488d9" + at}},
		{"aws-eventbridge", "codecommit-reference-updated.json", locked, nil},
		{"aws-eventbridge", "codecommit-pull-request.json", locked, nil},
		{"aws-sns", "raw-delivery-ecr.json", lockedPath, []string{"ecr push unknown " + aws + ":1.4.2@" + main + " raw=PUSH id=b9533306-619b-54bc-b639-45f4ef2c0107" + at}},
		{"artifactory", "docker-pushed-signed.json", locked + "artifactory: {signed: true}\n", []string{"artifactory push image acme.jfrog.io/docker-local/shop/api:1.4.2@" + main + " raw=pushed" + bot}},
		{"artifactory", "docker-pushed-token.json", locked, []string{"artifactory push image acme.jfrog.io/docker-local/shop/api:1.4.2@" + main + " raw=pushed" + bot}},
		{"artifactory", "docker-pushed-multiarch.json", locked, []string{"artifactory push index acme.jfrog.io/docker-local/shop/api:1.4@" + tree + " raw=pushed" + bot}},
		{"artifactory", "docker-deleted.json", locked, []string{"artifactory delete image acme.jfrog.io/docker-local/shop/api:1.4.1@" + main + " raw=deleted" + bot}},
		{"artifactory", "artifact-deployed.json", locked, nil},
		{"nexus", "component-created.json", locked + "registry: nexus.example.com:8082\n", []string{"nexus push unknown nexus.example.com:8082/shop/api:1.4.2 raw=CREATED" + bot + " id=d8f4567d-8b5e-5ab5-933b-78d21952f9eb" + at}},
		{"nexus", "component-deleted.json", locked + "registry: nexus.example.com:8082\n", []string{"nexus delete unknown nexus.example.com:8082/shop/api:1.4.1 raw=DELETED" + bot + " id=288e3024-34d7-5fb1-bf0c-950e283ce065" + at}},
		{"nexus", "asset-created.json", locked + "registry: nexus.example.com:8082\n", []string{"nexus push unknown nexus.example.com:8082/shop/api:1.4.2 raw=CREATED" + bot + " id=6f0a0f6b-edc9-5d8f-9032-63b520348080" + at}},
		{"gitea", "package-created-container.json", locked, []string{"gitea push unknown gitea.example.com/acme/shop/api:1.4.2 raw=created" + bot + " url=https://gitea.example.com/acme/-/packages/container/shop%2Fapi/1.4.2 id=42470890-e6ef-5b91-b764-5f486116abeb" + at}},
		{"zot", "image-updated.json", locked + "registry: zot.example.com\n", []string{"zot push image zot.example.com/shop/api:1.4.2@" + main + " raw=zotregistry.image.updated id=fd634de4-e014-59e9-9ec9-a39eb5261c23" + at}},
		{"zot", "image-deleted.json", locked + "registry: zot.example.com\n", []string{"zot delete image zot.example.com/shop/api:1.4.1@" + gone + " raw=zotregistry.image.deleted id=5fd8c8e9-80ef-50af-9042-cb35b162a63e" + at}},
		{"zot", "repository-created.json", locked + "registry: zot.example.com\n", []string{"zot other unknown zot.example.com/shop/api raw=zotregistry.repository.created id=0be7abfb-78f5-5d93-82d3-ffc022f78d7f" + at}},
		{"cdevents", "artifact-published.json", lockedPath, []string{"cdevents push unknown registry.example.com/shop/api:1.4.2@" + main + " raw=dev.cdevents.artifact.published.0.2.0" + bot + " id=14e90b45-a58f-546c-afed-6184cb3035a1" + at}},
		{"cdevents", "artifact-published-0.5.json", lockedPath, []string{"cdevents push unknown registry.example.com/shop/api:1.4.2@" + main + " raw=dev.cdevents.artifact.published.0.3.0" + bot + " id=5a902d76-6166-5f90-8a1f-d99d85c35666" + at}},
		{"cdevents", "artifact-published-structured.json", lockedPath, []string{"cdevents push unknown registry.example.com/shop/api:1.4.2@" + main + " raw=dev.cdevents.artifact.published.0.2.0" + bot + " id=4b905574-9416-5e00-80d9-88945f4b83a7" + at}},
		{"cdevents", "change-merged.json", lockedPath, nil},
		{"cdevents", "service-deployed.json", lockedPath, nil},
	} {
		t.Run(tc.folder+"/"+tc.file, func(t *testing.T) {
			h, body := recorded(t, tc.folder, tc.file)
			p := newPlace(t, tc.config+everything)
			if a := p.post(t, h, body); a.status != http.StatusOK {
				t.Fatalf("answered %d %s", a.status, a.text)
			}
			got, _ := p.blocks(t)
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(tc.want, "\n     "))
			}
			again := newPlace(t, tc.config+everything)
			again.env.Vault.Set("reg", "token", "another")
			if a := again.post(t, h, body); a.status != http.StatusUnauthorized {
				t.Errorf("with another secret: answered %d %s, want 401", a.status, a.text)
			}
		})
	}
}

// The two deliveries that GitHub makes of one push are one event.
func TestGitHubTwice(t *testing.T) {
	p := newPlace(t, locked)
	for _, member := range []string{"package", "registry_package"} {
		body := githubBody(member, "1")
		h := http.Header{"X-Github-Event": {member}, "X-Github-Delivery": {member}}
		if err := ghcr.signed()[0].Sign(h, []byte(body), []byte(key), now); err != nil {
			t.Fatal(err)
		}
		if a := p.post(t, h, body); a.status != http.StatusOK {
			t.Fatalf("answered %d %s", a.status, a.text)
		}
	}
	if n := len(p.Stored()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// What was proved is told.
func TestVerified(t *testing.T) {
	for _, tc := range []struct {
		name, config string
		h            http.Header
		want         string
	}{
		{"nothing asked", open, http.Header{}, verify.ByNothing},
		{"a token", locked, http.Header{"Authorization": {key}}, verify.ByToken},
		{"a token in a header of one's own", locked + "secretHeader: X-My-Token\n", http.Header{"X-My-Token": {key}}, verify.ByToken},
		{"a token in the path", lockedPath, http.Header{}, verify.ByToken},
		{"basic authentication of the endpoint", "webhook: {endpoint: /r, basicAuth: {username: {name: reg, key: token}, password: {name: reg, key: token}}}\n", http.Header{"Authorization": {"Basic czNjcjN0OnMzY3IzdA=="}}, verify.ByToken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlace(t, tc.config)
			if a := p.post(t, tc.h, distributionBody("1")); a.status != http.StatusOK {
				t.Fatalf("answered %d %s", a.status, a.text)
			}
			e := p.Next(t)
			if !strings.Contains(string(e.Data), `"verified":"`+tc.want+`"`) {
				t.Errorf("want verified %s: %s", tc.want, e.Data)
			}
			if strings.Contains(string(e.Data), key) {
				t.Errorf("the data has the secret: %s", e.Data)
			}
		})
	}
}
