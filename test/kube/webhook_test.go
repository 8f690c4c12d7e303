package kube_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	regv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signalbox-events/signalbox/test/kube"
)

// warnings notes what the API server warns of.
type warnings struct{ got []string }

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) { w.got = append(w.got, text) }

// hook has the API server ask answer before config maps are made in ns.
func hook(t *testing.T, c *kube.Cluster, ns string, answer func(name string) *admissionv1.AdmissionResponse) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = answer(review.Request.Name)
		review.Response.UID = review.Request.UID
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	url, none, fail := server.URL, regv1.SideEffectClassNone, regv1.Fail
	hooks := client(t, c.Config()).AdmissionregistrationV1().ValidatingWebhookConfigurations()
	config, err := hooks.Create(t.Context(), &regv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Webhooks: []regv1.ValidatingWebhook{{
			Name:                    "hook.example.com",
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             &none,
			FailurePolicy:           &fail,
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}},
			ClientConfig: regv1.WebhookClientConfig{
				URL:      &url,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []regv1.RuleWithOperations{{
				Operations: []regv1.OperationType{regv1.Create},
				Rule:       regv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hooks.Delete(context.Background(), config.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	maps := client(t, c.Config()).CoreV1().ConfigMaps(ns)
	eventually(t, "the webhook is asked", func() bool {
		_, err := maps.Create(t.Context(), configMap("bad"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "too bad")
	})
}

func TestWebhookInTheTestProcessIsAsked(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	hook(t, c, ns, func(name string) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{
			Allowed:  name != "bad",
			Result:   &metav1.Status{Message: "too bad"},
			Warnings: []string{"seen"},
		}
	})
	said := &warnings{}
	as := c.Config()
	as.WarningHandler = said
	if _, err := client(t, as).CoreV1().ConfigMaps(ns).Create(t.Context(), configMap("good"), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if len(said.got) != 1 || said.got[0] != "seen" {
		t.Errorf("warnings %q", said.got)
	}
}

func TestWritesWaitsForARequestUnderWay(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	hook(t, c, ns, func(name string) *admissionv1.AdmissionResponse {
		if name == "slow" {
			close(asked)
			<-answer
		}
		return &admissionv1.AdmissionResponse{Allowed: name != "bad", Result: &metav1.Status{Message: "too bad"}}
	})
	since := time.Now()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() {
		if _, err := client(t, c.Config()).CoreV1().ConfigMaps(ns).Create(t.Context(), configMap("slow"), metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	})
	<-asked
	// Long enough for a Writes that does not wait to miss the request.
	time.AfterFunc(200*time.Millisecond, func() { close(answer) })
	got := c.Writes(t, since)
	if len(got) != 1 || got[0].Name != "slow" || got[0].Code != http.StatusCreated {
		t.Errorf("got %+v", got)
	}
	<-answer
}
