package imageevent

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

func TestComplete(t *testing.T) {
	const digest = "sha256:00"
	for _, tc := range []struct {
		name string
		in   Event
		want string // kind and reference
	}{
		{"lower case, scheme and port", Event{Registry: "https://Reg.Example.com:443/v2/", Repository: "/Shop/API/", Tag: "V1"}, "unknown reg.example.com/shop/api:V1"},
		{"another port stays", Event{Registry: "http://h:443", Repository: "a"}, "unknown h:443/a"},
		{"Docker Hub", Event{Registry: "registry-1.docker.io", Repository: "nginx"}, "unknown docker.io/library/nginx"},
		{"a digest for a tag", Event{Registry: "h", Repository: "a", Tag: digest}, "unknown h/a@" + digest},
		{"cosign's tag", Event{Registry: "h", Repository: "a", Tag: "sha256-00.sig", MediaType: "application/vnd.oci.image.manifest.v1+json"}, "signature h/a:sha256-00.sig"},
		{"the tag of referrers", Event{Repository: "a", Tag: "sha256-00"}, "signature a:sha256-00"},
		{"an index", Event{Repository: "a", MediaType: "application/vnd.docker.distribution.manifest.list.v2+json"}, "index a"},
		{"an image", Event{Repository: "a", MediaType: "application/vnd.docker.distribution.manifest.v2+json"}, "image a"},
		{"a chart", Event{Repository: "a", MediaType: "application/vnd.acr.helm.chart"}, "chart a"},
		{"a layer", Event{Repository: "a", MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"}, "other a"},
		{"known before", Event{Repository: "a", Kind: KindChart, MediaType: "application/vnd.oci.image.manifest.v1+json"}, "chart a"},
	} {
		e := tc.in
		e.Complete()
		if got := e.Kind + " " + e.Reference; got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestKindOfConfig(t *testing.T) {
	for media, want := range map[string]string{
		"": "", "application/vnd.oci.empty.v1+json": "", "application/vnd.cncf.helm.config.v1+json": KindChart,
		"application/vnd.oci.image.config.v1+json": KindImage, "application/vnd.docker.container.image.v1+json": KindImage,
		"application/vnd.dev.cosign.artifact.sig.v1+json": KindSignature, "application/vnd.in-toto+json": KindSignature,
		"application/vnd.cncf.notary.signature": KindSignature, "application/vnd.wasm.config.v1+json": KindOther,
	} {
		if got := KindOfConfig(media); got != want {
			t.Errorf("%s: got %s, want %s", media, got, want)
		}
	}
}

func TestIsManifest(t *testing.T) {
	for media, want := range map[string]bool{
		"application/vnd.oci.image.manifest.v1+json": true, "application/vnd.oci.image.index.v1+json": true,
		"application/vnd.docker.distribution.manifest.v2+json": true, "application/vnd.docker.distribution.manifest.list.v2+json": true,
		"application/vnd.docker.distribution.manifest.v1+prettyjws": true, "application/vnd.oci.artifact.manifest.v1+json": true,
		"application/vnd.oci.image.layer.v1.tar+gzip": false, "application/vnd.oci.image.config.v1+json": false,
		"application/octet-stream": false, "application/vnd.cncf.helm.chart.content.v1.tar+gzip": false, "": false,
	} {
		if got := IsManifest(media); got != want {
			t.Errorf("%s: got %v", media, got)
		}
	}
}

func TestCredentials(t *testing.T) {
	c, err := ParseCredentials([]byte(`{"auths":{
		"https://index.docker.io/v1/":{"auth":"YW5uOmh1Yg=="},
		"ghcr.io":{"username":"ann","password":"all"},
		"ghcr.io/acme":{"username":"ann","password":"acme"},
		"*.azurecr.io":{"identitytoken":"tok"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for repository, want := range map[string]string{
		"nginx": "ann:hub", "ghcr.io/other/x": "ann:all", "ghcr.io/acme/x": "ann:acme", "ghcr.io/acme2/x": "ann:all",
		"a.azurecr.io/x": "tok", "a.b.azurecr.io/x": "", "quay.io/x/y": "",
	} {
		repo, err := name.NewRepository(repository)
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Resolve(repo)
		if err != nil {
			t.Fatal(err)
		}
		got, err := authn.Authorization(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		text := got.IdentityToken
		if got.Username != "" {
			text = got.Username + ":" + got.Password
		}
		if text != want {
			t.Errorf("%s: got %q, want %q", repository, text, want)
		}
	}
	if _, err := ParseCredentials([]byte(`s3cr3t`)); err == nil || err.Error() != "the credentials are no .dockerconfigjson" {
		t.Errorf("got %v", err)
	}
	if a, err := (&Credentials{}).Resolve(name.MustParseReference("a").Context()); err != nil || a != authn.Anonymous {
		t.Errorf("got %v, %v", a, err)
	}
}
