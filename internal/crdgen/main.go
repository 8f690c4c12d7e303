// Command crdgen writes what is made from the types of the API and of the kinds
// of sources and triggers: the CustomResourceDefinitions in config/crd and the
// reference in docs/reference. It runs from the repository's root.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	sources "github.com/signalbox-events/signalbox/eventsource/all"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "crdgen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	files, err := generate(sources.Kinds, triggers.Kinds)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a source tree
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // a source tree
			return err
		}
	}
	return nil
}
