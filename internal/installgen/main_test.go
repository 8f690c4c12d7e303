package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/test/kube"
)

const configDir = "../../config"

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // else the library complains
	// When a recorder of events ends, the library's watch of them may wait for good.
	os.Exit(kube.Run(m, goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop")))
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(configDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestManifestsAreGenerated(t *testing.T) {
	for overlay, file := range manifests {
		want, err := build(filepath.Join(configDir, overlay), Image)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(read(t, file), want) {
			t.Errorf("%s differs: run make generate", file)
		}
	}
}

func TestImageIsSet(t *testing.T) {
	const image = "registry.example.com:5000/team/signalbox:v1.2.3@sha256:0123456789012345678901234567890123456789012345678901234567890123"
	for overlay := range manifests {
		var out bytes.Buffer
		if err := run(configDir, image, overlay, &out); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), image); n != 2 || strings.Contains(out.String(), Image) {
			t.Errorf("%s: the image is there %d times", overlay, n)
		}
	}
	if err := run(configDir, "a", "other", new(bytes.Buffer)); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

// One namespace gets the rights that a cluster gets, and no others.
func TestRulesAreTheSame(t *testing.T) {
	rules := func(file string) []rbacv1.PolicyRule {
		for _, doc := range bytes.Split(read(t, file), []byte("\n---\n")) {
			var role rbacv1.ClusterRole
			if err := yaml.Unmarshal(doc, &role); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(role.Kind, "Role") && role.Name == "signalbox-controller" {
				return role.Rules
			}
		}
		t.Fatalf("%s: no role", file)
		return nil
	}
	if whole, one := rules("install.yaml"), rules("namespace-install.yaml"); len(whole) == 0 || !reflect.DeepEqual(whole, one) {
		t.Errorf("%v\n%v", whole, one)
	}
}

// Nothing in them belongs to a cluster but the definitions, which only its
// administrator can apply.
func TestNamespaceInstallStaysInItsNamespace(t *testing.T) {
	for _, doc := range bytes.Split(read(t, "namespace-install.yaml"), []byte("\n---\n")) {
		var o struct {
			Kind     string
			Metadata struct{ Namespace string }
		}
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}
		switch o.Kind {
		case "CustomResourceDefinition", "ServiceAccount", "Role", "RoleBinding", "Deployment":
			if o.Metadata.Namespace != "" {
				t.Errorf("%s names the namespace %s", o.Kind, o.Metadata.Namespace)
			}
		default:
			t.Errorf("unexpected %s", o.Kind)
		}
	}
}

// etcd takes no object above 1.5 MB, and kubectl apply without --server-side
// keeps the whole of it in an annotation of at most 256 KiB.
func TestObjectsAreSmallEnough(t *testing.T) {
	for _, doc := range bytes.Split(read(t, "install.yaml"), []byte("\n---\n")) {
		if b, err := yaml.YAMLToJSON(doc); err != nil || len(b) > 240<<10 {
			t.Errorf("%d bytes, %v: %.80s", len(b), err, b)
		}
	}
}
