package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// grace is the time between SIGTERM and SIGKILL.
	grace = 5 * time.Second
	// drain is how long the outputs are read on after the end, where a process
	// that has left the group holds them open.
	drain = time.Second
)

func (c *call) run(ctx context.Context, folders []string) (trigger.Result, error) {
	program, dir, err := c.find(folders)
	if err != nil {
		return trigger.Result{}, c.failed(err)
	}
	who, err := c.identity()
	if err != nil {
		return trigger.Result{}, c.failed(err)
	}
	out, errOut := newOutput(c.conf.MaxOutput, c.secrets), newOutput(c.conf.MaxOutput, c.secrets)
	cmd := &osexec.Cmd{
		Path: program, Args: append([]string{c.conf.Command}, c.args...), Dir: dir, Env: c.environment(who.home),
		Stdin: bytes.NewReader(c.stdin), Stdout: out, Stderr: errOut, WaitDelay: drain, SysProcAttr: attributes(),
	}
	cmd.SysProcAttr.Credential = who.credential
	began := time.Now()
	why, err := c.execute(ctx, cmd)
	took := time.Since(began).Round(time.Millisecond)
	if cmd.ProcessState == nil {
		if errors.Is(err, syscall.E2BIG) {
			err = trigger.Permanent(errors.New("the arguments and the environment are too long"))
		}
		return trigger.Result{}, c.failed(err)
	}
	stdout, cutOut := out.end()
	stderr, cutErr := errOut.end()
	code := cmd.ProcessState.ExitCode()
	details := map[string]any{"stdout": stdout, "stderr": stderr, "cut": cutOut || cutErr}
	if code >= 0 { // no signal
		details["exitCode"] = code
	}
	if why == nil {
		why = c.verdict(cmd.ProcessState)
	}
	if why != nil {
		if quote := lastLines(stderr); quote != "" {
			why = fmt.Errorf("%w: %s", why, quote)
		}
		return trigger.Result{}, trigger.WithDetails(c.failed(why), details)
	}
	return trigger.Result{Summary: fmt.Sprintf("exit %d in %v", code, took), Details: details}, nil
}

// verdict is nil if the program has ended well.
func (c *call) verdict(state *os.ProcessState) error {
	code := state.ExitCode()
	if code < 0 {
		return errors.New(state.String()) // "signal: killed"
	}
	if slices.Contains(c.conf.SuccessExitCodes, int32(code)) {
		return nil
	}
	err := fmt.Errorf("exit %d", code)
	if slices.Contains(c.conf.PermanentExitCodes, int32(code)) {
		return trigger.Permanent(err)
	}
	return err
}

// execute runs the program to its end. Why is the reason if it was stopped; err
// is set if it could not be started. Nothing of its process group is left.
func (c *call) execute(ctx context.Context, cmd *osexec.Cmd) (why, err error) {
	started, ended := make(chan error, 1), make(chan struct{})
	g := &group{cmd: cmd}
	go func() {
		// The system kills the program when the thread ends that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = wait(cmd, g.finish) // what it says is in cmd.ProcessState, too
		close(ended)
	}()
	if err := <-started; err != nil {
		return nil, unwrapped(err)
	}
	timer := time.NewTimer(c.timeout)
	defer timer.Stop()
	select {
	case <-ended:
		return nil, nil
	case <-timer.C:
		why = fmt.Errorf("not done within %v: %w", c.timeout, context.DeadlineExceeded)
	case <-ctx.Done():
		why = ctx.Err()
	}
	g.signal(syscall.SIGTERM)
	hard := time.NewTimer(grace)
	defer hard.Stop()
	select {
	case <-ended:
		return why, nil
	case <-hard.C:
	}
	g.signal(syscall.SIGKILL)
	<-ended
	return why, nil
}

// unwrapped is err without the path that is told before it.
func unwrapped(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// group is the process group of a program.
type group struct {
	cmd *osexec.Cmd
	mu  sync.Mutex
	// gone says that the number may be somebody else's.
	gone bool
}

func (g *group) signal(s syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		_ = syscall.Kill(-g.cmd.Process.Pid, s) // it fails where there is nobody left
	}
}

// finish ends what the program has left behind in its group. After it the
// program's number may be given to another one.
func (g *group) finish() {
	g.signal(syscall.SIGKILL)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = true
}
