package ingress

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/internal/secret"
)

// authority checks clients' certificates. The handshake has made sure that the
// client holds the key of the one that it shows; whose it has to be is a matter
// of the route, since those of a port may want different ones.
type authority struct {
	ref     *corev1.SecretKeySelector
	secrets secret.Reader

	mu    sync.Mutex
	pem   []byte
	roots *x509.CertPool
}

// check wants a client certificate of the authority. The error is an *Error: 401,
// or 500 if the authority's certificate cannot be read.
func (a *authority) check(r *http.Request) error {
	roots, err := a.read(r.Context())
	if err != nil {
		return err
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return &Error{Status: http.StatusUnauthorized, Text: "want a client certificate"}
	}
	others := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		others.AddCert(c)
	}
	_, err = r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: others, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return &Error{Status: http.StatusUnauthorized, Text: "the client certificate is not accepted", Cause: err}
	}
	return nil
}

func (a *authority) read(ctx context.Context) (*x509.CertPool, error) {
	pem, err := ReadKey(ctx, a.secrets, a.ref)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.roots != nil && bytes.Equal(pem, a.pem) {
		return a.roots, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, unreadable(noCertificate(a.ref))
	}
	a.pem, a.roots = bytes.Clone(pem), roots
	return roots, nil
}
