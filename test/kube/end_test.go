//go:build unix

package kube

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// holdEnv makes TestHold hold a cluster until it is killed.
const holdEnv = "SIGNALBOX_TEST_HOLD"

func TestHold(t *testing.T) {
	if os.Getenv(holdEnv) == "" {
		t.Skip("only run by TestNothingOutlivesAKilledTest")
	}
	c := Start(t)
	fmt.Printf("holds %s %d %d\n", c.dir, c.etcd.cmd.Process.Pid, c.api.cmd.Process.Pid)
	select {}
}

func TestNothingOutlivesAKilledTest(t *testing.T) {
	Start(t) // or skip
	for name, kill := range map[string]func(pid int) error{
		"alone":           func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) },
		"by its terminal": func(pid int) error { return syscall.Kill(-pid, syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) { testKilled(t, kill) })
	}
}

func testKilled(t *testing.T, kill func(pid int) error) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHold$")
	cmd.Env = append(os.Environ(), holdEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var etcd, api int
	for r := bufio.NewScanner(out); dir == "" && r.Scan(); {
		_, _ = fmt.Sscanf(r.Text(), "holds %s %d %d", &dir, &etcd, &api)
	}
	if !runs(t, etcd) || !runs(t, api) {
		t.Errorf("processes %d and %d do not run", etcd, api)
	}
	if err := kill(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	gone(t, dir, etcd, api)
}

func TestNothingOutlivesItsTest(t *testing.T) {
	var dir string
	var etcd, api int
	if !t.Run("own", func(t *testing.T) {
		c := Start(t, Own())
		dir, etcd, api = c.dir, c.etcd.cmd.Process.Pid, c.api.cmd.Process.Pid
		c.Restart(t)
	}) || dir == "" {
		t.SkipNow()
	}
	gone(t, dir, etcd, api)
}

func gone(t *testing.T, dir string, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		left := []string{}
		for _, pid := range pids {
			if runs(t, pid) {
				left = append(left, fmt.Sprint("process ", pid))
			}
		}
		if _, err := os.Stat(dir); err == nil {
			left = append(left, dir)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %s", strings.Join(left, ", "))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// runs tells whether a process is there and not just waiting to be reaped.
func runs(t *testing.T, pid int) bool {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("no process %d", pid)
	}
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return runtime.GOOS != "linux"
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// judge is a testing.TB that notes how a test ended.
type judge struct {
	testing.TB
	failed, skipped bool
}

func (j *judge) Helper() {}

func (j *judge) Fatal(...any) {
	j.failed = true
	runtime.Goexit()
}

func (j *judge) Skip(...any) {
	j.skipped = true
	runtime.Goexit()
}

func TestWithoutTheBinary(t *testing.T) {
	root := t.TempDir()
	server := filepath.Join(root, "test", "kube", "server")
	if err := os.MkdirAll(server, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(server)
	for name, tc := range map[string]struct {
		require string
		want    judge
	}{
		"tests are skipped":           {"", judge{skipped: true}},
		"tests fail where it is owed": {"1", judge{failed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(RequireEnv, tc.require)
			got := judge{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				Start(&got)
			}()
			<-done
			if got.TB = nil; got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
