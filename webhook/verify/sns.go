package verify

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // signature version 1 of SNS
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// The types of a message of Amazon SNS, as its header x-amz-sns-message-type has them too.
const (
	SNSNotification = "Notification"
	SNSSubscribe    = "SubscriptionConfirmation"
	SNSUnsubscribe  = "UnsubscribeConfirmation"
)

// The headers of a request of Amazon SNS.
const (
	SNSTypeHeader  = "X-Amz-Sns-Message-Type"
	SNSTopicHeader = "X-Amz-Sns-Topic-Arn"
	// SNSRawHeader is "true" if the body is the message alone, without envelope and signature.
	SNSRawHeader = "X-Amz-Sns-Rawdelivery"
)

// SNSMessage is the envelope in which Amazon SNS posts
// (https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html).
type SNSMessage struct {
	Type             string  `json:"Type"`
	MessageID        string  `json:"MessageId"`
	TopicARN         string  `json:"TopicArn"`
	Subject          *string `json:"Subject"`
	Message          string  `json:"Message"`
	Timestamp        string  `json:"Timestamp"`
	Token            string  `json:"Token"`
	SubscribeURL     string  `json:"SubscribeURL"`
	SignatureVersion string  `json:"SignatureVersion"`
	Signature        string  `json:"Signature"`
	SigningCertURL   string  `json:"SigningCertURL"`
}

// ParseSNS reads an envelope. The error is an *Error.
func ParseSNS(body []byte) (*SNSMessage, error) {
	m := &SNSMessage{}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, wrong("the body is no message of Amazon SNS")
	}
	switch m.Type {
	case SNSNotification, SNSSubscribe, SNSUnsubscribe:
		return m, nil
	}
	return nil, wrong("the body is no message of Amazon SNS: its Type is none of %s, %s and %s", SNSNotification, SNSSubscribe, SNSUnsubscribe)
}

// signed is the text that the signature covers.
func (m *SNSMessage) signed() []byte {
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	add("Message", m.Message)
	add("MessageId", m.MessageID)
	if m.Type == SNSNotification {
		if m.Subject != nil {
			add("Subject", *m.Subject)
		}
		add("Timestamp", m.Timestamp)
	} else {
		add("SubscribeURL", m.SubscribeURL)
		add("Timestamp", m.Timestamp)
		add("Token", m.Token)
	}
	add("TopicArn", m.TopicARN)
	add("Type", m.Type)
	return []byte(b.String())
}

// digest of the text that is signed, by the signature's version.
func (m *SNSMessage) digest() (crypto.Hash, []byte, error) {
	switch m.SignatureVersion {
	case "1":
		sum := sha1.Sum(m.signed()) //nolint:gosec // what version 1 is
		return crypto.SHA1, sum[:], nil
	case "2":
		sum := sha256.Sum256(m.signed())
		return crypto.SHA256, sum[:], nil
	}
	return 0, nil, wrong("the SignatureVersion of the message is neither 1 nor 2")
}

// Sign puts the signature of key into m, by its SignatureVersion. Only Amazon has
// the keys that count; this is for tools and tests that play it.
func (m *SNSMessage) Sign(key *rsa.PrivateKey) error {
	hash, sum, err := m.digest()
	if err != nil {
		return err
	}
	signature, err := rsa.SignPKCS1v15(nil, key, hash, sum)
	if err != nil {
		return fmt.Errorf("sign the message: %w", err)
	}
	m.Signature = base64.StdEncoding.EncodeToString(signature)
	return nil
}

// SNS checks messages of Amazon SNS. A signature proves only that Amazon sent a
// message of the topic that it names, and anybody can make a topic there: so the
// topics are required. Set the fields before the first use. Safe for concurrent use.
type SNS struct {
	// Topics are the ARNs that messages may be of; * stands for any characters.
	Topics []string
	// Client fetches certificates and confirms subscriptions; it must not follow
	// redirects (see NewSNSClient). Required, unless Certificates is set and Confirm not called.
	Client *http.Client
	// Certificates returns the certificates to check with, PEM, instead of
	// fetching what messages name; nil fetches.
	Certificates func(ctx context.Context) ([]byte, error)

	cache certCache
}

// Check returns nil if m was signed by Amazon and is of one of the topics. An
// error is an *Error if m is not; any other means that this could not be found out.
func (s *SNS) Check(ctx context.Context, m *SNSMessage) error {
	if !s.allows(m.TopicARN) {
		return wrong("messages of this topic are not accepted")
	}
	signature, err := base64.StdEncoding.DecodeString(m.Signature)
	if err != nil || len(signature) == 0 {
		return wrong("the message has no signature in base64")
	}
	hash, sum, err := m.digest()
	if err != nil {
		return err
	}
	keys, err := s.keys(ctx, m)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if rsa.VerifyPKCS1v15(key, hash, sum, signature) == nil {
			return nil
		}
	}
	return wrong("the signature of the message does not match")
}

func (s *SNS) keys(ctx context.Context, m *SNSMessage) ([]*rsa.PublicKey, error) {
	if s.Certificates != nil {
		pem, err := s.Certificates(ctx)
		if err != nil {
			return nil, err
		}
		return publicKeys(pem)
	}
	u, err := amazonURL(m.SigningCertURL)
	if err != nil || !strings.HasSuffix(u.Path, ".pem") || u.RawQuery != "" {
		return nil, wrong("the certificate of the message is not at Amazon SNS")
	}
	return s.cache.get(ctx, s.Client, u.String())
}

// Confirm confirms the subscription that m, which has passed Check, asks about.
// The error is an *Error if the message is not one to confirm.
func (s *SNS) Confirm(ctx context.Context, m *SNSMessage) error {
	if m.Type != SNSSubscribe {
		return wrong("the message asks for no confirmation")
	}
	u, err := amazonURL(m.SubscribeURL)
	if err != nil {
		return wrong("the SubscribeURL of the message is not at Amazon SNS")
	}
	if _, err := get(ctx, s.Client, u.String()); err != nil {
		return fmt.Errorf("confirm the subscription to %s: %w", m.TopicARN, err)
	}
	return nil
}

func (s *SNS) allows(topic string) bool {
	for _, t := range s.Topics {
		if star(t, topic) {
			return true
		}
	}
	return false
}

// star matches text against a pattern in which * is any characters.
func star(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		_, after, ok := strings.Cut(text, part)
		if !ok {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, parts[last])
}

var amazonHost = regexp.MustCompile(`^sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$`)

// amazonURL parses an address, which has to be one of Amazon SNS: a message comes
// from anybody, and must not make us ask anybody.
func amazonURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" || u.User != nil || u.Opaque != "" || u.Fragment != "" || !amazonHost.MatchString(u.Host) {
		return nil, errors.New("not at Amazon SNS")
	}
	return u, nil
}
