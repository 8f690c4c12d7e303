package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestWrongCommandLines(t *testing.T) {
	folder(t, map[string]string{"m.yaml": source + "---\n" + sensor, "e.json": "{}", "empty/x.txt": "", "open/x": "", "file": ""})
	if err := os.Chmod("open", 0o777); err != nil { //nolint:gosec // that is what is refused
		t.Fatal(err)
	}
	for _, tc := range []struct{ line, want string }{ // ... is what may follow
		{"lnt", `there is no command "lnt"; did you mean "lint"?`},
		{"lnt --strict m.yaml", `there is no command "lnt"; did you mean "lint"?`},
		{"foo", `there is no command "foo"; there are bus, completion, ...`},
		{"dead lst", `there is no command "dead lst"; did you mean "list"?`},
		{"dead foo", `there is no command "dead foo"; there are drop, list, redrive, show`},

		{"lint", "say which manifests: signalbox lint PATH..., files or folders; see signalbox lint --help"},
		{"run", "say which manifests: signalbox run PATH..., files or folders; see signalbox run --help"},
		{"test", "say which manifests: signalbox test PATH..., files or folders; see signalbox test --help"},
		{"dead show", "say which dead letter: signalbox dead show ID; signalbox dead list has the ids"},
		{"dead show a b", `dead show takes one ID, got "a" "b"`},
		{"dead redrive", "say which dead letters: signalbox dead redrive ID... (signalbox dead list has the ids), or choose them with --sensor, --trigger, --since or --all"},
		{"dead drop", "say which dead letters: signalbox dead drop ID... (signalbox dead list has the ids), or choose them with --sensor, --trigger, --since or --all"},
		{"dead drop a --all", "give ids, or choose with --sensor, --trigger, --since or --all, not both"},
		{"dead list a", `dead list takes no arguments, got "a"; see signalbox dead list --help`},
		{"version a b", `version takes no arguments, got "a" "b"; see signalbox version --help`},
		{"bus a", `bus takes no arguments, got "a"; see signalbox bus --help`},

		{"lint --stric m.yaml", "there is no flag --stric (did you mean --strict?); see signalbox lint --help"},
		{"lint --format json m.yaml", "there is no flag --format (did you mean --log-format?); see signalbox lint --help"},
		{"lint -x m.yaml", "there is no flag -x; see signalbox lint --help"},
		{"lint -o yaml m.yaml", "--output yaml: want text or json"},
		{"dead list --since yesterday", "--since yesterday: want a duration such as 90s or 2h; see signalbox dead list --help"},
		{"dead list --limit few", "--limit few: want a whole number; see signalbox dead list --help"},
		{"run m.yaml --log-level loud", "--log-level loud: want debug, info, warn or error"},
		{"run m.yaml --fsync soon --max-store much", "--fsync soon: want always, or an interval such as 1m\n--max-store much: want a size such as 512Mi or 10Gi"},
		{"run m.yaml --secrets nowhere", "--secrets nowhere: no such file or directory"},
		{"run m.yaml --secrets file", "--secrets file: is no folder"},
		{"run m.yaml --allow-exec nowhere", "--allow-exec nowhere: no such file or directory"},
		{"run m.yaml --allow-exec file", "--allow-exec file: is no folder"},
		{"run m.yaml --allow-exec=", "--allow-exec: want a folder"},
		{"run m.yaml --allow-exec open", "--allow-exec open: everybody may write in it, and so have any program run: chmod o-w"},
		{"run nowhere", "manifests: nowhere: no such file or directory"},
		{"run empty", "there are no manifests in empty"},
		{"lint empty", "there are no manifests in empty"},
		{"test empty", "there are no manifests, and no cases (kind: SensorTest) among them"},
		{"bus --user a", "--password-file is required"},

		{"test m.yaml", "there are no cases (kind: SensorTest) among the manifests; give --event to explain one event"},
		{"test m.yaml --event nowhere.json", "--event nowhere.json: no such file or directory"},
		{"test m.yaml --event e.json --body e.json", `give --event or --body, not both: with --event, a webhook's event is {"body": ...}`},
		{"test m.yaml --sensor listen", "--sensor and --from go with --event or --body; without these all cases are run"},
		{"test m.yaml --event e.json --sensor other", `there is no Sensor "other" among the manifests; there are listen`},
		{"test m.yaml --event e.json --from tick", "--from tick: want EVENTSOURCE/EVENT"},
		{"test m.yaml --event file", "sensor listen: file: is no JSON; give the event's data as JSON, or a whole CloudEvent"},

		{"send", "say where to: EVENTSOURCE/EVENT for the bus, or --url for a webhook; see signalbox send --help"},
		{"send a/b --url http://127.0.0.1:1", "give EVENTSOURCE/EVENT for the bus or --url for a webhook, not both"},
		{"send a/b {}", `send takes one EVENTSOURCE/EVENT, got "a/b" "{}"; the data goes in quotes behind --data`},
		{"send tick", `"tick": want EVENTSOURCE/EVENT`},
		{"send a/b --repeat 0", "--repeat 0: want 1 or more"},
		{"send a/b --id 1 --repeat 2", "--id with --repeat stores one event only; leave one of them out"},
		{"send a/b --data {", "is no JSON; give the event's data as JSON, or a whole CloudEvent"},
		{"send a/b --data {} --file e.json", "give --data or --file, not both"},
		{"send a/b --file nowhere", "--file nowhere: no such file or directory"},
		{"send a/b --data", "flag needs an argument: --data; see signalbox send --help"},
		{"send --url localhost:12000/push", "--url localhost:12000/push: want an address such as http://localhost:12000/push"},
		{"send --url http://127.0.0.1:1 --manifests m.yaml", "--manifests goes with EVENTSOURCE/EVENT, not with --url"},
		{"send --url http://127.0.0.1:1 --header a", `--header "a": want NAME: VALUE`},
		{"send a/b", ".signalbox: no bus is running here; start one with: signalbox run PATH --data-dir .signalbox (or name a bus with --bus..."},
		{"dead list --data-dir d", "d: no bus is running here; start one with: signalbox run PATH --data-dir d (or name a bus with --bus..."},
	} {
		t.Run(tc.line, func(t *testing.T) {
			got := signalbox(t, strings.Fields(tc.line)...)
			text, open := strings.CutSuffix("signalbox: "+tc.want, "...")
			if got.code != 1 || got.out != "" || !strings.HasPrefix(got.err, text) || !open && got.err != text+"\n" {
				t.Errorf("got %+v, want %s", got, tc.want)
			}
		})
	}
}

const broken = "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: clock}\nspec: {calendar: {tick: {intervall: 1h}}}\n"

func TestLint(t *testing.T) {
	warned := strings.Replace(source, "interval: 1h", "interval: 1h, tz: UTC", 1)
	for _, tc := range []struct {
		name  string
		files map[string]string
		line  string
		want  result
	}{
		{"good", map[string]string{"m.yaml": source}, "lint m.yaml", result{0, "", "1 object: 0 errors, 0 warnings, 0 notes\n"}},
		{"a folder", map[string]string{"d/a.yaml": source, "d/b.yaml": sensor}, "lint d", result{0, "", "2 objects: 0 errors, 0 warnings, 0 notes\n"}},
		{"a warning", map[string]string{"m.yaml": warned}, "lint m.yaml", result{
			0, `m.yaml:4: warning: EventSource/clock: spec.calendar.tick.tz: unknown key "tz" is ignored` + "\n", "1 object: 0 errors, 1 warning, 0 notes\n",
		}},
		{"a warning that counts", map[string]string{"m.yaml": warned}, "lint --strict m.yaml", result{
			1, `m.yaml:4: warning: EventSource/clock: spec.calendar.tick.tz: unknown key "tz" is ignored` + "\n", "1 object: 0 errors, 1 warning, 0 notes\n",
		}},
		{"tabs", map[string]string{"m.yaml": "a:\n\tb: 1\n"}, "lint m.yaml", result{
			1, "m.yaml:2: error: the YAML cannot be read: found character that cannot start any token (indent with spaces, not with tabs)\n", "0 objects: 1 error, 0 warnings, 0 notes\n",
		}},
		{"one of two documents is broken", map[string]string{"m.yaml": source + "---\na: [\n"}, "lint m.yaml", result{
			1, "m.yaml:6: error: the YAML cannot be read: did not find expected node content\n", "1 object: 1 error, 0 warnings, 0 notes\n",
		}},
		{"a missing file beside a good one", map[string]string{"m.yaml": source}, "lint m.yaml nowhere.yaml", result{
			1, "nowhere.yaml: error: no such file or directory\n", "1 object: 1 error, 0 warnings, 0 notes\n",
		}},
		{"settings of a bus that are not honoured", map[string]string{"m.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata: {name: default}\nspec: {jetstream: {streamConfig: 'discard: 0'}}\n"}, "lint --strict m.yaml", result{
			1, "m.yaml:4: warning: EventBus/default: spec.jetstream.streamConfig.discard: 0 (discard old) is ignored: unprocessed events are never dropped; a full bus refuses new ones\n", "1 object: 0 errors, 1 warning, 0 notes\n",
		}},
		{"JSON without problems", map[string]string{"m.yaml": source}, "lint -o json m.yaml", result{
			0, "{\n  \"problems\": [],\n  \"summary\": {\n    \"errors\": 0,\n    \"warnings\": 0,\n    \"notes\": 0\n  }\n}\n", "",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder(t, tc.files)
			if got := signalbox(t, strings.Fields(tc.line)...); got != tc.want {
				t.Errorf("got\n%+v\nwant\n%+v", got, tc.want)
			}
		})
	}
}

func TestLintAsJSON(t *testing.T) {
	folder(t, map[string]string{"m.yaml": broken})
	got := signalbox(t, "lint", "m.yaml", "--output", "json")
	var report struct {
		Problems []struct {
			File, Object, Path, Severity, Message, Hint string
			Line                                        int
		}
		Summary struct{ Errors, Warnings int }
	}
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != 1 || got.err != "" {
		t.Fatalf("%v, %+v", err, got)
	}
	if report.Summary.Errors != 1 || report.Summary.Warnings != 1 || len(report.Problems) != 2 {
		t.Fatalf("%+v", report)
	}
	p := report.Problems[1]
	if p.File != "m.yaml" || p.Line != 4 || p.Object != "EventSource/clock" || p.Path != "spec.calendar.tick.intervall" ||
		p.Severity != "warning" || p.Message != `unknown key "intervall" is ignored` || p.Hint != `did you mean "interval"?` {
		t.Errorf("%+v", p)
	}
}

const testCase = "apiVersion: signalbox.dev/v1alpha1\nkind: SensorTest\nmetadata: {name: a case}\nspec:\n  sensor: listen\n  events: [{data: {num: '5'}}]\n"

func TestTest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cases string
		line  string
		code  int
		want  []string // in the output
	}{
		{"a case that passes", testCase + "  expect: [{trigger: tell}]\n", "test m.yaml", 0, []string{"ok    a case\n1 passed, 0 failed\n"}},
		{"a case that fails", testCase, "test m.yaml", 1, []string{"FAIL  a case (m.yaml:", "trigger tell: fires 1 times, and is not expected to", "what happened:", "0 passed, 1 failed\n"}},
		{"as JSON", testCase + "  expect: [{trigger: tell}]\n", "test m.yaml -o json", 0, []string{`"name": "a case"`}},
		{"an event", "", "test m.yaml --event good.json", 0, []string{"Sensor listen\n  trigger tell, event 1\n", "fires with a=event-1\n"}},
		{"an event that cannot be transformed", "", "test m.yaml --event bad.json", 0, []string{"    would become a dead letter: dependency a: transform: jq: tonumber cannot be applied to \"x\""}},
		{"an event as JSON", "", "test m.yaml --event bad.json -o json", 0, []string{`"deadLetters": [`, `"sensor": "listen"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder(t, map[string]string{"m.yaml": source + "---\n" + sensor + "---\n" + tc.cases, "good.json": `{"num":"5"}`, "bad.json": `{"num":"x"}`})
			got := signalbox(t, strings.Fields(tc.line)...)
			if got.code != tc.code || got.err != "" {
				t.Errorf("exit code %d, %s", got.code, got.err)
			}
			for _, want := range tc.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("no %q in\n%s", want, got.out)
				}
			}
			if strings.Contains(tc.line, "json -o") && !json.Valid([]byte(got.out)) {
				t.Errorf("no JSON:\n%s", got.out)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	text := signalbox(t, "version")
	if text.code != 0 || !strings.HasPrefix(text.out, "signalbox "+version+" ") || strings.Count(text.out, " ") != 3 {
		t.Errorf("%+v", text)
	}
	if flag := signalbox(t, "--version"); flag != text {
		t.Errorf("--version: %+v", flag)
	}
	var v struct{ Version, Commit, Go string }
	if err := json.Unmarshal([]byte(signalbox(t, "version", "-o", "json").out), &v); err != nil || v.Version != version || v.Commit == "" || v.Go == "" {
		t.Errorf("%v, %+v", err, v)
	}
}

func TestHelpWithoutACommand(t *testing.T) {
	for line, want := range map[string]string{"": "Available Commands:\n  bus ", "dead": "Available Commands:\n  drop ", "help lint": "signalbox lint manifests/", "dead --help": "  redrive "} {
		if got := signalbox(t, strings.Fields(line)...); got.code != 0 || got.err != "" || !strings.Contains(got.out, want) {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func TestCompletions(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tc := range []struct {
		line      string // up to the word that is completed
		want      string // of the output, at the beginning
		directive string // :0 is files, :4 is none
	}{
		{"", "bus\t", ":4"},
		{"dead", "drop\t", ":4"},
		{"lint", "", ":0"},
		{"run", "", ":0"},
		{"test", "", ":0"},
		{"version", "", ":4"},
		{"send", "", ":4"},
		{"dead list", "", ":4"},
		{"dead show", "", ":4"}, // no bus to ask
		{"lint --output", "text\njson\n", ":4"},
		{"run --log-level", "debug\ninfo\nwarn\nerror\n", ":4"},
		{"send --file", "", ":0"},
	} {
		args := append([]string{"__complete"}, strings.Fields(tc.line)...)
		got := signalbox(t, append(args, "")...)
		if got.code != 0 || !strings.HasPrefix(got.out, tc.want) || !strings.HasSuffix(got.out, tc.directive+"\n") || tc.want == "" && got.out != tc.directive+"\n" {
			t.Errorf("%s: %+v", tc.line, got)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := signalbox(t, "completion", shell); got.code != 0 || !strings.Contains(got.out, "signalbox") {
			t.Errorf("%s: exit code %d", shell, got.code)
		}
	}
}

func TestFilesWithoutPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	folder(t, map[string]string{"d/m.yaml": source, "d/closed/n.yaml": sensor, "d/secret.yaml": source})
	for path, mode := range map[string]os.FileMode{"d/closed": 0, "d/secret.yaml": 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod("d/closed", 0o700) })
	got := signalbox(t, "lint", "d")
	want := result{1, "d/closed: error: permission denied\nd/secret.yaml: error: cannot be read: permission denied\n", "1 object: 2 errors, 0 warnings, 0 notes\n"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
