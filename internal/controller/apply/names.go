package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Labels on everything that the controller makes.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ComponentLabel = "app.kubernetes.io/component"
	InstanceLabel  = "app.kubernetes.io/instance"
)

// Labels of everything that is made for owner: managed-by; component, which is
// the kind in lower case; and instance, its name. It is also the selector of
// pods. The map is the caller's.
func Labels(owner client.Object) map[string]string {
	return LabelsOf(owner.GetObjectKind().GroupVersionKind().Kind, owner.GetName())
}

// LabelsOf is Labels for an object that may be gone.
func LabelsOf(kind, name string) map[string]string {
	return map[string]string{
		ManagedByLabel: Manager,
		ComponentLabel: strings.ToLower(kind),
		InstanceLabel:  LabelValue(name),
	}
}

// MostName is the length of a name that everything takes.
const MostName = 63

// Name fits name into most bytes and into what names of Services and pods may
// hold, which is no dot. What has to be changed ends in a hash.
func Name(name string, most int) string {
	fit := strings.ReplaceAll(name, ".", "-")
	if fit == name && len(name) <= most {
		return name
	}
	return cut(fit, name, most)
}

// LabelValue fits a name into the value of a label.
func LabelValue(name string) string {
	if len(name) <= MostName {
		return name
	}
	return cut(name, name, MostName)
}

func cut(fit, name string, most int) string {
	sum := sha256.Sum256([]byte(name))
	end := "-" + hex.EncodeToString(sum[:4])
	if n := most - len(end); len(fit) > n {
		fit = fit[:n]
	}
	return strings.TrimRight(fit, "-.") + end
}
