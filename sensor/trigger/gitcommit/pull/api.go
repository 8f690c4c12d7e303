package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/internal/githubapp"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

const (
	answerTime = 30 * time.Second
	answerSize = 8 << 20
)

// api speaks JSON with a provider's API.
type api struct {
	base    string
	config  Config
	secrets secret.Reader
	http    trigger.HTTP
	// sign puts the token into a request.
	sign func(r *http.Request, user, token string)

	mu      sync.Mutex
	app     string // a token of the App
	expires time.Time
}

// place sets the address of the API, unless it is given: the one that the
// provider has at the repository's host, below a path.
func (a *api) place(provider string, repo gitrepo.Place, below string) {
	if a.base != "" {
		return
	}
	host, scheme := repo.Host, "https"
	if repo.Web == "" { // ssh: its port is not the API's
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.TrimPrefix(strings.TrimPrefix(host, "altssh."), "ssh.")
	} else if strings.HasPrefix(repo.Web, "http://") {
		scheme = "http"
	}
	switch provider {
	case Bitbucket:
		a.base = "https://api.bitbucket.org/2.0"
	case GitHub:
		a.base = githubapp.API(scheme, host)
	case GitLab:
		a.base = scheme + "://" + host + "/api/v4"
	default:
		a.base = scheme + "://" + strings.TrimSuffix(host+"/"+below, "/") + "/api/v1"
	}
}

// call asks for path below the API's address, sends in as JSON unless it is nil,
// and reads the answer into out unless that is nil.
func (a *api) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	client, err := a.http.Client(ctx, a.config.TLS)
	if err != nil {
		return err
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return trigger.Permanent(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return trigger.Permanent(errors.New("the API's address is not valid"))
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := a.authorize(ctx, client, req); err != nil {
		return err
	}
	// What changes something must not become a question on its way elsewhere, and
	// the token is for this host alone.
	here := *client
	here.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) > 5 || via[0].Method != http.MethodGet || next.URL.Host != via[0].URL.Host || next.URL.Scheme != via[0].URL.Scheme {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := here.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("%s %s: %w", method, a.base+path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerSize+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", method, a.base+path, err)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return a.refused(resp, method, path, b)
	case len(b) > answerSize:
		return trigger.Permanent(fmt.Errorf("%s %s: the answer is larger than %d bytes", method, a.base+path, answerSize))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not the JSON that was asked for (is api right?): %w", method, a.base+path, err)
	}
	return nil
}

// refused is the error of an answer that is no success.
func (a *api) refused(resp *http.Response, method, path string, body []byte) error {
	var err error = &githost.StatusError{Method: method, URL: a.base + path, Status: resp.StatusCode, Text: said(body)}
	limited := hooks.RateLimits(resp)
	if limited == nil && resp.StatusCode == http.StatusForbidden && strings.Contains(strings.ToLower(said(body)), "rate limit") {
		limited = &hooks.Limited{Until: time.Now().Add(time.Minute)} // GitHub's secondary limit may come without a header
	}
	switch {
	case limited != nil:
		return trigger.After(err, time.Until(limited.Until))
	case resp.StatusCode == http.StatusUnauthorized:
		a.forget()
		return trigger.Permanent(fmt.Errorf("%w: the token is wrong or has expired", err))
	case resp.StatusCode == http.StatusForbidden:
		return trigger.Permanent(fmt.Errorf("%w: the token may not do that", err))
	case resp.StatusCode == http.StatusNotFound:
		return trigger.Permanent(fmt.Errorf("%w: the repository is not there, or the token may not see it", err))
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return trigger.Permanent(fmt.Errorf("%w: it has moved to %s", err, moved(resp)))
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusConflict:
		return trigger.Permanent(err)
	}
	return err
}

// moved is where an answer points to, without a query.
func moved(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil {
		return "nowhere"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

func (a *api) authorize(ctx context.Context, client *http.Client, r *http.Request) error {
	if a.config.GithubApp != nil {
		token, err := a.appToken(ctx, client)
		if err != nil {
			return fmt.Errorf("githubApp: %w", err)
		}
		a.sign(r, "", token)
		return nil
	}
	if a.config.Token == nil {
		return trigger.Permanent(errors.New("there is no token for the API: give pullRequest a token"))
	}
	token, err := githost.Value(ctx, a.secrets, a.config.Token)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if token == "" {
		return trigger.Permanent(errors.New("token: the secret is missing or empty"))
	}
	user, err := githost.Value(ctx, a.secrets, a.config.Username)
	if err != nil {
		return fmt.Errorf("username: %w", err)
	}
	a.sign(r, user, token)
	return nil
}

// appToken keeps a token of the App for as long as it is good.
func (a *api) appToken(ctx context.Context, client *http.Client) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.app != "" && time.Now().Before(a.expires) {
		return a.app, nil
	}
	app := a.config.GithubApp
	key, err := a.secrets.Secret(ctx, app.PrivateKey)
	if err != nil {
		return "", err
	}
	api := app.API
	if api == "" {
		api = a.base
	}
	token, err := githubapp.Installation{Key: key, AppID: app.AppID, ID: app.InstallationID}.Token(ctx, client, api)
	var answer *githubapp.StatusError
	switch {
	case err == nil:
		a.app, a.expires = token, time.Now().Add(githubapp.TokenLife)
	case errors.As(err, &answer) && answer.Code < 500 && answer.Code != http.StatusTooManyRequests, errors.Is(err, githubapp.ErrKey):
		err = trigger.Permanent(err)
	}
	return token, err
}

func (a *api) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.app = ""
}

const longestText = 300

// said is what an answer says is wrong, in any of the shapes that the providers use.
func said(body []byte) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return ""
	}
	var words []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && !strings.Contains(strings.Join(words, "; "), s) {
			words = append(words, s)
		}
	}
	for _, key := range []string{"message", "error", "error_description", "errors"} {
		collect(m[key], add)
	}
	text := strings.Join(words, "; ")
	if len(text) > longestText {
		text = strings.ToValidUTF8(text[:longestText], "") + "..."
	}
	return text
}

// collect adds the texts in a message: a string, a list of them, or objects that
// have a message.
func collect(raw json.RawMessage, add func(string)) {
	var s string
	var list []json.RawMessage
	var m map[string]json.RawMessage
	switch {
	case len(raw) == 0:
	case json.Unmarshal(raw, &s) == nil:
		add(s)
	case json.Unmarshal(raw, &list) == nil:
		for _, r := range list[:min(len(list), 5)] {
			collect(r, add)
		}
	case json.Unmarshal(raw, &m) == nil:
		told := false
		for _, key := range []string{"message", "base", "detail"} {
			collect(m[key], func(s string) { told = true; add(s) })
		}
		if !told && len(m["field"]) > 0 && len(m["code"]) > 0 { // GitHub's: {"field":"head","code":"invalid"}
			add(strings.Trim(string(m["field"]), `"`) + " " + strings.Trim(string(m["code"]), `"`))
		}
	}
}

// status is the answer's that an error comes of; 0 if it is none.
func status(err error) (code int, text string) {
	var s *githost.StatusError
	if errors.As(err, &s) {
		return s.Status, s.Text
	}
	return 0, ""
}
