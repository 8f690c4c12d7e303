package sns

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const (
	// pending is what Amazon has instead of the ARN of a subscription that has
	// not been confirmed.
	pending  = "PendingConfirmation"
	maxPages = 1000
	// throttled is how long Amazon is left alone that wants to be.
	throttled  = time.Minute
	answerTime = 30 * time.Second
	session    = "signalbox"
)

// topics is Amazon's API for the subscriptions of a topic.
type topics struct {
	client *sns.Client
}

var _ hooks.API = (*topics)(nil)

func newTopics(c *Config, env eventsource.Env, clients *httpclient.Clients) *topics {
	var endpoint *string
	if c.Endpoint != "" {
		endpoint = aws.String(c.Endpoint)
	}
	sender := requests{clients}
	roles := func(p aws.CredentialsProvider) *sts.Client {
		return sts.New(sts.Options{Region: c.Region, BaseEndpoint: endpoint, HTTPClient: sender, Retryer: aws.NopRetryer{}, Credentials: p})
	}
	var who aws.CredentialsProvider = &ambient{roles: roles(nil)}
	if c.AccessKey != nil && c.SecretKey != nil {
		who = &keys{c, env.Secrets}
	}
	if c.RoleARN != "" {
		who = aws.NewCredentialsCache(&role{client: roles(who), arn: c.RoleARN})
	}
	return &topics{client: sns.New(sns.Options{
		Region: c.Region, BaseEndpoint: endpoint, HTTPClient: sender, Retryer: aws.NopRetryer{}, Credentials: who,
	})}
}

// requests sends with the program's own client.
type requests struct{ clients *httpclient.Clients }

// Do implements aws.HTTPClient.
func (s requests) Do(r *http.Request) (*http.Response, error) {
	client, err := s.clients.Client(r.Context(), nil)
	if err != nil {
		return nil, err
	}
	return client.Do(r) //nolint:gosec // where to is the SDK's choice, or the manifest's
}

// List implements hooks.API. A subscription that waits for its confirmation is
// not active.
func (t *topics) List(ctx context.Context, topic string) ([]hooks.Hook, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var all []hooks.Hook
	in := &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(topic)}
	for range maxPages {
		page, err := t.client.ListSubscriptionsByTopic(ctx, in)
		if err != nil {
			return nil, limited(err)
		}
		for _, s := range page.Subscriptions {
			if isHTTP(s) {
				id := aws.ToString(s.SubscriptionArn)
				all = append(all, hooks.Hook{ID: id, URL: aws.ToString(s.Endpoint), Active: strings.HasPrefix(id, "arn:")})
			}
		}
		if aws.ToString(page.NextToken) == "" {
			return all, nil
		}
		in.NextToken = page.NextToken
	}
	return nil, fmt.Errorf("the topic has more than %d pages of subscriptions", maxPages)
}

func isHTTP(s types.Subscription) bool {
	p := aws.ToString(s.Protocol)
	return p == "https" || p == "http"
}

// Create implements hooks.API. The subscription becomes active when the message
// that comes of it is confirmed, by whichever replica gets it.
func (t *topics) Create(ctx context.Context, topic string, want hooks.Hook, _ []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	protocol, _, _ := strings.Cut(want.URL, ":")
	out, err := t.client.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: aws.String(topic), Protocol: aws.String(protocol), Endpoint: aws.String(want.URL), ReturnSubscriptionArn: true,
	})
	if err != nil {
		return "", limited(err)
	}
	return aws.ToString(out.SubscriptionArn), nil
}

// Update implements hooks.API. It asks for another confirmation; where the
// address has changed, the old subscription goes.
func (t *topics) Update(ctx context.Context, topic string, want hooks.Hook, _ []byte) error {
	id, err := t.Create(ctx, topic, want, nil)
	if err != nil || id == want.ID || want.ID == pending {
		return err
	}
	return t.Delete(ctx, topic, want.ID)
}

// Delete implements hooks.API. One that was never confirmed cannot be removed; it
// goes by itself after some days.
func (t *topics) Delete(ctx context.Context, _, id string) error {
	if !strings.HasPrefix(id, "arn:") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err := t.client.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: aws.String(id)})
	if _, ok := errors.AsType[*types.NotFoundException](err); ok {
		return nil
	}
	return limited(err)
}

func (t *topics) confirm(ctx context.Context, m *verify.SNSMessage) error {
	_, err := t.client.ConfirmSubscription(ctx, &sns.ConfirmSubscriptionInput{TopicArn: aws.String(m.TopicARN), Token: aws.String(m.Token)})
	return err
}

// limited marks errors that say that Amazon wants fewer requests.
func limited(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok && strings.HasPrefix(e.ErrorCode(), "Throttl") {
		return &hooks.Limited{Until: time.Now().Add(throttled), Cause: err}
	}
	return err
}

// keys are those of the manifest, read at each use.
type keys struct {
	config  *Config
	secrets secret.Reader
}

// Retrieve implements aws.CredentialsProvider.
func (k *keys) Retrieve(ctx context.Context) (aws.Credentials, error) {
	id, err := githost.Value(ctx, k.secrets, k.config.AccessKey)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("accessKey: %w", err)
	}
	key, err := githost.Value(ctx, k.secrets, k.config.SecretKey)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("secretKey: %w", err)
	}
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: key, Source: "manifest"}, nil
}

// role are the credentials of a role that another identity takes on.
type role struct {
	client *sts.Client
	arn    string
}

// Retrieve implements aws.CredentialsProvider.
func (r *role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	out, err := r.client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(r.arn), RoleSessionName: aws.String(session)})
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("take on %s: %w", r.arn, err)
	}
	c := out.Credentials
	if c == nil {
		return aws.Credentials{}, fmt.Errorf("take on %s: the answer has no credentials", r.arn)
	}
	return temporary(c.AccessKeyId, c.SecretAccessKey, c.SessionToken, c.Expiration), nil
}

func temporary(id, key, token *string, until *time.Time) aws.Credentials {
	return aws.Credentials{
		AccessKeyID: aws.ToString(id), SecretAccessKey: aws.ToString(key), SessionToken: aws.ToString(token),
		Source: "sts", CanExpire: true, Expires: aws.ToTime(until),
	}
}

// ambient are the credentials of the process: keys in the environment, or the
// role of the pod's service account.
type ambient struct {
	roles *sts.Client
}

// Retrieve implements aws.CredentialsProvider.
func (a *ambient) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if id, key := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"); id != "" && key != "" {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: key, SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Source: "environment"}, nil
	}
	arn, file := os.Getenv("AWS_ROLE_ARN"), os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	if arn == "" || file == "" {
		return aws.Credentials{}, errors.New("there are no credentials for Amazon: set accessKey and secretKey, or give the pod a role")
	}
	token, err := os.ReadFile(file) //nolint:gosec // who starts the process names the file
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("the token of the pod's role: %w", err)
	}
	out, err := a.roles.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(arn), RoleSessionName: aws.String(session), WebIdentityToken: aws.String(strings.TrimSpace(string(token))),
	})
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("take on %s: %w", arn, err)
	}
	c := out.Credentials
	if c == nil {
		return aws.Credentials{}, fmt.Errorf("take on %s: the answer has no credentials", arn)
	}
	return temporary(c.AccessKeyId, c.SecretAccessKey, c.SessionToken, c.Expiration), nil
}
