package admission

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// compatDir holds manifests of Argo Events, beside this repository.
const compatDir = "../../../shared/compat/manifests"

// mistake is a row of known-bad.tsv.
type mistake struct{ class, where string }

// named tells whether one of the lines speaks of what is wrong.
func (m mistake) named(lines []string) bool {
	say := func(parts ...string) bool {
		return slices.ContainsFunc(lines, func(line string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
		})
	}
	last := m.where[strings.LastIndexByte(m.where, '.')+1:]
	switch m.class {
	case "unknown-key":
		return say(m.where+": ", "unknown key")
	case "misplaced-key":
		return say(m.where+": ", last+" belongs beside template")
	case "invalid":
		// The schema may say it before admission does.
		return say(m.where+": ", "is required") || say(m.where+": ", "Required value")
	case "dangling":
		_, event, _ := strings.Cut(m.where, "/")
		return say(".eventName: ", `has no event "`+event+`"`)
	case "never-matches":
		return say("custom-webhook", "no event can match")
	case "dead-path":
		switch {
		case strings.Contains(m.where, "filters.data"):
			return say("filters.data", "never exists")
		case strings.Contains(m.where, "filters.exprs"):
			return say("filters.exprs", "never exists")
		case strings.HasPrefix(m.where, "s3."):
			return say(`"s3.bucket.name" never exists`) || say("Required value") // the schema comes first
		}
		return slices.ContainsFunc(strings.FieldsFunc(m.where, func(r rune) bool { return r == ' ' || r == ',' }),
			func(key string) bool { return say(`.dataKey: "` + key + `" never exists`) })
	}
	return m.class == "placeholder"
}

func mistakes(t *testing.T) map[string][]mistake {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(compatDir, "known-bad.tsv"))
	if err != nil {
		t.Skip("the manifests of Argo Events are not beside this repository")
	}
	found := map[string][]mistake{}
	for line := range strings.Lines(string(text)) {
		if col := strings.Split(strings.TrimSpace(line), "\t"); !strings.HasPrefix(line, "#") && len(col) >= 4 {
			found[col[0]] = append(found[col[0]], mistake{col[1], col[2]})
		}
	}
	if len(found) < 20 {
		t.Fatalf("only %d files with mistakes", len(found))
	}
	return found
}

// Every manifest of Argo Events is taken, and what is wrong in itself is said.
func TestArgoEventsManifestsAreAdmitted(t *testing.T) {
	known := mistakes(t)
	c := install(t, "Fail")
	ns := c.Namespace(t)
	start(t, New(c.config(t)))
	c.asked(t, ns)
	// The EventSource that most sensors name.
	text, err := os.ReadFile(filepath.Join(compatDir, "event-sources", "webhook.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	hook := documents(t, text)[0]
	hook.SetNamespace(ns)
	if err := clientOf(t, c.Config()).Create(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	objects := 0
	err = filepath.WalkDir(compatDir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(compatDir, path)
		if err != nil {
			return err
		}
		var said []string
		for _, o := range documents(t, text) {
			if o.GroupVersionKind().Group != v1alpha1.GroupVersion.Group || !strings.HasPrefix(o.GetKind(), "Event") && o.GetKind() != "Sensor" {
				continue // a Role, a Workflow
			}
			objects++
			o.SetNamespace(ns)
			o.SetGenerateName(o.GetName())
			o.SetName("") // one is there already
			warned, err := dryRun(t, c.Config(), o)
			said = append(said, warned...)
			if err != nil {
				said = append(said, err.Error())
				if !slices.ContainsFunc(known[file], func(m mistake) bool { return m.class != "placeholder" }) {
					t.Errorf("%s: a good manifest is refused: %v", file, err)
				}
			}
		}
		for _, m := range known[file] {
			if !m.named(said) {
				t.Errorf("%s: nothing names the %s %s; there is\n%s", file, m.class, m.where, strings.Join(said, "\n"))
			}
		}
		return nil
	})
	if err != nil || objects < 120 {
		t.Errorf("%d objects, %v", objects, err)
	}
}

func TestFieldsOfKindsAreExplained(t *testing.T) {
	c := install(t, "Ignore")
	for path, want := range map[string]string{
		"eventsources.spec.webhook.endpoint":                         "Endpoint is",
		"eventsources.spec.calendar.persistence.catchup.maxDuration": "MaxDuration is how far back missed ticks are emitted",
		"sensors.spec.triggers.template.http.method":                 "Method",
		"sensors.spec.triggers.dlqTrigger.template.log":              "FIELDS",
		"sensors.spec.dependencies.filters.data.path":                "Path",
		"eventbus.spec.jetstream.persistence.volumeSize":             "VolumeSize defaults to 20Gi",
		"es.status.conditions":                                       "conditions",
	} {
		var out string
		eventually(t, path, func() (err error) { // the definitions are published some time after they are served
			out, _, err = c.Kubectl(t, "explain", path)
			return err
		})
		if !strings.Contains(out, "DESCRIPTION") || !strings.Contains(out, want) {
			t.Errorf("%s: %q is not in\n%s", path, want, out)
		}
	}
}
