package argorollout_test

import (
	"os"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// TestRights acts as a service account: without any rights, with those that promote needs, and
// with the Role of the README.
func TestRights(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: base}, spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: "+template("app:1")+"}}")
	l.create(rollouts, "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}, spec: {workloadRef: {apiVersion: apps/v1, kind: Deployment, name: base}, strategy: {canary: {steps: "+steps+"}}}}")
	healthy(p, "web")
	own := cluster.Of(l.kube.ServiceAccount(t, l.ns, "web"))
	t.Cleanup(own.Close)
	l.env.Kubernetes = own
	const set = "{operation: setImage, name: web, setImage: {container: app, image: 'app:2'}}"
	if err := l.failure(set, 1, `setImage rollout NS/web: rollouts.argoproj.io "web" is forbidden`); trigger.IsPermanent(err) {
		t.Error("it is not tried again")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```yaml\napiVersion: rbac")
	block, _, _ = strings.Cut("apiVersion: rbac"+block, "```")
	roleText, bindingText, ok := strings.Cut(block, "---\n")
	if !ok {
		t.Fatal("the README has no Role")
	}
	var role rbacv1.Role
	var binding rbacv1.RoleBinding
	if err := yaml.UnmarshalStrict([]byte(roleText), &role); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(bindingText), &binding); err != nil {
		t.Fatal(err)
	}
	binding.Subjects[0].Namespace = l.ns
	admin, err := kubernetes.NewForConfig(l.kube.Config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().Roles(l.ns).Create(t.Context(), &role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().RoleBindings(l.ns).Create(t.Context(), &binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	tr := l.build(set)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := tr.Fire(t.Context(), l.input(1)); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	pausedAt(p, "web", 1)
	l.fire("{operation: pause, name: web}", 2, "paused rollout NS/web")
	p.Await("web", "paused by hand", is(map[string]string{"status.message": `"manually paused"`}))
	l.fire("{operation: promote, name: web}", 3, "unpaused and promoted rollout NS/web")
	pausedAt(p, "web", 3)
	l.fire("{operation: undo, name: web}", 4, "put revision 1 back in rollout NS/web")
	healthy(p, "web")
}
