package slack

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says what message to send, and where to. One of message, attachments
// and blocks is needed.
type Config struct {
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example message or thread.messageAggregationKey.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// SlackToken is the token of a Slack app with the scope chat:write.
	// +optional
	SlackToken *corev1.SecretKeySelector `json:"slackToken,omitempty"`
	// Channel to send to: a name, with or without #, or the id of a channel or of
	// a user. The app has to be a member of the channel.
	// +optional
	Channel string `json:"channel,omitempty"`
	// Message is the text, in Slack's mrkdwn. Beside blocks it is what
	// notifications show.
	// +optional
	Message string `json:"message,omitempty"`
	// Attachments is a list of attachments, as JSON.
	// +optional
	Attachments string `json:"attachments,omitempty"`
	// Blocks is a list of blocks, as JSON.
	// +optional
	Blocks string `json:"blocks,omitempty"`
	// Thread puts messages that belong together into one thread.
	// +optional
	Thread *Thread `json:"thread,omitempty"`
	// Sender is who the message seems to be from. The app needs the scope
	// chat:write.customize for it.
	// +optional
	Sender *Sender `json:"sender,omitempty"`
	// APIURL is the address of Slack's API, for GovSlack
	// (https://slack-gov.com/api/) or a proxy. Defaults to https://slack.com/api/.
	// Signalbox.
	// +optional
	APIURL string `json:"apiURL,omitempty"`
	// Follow tells the outcome on the event bus; it is known at once. Signalbox.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
}

// Thread says which thread a message belongs to.
type Thread struct {
	// MessageAggregationKey is any text. The first message with a key begins a
	// thread in its channel, and those with the same key follow in it.
	// +optional
	MessageAggregationKey string `json:"messageAggregationKey,omitempty"`
	// BroadcastMessageToChannel shows replies in the channel as well.
	// +optional
	BroadcastMessageToChannel bool `json:"broadcastMessageToChannel,omitempty"`
}

// Sender is a name and a picture.
type Sender struct {
	// Username is the name beside the message.
	// +optional
	Username string `json:"username,omitempty"`
	// Icon is an emoji, such as :robot_face:, or the http or https URL of a picture.
	// +optional
	Icon string `json:"icon,omitempty"`
}

const defaultAPI = "https://slack.com/api/"

// Default implements kind.Config.
func (c *Config) Default() {
	if c.APIURL == "" {
		c.APIURL = defaultAPI
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	_, err := param.Compile(c.Parameters)
	errs := []error{v1alpha1.At("parameters", err), c.validateContent(), trigger.CheckFollow(c.Follow)}
	switch {
	case c.SlackToken != nil:
		if c.SlackToken.Name == "" {
			errs = append(errs, v1alpha1.Invalid("slackToken.name", "is required"))
		}
		if c.SlackToken.Key == "" {
			errs = append(errs, v1alpha1.Invalid("slackToken.key", "is required"))
		}
	case !c.filled("slackToken"):
		errs = append(errs, v1alpha1.Invalid("slackToken", "is required").Hinted("give name and key of a secret with the token of a Slack app"))
	}
	if strings.TrimPrefix(c.Channel, "#") == "" && !c.filled("channel") {
		errs = append(errs, v1alpha1.Invalid("channel", "is required"))
	}
	if c.Sender != nil && c.Sender.Icon != "" && !c.filled("sender") {
		if emoji, picture := icon(c.Sender.Icon); emoji == "" && picture == "" {
			errs = append(errs, v1alpha1.Warn("sender.icon", "%q is not sent: it is neither an emoji nor a URL", c.Sender.Icon).
				Hinted("write :robot_face: or https://..."))
		}
	}
	if c.Thread != nil && c.Thread.BroadcastMessageToChannel && c.Thread.MessageAggregationKey == "" && !c.filled("thread") {
		errs = append(errs, note("thread.broadcastMessageToChannel", "has no effect without messageAggregationKey"))
	}
	if !c.filled("apiURL") {
		errs = append(errs, v1alpha1.At("apiURL", validAPI(c.APIURL)))
	}
	return errors.Join(errs...)
}

// filled tells whether a parameter writes into a field. What stands there before
// is a placeholder, or a part.
func (c *Config) filled(field string) bool {
	return slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool {
		return p.Dest == field || strings.HasPrefix(p.Dest, field+".")
	})
}

func (c *Config) validateContent() error {
	var errs []error
	if c.Message == "" && c.Attachments == "" && c.Blocks == "" &&
		!c.filled("message") && !c.filled("attachments") && !c.filled("blocks") {
		errs = append(errs, v1alpha1.Invalid("message", "is required").Hinted("give message, attachments or blocks"))
	}
	if !c.filled("attachments") {
		_, err := attachments(c.Attachments)
		errs = append(errs, v1alpha1.At("attachments", err))
	}
	if !c.filled("blocks") {
		_, err := blocks(c.Blocks)
		errs = append(errs, v1alpha1.At("blocks", err))
	}
	return errors.Join(errs...)
}

func validAPI(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return v1alpha1.Invalid("", "is no URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return v1alpha1.Invalid("", "does not begin with https:// and a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return v1alpha1.Invalid("", "has more than a host and a path")
	case u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return v1alpha1.Warn("", "sends the token without encryption").Hinted("write https")
	}
	return nil
}

var emojiName = regexp.MustCompile(`^:.+:$`)

// icon tells what kind of picture s is; both are empty if it is none.
func icon(s string) (emoji, picture string) {
	if emojiName.MatchString(s) {
		return s, ""
	}
	if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return "", s
	}
	return "", ""
}

func note(path, message string) *v1alpha1.Problem {
	return &v1alpha1.Problem{Path: path, Severity: v1alpha1.Note, Message: message}
}
