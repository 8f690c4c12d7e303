package artifact

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// URL is what a web server answers a GET request with; the status has to be 200.
type URL struct {
	// Path is the whole URL, http or https.
	Path string `json:"path"`
	// VerifyCert checks the server's certificate. Without it anybody on the way
	// can put another object in the place of yours.
	// +optional
	VerifyCert bool `json:"verifyCert,omitempty"`
}

// answerTimeout bounds one attempt to get an artifact of a web server or a bucket.
const answerTimeout = 30 * time.Second

func (u *URL) parse() (*url.URL, error) {
	p, err := url.Parse(u.Path)
	switch {
	case err != nil:
		return nil, unquoted(err)
	case p.Scheme != "http" && p.Scheme != "https":
		return nil, errors.New("does not begin with http:// or https://")
	case p.Hostname() == "":
		return nil, errors.New("names no host")
	}
	return p, nil
}

// unquoted takes the URL, which may hold a password, out of an error.
func unquoted(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// shown is a URL without what may be secret.
func shown(u *url.URL) string {
	s := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		s += "?..."
	}
	return s
}

func (u *URL) validate() error {
	if u.Path == "" {
		return v1alpha1.Invalid("path", "is required")
	}
	p, err := u.parse()
	switch {
	case err != nil:
		return v1alpha1.Invalid("path", "%v", err)
	case p.Scheme == "https" && !u.VerifyCert:
		note := v1alpha1.Warn("verifyCert", "is not set, so the server's certificate is not checked").Hinted("write verifyCert: true")
		note.Severity = v1alpha1.Note
		return note
	}
	return nil
}

func (*URL) remote() bool { return true }

func (u *URL) String() string {
	p, err := u.parse()
	if err != nil {
		return "that is none"
	}
	return shown(p)
}

func (u *URL) fetch(ctx context.Context, env trigger.Env) ([]byte, error) {
	p, err := u.parse()
	if err != nil {
		return nil, lasting{err}
	}
	var t *v1alpha1.TLSConfig
	if p.Scheme == "https" && !u.VerifyCert {
		t = &v1alpha1.TLSConfig{InsecureSkipVerify: true}
	}
	client, err := env.HTTP.Client(ctx, t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.String(), nil)
	if err != nil {
		return nil, lasting{unquoted(err)}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, unquoted(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, unwanted(resp.StatusCode, errors.New(resp.Status))
	}
	return read(resp.Body)
}

// unwanted is the error of an answer with a status, which lasts unless the
// server may think better of it.
func unwanted(status int, err error) error {
	if passing(status) {
		return fmt.Errorf("answers %w", err)
	}
	return last("answers %w", err)
}

// passing tells whether a server may think better of a status.
func passing(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}
