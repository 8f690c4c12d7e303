package argocd

import (
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// pushed is what an event says was pushed. Exactly one of repositories and image
// is set, unless nothing was pushed that could concern an application.
type pushed struct {
	// repositories are HOST/PATH in lower case, all names of the one repository.
	repositories []string
	// images are REGISTRY/REPOSITORY in lower case, all names of the one repository.
	images []string
	// name of the branch or tag.
	name string
	// isDefault tells that it is the default branch.
	isDefault bool
	// files that have changed; empty if that is not known.
	files []string
	// why nothing is concerned, if so.
	why string
}

// pushedBy reads an event of a Git host or a registry.
func pushedBy(e *event.Event) (*pushed, error) {
	if e == nil {
		return nil, errors.New("there is none among the events of this firing")
	}
	raw, err := param.Data(e)
	if err != nil {
		return nil, err
	}
	var data struct {
		Git   *gitevent.Event   `json:"git"`
		Image *imageevent.Event `json:"image"`
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, err
	}
	switch {
	case data.Git != nil:
		return pushedGit(data.Git)
	case data.Image != nil:
		return pushedImage(data.Image)
	}
	return nil, errors.New("its data has neither a block git nor a block image")
}

func pushedGit(g *gitevent.Event) (*pushed, error) {
	p := &pushed{files: g.ChangedFiles}
	switch {
	case g.Event != gitevent.Push && g.Event != gitevent.Tag:
		p.why = "nothing was pushed: the event is " + string(g.Event)
	case g.Deleted:
		p.why = g.Ref + " was deleted"
	}
	urls := append([]string{g.Repository.URL}, g.Repository.CloneURLs...)
	if g.Repository.Host != "" && g.Repository.FullName != "" {
		urls = append(urls, "https://"+g.Repository.Host+"/"+g.Repository.FullName)
	}
	for _, u := range urls {
		if host, repo := splitRepository(u); host != "" && repo != "" && !slices.Contains(p.repositories, host+"/"+repo) {
			p.repositories = append(p.repositories, host+"/"+repo)
		}
	}
	p.name = refName(g.Ref)
	if len(p.repositories) == 0 || p.name == "" && p.why == "" {
		return nil, errors.New("its block git names no repository, or no ref")
	}
	// A host that does not tell has HEAD mean the branches that mostly are the default.
	p.isDefault = g.Branch != "" && (g.Branch == g.Repository.DefaultBranch ||
		g.Repository.DefaultBranch == "" && (g.Branch == "main" || g.Branch == "master"))
	return p, nil
}

func pushedImage(i *imageevent.Event) (*pushed, error) {
	p := &pushed{name: i.Tag}
	if i.Registry == "" || i.Repository == "" {
		return nil, errors.New("its block image names no repository")
	}
	p.images = []string{strings.ToLower(registry(i.Registry) + "/" + i.Repository)}
	switch {
	case i.Action != imageevent.Push:
		p.why = "nothing was pushed: the event is " + i.Action
	case i.Tag == "":
		p.why = "what was pushed has no tag"
	}
	return p, nil
}

// registry is one name for the Docker Hub.
func registry(host string) string {
	switch host {
	case "registry-1.docker.io", "index.docker.io":
		return "docker.io"
	}
	return host
}

// refName strips two segments: refs/heads/a/b is a/b.
func refName(ref string) string {
	parts := strings.SplitN(ref, "/", 3)
	if len(parts) == 3 && parts[0] == "refs" {
		return parts[2]
	}
	return ref
}

var (
	scheme = regexp.MustCompile(`^(?:https?|ssh|git)://`)
	user   = regexp.MustCompile(`^[^@/]+@`)
	port   = regexp.MustCompile(`^([^/:]+):[0-9]+(/|:)`)
)

// splitRepository gives host and path, in lower case, of a repository's URL in
// any of its spellings, among them git@HOST:PATH. Ports, users and .git do not count.
func splitRepository(u string) (host, repo string) {
	u = strings.ToLower(strings.TrimSpace(u))
	if s := scheme.FindString(u); s != "" {
		u = u[len(s):]
	}
	u = user.ReplaceAllString(u, "")
	u = port.ReplaceAllString(u, "$1$2")
	at := strings.IndexAny(u, ":/")
	if at <= 0 {
		return "", ""
	}
	host, repo = u[:at], strings.Trim(u[at+1:], "/")
	if clean, err := url.PathUnescape(repo); err == nil {
		repo = clean
	}
	return host, strings.TrimSuffix(repo, ".git")
}

// concerns tells whether an application follows what was pushed, in any of its sources.
func (p *pushed) concerns(app *application, by *AffectedBy) bool {
	if p.why != "" {
		return false
	}
	for _, s := range followed(app) {
		if p.isOf(s) && p.isRevision(text(s, "targetRevision")) && p.touches(app, text(s, "path"), by) {
			return true
		}
	}
	return false
}

// followed are the sources of an application; of one with a hydrator, the dry
// one and the one that is synced.
func followed(app *application) []map[string]any {
	all := app.sources()
	if h := app.part("spec", "sourceHydrator"); h != nil {
		dry := app.part("spec", "sourceHydrator", "drySource")
		repo := text(h, "syncSource", "repoURL")
		if repo == "" {
			repo = text(dry, "repoURL")
		}
		all = append(all, dry, map[string]any{
			"repoURL": repo, "targetRevision": text(h, "syncSource", "targetBranch"), "path": text(h, "syncSource", "path"),
		})
	}
	return all
}

func (p *pushed) isOf(source map[string]any) bool {
	repo := text(source, "repoURL")
	if len(p.images) > 0 {
		return p.isImage(repo, text(source, "chart"))
	}
	host, name := splitRepository(repo)
	if host == "" {
		return false
	}
	for _, h := range []string{host, strings.TrimPrefix(host, "ssh."), strings.TrimPrefix(host, "altssh.")} {
		if slices.Contains(p.repositories, h+"/"+name) {
			return true
		}
	}
	return false
}

func (p *pushed) isImage(repo, chart string) bool {
	repo = strings.ToLower(strings.TrimSuffix(repo, "/"))
	bare, oci := strings.CutPrefix(repo, "oci://")
	if !oci && chart == "" || strings.Contains(bare, "://") {
		return false
	}
	host, name, _ := strings.Cut(bare, "/")
	bare = registry(host) + "/" + name
	return slices.Contains(p.images, bare) || chart != "" && slices.Contains(p.images, strings.TrimSuffix(bare, "/")+"/"+strings.ToLower(chart))
}

// isRevision tells whether a targetRevision means what was pushed.
func (p *pushed) isRevision(target string) bool {
	if target == "" || target == "HEAD" {
		return p.isDefault
	}
	if refName(target) == p.name {
		return true
	}
	constraint, err := semver.NewConstraint(target)
	if err != nil {
		return false
	}
	version, err := semver.NewVersion(p.name)
	return err == nil && constraint.Check(version)
}

// touches tells whether one of the changed files is one that the application
// says it is made of.
func (p *pushed) touches(app *application, folder string, by *AffectedBy) bool {
	if len(p.images) > 0 {
		return true
	}
	var watched []string
	for _, item := range strings.Split(app.GetAnnotations()[annotationPaths], ";") {
		switch item = strings.TrimSpace(item); {
		case item == "":
		case strings.HasPrefix(item, "/"):
			watched = append(watched, strings.TrimPrefix(path.Clean(item), "/"))
		default:
			watched = append(watched, strings.TrimPrefix(path.Clean("/"+path.Join(folder, item)), "/"))
		}
	}
	if len(watched) == 0 && by.SourcePath {
		watched = []string{strings.TrimPrefix(path.Clean("/"+folder), "/")}
	}
	if len(watched) == 0 {
		return true
	}
	if len(p.files) == 0 {
		return by.UnknownFiles != filesUnaffected
	}
	return slices.ContainsFunc(p.files, func(file string) bool {
		file = strings.TrimPrefix(path.Clean("/"+file), "/")
		return slices.ContainsFunc(watched, func(w string) bool {
			if w == "" || file == w || strings.HasPrefix(file, w+"/") {
				return true
			}
			match, err := filepath.Match(w, file)
			return err == nil && match
		})
	})
}
