package kube

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// Granted is how to connect as a service account that has, in its namespace, the
// rights of the Roles in a text such as a README, and nothing else. Bindings and
// names in the text are not looked at.
func (c *Cluster) Granted(t testing.TB, namespace, account, file string) *rest.Config {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // a test says which
	if err != nil {
		t.Fatal(err)
	}
	var rules []rbacv1.PolicyRule
	for _, block := range strings.Split(string(text), "\n```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		for _, doc := range strings.Split(block, "\n---\n") {
			var role rbacv1.Role
			if yaml.Unmarshal([]byte(doc), &role) == nil && (role.Kind == "Role" || role.Kind == "ClusterRole") {
				rules = append(rules, role.Rules...)
			}
		}
	}
	if len(rules) == 0 {
		t.Fatalf("%s has no Role", file)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	api, done := client(t, c.admin)
	defer done()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: account}, Rules: rules}
	if _, err := api.RbacV1().Roles(namespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: namespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
	}
	if _, err := api.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	config := c.ServiceAccount(t, namespace, account)
	c.awaitRight(ctx, t, config, namespace, &rules[0])
	return config
}

// awaitRight waits until the API server has heard of the binding.
func (c *Cluster) awaitRight(ctx context.Context, t testing.TB, config *rest.Config, namespace string, rule *rbacv1.PolicyRule) {
	t.Helper()
	api, done := client(t, config)
	defer done()
	resource, sub, _ := strings.Cut(rule.Resources[0], "/")
	review := &authzv1.SelfSubjectAccessReview{Spec: authzv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authzv1.ResourceAttributes{
		Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: resource, Subresource: sub,
	}}}
	for {
		got, err := api.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && got.Status.Allowed {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the right to %s %s does not come: %v", rule.Verbs[0], rule.Resources[0], err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// client leaves no connection behind once done is called.
func client(t testing.TB, config *rest.Config) (_ kubernetes.Interface, done func()) {
	t.Helper()
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	api, err := kubernetes.NewForConfigAndClient(config, h)
	if err != nil {
		t.Fatal(err)
	}
	return api, h.CloseIdleConnections
}
