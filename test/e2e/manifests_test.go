//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const access = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: maker}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: maker}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [create, get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: maker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: maker}
subjects: [{kind: ServiceAccount, name: maker}]
`

const sources = `
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: webhook}
spec:
  service: {ports: [{port: 12000, targetPort: 12000}]}
  webhook:
    push: {port: "12000", endpoint: /push, method: POST}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: clock}
spec:
  calendar:
    tick: {interval: 5s}
`

const sensor = `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: hook}
spec:
  template: {serviceAccountName: maker}
  dependencies:
  - {name: push, eventSourceName: webhook, eventName: push}
  - {name: tick, eventSourceName: clock, eventName: tick}
  triggers:
  - template:
      name: make
      conditions: push
      k8s:
        operation: create
        source:
          resource:
            apiVersion: v1
            kind: ConfigMap
            metadata:
              generateName: hook-
              labels: {made-by: hook}
            data: {ref: replaced}
        parameters:
        - src: {dependencyName: push, dataKey: body.ref}
          dest: data.ref
    retryStrategy: {steps: 10, duration: 1s}
  - template:
      name: note
      conditions: tick
      k8s:
        operation: create
        source:
          resource:
            apiVersion: v1
            kind: ConfigMap
            metadata: {generateName: clock-, labels: {made-by: clock}}
    retryStrategy: {steps: 10, duration: 1s}
`

var errNone = errors.New("not yet")

// only keeps the objects of some kinds.
func only(manifest string, keep func(kind string) bool) string {
	var out []string
	for _, doc := range strings.Split(manifest, "\n---\n") {
		for _, line := range strings.Split(doc, "\n") {
			if kind, ok := strings.CutPrefix(line, "kind: "); ok {
				if keep(strings.TrimSpace(kind)) {
					out = append(out, doc)
				}
				break
			}
		}
	}
	return strings.Join(out, "\n---\n")
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (u *user) count(namespace, labels string) int {
	u.Helper()
	list, err := u.resource(corev1.SchemeGroupVersion.WithKind("ConfigMap"), namespace).List(u.Context(), metav1.ListOptions{LabelSelector: labels})
	if err != nil {
		u.Fatal(err)
	}
	return len(list.Items)
}

// applyUnchecked applies what admission may refuse; then nothing has changed,
// which is just as well.
func (u *user) applyUnchecked(namespace, manifest string) {
	u.Helper()
	for _, o := range parse(u.T, manifest) {
		_, err := u.resource(o.GroupVersionKind(), namespace).Apply(u.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "e2e", Force: true})
		if err == nil {
			u.Errorf("admission let %s %s pass", o.GetKind(), o.GetName())
		} else if !strings.Contains(err.Error(), "obliterate") {
			u.Errorf("the refusal does not name the mistake: %v", err)
		}
	}
}

// tell shows what a person would look at when something does not work.
func tell(u *user) {
	for _, ns := range []string{system, "signalbox-e2e-old", "signalbox-e2e"} {
		for _, p := range u.pods(ns, "") {
			u.Logf("pod %s/%s: %s", ns, p.Name, text(p.Status.Conditions))
		}
	}
}
