// Package proc builds the signalbox binary and runs processes of it, for tests
// and benchmarks that need the real thing.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build compiles cmd/signalbox into dir and returns the path of the binary. It
// has to be called from inside the module.
func Build(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "signalbox")
	//nolint:gosec // the arguments are ours
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "github.com/signalbox-events/signalbox/cmd/signalbox")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build signalbox: %w\n%s", err, out)
	}
	return bin, nil
}

// FreeAddr is a loopback address that nothing listens on at the moment.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// Process is a running process with what it has written.
type Process struct {
	cmd      *exec.Cmd
	out, log buffer
	exited   chan struct{}
	err      error // of Wait; to be read once exited is closed
}

// Start runs a binary. The process ends with ours at the latest, where the
// system can arrange that.
func Start(bin string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(bin, args...), exited: make(chan struct{})} //nolint:gosec,noctx // ended by Kill or Terminate
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	p.cmd.SysProcAttr = endWithUs()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Kill ends the process at once, as a power failure would, and waits for its
// end. It may be called again.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.exited
}

// Terminate asks the process to end (SIGTERM) and returns its exit code. After
// timeout it is killed, and that is an error.
func (p *Process) Terminate(timeout time.Duration) (int, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, err
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-t.C:
		p.Kill()
		return -1, fmt.Errorf("did not end within %s of SIGTERM", timeout)
	}
}

// Exited tells whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Out is what the process has written to its standard output.
func (p *Process) Out() string { return p.out.String() }

// Log is what the process has written to its standard error.
func (p *Process) Log() string { return p.log.String() }

// ErrNotHere is returned where the system has no /proc.
var ErrNotHere = errors.New("needs /proc")

// OpenFiles counts the process's file descriptors.
func (p *Process) OpenFiles() (int, error) {
	fds, err := os.ReadDir(p.procFile("fd"))
	if err != nil {
		return 0, errors.Join(ErrNotHere, err)
	}
	return len(fds), nil
}

// Resident is the process's resident memory in bytes.
func (p *Process) Resident() (int64, error) {
	status, err := os.ReadFile(p.procFile("status"))
	if err != nil {
		return 0, errors.Join(ErrNotHere, err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmRSS in the process's status")
}

func (p *Process) procFile(name string) string {
	return filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), name)
}

// Until calls ok every 20 ms until it returns true, and fails after timeout.
func Until(timeout time.Duration, ok func() bool) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("not within %s", timeout)
		}
	}
	return nil
}

// Ready waits until the process answers 200 at http://ADDR/readyz.
func (p *Process) Ready(admin string, timeout time.Duration) error {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	err := Until(timeout, func() bool {
		if p.Exited() {
			return true
		}
		resp, err := client.Get("http://" + admin + "/readyz") //nolint:noctx // the client has a timeout
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	if err == nil && p.Exited() {
		err = errors.New("process has ended")
	}
	if err != nil {
		return fmt.Errorf("signalbox not ready: %w\n%s", err, p.Log())
	}
	return nil
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
