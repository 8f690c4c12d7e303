package githubapp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func TestAPI(t *testing.T) {
	for _, tc := range []struct{ scheme, host, want string }{
		{"https", "github.com", "https://api.github.com"},
		{"ssh", "acme.ghe.com", "https://api.acme.ghe.com"},
		{"https", "git.example.com:8443", "https://git.example.com:8443/api/v3"},
	} {
		if got := API(tc.scheme, tc.host); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.host, got, tc.want)
		}
	}
}

// What GitHub makes of good keys is tested where the tokens are used.
func TestKeysThatAreNone(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]string{
		"privateKey holds no PEM":     "secret",
		"privateKey holds no RSA key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	} {
		_, err := Installation{Key: []byte(key), AppID: 1, ID: 2}.Token(t.Context(), nil, "https://example.com")
		if !errors.Is(err, ErrKey) || err.Error() != want || strings.Contains(err.Error(), key) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
