package admission

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	regv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Two replicas share the Secret. Certificates live for seconds, so that
// authorities and certificates are renewed several times while objects come
// without a pause. A request that fails is refused by the failure policy.
func TestCertificatesRotateWithoutAFailedRequest(t *testing.T) {
	c := install(t, "Fail")
	ns := c.Namespace(t)
	began := time.Now()
	life := lifetimes{authority: 15 * time.Second, leaf: 6 * time.Second, settle: time.Second}
	config := c.config(t)
	config.life = life
	start(t, New(config))
	second := config
	second.listener = nil
	second.Addr = "127.0.0.1:0"
	start(t, New(second))
	c.asked(t, ns)

	api := clientOf(t, c.Config())
	look := func() (leaf, authority []byte, hooks *regv1.ValidatingWebhookConfiguration) {
		secret := &corev1.Secret{}
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: Name}, secret); err != nil {
			t.Fatal(err)
		}
		hooks = &regv1.ValidatingWebhookConfiguration{}
		if err := api.Get(t.Context(), client.ObjectKey{Name: Configuration}, hooks); err != nil {
			t.Fatal(err)
		}
		return secret.Data[keyLeaf], firstOf(parse(secret.Data).trusted), hooks
	}

	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			for ctx.Err() == nil {
				_, err := dryRun(t, c.Config(), in(t, ns, goodSource))
				if err != nil && ctx.Err() == nil {
					t.Errorf("after %s and %d requests: %v", time.Since(began), asked.Load(), err)
				}
				asked.Add(1)
			}
		})
	}
	defer work.Wait()
	defer cancel()
	leaves, authorities := map[string]bool{}, map[string]bool{}
	eventually(t, "two more authorities", func() error {
		leaf, authority, hooks := look()
		leaves[string(leaf)], authorities[string(authority)] = true, true
		if n := bytes.Count(hooks.Webhooks[0].ClientConfig.CABundle, []byte("BEGIN")); n > 4 {
			t.Errorf("%d authorities are trusted", n)
		}
		if len(authorities) < 3 || len(leaves) < 4 || t.Failed() {
			return fmt.Errorf("%d authorities, %d certificates", len(authorities), len(leaves))
		}
		return nil
	})
	cancel()
	work.Wait()
	t.Logf("%d requests, %d authorities, %d certificates in %s", asked.Load(), len(authorities), len(leaves), time.Since(began))

	// Only the changes were written: no write for each look.
	writes := map[string]int{}
	for _, w := range c.Writes(t, began) {
		if strings.HasSuffix(w.User, ":"+controllerAccount) && w.Code < 300 {
			writes[w.Verb+" "+w.Resource]++
		}
	}
	changes := len(leaves) + len(authorities)
	if n := writes["update secrets"] + writes["create secrets"]; n < changes-2 || n > changes+2 {
		t.Errorf("the Secret was written %d times for %d changes: %v", n, changes, writes)
	}
	if n := writes["patch validatingwebhookconfigurations"]; n < len(authorities) || n > 2*len(authorities)+2 {
		t.Errorf("the configuration was written %d times for %d authorities", n, len(authorities))
	}
}

// Whoever takes the caBundle or the Secret away gets them back.
func TestWhatIsRemovedComesBack(t *testing.T) {
	c := install(t, "Fail")
	ns := c.Namespace(t)
	start(t, New(c.config(t)))
	c.asked(t, ns)
	for name, args := range map[string][]string{
		"the caBundle": {"patch", "validatingwebhookconfigurations", Configuration, "--type=json", "-p", `[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`},
		"the Secret":   {"-n", systemNamespace, "delete", "secret", Name},
	} {
		if _, _, err := c.Kubectl(t, args...); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is back", func() error {
			hooks, secret := &regv1.ValidatingWebhookConfiguration{}, &corev1.Secret{}
			api := clientOf(t, c.Config())
			if err := api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: Name}, secret); err != nil {
				return err
			}
			if err := api.Get(t.Context(), client.ObjectKey{Name: Configuration}, hooks); err != nil {
				return err
			}
			if b := hooks.Webhooks[0].ClientConfig.CABundle; len(b) == 0 || !bytes.Equal(b, secret.Data[keyTrusted]) {
				return fmt.Errorf("caBundle of %d bytes", len(b))
			}
			return nil
		})
		c.asked(t, ns)
	}
}
