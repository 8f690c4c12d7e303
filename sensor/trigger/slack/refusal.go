package slack

import (
	"errors"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// errNoThread is what errors wrap if the message that is replied to is not there.
var errNoThread = errors.New("the thread is gone")

// lastingRefusals are errors that the same message, token and channel meet again,
// with what to do about them.
var lastingRefusals = map[string]string{ //nolint:gosec // no credentials
	"channel_not_found":                        "check the name, or use the channel's id; a private channel is found only by its members: invite the app",
	"not_in_channel":                           "invite the app to the channel, or give it the scope chat:write.public",
	"is_archived":                              "the channel is archived",
	"cannot_reply_to_message":                  "the message does not take replies",
	"user_not_found":                           "there is no user with this id",
	"user_disabled":                            "the user is deactivated",
	"cannot_dm_bot":                            "a bot cannot write to a bot",
	"messages_tab_disabled":                    "turn on the Messages tab of the app, in its settings",
	"restricted_action":                        "a setting of the workspace forbids it",
	"restricted_action_read_only_channel":      "the channel is read-only for the app",
	"restricted_action_thread_only_channel":    "the channel takes replies only",
	"restricted_action_non_threadable_channel": "the channel takes no replies",
	"restricted_action_thread_locked":          "the thread is locked",
	"posting_to_general_channel_denied":        "a setting of the workspace forbids to post to this channel",
	"ekm_access_denied":                        "an administrator has suspended posting",
	"team_access_not_granted":                  "the token does not reach this workspace",
	"invalid_auth":                             "check the token in the secret",
	"not_authed":                               "check the token in the secret",
	"token_revoked":                            "make a new token and put it into the secret",
	"token_expired":                            "make a new token and put it into the secret",
	"account_inactive":                         "the app or user of the token was removed: install it again",
	"access_denied":                            "the token has no access",
	"not_allowed_token_type":                   "use a bot token (xoxb-...)",
	"missing_scope":                            "add the scope to the app and install it again",
	"no_permission":                            "the token lacks a right that is needed",
	"invalid_blocks":                           "try them in Slack's Block Kit Builder",
	"invalid_blocks_format":                    "try them in Slack's Block Kit Builder",
	"invalid_attachments":                      "check the attachments",
	"msg_blocks_too_long":                      "shorten the blocks",
	"msg_too_long":                             "shorten the message: 40,000 characters at most",
	"no_text":                                  "give message, attachments or blocks that hold a text",
	"too_many_attachments":                     "100 attachments at most",
	"too_many_contact_cards":                   "there are too many contact cards",
	"metadata_too_large":                       "shorten thread.messageAggregationKey",
	"invalid_arguments":                        "check the fields",
	"invalid_array_arg":                        "check attachments and blocks",
	"invalid_charset":                          "check the texts",
	"method_deprecated":                        "this version of Signalbox is too old for Slack",
	"deprecated_endpoint":                      "this version of Signalbox is too old for Slack",
	"unknown_method":                           "check apiURL",
}

// goneThreads are the errors for a reply to a message that there is not.
var goneThreads = []string{"thread_not_found", "message_not_found", "invalid_thread_ts", "cannot_reply_to_message"}

// refusal is the error for an answer that is not ok.
func (a *answer) refusal(token string) error {
	text := "Slack answers " + quote(a.Error, token)
	if a.Needed != "" {
		text += ", needed is " + quote(a.Needed, token)
	}
	if len(a.Metadata.Messages) > 0 {
		text += ": " + quote(strings.Join(a.Metadata.Messages, "; "), token)
	}
	hint, lasting := lastingRefusals[a.Error]
	if hint != "" {
		text += " (" + hint + ")"
	}
	var err error = &refused{text: text, noThread: slices.Contains(goneThreads, a.Error)}
	if lasting {
		err = trigger.Permanent(err)
	}
	return err
}

// refused is an answer that is not ok.
type refused struct {
	text     string
	noThread bool
}

// Error implements error.
func (r *refused) Error() string { return r.text }

// Is lets errors.Is find errNoThread.
func (r *refused) Is(target error) bool { return r.noThread && target == errNoThread }
