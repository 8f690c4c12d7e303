package edit

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                                                     "names 0 kinds of change",
		`{file: {path: a}, helm: {file: a}}`:                     "names 2 kinds of change",
		`file: {path: ../a}`:                                     "file.path: \"../a\" is no path inside",
		`file: {path: /a}`:                                       "is no path inside",
		`file: {path: a//b}`:                                     "is no path inside",
		`file: {path: a/../b}`:                                   "is no path inside",
		`file: {path: 'a\b'}`:                                    "is no path inside",
		`file: {path: .git/config}`:                              "Git's own files",
		`file: {path: a/.GIT/config}`:                            "Git's own files",
		`file: {path: a/}`:                                       "is a folder",
		`file: {path: a, content: b, remove: true}`:              "file.content: is given beside remove",
		`file: {path: a, content: "{{ .x"}`:                      "file.content: ",
		`image: {files: [], name: "a:1"}`:                        "image.files: names no file|image.name: \"a:1\" is no name|image.tag: is missing",
		`image: {files: ["!a"], name: a, tag: "a b"}`:            "image.files: names no file|image.tag: \"a b\" is no tag",
		`image: {files: [a], name: a, digest: x}`:                "image.digest: \"x\" is no digest",
		`yaml: {files: [a], path: "a[", value: b}`:               "yaml.path: ",
		`yaml: {files: [a], path: "", value: b}`:                 "yaml.path: is required",
		`yaml: {files: [a], path: a, value: b, type: number}`:    "yaml.value: \"b\" is no number",
		`yaml: {files: [a], path: a, value: b, type: int}`:       "yaml.type: \"int\" is unknown",
		`yaml: {files: [a], path: a, value: b, document: {}}`:    "yaml.document: says nothing",
		`helm: {file: a, tag: b}`:                                "helm.tag: has nowhere to go",
		`helm: {file: a, image: b}`:                              "helm.tag: is missing",
		`kustomization: {path: a, name: "b:1"}`:                  "kustomization.name: \"b:1\" has a tag|kustomization.newTag: is missing",
		`json: {files: [a], path: a..b, type: "null", value: x}`: "json.path: |json.value: is given beside",
	} {
		err := change(t, config).Validate()
		for w := range strings.SplitSeq(want, "|") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %s", config, err, w)
			}
		}
	}
}

func TestResolved(t *testing.T) {
	for config, want := range map[string]string{
		`image: {files: [a, "!b"], name: nginx, tag: "{{ .Input.push.data.tag }}"}`:           `{"image":{"files":["a","!b"],"name":"nginx","tag":"2.0"}} ["a,!b image docker.io/library/nginx"]`,
		`helm: {file: v, image: i, tag: a, digest: "sha256:` + strings.Repeat("0", 64) + `"}`: `{"helm":{"file":"v","image":"i","tag":"a","digest":"sha256:` + strings.Repeat("0", 64) + `"}} ["v i.tag" "v i.digest"]`,
		`yaml: {files: [a, b], document: {kind: K}, path: x.y, value: "<"}`:                   `{"yaml":{"files":["a","b"],"document":{"kind":"K"},"path":"x.y","value":"<"}} ["a K x.y" "b K x.y"]`,
		`kustomization: {path: o/, name: nn, newTag: t}`:                                      `{"kustomization":{"path":"o/","name":"nn","newTag":"t"}} ["o images nn"]`,
		`file: {path: "{{ .Input.push.data.tag }}"}`:                                          `{"file":{"path":"2.0"}} ["2.0"]`,
	} {
		c := change(t, config)
		r, err := c.Resolve(events(t))
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if got := fmt.Sprintf("%s %q", strings.ReplaceAll(string(b), `\u003c`, "<"), r.Targets()); err != nil || got != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
	if _, err := change(t, `file: {path: "{{ .Input.push.data.none }}"}`).Resolve(events(t)); err == nil {
		t.Error("a value that is missing was taken")
	}
	if _, err := change(t, `file: {path: "../{{ .Input.push.data.tag }}"}`).Resolve(events(t)); err == nil || !strings.Contains(err.Error(), "no path inside") {
		t.Error(err)
	}
}
