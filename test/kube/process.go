package kube

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// process is a running role of the binary. It takes no goroutine of ours, so
// that leak checks of single tests see nothing of it.
type process struct {
	cmd    *exec.Cmd
	wanted *os.File // the process ends when this end of its standard input is closed
	alive  *os.File // gives EOF once the process has ended, as it alone holds the other end
	log    string
}

// startProcess runs the binary with args. All output goes to the file log. The
// process ends with ours, also when ours is killed: see endWithInput in server.
func startProcess(log, bin string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // the process has it
	stdin, wanted, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close() //nolint:errcheck // the process has it
	alive, held, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, wanted.Close())
	}
	defer held.Close()                                                                     //nolint:errcheck // the process has it
	p := &process{cmd: exec.Command(bin, args...), wanted: wanted, alive: alive, log: log} //nolint:gosec,noctx // ended by kill
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, out, out
	p.cmd.ExtraFiles = []*os.File{held}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("run %s %s: %w", bin, args[0], err), wanted.Close(), alive.Close())
	}
	return p, nil
}

// ended waits for the end of the process, but not longer than d.
func (p *process) ended(d time.Duration) bool {
	if err := p.alive.SetReadDeadline(time.Now().Add(d)); err != nil {
		return true
	}
	_, err := p.alive.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// until calls ok again and again until it gives true. It is an error when the
// process ends before, or when it takes longer than patience.
func (p *process) until(what string, ok func() bool) error {
	for deadline := time.Now().Add(patience); !ok(); {
		if p.ended(20 * time.Millisecond) {
			return fmt.Errorf("%s: process has ended\n%s", what, p.tail())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s\n%s", what, patience, p.tail())
		}
	}
	return nil
}

// kill ends the process at once, as a crash would, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	_ = p.cmd.Wait()         //nolint:errcheck // it was killed
	_ = p.wanted.Close()     //nolint:errcheck // nothing is written to it
	_ = p.alive.Close()      //nolint:errcheck // nothing is written to it
}

// tail is the last part of what the process has written.
func (p *process) tail() string {
	const most = 4 << 10
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
