//go:build !linux

package proc

import "syscall"

func endWithUs() *syscall.SysProcAttr { return nil }
