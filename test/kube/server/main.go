// Command server is what the package kube runs: etcd, kube-apiserver and
// kubectl in one binary, compiled from their modules.
package main

import (
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // CronJobs name time zones

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// roles are what the binary can be: the first argument says which, the rest
// are the role's own flags.
func roles() map[string]func() error {
	return map[string]func() error{
		"etcd":      etcd,
		"compact":   compact,
		"apiserver": apiserver,
		"kubectl":   kubectl,
	}
}

func main() {
	if len(os.Args) < 2 || roles()[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: server etcd|compact|apiserver|kubectl [flags]")
		os.Exit(2)
	}
	role := roles()[os.Args[1]]
	os.Args = os.Args[1:]
	if err := role(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
}

// endWithInput ends the process when its standard input does. The test process
// holds the other end of that pipe and never writes, so that the end comes
// when it lets go or dies, by whatever cause. last is done before.
func endWithInput(last func() error) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := last(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(0)
}

func apiserver() error {
	go endWithInput(func() error { return nil })
	os.Exit(cli.Run(app.NewAPIServerCommand()))
	return nil
}

func kubectl() error {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints as kubectl does, and exits
	}
	return nil
}
