package storagegrid

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

const (
	endpoints = "/org/endpoints"
	// authType is the setting that says how StorageGRID shows who it is.
	authType  = "authType"
	anonymous = "anonymous"
	basic     = "basicHttp"
)

// api is StorageGRID's tenant management API. A hook is an endpoint, known by its
// URN, and a bucket's notifications to it. A bucket's other notifications are kept.
type api struct {
	rest    *githost.API
	urn     string
	name    string
	secrets secret.Reader
	// user and password are what StorageGRID is to show; nil for nothing.
	user, password *corev1.SecretKeySelector
	// insecure lets StorageGRID take any certificate of ours.
	insecure bool
}

var _ hooks.API = (*api)(nil)

// endpoint is a place that StorageGRID sends to.
type endpoint struct {
	ID          string       `json:"id,omitempty"`
	DisplayName string       `json:"displayName"`
	URI         string       `json:"endpointURI"`
	URN         string       `json:"endpointURN"`
	AuthType    string       `json:"authType"`
	InsecureTLS bool         `json:"insecureTLS"`
	Basic       *credentials `json:"basicHttpCredentials,omitempty"`
}

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// configuration is a bucket's notifications as XML, of which only what is ours is
// looked into.
type configuration struct {
	Nodes []node `xml:",any"`
}

type node struct {
	XMLName xml.Name
	Topic   string   `xml:"Topic"`
	Events  []string `xml:"Event"`
	Inner   []byte   `xml:",innerxml"`
}

// List implements hooks.API.
func (a *api) List(ctx context.Context, bucket string) ([]hooks.Hook, error) {
	known, err := a.endpoints(ctx)
	if err != nil || len(known) == 0 {
		return nil, err
	}
	conf, err := a.notifications(ctx, bucket)
	if err != nil {
		return nil, err
	}
	var events []string
	for _, n := range conf.Nodes {
		if n.Topic == a.urn {
			events = append(events, n.Events...)
		}
	}
	var all []hooks.Hook
	for _, e := range known {
		all = append(all, hooks.Hook{ID: e.ID, URL: e.URI, Events: events, Active: true, Settings: map[string]string{authType: e.AuthType}})
	}
	return all, nil
}

// Create implements hooks.API. There is one endpoint of a URN: one that is there
// is taken over.
func (a *api) Create(ctx context.Context, bucket string, want hooks.Hook, password []byte) (string, error) {
	known, err := a.endpoints(ctx)
	if err != nil {
		return "", err
	}
	if len(known) > 0 {
		want.ID = known[0].ID
		return want.ID, a.Update(ctx, bucket, want, password)
	}
	e, err := a.endpoint(ctx, want, password)
	if err != nil {
		return "", err
	}
	var made struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if _, err := a.rest.Call(ctx, http.MethodPost, endpoints, e, &made); err != nil {
		return "", err
	}
	if made.Data.ID == "" {
		return "", errors.New("the answer has no id")
	}
	return made.Data.ID, a.notify(ctx, bucket, want.Events)
}

// Update implements hooks.API.
func (a *api) Update(ctx context.Context, bucket string, want hooks.Hook, password []byte) error {
	e, err := a.endpoint(ctx, want, password)
	if err != nil {
		return err
	}
	if _, err := a.rest.Call(ctx, http.MethodPut, endpoints+"/"+url.PathEscape(want.ID), e, nil); err != nil {
		return err
	}
	return a.notify(ctx, bucket, want.Events)
}

// Delete implements hooks.API. An endpoint that other buckets use stays.
func (a *api) Delete(ctx context.Context, bucket, id string) error {
	if err := a.notify(ctx, bucket, nil); err != nil && !githost.IsGone(err) {
		return err
	}
	_, err := a.rest.Call(ctx, http.MethodDelete, endpoints+"/"+url.PathEscape(id), nil, nil)
	var s *githost.StatusError
	if githost.IsGone(err) || errors.As(err, &s) && s.Status == http.StatusConflict {
		return nil
	}
	return err
}

// endpoints of our URN: none or one.
func (a *api) endpoints(ctx context.Context) ([]endpoint, error) {
	var answer struct {
		Data []endpoint `json:"data"`
	}
	if _, err := a.rest.Call(ctx, http.MethodGet, endpoints, nil, &answer); err != nil {
		return nil, err
	}
	var ours []endpoint
	for _, e := range answer.Data {
		if e.URN == a.urn && e.ID != "" {
			ours = append(ours, e)
		}
	}
	return ours, nil
}

func (a *api) endpoint(ctx context.Context, want hooks.Hook, password []byte) (*endpoint, error) {
	e := &endpoint{DisplayName: a.name, URI: want.URL, URN: a.urn, AuthType: want.Settings[authType], InsecureTLS: a.insecure}
	if e.AuthType != basic {
		return e, nil
	}
	user, err := githost.Value(ctx, a.secrets, a.user)
	if err != nil {
		return nil, fmt.Errorf("webhook.basicAuth.username: %w", err)
	}
	e.Basic = &credentials{Username: user, Password: string(password)}
	if password == nil { // it stays as it is, but the whole endpoint is written
		if e.Basic.Password, err = githost.Value(ctx, a.secrets, a.password); err != nil {
			return nil, fmt.Errorf("webhook.basicAuth.password: %w", err)
		}
	}
	return e, nil
}

type document struct {
	Notification string `json:"notification"`
}

func place(bucket string) string {
	return "/org/containers/" + url.PathEscape(bucket) + "/notification"
}

func (a *api) notifications(ctx context.Context, bucket string) (*configuration, error) {
	var answer struct {
		Data document `json:"data"`
	}
	_, err := a.rest.Call(ctx, http.MethodGet, place(bucket), nil, &answer)
	conf := &configuration{}
	if githost.IsGone(err) || err == nil && answer.Data.Notification == "" {
		return conf, nil
	}
	if err != nil {
		return nil, err
	}
	if err := xml.Unmarshal([]byte(answer.Data.Notification), conf); err != nil {
		return nil, fmt.Errorf("the notifications of bucket %s cannot be read: %w", bucket, err)
	}
	return conf, nil
}

// notify makes the bucket's notifications to us those of events; none removes them.
func (a *api) notify(ctx context.Context, bucket string, events []string) error {
	conf, err := a.notifications(ctx, bucket)
	if err != nil {
		return err
	}
	_, err = a.rest.Call(ctx, http.MethodPut, place(bucket), document{a.write(conf, events)}, nil)
	return err
}

func (a *api) write(conf *configuration, events []string) string {
	var b bytes.Buffer
	b.WriteString("<NotificationConfiguration>")
	for _, n := range conf.Nodes {
		if n.Topic != a.urn {
			b.WriteString("<" + n.XMLName.Local + ">")
			b.Write(n.Inner)
			b.WriteString("</" + n.XMLName.Local + ">")
		}
	}
	if len(events) > 0 {
		b.WriteString("<TopicConfiguration>")
		element(&b, "Id", a.name)
		element(&b, "Topic", a.urn)
		for _, e := range events {
			element(&b, "Event", e)
		}
		b.WriteString("</TopicConfiguration>")
	}
	b.WriteString("</NotificationConfiguration>")
	return b.String()
}

func element(b *bytes.Buffer, name, text string) {
	b.WriteString("<" + name + ">")
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes everything
	b.WriteString("</" + name + ">")
}
