package k8s_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// TestRights has a service account that gets its role too late.
func TestRights(t *testing.T) {
	l := newLab(t)
	l.use(l.kube.ServiceAccount(t, l.ns, "runner"))
	tr := l.build("source: {resource: {" + order + "}}")
	l.fails(tr, l.input(1), false, `create configmap NS/order: configmaps is forbidden: User "system:serviceaccount:NS:runner" cannot create resource "configmaps"`)
	admin, err := kubernetes.NewForConfig(l.kube.Config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = admin.RbacV1().Roles(l.ns).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "maker"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err = admin.RbacV1().RoleBindings(l.ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "maker"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "runner", Namespace: l.ns}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "maker"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.fireUntil(tr, l.input(1))
	l.get(configMaps, "order")
}

func TestBusyAPI(t *testing.T) {
	l := newLab(t)
	tr := l.build("source: {resource: {" + order + "}}")
	l.wire.set(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPost {
			return nil, nil
		}
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Type", "application/json")
		rec.WriteHeader(http.StatusTooManyRequests)
		_, _ = rec.WriteString(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"busy","reason":"TooManyRequests","details":{"retryAfterSeconds":7},"code":429}`)
		return rec.Result(), nil
	})
	if err := l.failure(tr, l.input(1), false, "create configmap NS/order: busy"); trigger.AskedWait(err) != 7*time.Second {
		t.Errorf("the wait is %v", trigger.AskedWait(err))
	}
}

func TestWithoutAPI(t *testing.T) {
	l := newLab(t)
	l.env.Kubernetes = nil
	l.fails(l.build("source: {resource: {"+order+"}}"), l.input(1), false, "create ConfigMap: there is no Kubernetes API")
}

func TestSources(t *testing.T) {
	l := newLab(t)
	text := func(name string) string { return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n" }
	l.env.PutConfigMap("objects", "one", text("of-configmap"))
	path := filepath.Join(t.TempDir(), "object.yaml")
	if err := os.WriteFile(path, []byte("---\n"+text("of-file")+"---\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text("of-url"))) }))
	defer s.Close()
	for name, source := range map[string]string{
		"of-configmap": "configmap: {name: objects, key: one}",
		"of-file":      "file: {path: " + path + "}",
		"of-url":       "url: {path: '" + s.URL + "'}",
		"of-inline":    "inline: '{apiVersion: v1, kind: ConfigMap, metadata: {name: of-inline}}'",
	} {
		tr := l.build("{source: {" + source + "}, parameters: [{src: {dependencyName: dep, dataKey: text}, dest: data.text}]}")
		l.fire(tr, l.input(1), "created configmap NS/"+name)
		wantFields(t, l.get(configMaps, name), map[string]string{"data": "{\"text\":\"number 1 \\u003c\\u0026\\u003e\"}"})
	}
	l.env.PutConfigMap("objects", "two", "[")
	l.fails(l.build("source: {configmap: {name: objects, key: two}}"), l.input(1), false, "configmap objects/two: ")
	l.env.PutConfigMap("objects", "three", text("a")+"---\n"+text("b"))
	l.fails(l.build("source: {configmap: {name: objects, key: three}}"), l.input(1), false, "configmap objects/three: there is more than one object")
}
