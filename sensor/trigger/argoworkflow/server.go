package argoworkflow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// address is how to speak to an Argo Server.
type address struct {
	env     trigger.Env
	url     string
	tls     *v1alpha1.TLSConfig
	secret  *corev1.SecretKeySelector
	token   string // in clear, from args
	headers []header
}

// server is the Argo Server that the configuration names; nil if it names none.
func (a *actor) server() *address {
	o := &a.options
	switch {
	case a.conf.Server != nil:
		s := a.conf.Server
		return &address{env: a.env, url: strings.TrimRight(s.URL, "/"), tls: s.TLS, secret: s.Token}
	case o.server == "":
		return nil
	}
	out := &address{env: a.env, url: "https://" + o.server, token: o.token, headers: o.headers}
	if o.plain {
		out.url = "http://" + o.server
	}
	if base := strings.Trim(o.base, "/"); base != "" {
		out.url += "/" + base
	}
	if o.insecure && !o.plain {
		out.tls = &v1alpha1.TLSConfig{InsecureSkipVerify: true}
	}
	return out
}

const hidden = "***"

// masked are the headers for people.
func (s *address) masked() map[string]string {
	all := map[string]string{}
	for _, h := range s.headers {
		all[h.name] = hidden
	}
	if s.secret != nil || s.token != "" {
		all["Authorization"] = hidden
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// open reads the token.
func (s *address) open(ctx context.Context) (*serverAPI, error) {
	api := &serverAPI{address: s, bearer: strings.TrimSpace(s.token)}
	if s.secret != nil {
		b, err := s.env.Secrets.Secret(ctx, s.secret)
		if err != nil {
			return nil, err
		}
		api.bearer = strings.TrimSpace(string(b))
	}
	if strings.ContainsAny(api.bearer, "\r\n") {
		return nil, errors.New("the token has more than one line")
	}
	if _, err := parseURL(s.url); err != nil {
		return nil, trigger.Permanent(fmt.Errorf("the server's URL %w", err))
	}
	var err error
	api.client, err = s.env.HTTP.Client(ctx, s.tls)
	return api, err
}

// serverAPI implements backend with an Argo Server.
type serverAPI struct {
	*address
	bearer string
	client *http.Client
}

const (
	// maxAnswer bounds an answer, in bytes; a workflow comes with all its nodes.
	maxAnswer = 64 << 20
	// maxComplaint bounds what is read of the answer to a request that failed.
	maxComplaint = 64 << 10
)

// call sends a request and decodes the answer into out. Errors are those of the
// Kubernetes API.
func (s *serverAPI) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	_, err := request(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.send(ctx, method, path, query, body, out)
	})
	return err
}

func (s *serverAPI) send(ctx context.Context, method, path string, query url.Values, body, out any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	to := s.url + path
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, to, payload)
	if err != nil {
		return withoutURL(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range s.headers {
		req.Header.Add(h.name, h.value)
	}
	if s.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+strings.TrimPrefix(s.bearer, "Bearer "))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxComplaint))
		return s.complaint(resp, text)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	case len(raw) > maxAnswer:
		return fmt.Errorf("%s %s: the answer is larger than %d MiB", method, path, maxAnswer>>20)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what an Argo Server says: %w", method, path, err)
	}
	return nil
}

// complaint makes an error of the Kubernetes API from an answer.
func (s *serverAPI) complaint(resp *http.Response, body []byte) error {
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = string(body)
	}
	status := metav1.Status{Status: metav1.StatusFailure, Code: int32(resp.StatusCode)}
	status.Message = strings.TrimSpace(resp.Status + ": " + line(s.mask(said.Message)))
	switch resp.StatusCode {
	case http.StatusNotFound:
		status.Reason = metav1.StatusReasonNotFound
	case http.StatusConflict:
		status.Reason = metav1.StatusReasonConflict
		if said.Code == alreadyExists {
			status.Reason = metav1.StatusReasonAlreadyExists
		}
	case http.StatusUnauthorized:
		status.Reason = metav1.StatusReasonUnauthorized
	case http.StatusForbidden:
		status.Reason = metav1.StatusReasonForbidden
	case http.StatusBadRequest:
		status.Reason = metav1.StatusReasonBadRequest
	case http.StatusRequestEntityTooLarge:
		status.Reason = metav1.StatusReasonRequestEntityTooLarge
	case http.StatusTooManyRequests:
		status.Reason = metav1.StatusReasonTooManyRequests
	case http.StatusServiceUnavailable:
		status.Reason = metav1.StatusReasonServiceUnavailable
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(min(seconds, int(v1alpha1.MaxWait/time.Second)))}
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// alreadyExists is the code of gRPC.
const alreadyExists = 6

// mask takes secrets out of what a server says.
func (s *serverAPI) mask(text string) string {
	secrets := []string{s.bearer}
	for _, h := range s.headers {
		secrets = append(secrets, h.value)
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, hidden)
			text = strings.ReplaceAll(text, base64.StdEncoding.EncodeToString([]byte(secret)), hidden)
		}
	}
	return text
}

func (s *serverAPI) workflow(ctx context.Context, method, path string, query url.Values, body any) (*unstructured.Unstructured, error) {
	var raw json.RawMessage
	if err := s.call(ctx, method, path, query, body, &raw); err != nil {
		return nil, err
	}
	wf, err := decode(raw)
	if err == nil && wf.GetName() == "" {
		err = errors.New("it has no name")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: the answer is no workflow: %w", method, path, err)
	}
	return wf, nil
}
