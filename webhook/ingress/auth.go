package ingress

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// CheckBearer wants the header "Authorization: Bearer TOKEN", with the token of
// the secret. The error is an *Error: 401, or 500 if the secret cannot be read.
func CheckBearer(r *http.Request, ref *corev1.SecretKeySelector, secrets secret.Reader) error {
	return checkBearer(r, ref, nil, secrets)
}

// checkBearer also takes the tokens of accepted, those that can be read. A token
// that is none of them any more is refused at once: unlike the secret of a
// vendor's hook, it is in clear in each request.
func checkBearer(r *http.Request, ref *corev1.SecretKeySelector, accepted []corev1.SecretKeySelector, secrets secret.Reader) error {
	want, err := ReadKey(r.Context(), secrets, ref)
	if err != nil {
		return err
	}
	scheme, got, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return &Error{Status: http.StatusUnauthorized, Text: "want the header Authorization: Bearer TOKEN", Challenge: "Bearer"}
	}
	token := []byte(strings.TrimSpace(got))
	if Same(token, want) {
		return nil
	}
	for i := range accepted {
		if other, err := ReadKey(r.Context(), secrets, &accepted[i]); err == nil && Same(token, other) {
			return nil
		}
	}
	return &Error{Status: http.StatusUnauthorized, Text: "the token is wrong", Challenge: `Bearer error="invalid_token"`}
}

// CheckBasic wants the user name and the password of the secrets. The error is
// an *Error: 401, or 500 if a secret cannot be read.
func CheckBasic(r *http.Request, b *v1alpha1.BasicAuth, secrets secret.Reader) error {
	wantUser, err := ReadKey(r.Context(), secrets, b.Username)
	if err != nil {
		return err
	}
	wantPassword, err := ReadKey(r.Context(), secrets, b.Password)
	if err != nil {
		return err
	}
	const challenge = `Basic realm="signalbox", charset="UTF-8"`
	user, password, ok := r.BasicAuth()
	if !ok {
		return &Error{Status: http.StatusUnauthorized, Text: "want a user name and a password", Challenge: challenge}
	}
	// Both are compared, so that the time does not tell which one is wrong.
	sameUser, samePassword := Same([]byte(user), wantUser), Same([]byte(password), wantPassword)
	if !sameUser || !samePassword {
		return &Error{Status: http.StatusUnauthorized, Text: "the user name or the password is wrong", Challenge: challenge}
	}
	return nil
}

// CheckHMAC wants signature to be the hex HMAC of body. The error is an *Error: 401.
func CheckHMAC(hash func() hash.Hash, key, body []byte, signature string) error {
	got, err := hex.DecodeString(signature)
	if err != nil {
		return &Error{Status: http.StatusUnauthorized, Text: "the signature is not hexadecimal"}
	}
	mac := hmac.New(hash, key)
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), got) {
		return &Error{Status: http.StatusUnauthorized, Text: "the signature does not match"}
	}
	return nil
}

// Same compares two secrets in a time that depends on neither's content.
func Same(a, b []byte) bool {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// ReadKey reads a secret that requests are checked against. A missing or empty
// one is an error, because it would let everybody pass. The error is an *Error: 500.
func ReadKey(ctx context.Context, secrets secret.Reader, ref *corev1.SecretKeySelector) ([]byte, error) {
	if ref == nil {
		return nil, unreadable(errors.New("no secret is named"))
	}
	key, err := secrets.Secret(ctx, ref)
	if err != nil {
		return nil, unreadable(err)
	}
	if len(key) == 0 {
		return nil, unreadable(fmt.Errorf("secret %q, key %q is missing or empty", ref.Name, ref.Key))
	}
	return key, nil
}

func unreadable(err error) *Error {
	return &Error{Status: http.StatusInternalServerError, Text: "the server cannot check credentials at the moment", Cause: err}
}
