package frontdoor_test

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const fixtures = "../../../shared/fixtures/webhooks"

// vendor is one sender: the entry that takes its requests, and where it shows
// its secret.
type vendor struct {
	folder string
	kind   string
	// config of the entry without its webhook block.
	config string
	// context of the webhook block.
	context string
	// secret headers, changed to see that the request is refused.
	secret []string
	// block that its events have.
	block string
	// silent files are authentic and make no event with a block.
	silent []string
	// events that the files make, where it is not one each.
	events int
	// skip says of files why they cannot be sent here.
	skip map[string]string
}

const (
	secretRef = "{name: hooks, key: secret}"
	// everything makes kind registry tell of all that it is told.
	everything = "untagged: true, actions: [push, delete, pull, scan, promote, quarantine, other], kinds: [image, index, chart, signature, other, unknown], "
)

var vendors = []vendor{
	{folder: "github", kind: "github", config: "organizations: [acme], webhookSecret: " + secretRef, secret: []string{"X-Hub-Signature-256"}, block: "git", silent: []string{"ping.json", "ping.form"}},
	{folder: "gitea", kind: "gitea", config: "organizations: [acme], webhookSecret: " + secretRef, secret: []string{"X-Gitea-Signature", "X-Forgejo-Signature", "X-Gogs-Signature", "X-Hub-Signature-256"}, block: "git"},
	{folder: "gogs", kind: "gitea", config: "organizations: [acme], webhookSecret: " + secretRef, secret: []string{"X-Gogs-Signature"}, block: "git"},
	{folder: "gitlab", kind: "gitlab", config: "projects: [acme/shop], secretToken: " + secretRef, secret: []string{"X-Gitlab-Token"}, block: "git"},
	{folder: "bitbucket", kind: "bitbucket", config: "repositories: [{owner: acme, repositorySlug: shop}], events: [repo:push], webhookSecret: " + secretRef, secret: []string{"X-Hub-Signature"}, block: "git"},
	{folder: "bitbucket-server", kind: "bitbucketserver", config: "bitbucketserverBaseURL: https://git.example.com/rest, projects: [ACME], events: [repo:refs_changed], webhookSecret: " + secretRef, secret: []string{"X-Hub-Signature"}, block: "git", silent: []string{"diagnostics-ping.json"}},
	{folder: "azuredevops", kind: "azureDevOps", context: "basicAuth: {username: {name: hooks, key: user}, password: " + secretRef + "}", secret: []string{"Authorization"}, block: "git"},
	{folder: "gerrit", kind: "gerrit", config: "hookName: signalbox, gerritBaseURL: https://review.example.com, projects: [shop], events: [patchset-created]", context: "insecure: true", block: "git"},
	{folder: "distribution", kind: "registry", config: everything + "provider: distribution, secret: " + secretRef, secret: []string{"Authorization"}, block: "image"},
	{folder: "dockerhub", kind: "registry", config: everything + "provider: dockerhub", context: "insecure: true", block: "image"},
	{folder: "ghcr", kind: "registry", config: everything + "provider: ghcr, secret: " + secretRef, secret: []string{"X-Hub-Signature-256"}, block: "image", events: 3}, // two of them tell of one push,
	{folder: "quay", kind: "registry", config: everything + "provider: quay", context: "insecure: true", block: "image"},
	{folder: "harbor", kind: "registry", config: everything + "provider: harbor, secret: " + secretRef, secret: []string{"Authorization"}, block: "image"},
	{folder: "acr", kind: "registry", config: everything + "provider: acr, secret: " + secretRef, secret: []string{"Authorization"}, block: "image", silent: []string{"ping.json"}, skip: map[string]string{
		"eventgrid-image-pushed.json": eventGrid, "eventgrid-subscription-validation.json": eventGrid,
	}},
	{folder: "nexus", kind: "registry", config: everything + "provider: nexus, registry: nexus.example.com, secret: " + secretRef, secret: []string{"X-Nexus-Webhook-Signature"}, block: "image"},
	{folder: "zot", kind: "registry", config: everything + "provider: zot, registry: zot.example.com", context: "basicAuth: {username: {name: hooks, key: user}, password: " + secretRef + "}", secret: []string{"Authorization"}, block: "image"},
	{folder: "gitlab-registry", kind: "registry", config: everything + "provider: distribution, secret: " + secretRef, secret: []string{"Authorization"}, block: "image"},
	{folder: "alertmanager", kind: "alertmanager", context: "authSecret: " + secretRef, secret: []string{"Authorization"}},
}

const eventGrid = "Event Grid shows the secret in the path; see the tests of kind registry"

// entry is the name of the vendor's event.
func (v vendor) entry() string { return v.folder }

func (v vendor) yaml() string {
	context := `port: "PORT", endpoint: /` + v.folder
	if v.context != "" {
		context += ", " + v.context
	}
	config := "webhook: {" + context + "}"
	if v.config != "" {
		config += ", " + v.config
	}
	return "    " + v.entry() + ": {" + config + "}\n"
}

// files of the vendor with their headers, in order.
func (v vendor) files(t *testing.T) map[string]http.Header {
	t.Helper()
	f, err := os.Open(filepath.Join(fixtures, v.folder, "headers.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	out := map[string]http.Header{}
	lines := bufio.NewScanner(f)
	lines.Scan()
	for lines.Scan() {
		part := strings.SplitN(lines.Text(), "\t", 3)
		if out[part[0]] == nil {
			out[part[0]] = http.Header{}
		}
		out[part[0]].Add(part[1], part[2])
	}
	if len(out) == 0 {
		t.Fatalf("%s has no headers", v.folder)
	}
	return out
}

func TestFixtures(t *testing.T) {
	if _, err := os.Stat(fixtures); err != nil {
		t.Skip("the sample payloads are not beside the project:", err)
	}
	h := newHouse(t)
	source := map[string]string{}
	sensors := ""
	for _, v := range vendors {
		source[v.kind] += v.yaml()
		if v.block != "" {
			sensors += h.sensor(v.entry(), v.block, "has(data."+v.block+")")
		}
	}
	spec := ""
	for _, kind := range slices.Sorted(maps.Keys(source)) {
		spec += "  " + kind + ":\n" + source[kind]
	}
	h.write("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: hooks}\nstringData: {secret: s3cr3t, user: hooks}\n")
	h.write("source.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: door}\nspec:\n"+spec)
	h.write("sensors.yaml", sensors)
	h.start("")
	for _, v := range vendors {
		t.Run(v.folder, func(t *testing.T) { v.send(t, h) })
	}
}

// send sends all files of a vendor: with a wrong secret, then twice as they are.
func (v vendor) send(t *testing.T, h *house) {
	files := v.files(t)
	events := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if why := v.skip[name]; why != "" {
			t.Logf("%s: not sent: %s", name, why)
			continue
		}
		body, err := os.ReadFile(filepath.Join(fixtures, v.folder, name))
		if err != nil {
			t.Fatal(err)
		}
		header := files[name]
		if slices.ContainsFunc(v.secret, func(h string) bool { return header.Get(h) != "" }) {
			if status, text := h.post("/"+v.folder, spoiled(header, v.secret), body); status != http.StatusUnauthorized {
				t.Errorf("%s: a wrong secret is answered %d %s", name, status, text)
			}
		}
		for range 2 {
			status, text := h.post("/"+v.folder, header.Clone(), body)
			if status != http.StatusOK {
				t.Errorf("%s: answered %d %s", name, status, text)
			}
		}
		if v.block != "" && !slices.Contains(v.silent, name) {
			events++
		}
	}
	if v.block == "" {
		return
	}
	if v.events > 0 {
		events = v.events
	}
	blocks := h.of(t, v.entry(), events)
	ids, fields := map[string]int{}, map[string]bool{}
	for _, b := range blocks {
		ids[b.ID]++
		for key, value := range b.Block {
			if value != nil && fmt.Sprint(value) != "" && fmt.Sprint(value) != "false" && fmt.Sprint(value) != "[]" {
				fields[key] = true
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("event %s came %d times", id, n)
		}
	}
	t.Logf("| %s | %d files | %d events | %s |", v.folder, len(files), len(blocks), strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
}

// spoiled is a header whose secrets are wrong.
func spoiled(h http.Header, secret []string) http.Header {
	h = h.Clone()
	for _, name := range secret {
		v := h.Get(name)
		if v == "" {
			continue
		}
		last := "0"
		if strings.HasSuffix(v, "0") {
			last = "1"
		}
		h.Set(name, v[:len(v)-1]+last)
	}
	return h
}
