package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/signalbox-events/signalbox/test/proc"
)

// target is a process to be measured: the ceiling or signalbox.
type target struct{ name, bin, fsync string }

const pipeline = `
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: hook}
spec:
  webhook:
    push: {port: %q, endpoint: /, method: POST}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: forward}
spec:
  dependencies:
    - {name: push, eventSourceName: hook, eventName: push}
  triggers:
    - template:
        name: call
        http:
          url: %s
          method: POST
          headers: {Content-Type: application/json}
          payload:
            - {src: {dependencyName: push, dataKey: body, useRawData: true}, dest: event}
      retryStrategy: {steps: 10, duration: 1s, factor: 2}
`

// start runs the target on a new store below dir and returns where it takes
// events, once it does.
func (t target) start(dir, sink string) (*proc.Process, string, error) {
	dir, err := os.MkdirTemp(dir, t.name+"-")
	if err != nil {
		return nil, "", err
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		return nil, "", err
	}
	admin, err := proc.FreeAddr()
	if err != nil {
		return nil, "", err
	}
	store := filepath.Join(dir, "store")
	args := []string{ceilingCommand, "--listen", addr, "--admin-addr", admin, "--sink", sink, "--data-dir", store, "--fsync", t.fsync}
	if t.name == "signalbox" {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, "", err
		}
		manifest := filepath.Join(dir, "pipeline.yaml")
		if err := os.WriteFile(manifest, fmt.Appendf(nil, pipeline, port, sink), 0o600); err != nil {
			return nil, "", err
		}
		args = []string{"run", manifest, "--host", "127.0.0.1", "--admin-addr", admin, "--data-dir", store, "--fsync", t.fsync, "--log-level", "warn"}
	}
	p, err := proc.Start(t.bin, args...)
	if err != nil {
		return nil, "", err
	}
	if err := p.Ready(admin, time.Minute); err != nil {
		p.Kill()
		return nil, "", err
	}
	return p, "http://" + addr + "/", nil
}
