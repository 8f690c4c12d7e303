package artifact

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
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// token gets a token of the installation, which GitHub takes for an hour, from
// the API that belongs to the repository's server.
func (a *GithubApp) token(ctx context.Context, env trigger.Env, client *http.Client, ep *transport.Endpoint) (string, error) {
	key, err := env.Secrets.Secret(ctx, a.PrivateKey)
	if err != nil {
		return "", lasting{err}
	}
	jwt, err := a.jwt(key, time.Now())
	if err != nil {
		return "", lasting{err}
	}
	url := fmt.Sprintf("%s/app/installations/%d/access_tokens", githubAPI(ep), a.InstallationID)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return "", lasting{unquoted(err)}
	}
	req.Header.Set("Authorization", "Bearer "+jwt)
	req.Header.Set("Accept", "application/vnd.github+json")
	resp, err := client.Do(req)
	if err != nil {
		return "", unquoted(err)
	}
	defer resp.Body.Close()
	body, err := read(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", unwanted(resp.StatusCode, fmt.Errorf("%s to a request for a token", resp.Status))
	}
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		return "", last("the answer to a request for a token has none")
	}
	return answer.Token, nil
}

// githubAPI is the address of the API of GitHub, or of an Enterprise Server.
func githubAPI(ep *transport.Endpoint) string {
	if ep.Host == "github.com" {
		return "https://api.github.com"
	}
	host := ep.Host
	if ep.Port > 0 {
		host = net.JoinHostPort(host, strconv.Itoa(ep.Port))
	}
	return ep.Protocol + "://" + host + "/api/v3"
}

// jwt signs what an app shows to get a token: RS256, good for nine minutes and
// from a minute ago, because clocks differ.
func (a *GithubApp) jwt(key []byte, now time.Time) (string, error) {
	block, _ := pem.Decode(append(bytes.TrimSpace(key), '\n'))
	if block == nil {
		return "", fmt.Errorf("privateKey holds no PEM")
	}
	private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		pkcs8, err8 := x509.ParsePKCS8PrivateKey(block.Bytes)
		rsaKey, ok := pkcs8.(*rsa.PrivateKey)
		if err8 != nil || !ok {
			return "", fmt.Errorf("privateKey holds no RSA key: %w", err)
		}
		private = rsaKey
	}
	claims, err := json.Marshal(map[string]any{
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": strconv.FormatInt(a.AppID, 10),
	})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
