package admission

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	regv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kyaml "sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/test/kube"
)

const (
	installFile       = "../../config/install.yaml"
	systemNamespace   = "signalbox-system"
	controllerAccount = "signalbox-controller"
)

// documents are the objects of a text.
func documents(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for r := yaml.NewYAMLReader(bufioReader(text)); ; {
		doc, err := r.Read()
		if err == io.EOF { //nolint:errorlint // as it is documented
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		if err := kyaml.Unmarshal(doc, &o.Object); err != nil {
			t.Fatal(err)
		}
		if o.Object != nil {
			objects = append(objects, o)
		}
	}
}

// installed is a cluster to which config/install.yaml was applied, with an
// address on this machine in the place of the Service.
type installed struct {
	*kube.Cluster
	listener net.Listener
	policy   string
}

// install applies the manifest. The test starts the server.
func install(t *testing.T, policy string) *installed {
	t.Helper()
	c := &installed{Cluster: kube.Start(t), policy: policy}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c.listener = l
	text, err := os.ReadFile(installFile)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, o := range documents(t, text) {
		if o.GetKind() == "ValidatingWebhookConfiguration" {
			hook := o.Object["webhooks"].([]any)[0].(map[string]any)
			hook["clientConfig"] = map[string]any{"url": "https://" + l.Addr().String() + Path}
			hook["failurePolicy"] = policy
			hook["timeoutSeconds"] = 5
		}
		b, err := kyaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "---\n%s", b)
	}
	if _, _, err := c.KubectlAs(t, c.Config(), out.String(), "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, api := context.Background(), clientOf(t, c.Config())
		hooks := &regv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: Configuration}}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: Name}}
		if err := errors.Join(api.Delete(ctx, hooks), client.IgnoreNotFound(api.Delete(ctx, secret))); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the definitions are served", func() error {
		_, _, err := c.Kubectl(t, "get", "eventbus,eventsources,sensors")
		return err
	})
	return c
}

// config is that of a server with the rights that the manifest gives.
func (c *installed) config(t *testing.T) Config {
	t.Helper()
	return Config{
		Client:    clientOf(t, c.ServiceAccount(t, systemNamespace, controllerAccount)),
		Namespace: systemNamespace,
		Manifests: allKinds(),
		Log:       slog.New(slog.NewTextHandler(t.Output(), nil)),
		hosts:     []string{"127.0.0.1"},
		every:     50 * time.Millisecond,
		listener:  c.listener,
	}
}

func clientOf(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs a server until the test ends, or the returned function is called.
func start(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits for ok, which says what is not so yet.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s: %v", what, err)
		}
	}
}

// said notes the warnings of the API server.
type said struct {
	mu   sync.Mutex
	text []string
}

func (s *said) HandleWarningHeader(_ int, _ string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, text)
}

// dryRun asks to create an object, and returns the warnings and the error.
func dryRun(t *testing.T, config *rest.Config, o *unstructured.Unstructured) ([]string, error) {
	t.Helper()
	said := &said{}
	config = rest.CopyConfig(config)
	config.WarningHandler = said
	err := clientOf(t, config).Create(t.Context(), o.DeepCopy(), client.DryRunAll)
	return said.text, err
}

func in(t *testing.T, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(objectOf(t, text).Raw); err != nil {
		t.Fatal(err)
	}
	o.SetNamespace(namespace)
	return o
}

// asked waits until the API server asks the webhook.
func (c *installed) asked(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, "the webhook is asked", func() error {
		_, err := dryRun(t, c.Config(), in(t, namespace, badSource))
		if err == nil || !strings.Contains(err.Error(), "spec.replicas: is negative") {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
}

func bufioReader(text []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(text)) }

func TestPeopleSeeWhatIsWrong(t *testing.T) {
	c := install(t, "Fail")
	ns := c.Namespace(t)
	start(t, New(c.config(t)))
	c.asked(t, ns)

	apply := func(text string) (string, string, error) {
		return c.KubectlAs(t, c.Config(), "apiVersion: argoproj.io/v1alpha1\n"+strings.TrimSpace(text), "-n", ns, "apply", "-f", "-")
	}
	_, stderr, err := apply(badSource)
	t.Log(stderr)
	for _, part := range []string{`The EventSource "hook" is invalid`, "\n* spec.webhook.push.endpoint: ", "\n* spec.replicas: "} {
		if err == nil || !strings.Contains(stderr, part) {
			t.Errorf("%q is not in\n%s%v", part, stderr, err)
		}
	}
	out, stderr, err := apply(oddSource)
	t.Log(stderr)
	for _, part := range []string{"Warning: spec.type: unknown key", "Warning: spec.kafka: sources of kind kafka are not supported yet"} {
		if err != nil || !strings.Contains(out, "created") || !strings.Contains(stderr, part) {
			t.Errorf("%q is not in\n%s%v", part, stderr, err)
		}
	}
}

// A wrong object that is stored, from before there was admission, can be
// labelled, reported on and deleted.
func TestStoredObjectsAreNotHeldUp(t *testing.T) {
	c := install(t, "Fail")
	ns := c.Namespace(t)
	api := clientOf(t, c.Config())
	o := in(t, ns, badSource)
	o.SetFinalizers([]string{"example.com/wait"})
	eventually(t, "the object can be stored without the webhook", func() error {
		_, _, err := c.Kubectl(t, "patch", "validatingwebhookconfigurations", Configuration, "--type=json", "-p",
			`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`)
		if err != nil {
			t.Fatal(err)
		}
		return api.Create(t.Context(), o)
	})
	start(t, New(c.config(t)))
	c.asked(t, ns)

	patch := func(what, sub, text string, good bool) {
		t.Helper()
		p := client.RawPatch("application/merge-patch+json", []byte(text))
		o := in(t, ns, badSource)
		var err error
		if sub == "" {
			err = api.Patch(t.Context(), o, p)
		} else {
			err = api.Status().Patch(t.Context(), o, p)
		}
		if (err == nil) != good {
			t.Errorf("%s: %v", what, err)
		}
	}
	patch("label", "", `{"metadata":{"labels":{"a":"b"}}}`, true)
	patch("status", "status", `{"status":{"conditions":[{"type":"Deployed","status":"False"}]}}`, true)
	patch("another mistake", "", `{"spec":{"replicas":-2}}`, false)
	if err := api.Delete(t.Context(), o); err != nil {
		t.Error(err)
	}
	patch("another spec while it is deleted, and without its finalizer", "", `{"metadata":{"finalizers":null},"spec":{"replicas":-3}}`, true)
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestObjectsAreTakenWhileTheWebhookIsAway(t *testing.T) {
	c := install(t, "Ignore")
	ns := c.Namespace(t)
	stop := start(t, New(c.config(t)))
	c.asked(t, ns)
	stop()
	warned, err := dryRun(t, c.Config(), in(t, ns, badSource))
	if err != nil || len(warned) != 0 {
		t.Errorf("%q %v", warned, err)
	}
}
