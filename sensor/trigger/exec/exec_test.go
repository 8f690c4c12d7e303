package exec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/exec"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab has a folder of programs, in which a is text.
func lab(t *testing.T, text string) (*triggertest.Env, string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := triggertest.NewEnv(t)
	e.Exec = []string{dir}
	script(t, dir, "a", text)
	return e, dir
}

func TestOutcome(t *testing.T) {
	for name, tc := range map[string]struct {
		text, config string
		code         int
		stdout, err  string
		permanent    bool
	}{
		"done":                   {"echo hello; echo oh >&2", "", 0, "hello\n", "", false},
		"fails":                  {"echo out; printf 'one\\ntwo\\nthree\\n\\tfour\\a\\n' >&2; exit 7", "", 0, "", "run a: exit 7: two three four?", false},
		"fails without a word":   {"exit 7", "", 0, "", "run a: exit 7", false},
		"another code is well":   {"exit 7", "successExitCodes: [7]", 7, "", "", false},
		"zero is not well then":  {"exit 0", "successExitCodes: [7]", 0, "", "run a: exit 0", false},
		"fails for good":         {"exit 64", "permanentExitCodes: [64]", 0, "", "run a: exit 64", true},
		"killed":                 {"kill -9 $$", "", 0, "", "run a: signal: killed", false},
		"no shell":               {`printf '%s|' "$@"`, `args: ["$HOME ` + "`id`" + `", ";exit 3", "a  b"]`, 0, "$HOME `id`|;exit 3|a  b|", "", false},
		"zero byte in argument":  {"exit 0", `args: ['{{ printf "%c" 0 }}']`, 0, "", "run a: args[0]: holds a zero byte", true},
		"event without the key":  {"exit 0", "args: ['{{ .Input.dep.data.nothing }}']", 0, "", "run a: args[0]: ", true},
		"text as input":          {"cat", "stdin: {text: '<{{ .Input.dep.data.number }}>'}", 0, "<1>", "", false},
		"input is not read":      {"exit 0", "stdin: {text: '{{ repeat 100000 \"x\" }}'}", 0, "", "", false},
		"no input":               {"cat", "", 0, "", "", false},
		"long arguments":         {"exit 0", "args: ['{{ repeat 200000 \"x\" }}']", 0, "", "run a: the arguments and the environment are too long", true},
		"variables":              {"echo $SIGNALBOX_NAMESPACE/$SIGNALBOX_SENSOR/$SIGNALBOX_TRIGGER $SIGNALBOX_FIRING $SIGNALBOX_ATTEMPT", "", 0, "default/sensor/trigger 00000000000000000000000000abc001 1\n", "", false},
		"environment is its own": {"echo $EXEC_TEST_MARK.$SIGNALBOX_PASSWORD", "", 0, ".\n", "", false},
		"environment inherited":  {"echo $EXEC_TEST_MARK.$SIGNALBOX_PASSWORD", "inheritEnv: true", 0, "seen.\n", "", false},
		"not UTF-8":              {"printf 'a\\377b'", "", 0, "a?b", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("EXEC_TEST_MARK", "seen")
			t.Setenv("SIGNALBOX_PASSWORD", "hidden")
			e, _ := lab(t, tc.text)
			r, err := triggertest.Build(t, exec.Kind, "command: a\n"+tc.config, e).Fire(t.Context(), triggertest.Input(1))
			if tc.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.err) || strings.Contains(err.Error(), "\n") || trigger.IsPermanent(err) != tc.permanent {
					t.Errorf("got %v, permanent: %v", err, trigger.IsPermanent(err))
				}
				if _, code, ok := strings.Cut(tc.err, "exit "); ok && fmt.Sprint(trigger.DetailsOf(err)["exitCode"]) != strings.Split(code, ":")[0] {
					t.Errorf("details are %v", trigger.DetailsOf(err))
				}
				return
			}
			if err != nil || r.Details["exitCode"] != tc.code || r.Details["stdout"] != tc.stdout || r.Details["cut"] != false || r.Follow != nil {
				t.Errorf("got %+v, %v", r, err)
			}
			if want := fmt.Sprintf("exit %d in ", tc.code); !strings.HasPrefix(r.Summary, want) {
				t.Errorf("the summary is %q", r.Summary)
			}
		})
	}
}

func TestWhatMayBeRun(t *testing.T) {
	e, dir := lab(t, "pwd")
	outside, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	script(t, outside, "b", "pwd")
	second := filepath.Join(dir, "x") // a folder whose name another begins with
	for _, d := range []string{second, dir + "-evil", filepath.Join(dir, "sub")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
		script(t, d, "c", "pwd")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir + "-evil") })
	for from, to := range map[string]string{"good": filepath.Join(dir, "sub", "c"), "bad": filepath.Join(outside, "b"), "way": outside, "circle": filepath.Join(dir, "circle")} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "open"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "open"), 0o707); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		folders           []string
		config            string
		pwd, err          string
		permanent, broken bool
	}{
		"nothing is allowed":         {nil, "command: a", "", "run a: this process runs no programs: start it with --allow-exec DIR", true, false},
		"relative":                   {[]string{outside, dir}, "command: a", dir, "", false, false},
		"absolute":                   {[]string{dir}, "command: " + dir + "/a", dir, "", false, false},
		"by the link of the folder":  {[]string{link}, "command: " + link + "/a", dir, "", false, false},
		"a link inside":              {[]string{dir}, "command: good", dir, "", false, false},
		"a link out":                 {[]string{dir}, "command: bad", "", "run bad: " + outside + "/b is not in a folder of --allow-exec", true, false},
		"a folder out":               {[]string{dir}, "command: way/b", "", "run way/b: " + outside + "/b is not in a folder of --allow-exec", true, false},
		"a link to an allowed one":   {[]string{dir, outside}, "command: bad", outside, "", false, false},
		"absolute, elsewhere":        {[]string{dir}, "command: /bin/sh", "", "run /bin/sh: ", true, false},
		"not beside":                 {[]string{dir}, "command: " + dir + "-evil/c", "", "run " + dir + "-evil/c: " + dir + "-evil/c is not in", true, false},
		"a folder":                   {[]string{dir}, "command: sub", "", "run sub: " + dir + "/sub is no file", false, false},
		"not executable":             {[]string{dir}, "command: text", "", "run text: " + dir + "/text is not executable", false, false},
		"written by everybody":       {[]string{dir}, "command: open", "", "run open: everybody may write " + dir + "/open", false, false},
		"missing":                    {[]string{dir}, "command: none", "", "run none: none: file does not exist in the folders of --allow-exec", false, false},
		"a circle":                   {[]string{dir}, "command: circle", "", "run circle: ", false, false},
		"working directory":          {[]string{dir}, "{command: a, workingDirectory: sub}", dir + "/sub", "", false, false},
		"working directory out":      {[]string{dir}, "{command: a, workingDirectory: way}", "", "run a: workingDirectory: " + outside + " is not in", true, false},
		"working in a file":          {[]string{dir}, "{command: a, workingDirectory: a}", "", "run a: workingDirectory: " + dir + "/a is no folder", false, false},
		".. of a parameter":          {[]string{dir}, "{command: a, parameters: [{src: {dependencyName: dep, value: sub/../a}, dest: command}]}", "", "run sub/../a: sub/../a leads out of a folder with ..", true, false},
		"a folder that is not there": {[]string{dir + "/none"}, "command: a", "", "run a: --allow-exec: ", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			e.Exec = tc.folders
			tr := triggertest.Build(t, exec.Kind, tc.config, e)
			r, err := tr.Fire(t.Context(), triggertest.Input(1))
			if tc.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.err) || trigger.IsPermanent(err) != tc.permanent {
					t.Errorf("got %v, permanent: %v", err, trigger.IsPermanent(err))
				}
				return
			}
			if err != nil || r.Details["stdout"] != tc.pwd+"\n" {
				t.Errorf("got %v, %v", r, err)
			}
		})
	}
}

func TestOutputIsCut(t *testing.T) {
	e, _ := lab(t, `i=0; while [ $i -lt 200 ]; do printf '%05d\n' $i; i=$((i+1)); done`)
	r, err := triggertest.Build(t, exec.Kind, "{command: a, maxOutput: 24}", e).Fire(t.Context(), triggertest.Input(1))
	if want := "00000\n00001\n\n... 1176 bytes are left out ...\n00198\n00199\n"; err != nil || r.Details["stdout"] != want || r.Details["cut"] != true {
		t.Errorf("got %q, %v", r.Details, err)
	}
}

func TestSecretsInOutput(t *testing.T) {
	e, _ := lab(t, `printf "$PART"; sleep 0.05; echo "$REST"; echo "$KEY and $SHORT" >&2; [ -z "$BAD" ]`)
	e.PutSecret("s", "key", "abcdefgh")
	e.PutSecret("s", "longer", "abcdefgh-ijkl")
	const config = `{command: a, env: {PART: "xabcd", REST: "efgh-ijabcd", BAD: BAD_VALUE}, secureEnv: [
		{name: KEY, valueFrom: {secretKeyRef: {name: s, key: key}}}, {name: LONGER, valueFrom: {secretKeyRef: {name: s, key: longer}}}]}`
	r, err := triggertest.Build(t, exec.Kind, strings.Replace(config, "BAD_VALUE", `""`, 1), e).Fire(t.Context(), triggertest.Input(1))
	if err != nil || r.Details["stdout"] != "x***-ijabcd\n" || r.Details["stderr"] != "*** and \n" {
		t.Errorf("got %q, %v", r.Details, err)
	}
	_, err = triggertest.Build(t, exec.Kind, strings.Replace(config, "BAD_VALUE", "bad", 1), e).Fire(t.Context(), triggertest.Input(1))
	if err == nil || err.Error() != "run a: exit 1: *** and" {
		t.Errorf("got %v", err)
	}
}

// TestLargestOutput is put on the bus as an event, which must not be too large: the
// program would be run again and again.
func TestLargestOutput(t *testing.T) {
	e, _ := lab(t, `head -c 200000 /dev/zero | tr '\0' '<' | tee /dev/stderr`)
	r, err := triggertest.Build(t, exec.Kind, "{command: a, maxOutput: 65536}", e).Fire(t.Context(), triggertest.Input(1))
	if err != nil || len(r.Details["stdout"].(string)) < 65536 || len(r.Details["stderr"].(string)) < 65536 {
		t.Fatalf("got %v", err)
	}
	if b, err := json.Marshal(r.Details); err != nil || len(b) > 800<<10 {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
}

func TestSecretsOfSeveralLines(t *testing.T) {
	e, _ := lab(t, `echo "$KEY" | sed -n 2p; echo "$KEY"; printf %s "$KEY" | base64 -w 0; echo "$PLAIN" | head -n 1`)
	e.PutSecret("s", "key", "  first line\nsecond line\nx\n")
	e.PutConfigMap("c", "plain", "first\nsecond")
	const config = `{command: a, secureEnv: [{name: KEY, valueFrom: {secretKeyRef: {name: s, key: key}}}, {name: PLAIN, valueFrom: {configMapKeyRef: {name: c, key: plain}}}]}`
	r, err := triggertest.Build(t, exec.Kind, config, e).Fire(t.Context(), triggertest.Input(1))
	if err != nil {
		t.Fatal(err)
	}
	out := r.Details["stdout"].(string)
	if strings.Contains(out, "line") || strings.Contains(out, "c2Vjb25k") || !strings.HasSuffix(out, "***first\n") {
		t.Errorf("got %q", out)
	}
}

// TestNothingIsLeft looks for the children of programs that have ended in any way.
func TestNothingIsLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		text, config string
		cancel       bool
		is           error
	}{
		"it ends before its child": {"sleep 600 & echo $! > pid.new; mv pid.new pid", "", false, nil},
		"time is up":               {"sleep 600 & echo $! > pid.new; mv pid.new pid; wait", "timeout: 300ms", false, context.DeadlineExceeded},
		"it does not want to go":   {"trap '' TERM; sleep 600 & echo $! > pid.new; mv pid.new pid; wait; wait; wait", "timeout: 300ms", false, context.DeadlineExceeded},
		"the sensor stops":         {"sleep 600 & echo $! > pid.new; mv pid.new pid; wait", "", true, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, dir := lab(t, tc.text)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			tr := triggertest.Build(t, exec.Kind, "command: a\n"+tc.config, e)
			go func() {
				_, err := tr.Fire(ctx, triggertest.Input(1))
				ended <- err
			}()
			<-appears(t, filepath.Join(dir, "pid"))
			if tc.cancel {
				cancel()
			}
			select {
			case err := <-ended:
				if !errors.Is(err, tc.is) || trigger.IsPermanent(err) {
					t.Errorf("got %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("Fire does not return")
			}
			pid := pidIn(t, dir)
			for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(2 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the child goes on")
				}
			}
		})
	}
}

// TestPipeIsHeldOpen has a child that has left the group and keeps the outputs.
func TestPipeIsHeldOpen(t *testing.T) {
	if _, err := osexec.LookPath("setsid"); err != nil {
		t.Skip("this system has no setsid")
	}
	e, dir := lab(t, `setsid sh -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 600' &
while [ ! -e pid ]; do sleep 0.01; done; echo done`)
	tr := triggertest.Build(t, exec.Kind, "{command: a, timeout: 5m}", e)
	type result struct {
		trigger.Result
		err error
	}
	ended := make(chan result, 1)
	go func() {
		r, err := tr.Fire(t.Context(), triggertest.Input(1))
		ended <- result{r, err}
	}()
	<-appears(t, filepath.Join(dir, "pid"))
	pid := pidIn(t, dir)
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	select {
	case r := <-ended:
		if r.err != nil || r.Details["stdout"] != "done\n" {
			t.Errorf("got %+v", r)
		}
	case <-time.After(30 * time.Second):
		t.Error("Fire waits for what holds the pipe open")
	}
	if !alive(pid) {
		t.Error("the README says that it stays")
	}
}

func pidIn(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive tells whether a process is there, zombies aside.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestUser(t *testing.T) {
	e, dir := lab(t, "id -u; id -g; id -G; echo $HOME")
	fire := func(user string) (string, error) {
		r, err := triggertest.Build(t, exec.Kind, "{command: a, user: '"+user+"'}", e).Fire(t.Context(), triggertest.Input(1))
		out, _ := r.Details["stdout"].(string)
		return out, err
	}
	if os.Geteuid() != 0 {
		if _, err := fire("nobody"); !trigger.IsPermanent(err) || !strings.Contains(err.Error(), "only a process of root") {
			t.Errorf("got %v", err)
		}
		return
	}
	for d := dir; d != "/"; d = filepath.Dir(d) { // others have to get there
		if info, err := os.Stat(d); err != nil || info.Mode().Perm()&0o5 == 0 {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := fire("1234567:7654321"); err != nil || out != "1234567\n7654321\n7654321\n/\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err := fire("nobody"); err != nil || strings.HasPrefix(out, "0\n") {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := fire("no-such-user-here"); err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "there is no user no-such-user-here") {
		t.Errorf("got %v", err)
	}
	if _, err := fire("1234567"); err == nil || !strings.Contains(err.Error(), "write UID:GID") {
		t.Errorf("got %v", err)
	}
}

func TestFollow(t *testing.T) {
	c, err := exec.Kind.Decode([]byte(`{"command":"a","follow":{"emit":true}}`))
	if err != nil || exec.Kind.Follow.Block(c) == nil || !exec.Kind.Follow.Block(c).Emit {
		t.Errorf("the block is not found: %v", err)
	}
	if _, err := exec.Kind.Follow.Await(t.Context(), nil, trigger.Following{}); !trigger.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}
