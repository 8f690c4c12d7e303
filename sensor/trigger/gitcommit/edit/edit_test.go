package edit

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/glob"
)

// folder is a repository in memory.
type folder map[string]string

func (f folder) Read(path string) ([]byte, error) {
	s, ok := f[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return []byte(s), nil
}

func (f folder) Write(path string, data []byte) error { f[path] = string(data); return nil }

func (f folder) Remove(path string) error {
	if _, ok := f[path]; !ok {
		return fs.ErrNotExist
	}
	delete(f, path)
	return nil
}

func (f folder) List(pattern string) ([]string, error) {
	var all []string
	for _, p := range slices.Sorted(maps.Keys(f)) {
		if glob.Match(pattern, p) {
			all = append(all, p)
		}
	}
	return all, nil
}

func change(t *testing.T, text string) *Change {
	t.Helper()
	var c Change
	if err := yaml.UnmarshalStrict([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func events(t *testing.T) map[string]*event.Event {
	t.Helper()
	e := event.New()
	e.SetID("1")
	e.SetSource("s")
	e.SetType("t")
	if err := e.SetData(event.ApplicationJSON, map[string]any{"tag": "2.0", "text": "a: b # c", "lines": "one\ntwo\n"}); err != nil {
		t.Fatal(err)
	}
	return map[string]*event.Event{"push": &e}
}

// apply resolves and applies, twice: the second time nothing may change.
func apply(t *testing.T, config string, files folder) ([]Edit, error) {
	t.Helper()
	c := change(t, config)
	if err := c.Validate(); err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	r, err := c.Resolve(events(t))
	if err != nil {
		return nil, err
	}
	before := maps.Clone(files)
	edits, err := r.Apply(files)
	if err != nil {
		if !maps.Equal(before, files) {
			t.Errorf("files were written in spite of %v", err)
		}
		return nil, err
	}
	if (len(edits) > 0) != !maps.Equal(before, files) {
		t.Errorf("%d edits, but files changed: %v", len(edits), !maps.Equal(before, files))
	}
	after := maps.Clone(files)
	again, err := r.Apply(files)
	if err != nil || len(again) > 0 || !maps.Equal(after, files) {
		t.Errorf("the second time: %v, %v", again, err)
	}
	return edits, nil
}

type example struct {
	name, change, before, after string
	err                         string
}

// run applies each change to one file, f.
func run(t *testing.T, examples []example) {
	t.Helper()
	for _, x := range examples {
		t.Run(x.name, func(t *testing.T) {
			files := folder{"f": x.before}
			edits, err := apply(t, x.change, files)
			switch {
			case x.err != "":
				if err == nil || !strings.Contains(err.Error(), x.err) {
					t.Errorf("got %v, want an error with %q", err, x.err)
				}
			case err != nil:
				t.Error(err)
			case files["f"] != x.after:
				t.Errorf("got\n%s\nwant\n%s", files["f"], x.after)
			case len(edits) == 0 && x.before != x.after:
				t.Error("no edits")
			}
		})
	}
}

func set(path, value string, more ...string) string {
	return fmt.Sprintf("yaml: {files: [f], path: %q, value: %q%s}", path, value, strings.Join(append([]string{""}, more...), ", "))
}

func TestSet(t *testing.T) {
	run(t, []example{
		{"a plain value, and a comment behind it", set("image.tag", "v2"), "image:\n  tag:   v1   # {\"$imagepolicy\": \"a:b\"}\n  x: 1\n", "image:\n  tag:   v2   # {\"$imagepolicy\": \"a:b\"}\n  x: 1\n", ""},
		{"single quotes stay", set("a", "v2"), "a: 'v1' # c\n", "a: 'v2' # c\n", ""},
		{"double quotes stay", set("a", `v"2`), `a: "v1"`, `a: "v\"2"`, ""},
		{"a quote in single quotes", set("a", "it's"), "a: 'x''y'\n", "a: 'it''s'\n", ""},
		{"1.10 is no number", set("a", "1.10"), "a: 1.9\n", "a: \"1.10\"\n", ""},
		{"a number that is the same stays one", set("a", "1.11"), "a: 1.9\n", "a: 1.11\n", ""},
		{"digits where a string was", set("a", "0123"), "a: abc\n", "a: \"0123\"\n", ""},
		{"a word of YAML 1.1", set("a", "on"), "a: off2\n", "a: \"on\"\n", ""},
		{"an exponent", set("a", "12e5"), "a: abc\n", "a: \"12e5\"\n", ""},
		{"a time of day", set("a", "22:30"), "a: abc\n", "a: \"22:30\"\n", ""},
		{"a date", set("a", "2026-01-02"), "a: abc\n", "a: \"2026-01-02\"\n", ""},
		{"replicas stay a number", set("spec.replicas", "5"), "spec: {replicas: 3}\n", "spec: {replicas: 5}\n", ""},
		{"a bool stays one", set("a", "false"), "a: true\n", "a: false\n", ""},
		{"a string is asked for", set("a", "5", "type: string"), "a: 3\n", "a: \"5\"\n", ""},
		{"a number is asked for", set("a", "5", "type: number"), "a: x\n", "a: 5\n", ""},
		{"null in quotes", `yaml: {files: [f], path: a, type: "null"}`, "a: x # c\n", "a: null # c\n", ""},
		{"a template", set("a", "{{ .Input.push.data.tag }}"), "a: x\n", "a: \"2.0\"\n", ""},
		{"a value that looks like YAML", set("a", "{{ .Input.push.data.text }}"), "a: x\nb: y\n", "a: \"a: b # c\"\nb: y\n", ""},
		{"the same already", set("a", "x"), "a: x\n", "a: x\n", ""},
		{"flow style", set("c[0].image", "x:2"), "c: [{name: a, image: x:1}, {name: b}]\n", "c: [{name: a, image: x:2}, {name: b}]\n", ""},
		{"a comma in flow style", set("a.b", "x,y"), "a: {b: z, c: d}\n", "a: {b: \"x,y\", c: d}\n", ""},
		{"by name", set("c[name=b].image", "x:2"), "c:\n- name: a\n  image: x:1\n- image: x:1\n  name: b\n", "c:\n- name: a\n  image: x:1\n- image: x:2\n  name: b\n", ""},
		{"a key with dots", set(`m["a.b/c"].d`, "2"), "m:\n  a.b/c:\n    d: x\n", "m:\n  a.b/c:\n    d: \"2\"\n", ""},
		{"a key with escaped dots", set(`m.a\.b`, "yy"), "m:\n  a.b: x\n", "m:\n  a.b: yy\n", ""},
		{"CRLF", set("b", "yy"), "a: 1\r\nb: x\r\nc: 2\r\n", "a: 1\r\nb: yy\r\nc: 2\r\n", ""},
		{"a BOM, and no newline at the end", set("b", "yy"), "\ufeffa: 1\nb: x", "\ufeffa: 1\nb: yy", ""},
		{"a BOM in the first line", set("a", "yy"), "\ufeffa: x\n", "\ufeffa: yy\n", ""},
		{"characters of several bytes before it", set("a.ü", "ö"), "a: {日本: 'é', ü: x, z: 1}\n", "a: {日本: 'é', ü: ö, z: 1}\n", ""},
		{"a tab before the comment", set("a", "yy"), "a:\tx\t# c\n", "a:\tyy\t# c\n", ""},
		{"no value yet", set("a", "yy"), "a:\nb: 1\n", "a: yy\nb: 1\n", ""},
		{"no value yet, and a comment", set("a", "yy"), "a: # c\nb: 1\n", "a: yy # c\nb: 1\n", ""},
		{"no value yet, in a list", set("a[1]", "yy"), "a:\n- x\n-\n- z\n", "a:\n- x\n- yy\n- z\n", ""},
		{"a long text in several lines", set("a", "yy"), "a: one\n  two\n\n  three # c\nb: 1\n", "a: yy # c\nb: 1\n", ""},
		{"quotes in several lines", set("a", "yy"), "a: \"one\n  two\\\n  x\"\nb: 1\n", "a: \"yy\"\nb: 1\n", ""},
		{"a literal block", set("a", "{{ .Input.push.data.lines }}"), "a: | # c\n    x\n\n    y\n\nb: 1\n", "a: | # c\n    one\n    two\n\nb: 1\n", ""},
		{"a folded block gets one line", set("m.a", "x y"), "m:\n  a: >\n    b\n    c\n  # d\n  e: 1\n", "m:\n  a: >-\n    x y\n  # d\n  e: 1\n", ""},
		{"a block in a list", set("a[0]", "x"), "a:\n- |+\n  b\n- c\n", "a:\n- |-\n  x\n- c\n", ""},
		{"a block gets what cannot stand there", set("a", " x"), "a: |\n  b\nc: 1\n", "a: \" x\"\nc: 1\n", ""},
		{"an anchor is changed for all", set("a", "yy"), "a: &v x\nb: *v\n", "a: &v yy\nb: *v\n", ""},
		{"an alias is not", set("b", "yy"), "a: &v x\nb: *v\n", "", "f:2: the value is *v, an alias of what is in line 1"},
		{"nor is what is behind one", set("b.c", "yy"), "a: &v {c: x}\nb: *v\n", "", "f:2: b is *v"},
		{"a tag stays", set("a", "1.10", "type: string"), "a: !!str 1.9\n", "a: !!str \"1.10\"\n", ""},
		{"another tag", set("a", "yy"), "a: !Ref x\n", "", "f:1: the value has the tag !Ref"},
		{"a key that is there twice", set("a", "yy"), "a: x\nb: 1\na: z\n", "", "f:3: the key a is here twice"},
		{"no such key", set("a.b", "yy"), "a:\n  c: x\n", "", "f:2: a.b: b is not there (create: true"},
		{"a block where a value is meant", set("a", "yy"), "a:\n  c: x\n", "", "here are several values"},
		{"not YAML", set("a", "yy"), "a: [\n", "", "f: is not YAML"},
		{"not UTF-8", set("a", "yy"), "a: \xff\n", "", "f: is not UTF-8"},
		{"the document that has the path", set("spec.x", "2"), "a: 1\n---\nspec: {x: 1}\n---\n# end\n", "a: 1\n---\nspec: {x: 2}\n---\n# end\n", ""},
		{"two documents have the path", set("x", "2"), "x: 1\n---\nx: 1\n", "", "f:3: x is in 2 documents"},
		{"by kind and name", set("x", "2", "document: {kind: B, name: nn}"), "kind: A\nx: 1\n---\nkind: B\nmetadata: {name: nn}\nx: 1\n", "kind: A\nx: 1\n---\nkind: B\nmetadata: {name: nn}\nx: 2\n", ""},
		{"by index", set("x", "2", "document: {index: 1}"), "x: 1\n---\nx: 1\n", "x: 1\n---\nx: 2\n", ""},
		{"no such document", set("x", "2", "document: {kind: C}"), "x: 1\n---\nx: 1\n", "", "the document C is not there"},
		{"a very long line", set("z", "yy"), "{a: '" + strings.Repeat("é", 200_000) + "', z: x}", "{a: '" + strings.Repeat("é", 200_000) + "', z: yy}", ""},
	})
}

func TestCreate(t *testing.T) {
	c := "create: true"
	run(t, []example{
		{"a key", set("a.d", "v", c), "a:\n    b: 1 # x\n    c: 2 # y\n\n# end\ne: 1\n", "a:\n    b: 1 # x\n    c: 2 # y\n    d: v\n\n# end\ne: 1\n", ""},
		{"keys at the end without a newline", set("b.c", "v", c), "a: 1", "a: 1\nb:\n  c: v", ""},
		{"behind a block", set("b", "v", c), "a: |\n  x\n\n", "a: |\n  x\nb: v\n\n", ""},
		{"in CRLF", set("a.c.d", "v", c), "a:\r\n  b: 1\r\n", "a:\r\n  b: 1\r\n  c:\r\n    d: v\r\n", ""},
		{"an element by name", set("l[name=y].v", "2", c), "l:\n  - name: x\n    v: 1\nz: 1\n", "l:\n  - name: x\n    v: 1\n  - name: \"y\"\n    v: \"2\"\nz: 1\n", ""},
		{"a list", set("l[name=y].v", "w", c), "a: 1\n", "a: 1\nl:\n- name: \"y\"\n  v: w\n", ""},
		{"an empty list", set("l[name=q].v", "w", c), "l: [] # x\n", "l: [{name: q, v: w}] # x\n", ""},
		{"a flow mapping", set("m.c", "w", c), "m: {\"a\": 1, \"b\": 2}\n", "m: {\"a\": 1, \"b\": 2, \"c\": \"w\"}\n", ""},
		{"a flow mapping in lines", set("m.c", "w", c), "m: {\n  a: 1,\n  b: [x],\n}\n", "m: {\n  a: 1,\n  b: [x],\n  c: w\n}\n", ""},
		{"under a key without a value", set("a.b.c", "w", c), "a: # x\nz: 1\n", "a: # x\n  b:\n    c: w\nz: 1\n", ""},
		{"instead of null", set("a.b", "w", c), "a: null # x\n", "a: {b: w} # x\n", ""},
		{"the next element", set("a[1]", "w", c), "a:\n- x\nb: 1\n", "a:\n- x\n- w\nb: 1\n", ""},
		{"an element further on", set("a[3]", "w", c), "a:\n- x\n", "", "the list has 1 elements"},
		{"two documents", set("a", "w", c), "b: 1\n---\nb: 2\n", "", "can be added to 2 documents"},
		{"a merged key gets its own value", set("b.x", "w", c), "a: &a {x: 1}\nb:\n  <<: *a\n", "a: &a {x: 1}\nb:\n  <<: *a\n  x: w\n", ""},
		{"through a text", set("a.b", "w", c), "a: x\n", "", "there are no keys here"},
		{"nested in a list", set("l[0].m.k", "w", c), "l:\n- a: 1\n  m:\n    b: {c: d}\n- z\n", "l:\n- a: 1\n  m:\n    b: {c: d}\n    k: w\n- z\n", ""},
	})
}

const deployment = `# keep me
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
      - {name: i, image: "nginx"}
      containers:
        - name: web # web
          image: docker.io/library/nginx:1.25@sha256:0000000000000000000000000000000000000000000000000000000000000000 # {"$imagepolicy": "x"}
        - image: 'index.docker.io/nginx:1.24'
          name: old
        - image: registry:5000/nginx:1
      volumes:
      - image: {reference: nginx:1.2}
---
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: nginx:1, x: &v 1}]}}}}}
---
kind: Other
x: &img nginx:3
image: *img
name: nginx:1
`

func TestImage(t *testing.T) {
	sha := "sha256:" + strings.Repeat("a", 64)
	old := "@sha256:" + strings.Repeat("0", 64)
	r := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(deployment) }
	run(t, []example{
		{"tag", "image: {files: [f], name: nginx, tag: '{{ .Input.push.data.tag }}'}", deployment, r(
			`"nginx"`, `"nginx:2.0"`, "library/nginx:1.25"+old, "library/nginx:2.0", "index.docker.io/nginx:1.24", "index.docker.io/nginx:2.0",
			"reference: nginx:1.2", "reference: nginx:2.0", "image: nginx:1,", "image: nginx:2.0,", "&img nginx:3", "&img nginx:2.0"), ""},
		{"tag, digest and name", "image: {files: [f], name: docker.io/library/nginx, newName: ghcr.io/a/nginx, tag: v1, digest: '" + sha + "'}", deployment, r(
			`"nginx"`, `"ghcr.io/a/nginx:v1@`+sha+`"`, "docker.io/library/nginx:1.25"+old, "ghcr.io/a/nginx:v1@"+sha, "index.docker.io/nginx:1.24", "ghcr.io/a/nginx:v1@"+sha,
			"reference: nginx:1.2", "reference: ghcr.io/a/nginx:v1@"+sha, "image: nginx:1,", "image: ghcr.io/a/nginx:v1@"+sha+",", "&img nginx:3", "&img ghcr.io/a/nginx:v1@"+sha), ""},
		{"a registry with a port", "image: {files: [f], name: 'registry:5000/nginx', digest: '" + sha + "'}", deployment, r("registry:5000/nginx:1", "registry:5000/nginx@"+sha), ""},
		{"a name alone", "image: {files: [f], name: 'registry:5000/nginx', newName: b/c}", deployment, r("registry:5000/nginx:1", "b/c:1"), ""},
		{"not there", "image: {files: ['*'], name: a/nginx, tag: v1}", deployment, "", "the image a/nginx is in none of the 1 files that were looked at: f"},
		{"a tag that is none", "image: {files: [f], name: nginx, tag: '{{ .Input.push.data.text }}'}", deployment, "", `image.tag: "a: b # c" is no tag`},
	})
	files := folder{"a/x.yaml": "image: api:1\n", "a/b/y.yaml": "image: web:1\n", "a/b/z.yaml": "image: api:1\n", "t/n.yaml": "api: {{"}
	edits, err := apply(t, "image: {files: ['**/*.yaml', '!t/*'], name: api, tag: '2'}", files)
	if err != nil || len(edits) != 2 || files["a/x.yaml"] != "image: api:2\n" || files["a/b/z.yaml"] != "image: api:2\n" {
		t.Errorf("%v, %v", edits, err)
	}
	if want := (Edit{"a/b/z.yaml", "image", "api:1", "api:2"}); len(edits) == 2 && edits[0] != want {
		t.Errorf("%+v", edits)
	}
	if _, err := apply(t, "image: {files: ['**/*.yaml'], name: api, tag: '3'}", files); err == nil || !strings.Contains(err.Error(), "leave it out of files with !t/n.yaml") {
		t.Error(err)
	}
}

func TestKustomization(t *testing.T) {
	sha := "sha256:" + strings.Repeat("a", 64)
	run := func(name, config, before, after string) {
		t.Run(name, func(t *testing.T) {
			files := folder{"o/kustomization.yml": before}
			if _, err := apply(t, "kustomization: {path: o, "+config+"}", files); err != nil || files["o/kustomization.yml"] != after {
				t.Errorf("%v\n%s\nwant\n%s", err, files["o/kustomization.yml"], after)
			}
		})
	}
	run("the tag", "name: a/b, newTag: '1.10'", "images:\n  # mine\n  - name: a/b\n    newTag: v1 # t\n  - name: c\n", "images:\n  # mine\n  - name: a/b\n    newTag: \"1.10\" # t\n  - name: c\n")
	run("the digest goes", "name: a/b, newTag: v2", "images:\n- digest: sha256:1\n  name: a/b\n- name: c\n  digest: x\n", "images:\n- name: a/b\n  newTag: v2\n- name: c\n  digest: x\n")
	run("the digest goes that is last", "name: a/b, newTag: v2", "images:\n- name: a/b\n  newTag: v1\n  digest: sha256:1 # pinned", "images:\n- name: a/b\n  newTag: v2")
	run("the tag goes", "name: a/b, digest: '"+sha+"'", "images: [{name: a/b, newTag: v1}]\n", "images: [{name: a/b, digest: "+sha+"}]\n")
	run("the entry is added", "name: a/b, newTag: v2, newName: c/d", "images:\n- name: x\n  newTag: v1\nresources: [y]\n", "images:\n- name: x\n  newTag: v1\n- name: a/b\n  newName: c/d\n  newTag: v2\nresources: [y]\n")
	run("the list is added", "name: a/b, newTag: v2", "resources:\n- y\n# end\n", "resources:\n- y\nimages:\n- name: a/b\n  newTag: v2\n# end\n")
	run("another way to write the name", "name: docker.io/library/nginx, newTag: v2", "images:\n- name: nginx\n  newTag: v1\n", "images:\n- name: nginx\n  newTag: v2\n")
	if _, err := apply(t, "kustomization: {path: ., name: a, newTag: b}", folder{}); err == nil || !strings.Contains(err.Error(), "has none of kustomization.yaml") {
		t.Error(err)
	}
}

func TestHelm(t *testing.T) {
	run(t, []example{
		{"a block", "helm: {file: f, image: image, tag: '1.10', repository: a/c}", "image:\n  repository: a/b # r\n  tag: 1.9 # t\n", "image:\n  repository: a/c # r\n  tag: \"1.10\" # t\n", ""},
		{"a text", "helm: {file: f, image: web.image, tag: '2'}", "web: {image: 'a/b:1'}\n", "web: {image: 'a/b:2'}\n", ""},
		{"paths", "helm: {file: f, tagPath: 'a.b', tag: v2}", "a:\n  b: v1\n", "a:\n  b: v2\n", ""},
		{"a key is missing", "helm: {file: f, image: image, tag: v2}", "image:\n  repository: a\n", "", "create: true adds it"},
		{"a key is added", "helm: {file: f, image: image, tag: v2, create: true}", "image:\n  repository: a\n", "image:\n  repository: a\n  tag: v2\n", ""},
	})
}

func TestJSON(t *testing.T) {
	j := func(path, value string, more ...string) string {
		return "json" + strings.TrimPrefix(set(path, value, more...), "yaml")
	}
	run(t, []example{
		{"a string", j("a.b", "<2>"), "{\n\t\"a\" : {\"x\": 1e3, \"b\" :\"1\"}\r\n}", "{\n\t\"a\" : {\"x\": 1e3, \"b\" :\"<2>\"}\r\n}", ""},
		{"a number", j("l[1].n", "5"), `{"l":[1,{"n":3}]}`, `{"l":[1,{"n":5}]}`, ""},
		{"by name", j("l[name=y].n", "z"), `{"l":[{"name":"x","n":""},{"name":"y","n":""}]}`, `{"l":[{"name":"x","n":""},{"name":"y","n":"z"}]}`, ""},
		{"a key is added in lines", j("a.c.d", "v", "create: true"), "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n", "{\n  \"a\": {\n    \"b\": 1,\n    \"c\": {\"d\": \"v\"}\n  }\n}\n", ""},
		{"a key is added as tightly", j("c", "v", "create: true"), `{"a":1,"b":2}`, `{"a":1,"b":2,"c":"v"}`, ""},
		{"to an empty object", j("c", "v", "create: true"), `{}`, `{"c": "v"}`, ""},
		{"instead of null", j("a.b", "v", "create: true"), `{"a":null}`, `{"a":{"b": "v"}}`, ""},
		{"an element", j("a[name=x].v", "w", "create: true"), `{"a":[1]}`, `{"a":[1, {"name": "x", "v": "w"}]}`, ""},
		{"a BOM", j("a", "v"), "\ufeff{\"a\": \"x\"}", "\ufeff{\"a\": \"v\"}", ""},
		{"twice", j("a", "v"), `{"a":1,"a":2}`, "", "is here twice"},
		{"missing", j("a.b", "v"), "{\n\"a\":{}}", "", "f:2: a.b: b is not there"},
		{"not JSON", j("a", "v"), "{\n// x\n}", "", "is not JSON"},
		{"too much", j("a", "v"), "{} {}", "", "something follows"},
		{"deep", j("a", "v"), strings.Repeat("[", 5000), "", "nested too deep"},
	})
}

func TestFile(t *testing.T) {
	files := folder{"b": "x"}
	edits, err := apply(t, `file: {path: "a/{{ .Input.push.data.tag }}", content: "tag: {{ .Input.push.data.tag }}\n"}`, files)
	if err != nil || files["a/2.0"] != "tag: 2.0\n" || len(edits) != 1 || edits[0] != (Edit{"a/2.0", "", "", "9 bytes"}) {
		t.Errorf("%v %v %v", files, edits, err)
	}
	if _, err := apply(t, `file: {path: b, remove: true}`, files); err != nil || len(files) != 1 {
		t.Errorf("%v %v", files, err)
	}
}

func TestSizes(t *testing.T) {
	if _, err := apply(t, set("a", "b"), folder{"f": "a: " + strings.Repeat("x", mostBytes)}); err == nil || !strings.Contains(err.Error(), "are more than") {
		t.Error(err)
	}
	if _, err := apply(t, set("a", "b"), folder{}); err == nil || !strings.Contains(err.Error(), "no file f") {
		t.Error(err)
	}
	files := folder{"x.yaml": "a: 1\n", "y.yaml": "b: 1\n"}
	if edits, err := apply(t, "yaml: {files: ['*.yaml'], path: a, value: '2'}", files); err != nil || len(edits) != 1 {
		t.Error(edits, err)
	}
	if _, err := apply(t, "yaml: {files: ['*.yaml'], path: c, value: '2'}", files); err == nil || !strings.Contains(err.Error(), "none of 2 files has it") {
		t.Error(err)
	}
}
