package kube_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// eventually fails the test if ok does not give true within a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

func TestKubectlSeesWhatAClientHasMade(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	if _, err := client(t, c.Config()).CoreV1().ConfigMaps(ns).Create(t.Context(), configMap("a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if out, _, err := c.Kubectl(t, "get", "configmap", "-n", ns, "-o", "name"); err != nil || out != "configmap/a\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, _, err := c.Kubectl(t, "explain", "deployment.spec.replicas"); err != nil || !strings.Contains(out, "FIELD: replicas <integer>") {
		t.Errorf("got %q, %v", out, err)
	}
	_, stderr, err := c.Kubectl(t, "get", "configmap", "none", "-n", ns)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr, "NotFound") {
		t.Errorf("got %q, %v", stderr, err)
	}
}

func TestKubectlAppliesItsInputAsAUser(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: " + ns + "}\n"
	if out, _, err := c.KubectlAs(t, c.Config(), manifest, "apply", "--server-side", "--dry-run=server", "-f", "-"); err != nil {
		t.Errorf("got %q, %v", out, err)
	}
	if _, stderr, err := c.KubectlAs(t, c.User(t, "nobody"), manifest, "apply", "-f", "-"); err == nil || !strings.Contains(stderr, "Forbidden") {
		t.Errorf("got %q, %v", stderr, err)
	}
}

func TestUserMayDoWhatRBACGives(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	admin := client(t, c.Config())
	for name, user := range map[string]struct {
		config  *rest.Config
		subject rbacv1.Subject
	}{
		"user":  {c.User(t, "ann"), rbacv1.Subject{Kind: "User", Name: "ann", APIGroup: rbacv1.GroupName}},
		"group": {c.User(t, "bob", "readers"), rbacv1.Subject{Kind: "Group", Name: "readers", APIGroup: rbacv1.GroupName}},
		"service account by token": {
			c.ServiceAccount(t, ns, "one"),
			rbacv1.Subject{Kind: "ServiceAccount", Name: "one", Namespace: ns},
		},
		"service account by name": {
			c.User(t, "system:serviceaccount:"+ns+":two", "system:serviceaccounts"),
			rbacv1.Subject{Kind: "ServiceAccount", Name: "two", Namespace: ns},
		},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := client(t, user.config).CoreV1().Secrets(ns)
			list := func() error {
				_, err := secrets.List(t.Context(), metav1.ListOptions{})
				return err
			}
			if err := list(); !apierrors.IsForbidden(err) {
				t.Fatalf("without a role: %v", err)
			}
			name := strings.ReplaceAll(name, " ", "-")
			_, err := admin.RbacV1().Roles(ns).Create(t.Context(), &rbacv1.Role{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}}},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = admin.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Subjects:   []rbacv1.Subject{user.subject},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "may list", func() bool { return list() == nil })
		})
	}
}

func TestTokenSaysWhoItIs(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	who, err := client(t, c.ServiceAccount(t, ns, "runner")).AuthenticationV1().SelfSubjectReviews().
		Create(t.Context(), &authv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "system:serviceaccount:" + ns + ":runner"; who.Status.UserInfo.Username != want {
		t.Errorf("got %q, want %q", who.Status.UserInfo.Username, want)
	}
}

func TestNamespaceIsGoneAfterTheTest(t *testing.T) {
	c := kube.Start(t)
	api := client(t, c.Config())
	var ns string
	t.Run("fill", func(t *testing.T) {
		ns = c.Namespace(t)
		if _, err := api.CoreV1().Pods(ns).Create(t.Context(), pod("p"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		held := configMap("held")
		held.Finalizers = []string{"example.com/wait"}
		if _, err := api.CoreV1().ConfigMaps(ns).Create(t.Context(), held, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := api.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace: %v", err)
	}
	for what, list := range map[string]func() (int, error){
		"pods": func() (int, error) {
			l, err := api.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
			return len(l.Items), err
		},
		"config maps": func() (int, error) {
			l, err := api.CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{})
			return len(l.Items), err
		},
	} {
		if n, err := list(); n != 0 || err != nil {
			t.Errorf("%d %s are left, %v", n, what, err)
		}
	}
}

func TestPodSecurityIsEnforced(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	if _, _, err := c.Kubectl(t, "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted"); err != nil {
		t.Fatal(err)
	}
	_, err := client(t, c.Config()).CoreV1().Pods(ns).Create(t.Context(), pod("p"), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("got %v", err)
	}
}

func TestFlagsAreOfAClusterOfTheirOwn(t *testing.T) {
	c := kube.Start(t, kube.Flags("--runtime-config=apps/v1=false"))
	if c == kube.Start(t) {
		t.Fatal("the shared one")
	}
	if _, err := client(t, c.Config()).AppsV1().Deployments("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func get(t *testing.T, config *rest.Config, ns, name string) error {
	t.Helper()
	_, err := client(t, config).CoreV1().ConfigMaps(ns).Get(t.Context(), name, metav1.GetOptions{})
	return err
}

// away tells whether the API does not answer. A client that tries again and
// again does so for one second.
func away(t *testing.T, config *rest.Config) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := client(t, config).CoreV1().ConfigMaps("default").Get(ctx, "none", metav1.GetOptions{})
	return err != nil && !apierrors.IsNotFound(err)
}
