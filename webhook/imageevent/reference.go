package imageevent

import (
	"regexp"
	"strings"
)

// DockerHub is the name of the Docker Hub, which has several hosts.
const DockerHub = "docker.io"

// Complete puts e's fields in order: host and repository in lower case, without
// scheme and default port; the Docker Hub's host and library/ where they belong;
// a digest that came as tag; Kind, if it is not known, by the media type and the
// tag; and Reference.
func (e *Event) Complete() {
	e.Registry = Host(e.Registry)
	e.Repository = strings.ToLower(strings.Trim(e.Repository, "/"))
	if e.Registry == DockerHub && e.Repository != "" && !strings.Contains(e.Repository, "/") {
		e.Repository = "library/" + e.Repository
	}
	if strings.HasPrefix(e.Tag, "sha256:") || strings.HasPrefix(e.Tag, "sha512:") {
		if e.Digest == "" {
			e.Digest = e.Tag
		}
		e.Tag = ""
	}
	if e.Kind == "" || e.Kind == KindUnknown {
		e.Kind = kindOf(e.MediaType, e.Tag)
	}
	e.Reference = e.Repository
	if e.Registry != "" {
		e.Reference = e.Registry + "/" + e.Repository
	}
	if e.Tag != "" {
		e.Reference += ":" + e.Tag
	}
	if e.Digest != "" {
		e.Reference += "@" + e.Digest
	}
}

// Host is a registry's host as the block has it, of a host or a URL.
func Host(s string) string {
	s = strings.ToLower(s)
	scheme := ""
	if before, after, ok := strings.Cut(s, "://"); ok {
		scheme, s = before, after
	}
	s, _, _ = strings.Cut(s, "/")
	if scheme != "http" {
		s = strings.TrimSuffix(s, ":443")
	}
	switch s {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com":
		return DockerHub
	}
	return s
}

// Split cuts HOST/REPOSITORY[:TAG][@DIGEST]. The first part is a host if it has
// a dot or a colon, or is localhost.
func Split(reference string) (host, repository, tag, digest string) {
	rest, digest, _ := strings.Cut(reference, "@")
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		rest, tag = rest[:i], rest[i+1:]
	}
	first, after, ok := strings.Cut(rest, "/")
	if ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		return first, after, tag, digest
	}
	return "", rest, tag, digest
}

// cosign's names for what belongs to an image.
var attached = regexp.MustCompile(`^sha(256|512)-[0-9a-f]+(\.(sig|att|sbom))?$`)

// KindOfConfig is the kind of what has a configuration of that media type, or an
// artifactType of that name; empty if that tells nothing.
func KindOfConfig(mediaType string) string {
	switch {
	case mediaType == "" || strings.HasPrefix(mediaType, "application/vnd.oci.empty"):
		return ""
	case strings.Contains(mediaType, "helm"):
		return KindChart
	case strings.Contains(mediaType, "oci.image.config"), strings.Contains(mediaType, "docker.container.image"):
		return KindImage
	case strings.Contains(mediaType, "cosign"), strings.Contains(mediaType, "sigstore"),
		strings.Contains(mediaType, "in-toto"), strings.Contains(mediaType, "notary"), strings.Contains(mediaType, "notation"):
		return KindSignature
	default:
		return KindOther
	}
}

// IsManifest tells whether a media type is one of a manifest or an index, not of
// a layer or a configuration.
func IsManifest(mediaType string) bool {
	k := kindOf(mediaType, "")
	return k == KindImage || k == KindIndex || k == KindChart && strings.Contains(mediaType, "acr.helm.chart") ||
		strings.Contains(mediaType, "artifact.manifest")
}

func kindOf(mediaType, tag string) string {
	switch {
	case attached.MatchString(tag):
		return KindSignature
	case strings.Contains(mediaType, "helm"):
		return KindChart
	case strings.Contains(mediaType, "image.index") || strings.Contains(mediaType, "manifest.list"):
		return KindIndex
	case strings.Contains(mediaType, "image.manifest") || strings.Contains(mediaType, "distribution.manifest"):
		return KindImage
	case mediaType == "":
		return KindUnknown
	default:
		return KindOther
	}
}
