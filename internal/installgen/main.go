// Command installgen writes config/install.yaml and
// config/namespace-install.yaml from the kustomize folders beside them. It runs
// from the repository's root. With -image it writes none of them, but prints
// one with another image.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// Image is the reference in the folders, which users replace.
const Image = "signalbox:latest"

// manifests are the files, by the folder that they are made from.
var manifests = map[string]string{"install": "install.yaml", "namespaced": "namespace-install.yaml"}

func main() {
	image := flag.String("image", "", "image reference; print a manifest with it")
	overlay := flag.String("print", "install", "folder in config that -image prints: install or namespaced")
	flag.Parse()
	if err := run("config", *image, *overlay, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "installgen:", err)
		os.Exit(1)
	}
}

func run(config, image, overlay string, out io.Writer) error {
	if image != "" {
		text, err := build(filepath.Join(config, overlay), image)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	for overlay, file := range manifests {
		text, err := build(filepath.Join(config, overlay), Image)
		if err != nil {
			return err
		}
		text = append([]byte("# Made by make generate. Do not edit.\n"), text...)
		if err := os.WriteFile(filepath.Join(config, file), text, 0o644); err != nil { //nolint:gosec // a source tree
			return err
		}
	}
	return nil
}

// build is what "kubectl kustomize FOLDER" prints, with an image.
func build(folder, image string) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // namespaces and definitions first
	objects, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	if err := setImage(objects, image); err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	text, err := objects.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	return append(bytes.TrimSpace(text), '\n'), nil
}

// setImage sets the controller's image, and the one that the controller gives
// to the pods it makes.
func setImage(objects resmap.ResMap, image string) error {
	places := 0
	for _, r := range objects.Resources() {
		if r.GetKind() != "Deployment" {
			continue
		}
		containers, err := r.Pipe(kyaml.Lookup("spec", "template", "spec", "containers"))
		if err != nil {
			return err
		}
		err = containers.VisitElements(func(c *kyaml.RNode) error {
			places++
			if err := c.PipeE(kyaml.SetField("image", kyaml.NewStringRNode(image))); err != nil {
				return err
			}
			env, err := c.Pipe(kyaml.Lookup("env", "[name=SIGNALBOX_IMAGE]"))
			if err != nil || env == nil {
				return err
			}
			places++
			return env.PipeE(kyaml.SetField("value", kyaml.NewStringRNode(image)))
		})
		if err != nil {
			return err
		}
	}
	if places != 2 {
		return fmt.Errorf("want the image in 2 places, found %d", places)
	}
	return nil
}
