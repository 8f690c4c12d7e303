package registry

import "encoding/base64"

func githubBody(member, tag string) string {
	return `{"action":"published","` + member + `":{"name":"Shop-API","package_type":"CONTAINER","updated_at":"2026-03-01T10:00:00Z","owner":{"login":"Acme"},"package_version":{"id":7,"name":"` + dig + `","html_url":"https://github.com/x",` +
		`"container_metadata":{"tag":{"name":"` + tag + `","digest":"` + dig + `"},"labels":{"source":"https://github.com/Acme/other"},"manifest":{"digest":"` + dig + `","media_type":"application/vnd.oci.image.manifest.v1+json","config":{"media_type":"application/vnd.oci.image.config.v1+json"}}},` +
		`"package_url":"ghcr.io/acme/shop-api:` + tag + `"}},"repository":{"full_name":"Acme/shop"},"sender":{"login":"ann"}}`
}

func pubsubBody(id, inner string) string {
	return `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(inner)) + `","messageId":"` + id + `","publishTime":"2026-03-01T10:00:00Z"},"subscription":"projects/p/subscriptions/s"}`
}

func ecrBody(kind, detail string) string {
	return `{"version":"0","id":"b-1","detail-type":"` + kind + `","source":"aws.ecr","account":"123456789012","time":"2026-03-01T10:00:00Z","region":"cn-north-1","detail":{` + detail + `}}`
}

func jfrogBody(domain, event, name string) string {
	return `{"domain":"` + domain + `","event_type":"` + event + `","data":{"repo_key":"docker-local","path":"shop/api/1/` + name + `","name":"` + name + `","sha256":"` + dig[7:] + `","image_name":"shop/api","tag":"1"},"jpd_origin":"https://acme.jfrog.io","source":"jfrog/ann"}`
}
