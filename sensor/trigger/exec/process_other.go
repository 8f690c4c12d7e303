//go:build unix && !linux

package exec

import (
	osexec "os/exec"
	"syscall"
)

// attributes put a program into a process group of its own.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// wait returns when the program has ended, and calls finish.
func wait(cmd *osexec.Cmd, finish func()) error {
	defer finish()
	return cmd.Wait()
}
