package registry

import "time"

var now = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// sample is a delivery, written after the documentation of its sender.
type sample struct {
	name, provider string
	// event to name to the sender; empty lets it guess.
	event, config, body string
	// want are the blocks; see line.
	want []string
	// bodies of the events, where they are not the delivery's.
	bodies []string
	// anonymous deliveries have nothing that tells one from the next.
	anonymous bool
	// only: cannot be told without naming the provider.
	only bool
}

var samples = []sample{
	{
		name: "distribution", provider: "distribution", body: distributionBody("e-1"),
		want: []string{"distribution push image reg.example.com/shop/api:1.2@" + dig + " raw=push by=ann url=https://reg.example.com/v2/shop/api/manifests/" + dig + " id=e-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "GitLab", provider: "gitlab", body: distributionBody("e-1"),
		want: []string{"gitlab push image reg.example.com/shop/api:1.2@" + dig + " raw=push by=ann url=https://reg.example.com/v2/shop/api/manifests/" + dig + " id=e-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "an envelope with layers, a mount, a chart and deletes", provider: "distribution",
		body: `{"events":[` +
			`{"id":"1","action":"push","target":{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","repository":"a/b","digest":"` + other + `"}},` +
			`{"id":"2","action":"mount","target":{"mediaType":"application/octet-stream","repository":"a/b","digest":"` + other + `"}},` +
			`{"id":"3","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"a/b","tag":"1","digest":"` + dig + `","references":[{"mediaType":"application/vnd.cncf.helm.config.v1+json"}]},"request":{"host":"h:5000"}},` +
			`{"id":"4","action":"delete","target":{"repository":"a/b","tag":"2"},"request":{"host":"h:5000"}},` +
			`{"id":"5","action":"push","target":{"url":"http://h/v2/a/b/blobs/` + other + `","repository":"a/b"}}]}`,
		want: []string{"distribution push chart h:5000/a/b:1@" + dig + " raw=push id=3", "distribution delete unknown h:5000/a/b:2 raw=delete id=4"},
		bodies: []string{
			`{"events":[{"id":"3","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"a/b","tag":"1","digest":"` + dig + `","references":[{"mediaType":"application/vnd.cncf.helm.config.v1+json"}]},"request":{"host":"h:5000"}}]}`,
			`{"events":[{"id":"4","action":"delete","target":{"repository":"a/b","tag":"2"},"request":{"host":"h:5000"}}]}`,
		},
	},
	{
		name: "Docker Hub with a time in scientific notation", provider: "dockerhub",
		body: `{"push_data":{"pushed_at":1.417566161e+09,"pusher":"ann","tag":"latest"},"repository":{"name":"nginx","repo_name":"nginx","repo_url":"https://hub.docker.com/_/nginx"},"callback_url":"https://registry.hub.docker.com/x"}`,
		want: []string{"dockerhub push unknown docker.io/library/nginx:latest by=ann url=https://hub.docker.com/_/nginx at=2014-12-03T00:22:41Z"},
	},
	{
		name: "Alibaba Cloud", provider: "aliyun",
		body: `{"push_data":{"digest":"` + dig + `","pushed_at":"2026-03-01 18:00:00","tag":"1"},"repository":{"name":"api","namespace":"acme","region":"cn-hangzhou","repo_full_name":"acme/api"}}`,
		want: []string{"aliyun push unknown registry.cn-hangzhou.aliyuncs.com/acme/api:1@" + dig},
	},
	{
		name: "GitHub, package", provider: "ghcr", body: githubBody("package", "1.2"),
		want: []string{"ghcr push image ghcr.io/acme/shop-api:1.2@" + dig + " raw=published by=ann from=Acme/shop url=https://github.com/x id=d-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "GitHub, registry_package, no tag, an enterprise's host", provider: "ghcr",
		body: `{"action":"updated","registry_package":{"name":"api","package_type":"npm","ecosystem":"docker","owner":{"login":"Acme"},"package_version":{"version":"` + dig + `","package_url":"containers.ghe.example.com/acme/api:"}}}`,
		want: []string{"ghcr push unknown containers.ghe.example.com/acme/api@" + dig + " raw=updated id=d-1"},
	},
	{
		name: "GitHub, a package of npm", provider: "ghcr",
		body: `{"action":"published","package":{"name":"lib","package_type":"npm","ecosystem":"npm","owner":{"login":"Acme"},"package_version":{"version":"1.0.0","container_metadata":null}}}`,
	},
	{name: "GitHub, another event", provider: "ghcr", event: "ping", body: `{"zen":"x"}`},
	{
		name: "Quay, several tags", provider: "quay", anonymous: true,
		body: `{"repository":"acme/api","docker_url":"quay.io/acme/api","homepage":"https://quay.io/repository/acme/api","updated_tags":["1","latest"]}`,
		want: []string{
			"quay push unknown quay.io/acme/api:1 raw=repo_push url=https://quay.io/repository/acme/api",
			"quay push unknown quay.io/acme/api:latest raw=repo_push url=https://quay.io/repository/acme/api",
		},
	},
	{
		name: "Quay, a build that failed", provider: "quay",
		body: `{"repository":"acme/api","docker_url":"quay.io/acme/api","build_id":"b","docker_tags":["1"],"error_message":"no"}`,
		want: []string{"quay other unknown quay.io/acme/api:1 raw=build_failure"},
	},
	{
		name: "Quay, a vulnerability", provider: "quay", anonymous: true,
		body: `{"repository":"acme/api","docker_url":"quay.io/acme/api","tags":["1"],"vulnerability":{"id":"CVE-1"}}`,
		want: []string{"quay scan unknown quay.io/acme/api:1 raw=vulnerability_found"},
	},
	{
		name: "Harbor, one with a tag and one without", provider: "harbor",
		body: `{"type":"PUSH_ARTIFACT","occur_at":1772359200,"operator":"ann","event_data":{"resources":[{"digest":"` + dig + `","tag":"1","resource_url":"hub.example.com/shop/api:1"},` +
			`{"digest":"` + other + `","tag":"` + other + `","resource_url":"hub.example.com/shop/api@` + other + `"}],"repository":{"repo_full_name":"shop/api"}}}`,
		want: []string{
			"harbor push unknown hub.example.com/shop/api:1@" + dig + " raw=PUSH_ARTIFACT by=ann at=2026-03-01T10:00:00Z",
			"harbor push unknown hub.example.com/shop/api@" + other + " raw=PUSH_ARTIFACT by=ann at=2026-03-01T10:00:00Z",
		},
	},
	{
		name: "Harbor, CloudEvents", provider: "harbor",
		body: `{"specversion":"1.0","id":"c-1","source":"/projects/2","type":"harbor.scan.completed","time":"2026-03-01T10:00:00Z","operator":"ann","data":{"resources":[{"digest":"` + dig + `","resource_url":"hub.example.com/shop/api@` + dig + `"}],"repository":{"repo_full_name":"shop/api"}}}`,
		want: []string{"harbor scan unknown hub.example.com/shop/api@" + dig + " raw=harbor.scan.completed by=ann id=c-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Harbor 1.x, a chart", provider: "harbor",
		body: `{"type":"uploadChart","occur_at":1772359200,"operator":"ann","event_data":{"resources":[{"tag":"0.1","resource_url":"https://hub.example.com/chartrepo/shop/charts/api-0.1.tgz"}],"repository":{"repo_full_name":"shop/api"}}}`,
		want: []string{"harbor push chart hub.example.com/shop/api:0.1 raw=uploadChart by=ann at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Harbor, a quota", provider: "harbor",
		body: `{"type":"QUOTA_EXCEED","occur_at":1772359200,"event_data":{"repository":{"repo_full_name":"shop/api"},"custom_attributes":{}}}`,
		want: []string{"harbor other unknown shop/api raw=QUOTA_EXCEED at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Azure", provider: "acr",
		body: `{"id":"a-1","timestamp":"2026-03-01T10:00:00Z","action":"push","target":{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","digest":"` + dig + `","repository":"shop/api","tag":"1"},"request":{"host":"acme.azurecr.io"}}`,
		want: []string{"acr push index acme.azurecr.io/shop/api:1@" + dig + " raw=push id=a-1 at=2026-03-01T10:00:00Z"},
	},
	{name: "Azure, ping", provider: "acr", body: `{"id":"p","timestamp":"2026-03-01T10:00:00Z","action":"ping"}`},
	{
		name: "Azure, quarantine", provider: "acr",
		body: `{"id":"q","timestamp":"","action":"quarantine","target":{"digest":"` + dig + `","repository":"shop/api","tag":"1"},"request":{"host":"acme.azurecr.io"}}`,
		want: []string{"acr quarantine unknown acme.azurecr.io/shop/api:1@" + dig + " raw=quarantine id=q"},
	},
	{
		name: "Azure's Event Grid, two of them", provider: "acr",
		body: `[{"id":"g-1","topic":"/x/registries/acme","eventType":"Microsoft.ContainerRegistry.ChartPushed","eventTime":"2026-03-01T10:00:00Z","data":{"id":"i-1","action":"chart_push","target":{"repository":"repo","tag":"shop-0.1.tgz"}}},{"id":"g-2","eventType":"Microsoft.ContainerRegistry.ImageDeleted","data":{"id":"i-2","action":"delete","target":{"repository":"a","digest":"` + dig + `"},"request":{"host":"acme.azurecr.io"}}}]`,
		want: []string{"acr push chart acme.azurecr.io/repo:shop-0.1.tgz raw=chart_push id=g-1 at=2026-03-01T10:00:00Z", "acr delete unknown acme.azurecr.io/a@" + dig + " raw=delete id=g-2"},
		bodies: []string{
			`[{"id":"g-1","topic":"/x/registries/acme","eventType":"Microsoft.ContainerRegistry.ChartPushed","eventTime":"2026-03-01T10:00:00Z","data":{"id":"i-1","action":"chart_push","target":{"repository":"repo","tag":"shop-0.1.tgz"}}}]`,
			`[{"id":"g-2","eventType":"Microsoft.ContainerRegistry.ImageDeleted","data":{"id":"i-2","action":"delete","target":{"repository":"a","digest":"` + dig + `"},"request":{"host":"acme.azurecr.io"}}}]`,
		},
	},
	{
		name: "Azure's Event Grid as a CloudEvent", provider: "acr",
		body: `{"specversion":"1.0","id":"g-1","source":"/x/registries/acme","type":"Microsoft.ContainerRegistry.ImagePushed","time":"2026-03-01T10:00:00Z","data":{"id":"i-1","action":"push","target":{"repository":"a/b","tag":"1","digest":"` + dig + `"}}}`,
		want: []string{"acr push unknown acme.azurecr.io/a/b:1@" + dig + " raw=push id=g-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Google, wrapped", provider: "gar", body: pubsubBody("7", `{"action":"INSERT","digest":"europe-docker.pkg.dev/p/shop/api@`+dig+`","tag":"europe-docker.pkg.dev/p/shop/api:1"}`),
		want: []string{"gar push unknown europe-docker.pkg.dev/p/shop/api:1@" + dig + " raw=INSERT id=7 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Google, not wrapped", provider: "gar", body: `{"action":"DELETE","tag":"gcr.io/p/api:1"}`, anonymous: true,
		want: []string{"gar delete unknown gcr.io/p/api:1 raw=DELETE"},
	},
	{name: "Google, a message of another topic", provider: "gar", body: pubsubBody("8", `{"hello":"you"}`)},
	{
		name: "Amazon", provider: "ecr", body: ecrBody("ECR Image Action", `"result":"SUCCESS","repository-name":"shop/api","image-digest":"`+dig+`","action-type":"PUSH","image-tag":"1","manifest-media-type":"application/vnd.oci.image.index.v1+json"`),
		want: []string{"ecr push index 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/shop/api:1@" + dig + " raw=PUSH id=b-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Amazon, a push that failed", provider: "ecr", body: ecrBody("ECR Image Action", `"result":"FAILURE","repository-name":"shop/api","action-type":"PUSH","image-tag":"1"`),
		want: []string{"ecr other unknown 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/shop/api:1 raw=PUSH id=b-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Amazon, a scan of two tags", provider: "ecr", body: ecrBody("ECR Image Scan", `"scan-status":"COMPLETE","repository-name":"a","image-tags":["1","2"],"image-digest":"`+dig+`"`),
		want: []string{
			"ecr scan unknown 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a:1@" + dig + " raw=ECR Image Scan id=b-1 at=2026-03-01T10:00:00Z",
			"ecr scan unknown 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a:2@" + dig + " raw=ECR Image Scan id=b-1 at=2026-03-01T10:00:00Z",
		},
	},
	{
		name: "Amazon, a pull through", provider: "ecr", body: ecrBody("ECR Pull Through Cache Action", `"sync-status":"SUCCESS","repository-name":"hub/nginx","image-tag":"1","image-digest":"`+dig+`"`),
		want: []string{"ecr push unknown 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/hub/nginx:1@" + dig + " raw=ECR Pull Through Cache Action id=b-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Amazon, a referrer", provider: "ecr", body: ecrBody("ECR Referrer Action", `"result":"SUCCESS","repository-name":"a","action-type":"PUSH","image-digest":"`+dig+`","artifact-media-type":"application/vnd.dev.cosign.artifact.sig.v1+json"`),
		want: []string{"ecr push signature 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a@" + dig + " raw=PUSH id=b-1 at=2026-03-01T10:00:00Z"},
	},
	{name: "Amazon, something else of EventBridge", provider: "ecr", body: `{"id":"c","detail-type":"CodeCommit Repository State Change","source":"aws.codecommit","detail":{}}`},
	{
		name: "Artifactory", provider: "artifactory", body: jfrogBody("docker", "pushed", "list.manifest.json"),
		want: []string{"artifactory push index acme.jfrog.io/docker-local/shop/api:1@" + dig + " raw=pushed by=ann"},
	},
	{
		name: "Artifactory by subdomain through a virtual repository, promoted", provider: "artifactory", body: jfrogBody("docker", "promoted", "manifest.json"),
		config: "artifactory: {access: subdomain, repositoryKey: Docker}\n",
		want:   []string{"artifactory promote image docker.acme.jfrog.io/shop/api:1@" + dig + " raw=promoted by=ann"},
	},
	{
		name: "Artifactory by port", provider: "artifactory", body: jfrogBody("docker", "deleted", "manifest.json"),
		config: "artifactory: {access: port}\nregistry: reg.example.com:5001\n",
		want:   []string{"artifactory delete image reg.example.com:5001/shop/api:1@" + dig + " raw=deleted by=ann"},
	},
	{name: "Artifactory, any file", provider: "artifactory", body: jfrogBody("artifact", "deployed", "x.jar")},
	{
		name: "Nexus, a component", provider: "nexus", config: "registry: nexus.example.com:8082\n",
		body: `{"timestamp":"2026-03-01T10:00:00.6+00:00","initiator":"ann/10.1.2.3","repositoryName":"hosted","action":"CREATED","component":{"format":"docker","name":"shop/api","version":"1"}}`,
		want: []string{"nexus push unknown nexus.example.com:8082/shop/api:1 raw=CREATED by=ann id=d-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "Nexus, an asset, by path", provider: "nexus", config: "registry: nexus.example.com\nnexus: {access: path}\n",
		body: `{"repositoryName":"hosted","action":"PURGED","asset":{"format":"docker","name":"/v2/shop/api/manifests/` + dig + `"}}`,
		want: []string{"nexus delete unknown nexus.example.com/hosted/shop/api@" + dig + " raw=PURGED id=d-1"},
	},
	{name: "Nexus, a layer", provider: "nexus", config: "registry: nexus.example.com\n", body: `{"repositoryName":"h","action":"CREATED","asset":{"format":"docker","name":"v2/-/blobs/` + dig + `"}}`},
	{name: "Nexus, Maven", provider: "nexus", config: "registry: nexus.example.com\n", body: `{"repositoryName":"h","action":"CREATED","component":{"format":"maven2","name":"x","version":"1"}}`},
	{
		name: "Gitea", provider: "gitea",
		body: `{"action":"created","repository":null,"package":{"owner":{"login":"Acme"},"type":"container","name":"shop/api","version":"1","html_url":"https://git.example.com/acme/-/packages/container/shop%2Fapi/1","created_at":"2026-03-01T10:00:00Z","repository":{"full_name":"acme/shop"}},"sender":{"login":"ann"}}`,
		want: []string{"gitea push unknown git.example.com/acme/shop/api:1 raw=created by=ann from=acme/shop url=https://git.example.com/acme/-/packages/container/shop%2Fapi/1 id=d-1 at=2026-03-01T10:00:00Z"},
	},
	{name: "Gitea, a package of npm", provider: "gitea", body: `{"action":"created","package":{"type":"npm","name":"x","version":"1"}}`},
	{name: "Gitea, a push", provider: "gitea", event: "push", body: `{"ref":"refs/heads/main"}`},
	{
		name: "zot", provider: "zot", config: "registry: zot.example.com:5000\n",
		body: `{"name":"shop/api","reference":"1","digest":"` + dig + `","mediaType":"application/vnd.oci.image.index.v1+json"}`,
		want: []string{"zot push index zot.example.com:5000/shop/api:1@" + dig + " raw=zotregistry.image.updated id=d-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "zot, deleted by digest", provider: "zot", event: "image.deleted", config: "registry: zot.example.com:5000\n",
		body: `{"name":"shop/api","reference":"` + dig + `","digest":"` + dig + `"}`,
		want: []string{"zot delete unknown zot.example.com:5000/shop/api@" + dig + " raw=zotregistry.image.deleted id=d-1 at=2026-03-01T10:00:00Z"},
	},
	{
		name: "CDEvents, binary", provider: "cdevents",
		body: `{"context":{"version":"0.4.1","id":"x","source":"/ci","type":"dev.cdevents.artifact.published.0.2.0","timestamp":"2026-03-01T10:00:00Z"},"subject":{"id":"pkg:oci/api@` + "sha256%3A" + dig[7:] + `?repository_url=reg.example.com/shop/api&tag=1","content":{"user":"ann"}}}`,
		want: []string{"cdevents push unknown reg.example.com/shop/api:1@" + dig + " raw=dev.cdevents.artifact.published.0.2.0 by=ann id=x at=2026-03-01T10:00:00Z"},
	},
	{
		name: "CDEvents, structured, of Docker", provider: "cdevents",
		body: `{"specversion":"1.0","id":"x","source":"/ci","type":"dev.cdevents.artifact.deleted.0.1.0","data":{"context":{"specversion":"0.5.0","id":"x","source":"/ci","type":"dev.cdevents.artifact.deleted.0.1.0"},"subject":{"id":"pkg:docker/acme/api@1.2?repository_url=https%3A%2F%2Fghcr.io"}}}`,
		want: []string{"cdevents delete unknown ghcr.io/acme/api:1.2 raw=dev.cdevents.artifact.deleted.0.1.0 id=x"},
	},
	{name: "CDEvents, a change", provider: "cdevents", body: `{"context":{"id":"x","source":"/ci","type":"dev.cdevents.change.merged.0.2.0"},"subject":{"id":"17"}}`},
	{
		name: "a mapping", provider: "generic", config: genericConfig,
		body: `{"n":12,"who":"ann","when":"2026-03-01T10:00:00Z","images":[{"name":"reg.example.com/shop/api:1","sum":"` + dig + `","what":"stored"},{"name":"shop/web","v":2}]}`,
		want: []string{
			"generic push unknown reg.example.com/shop/api:1@" + dig + " raw=push by=ann id=12 at=2026-03-01T10:00:00Z",
			"generic other unknown shop/web:2 raw=gone by=ann id=12 at=2026-03-01T10:00:00Z",
		},
	},
}

const genericConfig = `
mapping:
  each: body.images
  repository: item.name
  tag: item.v
  digest: item.sum
  action: 'has(item.what) ? "push" : "gone"'
  actor: body.who
  time: body.when
  id: body.n
`
