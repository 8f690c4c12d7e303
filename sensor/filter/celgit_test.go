package filter_test

import (
	"testing"

	"github.com/signalbox-events/signalbox/sensor/verdict"
)

const pushed = `{"git": {"event": "push", "branch": "release/1.4", "changedFiles": ["README.md", "services/api/main.go", "services/api/doc/a.md"]},
  "unknown": {"branch": "main", "changedFiles": null, "changedFilesUnknown": "truncated"},
  "none": {"branch": "main", "changedFiles": []},
  "gone": {"event": "push", "branch": "main", "deleted": true}, "pull": {"event": "pull_request", "branch": "main", "deleted": false},
  "tag": {"tag": "v1.4.2", "changedFiles": null},
  "image": {"tag": "2.0.0-rc.1"}, "digest": {"digest": "sha256:00"}, "text": "x", "odd": {"changedFiles": [1], "branch": 3}}`

func TestGitFunctions(t *testing.T) {
	for _, c := range []struct {
		expr string
		want verdict.Outcome
	}{
		{`data.git.changed(["services/api/**"])`, pass},
		{`data.git.changed(["services/web/**"])`, reject},
		{`data.git.changed(["services/web/**", "*.md"])`, pass},
		{`data.git.changed(["**/*.md"])`, pass},
		{`data.git.changed(["services/**", "!**/*.md"])`, pass},
		{`data.git.changed(["!services/**"])`, pass},
		{`data.git.changed(["!**"])`, reject},
		{`data.git.changed(["services/api/doc/**", "!**/*.md"])`, reject},
		{`data.unknown.changed(["services/**"])`, pass},
		{`data.unknown.changed(["services/**"], false)`, reject},
		{`data.none.changed(["**"])`, reject},
		{`data.none.changed(["**"], true)`, reject},
		{`data.odd.changed(["**"])`, fails},
		{`data.text.changed(["**"])`, fails},
		{`data.git.changed([])`, fails},
		{`data.missing.changed(["**"])`, fails},
		{`data.git.onBranch("release/*")`, pass},
		{`data.git.onBranch(["main", "release/*"])`, pass},
		{`data.git.onBranch(["main", "develop"])`, reject},
		{`data.tag.onBranch(["**"])`, reject},
		{`data.odd.onBranch("**")`, reject},
		{`data.git.pushedTo("release/*")`, pass},
		{`data.git.pushedTo(["main"])`, reject},
		{`data.gone.pushedTo("main")`, reject},
		{`data.pull.pushedTo("main")`, reject},
		{`data.pull.onBranch("main")`, pass},
		{`data.text.pushedTo("main")`, fails},
		{`data.tag.tagged(">=1.4 <2")`, pass},
		{`data.tag.tagged("^2")`, reject},
		{`data.git.tagged("*")`, reject},
		{`data.image.tagged("^2")`, reject},
		{`data.image.tagged("^2-0")`, pass},
		{`data.digest.tagged("*")`, reject},
		{`data.tag.tagged("what")`, fails},
		{`data.git.branch.glob(["main", "release/**"])`, pass},
	} {
		t.Run(c.expr, func(t *testing.T) { check(t, "filters:\n  cel: |-\n    "+c.expr, pushed, c.want) })
	}
}
