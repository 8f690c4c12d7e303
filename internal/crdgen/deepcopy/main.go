// Command deepcopy writes the DeepCopy methods of package api/v1alpha1. It runs
// from the repository's root, and imports nothing of ours, so that it can mend
// methods that do not compile any more.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/controller-tools/pkg/deepcopy"
	"sigs.k8s.io/controller-tools/pkg/genall"
)

func main() {
	var generator genall.Generator = deepcopy.Generator{}
	run, err := genall.Generators{&generator}.ForRoots("./api/...")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	run.OutputRules = genall.OutputRules{Default: genall.OutputArtifacts{Config: genall.OutputToDirectory("."), Code: ""}}
	if failed := run.Run(); failed {
		os.Exit(1)
	}
}
