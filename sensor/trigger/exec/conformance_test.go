package exec_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger/exec"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// note writes down how it was called, each word ended by a zero byte: arguments, environment, input.
const note = `#!/bin/sh
f=$(mktemp notes/XXXXXX)
{ printf '%s\0' "$@"; printf '\1\0'; env -0; printf '\1\0'; cat; } > $f
mv $f $f.done
`

// script writes a program into a folder.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if !strings.HasPrefix(text, "#!") {
		text = "#!/bin/sh\n" + text
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// notes are what the script note wrote down, as Render writes it.
func notes(t *testing.T, dir string, secrets ...string) []json.RawMessage {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "notes", "*.done"))
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]time.Time{}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		at[f] = info.ModTime()
	}
	slices.SortFunc(files, func(a, b string) int { return at[a].Compare(at[b]) })
	var all []json.RawMessage
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		args, rest, _ := bytes.Cut(text, []byte("\x01\x00"))
		vars, stdin, ok := bytes.Cut(rest, []byte("\x01\x00"))
		if !ok {
			t.Fatalf("half a note: %q", text)
		}
		env := map[string]string{}
		for _, kv := range words(vars) {
			name, value, _ := strings.Cut(kv, "=")
			if !slices.Contains([]string{"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}, name) {
				env[name] = value
			}
			if slices.Contains(secrets, value) {
				env[name] = "***"
			}
		}
		b, err := json.Marshal(map[string]any{"command": "note", "args": words(args), "env": env, "stdin": string(stdin), "workingDirectory": dir})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func words(b []byte) []string {
	w := strings.Split(string(b), "\x00")
	return w[:len(w)-1]
}

func TestConformance(t *testing.T) {
	const secret, setting = "t0ken-of-the-realm", "north-side"
	triggertest.Run(t, triggertest.Case{
		Kind: exec.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			e.State, e.Exec = dir, []string{t.TempDir(), dir}
			if err := os.Mkdir(filepath.Join(dir, "notes"), 0o700); err != nil {
				t.Fatal(err)
			}
			script(t, dir, "note", note)
			e.PutSecret("token", "value", secret)
			e.PutConfigMap("team", "name", setting)
			return `
command: note
args: ["--number={{ .Input.dep.data.number }}", "$(touch owned); *", '{{ .Input.dep.data.text }}', "", last]
env: {TEXT: "it is {{ .Input.dep.data.body.a }}", TEAM: replaced, PLAIN: "a\nb"}
secureEnv:
  - {name: TOKEN, valueFrom: {secretKeyRef: {name: token, key: value}}}
  - {name: TEAM, valueFrom: {configMapKeyRef: {name: team, key: name}}}
  - {name: GONE, valueFrom: {secretKeyRef: {name: none, key: none, optional: true}}}
stdin: {dependencyName: dep}
workingDirectory: ` + dir + `
timeout: 1m
parameters:
  - {src: {dependencyName: dep, contextKey: id}, dest: args.4}
follow: {emit: true}
`
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage {
			return notes(t, e.State.(string), secret, setting)
		},
		Break: func(t *testing.T, e *triggertest.Env) {
			script(t, e.State.(string), "note", "echo begin $TOKEN; printf 'no\\nway %s\\n' $TOKEN >&2; printf $TOKEN | base64 >&2; exit 3")
		},
		Hang: func(t *testing.T, e *triggertest.Env) <-chan struct{} {
			dir := e.State.(string)
			script(t, dir, "note", "sleep 600 & echo $! > pid; mv pid hangs; wait")
			return appears(t, filepath.Join(dir, "hangs"))
		},
		Valid: []string{
			"{command: bin/a}",
			"{command: /opt/hooks/a, args: [], user: nobody, timeout: 5m, maxOutput: 65536, successExitCodes: [0, 2], permanentExitCodes: [64]}",
			"{command: '', parameters: [{src: {dependencyName: d}, dest: command}]}",
			"{command: a, user: '1000:1000', stdin: {text: 'x {{ .Input.d.data }}'}}",
		},
		Invalid: map[string][]string{
			"{}": {"command: is required"},
			"{command: ../a, workingDirectory: b/..}":                        {"command: leads out", "workingDirectory: leads out"},
			`{command: "a\0"}`:                                               {"command: holds a zero byte"},
			"{command: a, args: ['{{']}":                                     {"args[0]: "},
			"{command: a, env: {'A=B': a, SIGNALBOX_X: b, C: '{{ nope }}'}}": {`env.A=B: is no name`, "env.SIGNALBOX_X: is for the trigger", "env.C: "},
			"{command: a, secureEnv: [{name: '', valueFrom: {}}, {name: A, valueFrom: {secretKeyRef: {name: '', key: k}}}]}": {
				"secureEnv[0].name: is required", "secureEnv[0].valueFrom: is required", "secureEnv[1].valueFrom.secretKeyRef.name: is required",
			},
			"{command: a, stdin: {text: a, dependencyName: b}}":                   {"stdin: has both"},
			"{command: a, user: 'a:b'}":                                           {`user: "a:b" is no UID:GID`},
			"{command: a, timeout: -1s, maxOutput: 65537, follow: {timeout: 0s}}": {"timeout: has to be", "maxOutput: is not between", "follow.timeout: "},
			"{command: a, successExitCodes: [0, 300], permanentExitCodes: [0]}":   {"successExitCodes[1]: 300 is no exit code", "permanentExitCodes[0]: 0 is one of"},
		},
	})
}

// appears is closed when there is a file.
func appears(t *testing.T, path string) <-chan struct{} {
	c := make(chan struct{})
	done := t.Context().Done()
	go func() {
		for {
			if _, err := os.Stat(path); err == nil {
				close(c)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return c
}
