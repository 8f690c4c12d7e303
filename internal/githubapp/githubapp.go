// Package githubapp gets tokens as an installed GitHub App: it signs who it is,
// and GitHub answers with a token of the installation.
package githubapp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// TokenLife is how long a token should be used. GitHub takes it for an hour.
	TokenLife = 50 * time.Minute
	// TokenUser is the user that git over HTTP sends a token with.
	TokenUser = "x-access-token"
	// maxAnswer bounds GitHub's answer, in bytes.
	maxAnswer = 64 << 10
)

// Installation is an App that is installed for an owner of repositories.
type Installation struct {
	// Key is the App's private key, PEM.
	Key []byte
	// AppID of the App, ID of the installation.
	AppID, ID int64
}

// StatusError is an answer of GitHub without a token.
type StatusError struct {
	Code   int
	Status string
}

// Error implements error.
func (e *StatusError) Error() string {
	return "answers " + e.Status + " to a request for a token"
}

// ErrKey is what errors wrap if the private key cannot be used.
var ErrKey = errors.New("privateKey")

// API is the address of the API that belongs to a GitHub at scheme and host, which
// may have a port.
func API(scheme, host string) string {
	if host == "github.com" || strings.HasSuffix(host, ".ghe.com") {
		return "https://api." + host
	}
	return scheme + "://" + host + "/api/v3"
}

// Token asks the API at that address for a token. The error is a *StatusError if
// GitHub gives none, and wraps ErrKey if it was not even asked. No error has the address.
func (i Installation) Token(ctx context.Context, client *http.Client, api string) (string, error) {
	jwt, err := i.jwt(time.Now())
	if err != nil {
		return "", err
	}
	at := fmt.Sprintf("%s/app/installations/%d/access_tokens", strings.TrimRight(api, "/"), i.ID)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil {
		return "", errors.New("the API's address is not valid")
	}
	req.Header.Set("Authorization", "Bearer "+jwt)
	req.Header.Set("Accept", "application/vnd.github+json")
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	if resp.StatusCode != http.StatusCreated {
		return "", &StatusError{resp.StatusCode, resp.Status}
	}
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		return "", errors.New("the answer to a request for a token has none")
	}
	return answer.Token, nil
}

// jwt signs what an App shows to get a token: RS256, good for nine minutes and
// from a minute ago, because clocks differ.
func (i Installation) jwt(now time.Time) (string, error) {
	block, _ := pem.Decode(append(bytes.TrimSpace(i.Key), '\n'))
	if block == nil {
		return "", fmt.Errorf("%w holds no PEM", ErrKey)
	}
	private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		other, err8 := x509.ParsePKCS8PrivateKey(block.Bytes)
		rsaKey, ok := other.(*rsa.PrivateKey)
		if err8 != nil || !ok {
			return "", fmt.Errorf("%w holds no RSA key", ErrKey)
		}
		private = rsaKey
	}
	claims, err := json.Marshal(map[string]any{
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": strconv.FormatInt(i.AppID, 10),
	})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
