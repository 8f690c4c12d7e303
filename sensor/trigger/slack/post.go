package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// answerTime is how long an answer may take.
	answerTime = 30 * time.Second
	maxAnswer  = 1 << 20
	// limitedWait is the wait after a rate limit that does not say how long, and
	// limitedMost how long a message waits for the limits to let it pass.
	limitedWait = 5 * time.Second
	limitedMost = time.Hour
	maxQuote    = 300
)

// answer is what chat.postMessage answers.
type answer struct {
	OK       bool   `json:"ok"`
	Error    string `json:"error"`
	Channel  string `json:"channel"`
	TS       string `json:"ts"`
	Needed   string `json:"needed"`
	Metadata struct {
		Messages []string `json:"messages"`
	} `json:"response_metadata"`
}

// post sends the message once; threadTS is empty if it is no reply.
func (p *poster) post(ctx context.Context, m *message, c *Config, threadTS string) (sent, error) {
	token, err := p.token(ctx, c)
	if err != nil {
		return sent{}, err
	}
	client, err := p.env.HTTP.Client(ctx, nil)
	if err != nil {
		return sent{}, err
	}
	// A redirect would take the token elsewhere.
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, withMetadata := range []bool{true, false} {
		var form url.Values
		if form, err = m.form(threadTS, withMetadata); err != nil {
			return sent{}, trigger.Permanent(err)
		}
		var a answer
		if a, err = call(ctx, &own, m.URL, token, form); err == nil {
			return sent{Channel: a.Channel, TS: a.TS}, nil
		}
		if a.Error != "metadata_must_be_sent_from_app" {
			break
		}
	}
	return sent{}, err
}

func (p *poster) token(ctx context.Context, c *Config) (string, error) {
	b, err := p.env.Secrets.Secret(ctx, c.SlackToken)
	if err != nil {
		return "", fmt.Errorf("slackToken: %w", err)
	}
	token := strings.TrimSpace(string(b))
	switch {
	case token == "":
		return "", errors.New("slackToken: the secret is empty")
	case !httpguts.ValidHeaderFieldValue(token):
		return "", errors.New("slackToken: the secret holds a line break or another control character")
	}
	return token, nil
}

// call makes one request. An answer that says no is returned with the error for it.
func call(parent context.Context, client *http.Client, to, token string, form url.Values) (answer, error) {
	ctx, cancel := context.WithTimeout(parent, answerTime)
	defer cancel()
	var a answer
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return a, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return a, explain(parent, err, token)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		return a, limited(resp)
	case resp.StatusCode != http.StatusOK:
		return a, errors.New("Slack answered " + quote(resp.Status, token))
	case err != nil:
		return a, explain(parent, err, token)
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, errors.New("Slack's answer is not what it should be: " + quote(string(body), token))
	}
	switch {
	case a.Error == "rate_limited" || a.Error == "ratelimited":
		return a, limited(resp)
	case a.OK && a.TS != "":
		return a, nil
	case a.Error != "":
		return a, a.refusal(token)
	}
	return a, errors.New("Slack's answer names no message: " + quote(string(body), token))
}

// limited is the error for a rate limit: no failure, as long as it does not last.
func limited(resp *http.Response) error {
	wait := limitedWait
	if n, err := strconv.ParseInt(resp.Header.Get("Retry-After"), 10, 64); err == nil && n >= 0 {
		wait = time.Duration(min(n, int64(v1alpha1.MaxWait/time.Second))) * time.Second
	}
	err := trigger.After(fmt.Errorf("Slack allows no more messages for %v (rate limit)", wait), wait) //nolint:staticcheck // a name
	return trigger.Postpone(err, wait, limitedMost)
}

// explain takes the URL out of an error of net/http.
func explain(parent context.Context, err error, token string) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	switch {
	case parent.Err() != nil:
		return parent.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from Slack within %v: %w", answerTime, context.DeadlineExceeded)
	case strings.Contains(err.Error(), token):
		return errors.New(quote(err.Error(), token))
	}
	return err
}

// quote makes one line of a text of the other side, without the token.
func quote(s, token string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), token, "***")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxQuote {
		s = strings.ToValidUTF8(s[:maxQuote], "") + "..."
	}
	return s
}
