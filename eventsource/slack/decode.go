package slack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

const form = "application/x-www-form-urlencoded"

// Types of what comes as JSON (https://docs.slack.dev/apis/events-api).
const (
	urlVerification = "url_verification"
	eventCallback   = "event_callback"
	rateLimited     = "app_rate_limited"
)

// request is one request as JSON: a JSON body as it came, and of a form the
// interaction or the command in it.
type request struct {
	envelope
	Interaction json.RawMessage `json:"signalbox_interaction"`
	Command     json.RawMessage `json:"signalbox_command"`
}

// envelope is what Slack sends around an event. Fields but Type are what they
// are, whatever that is.
type envelope struct {
	Type          string          `json:"type"`
	Challenge     string          `json:"challenge"`
	Event         json.RawMessage `json:"event"`
	TeamID        json.RawMessage `json:"team_id"`
	EnterpriseID  json.RawMessage `json:"enterprise_id"`
	AppID         json.RawMessage `json:"api_app_id"`
	EventID       json.RawMessage `json:"event_id"`
	EventTime     json.RawMessage `json:"event_time"`
	EventContext  json.RawMessage `json:"event_context"`
	Authorization json.RawMessage `json:"authorizations"`
	Shared        json.RawMessage `json:"is_ext_shared_channel"`
}

func read(body []byte) *request {
	var r request
	_ = json.Unmarshal(body, &r) // what could not be read is not there
	return &r
}

// payload makes JSON of a form, and leaves JSON alone.
func payload(r *http.Request, body []byte) ([]byte, error) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != form {
		return body, nil
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &ingress.Error{Status: http.StatusBadRequest, Text: "the body is said to be a form, but cannot be read as one"}
	}
	switch {
	case values.Has("payload"):
		p := bytes.TrimSpace([]byte(values.Get("payload")))
		if !ingress.ValidJSON(p) || len(p) == 0 || p[0] != '{' {
			return nil, &ingress.Error{Status: http.StatusBadRequest, Text: "the form's payload is no JSON object"}
		}
		return wrap("signalbox_interaction", p), nil
	case values.Has("command"):
		return wrap("signalbox_command", slash(values)), nil
	}
	return []byte("{}"), nil // such as ssl_check=1, which only wants an answer
}

func wrap(key string, value []byte) []byte {
	b := append(make([]byte, 0, len(value)+len(key)+8), `{"`...)
	b = append(append(b, key...), `":`...)
	return append(append(b, value...), '}')
}

// slash is a slash command as JSON: the known keys, which are always there, and
// what else the form has, all of them text but one.
func slash(values url.Values) []byte {
	all := map[string]any{"is_enterprise_install": values.Get("is_enterprise_install") == "true"}
	for _, k := range []string{
		"token", "team_id", "team_domain", "channel_id", "channel_name", "user_id", "user_name",
		"command", "text", "response_url", "trigger_id", "api_app_id",
	} {
		all[k] = values.Get(k)
	}
	for k := range values {
		if _, ok := all[k]; !ok {
			all[k] = values.Get(k)
		}
	}
	b, _ := json.Marshal(all) //nolint:errchkjson // texts and a bool
	return b
}

// event has the data {"type":..,"Data":..} of Argo Events, and what identifies it.
func event(body []byte, e *envelope, metadata map[string]string) ingress.Made {
	var inner struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(e.Event, &inner)
	data := ingress.AppendJSON([]byte(`{"type":`), inner.Type)
	for _, f := range []struct {
		key   string
		value json.RawMessage
	}{
		{"Data", orNull(e.Event)},
		{"team_id", e.TeamID},
		{"enterprise_id", e.EnterpriseID},
		{"api_app_id", e.AppID},
		{"event_id", e.EventID},
		{"event_time", e.EventTime},
		{"event_context", e.EventContext},
		{"authorizations", e.Authorization},
		{"is_ext_shared_channel", e.Shared},
	} {
		if f.value != nil {
			data = append(append(append(data, `,"`...), f.key...), `":`...)
			data = append(data, f.value...)
		}
	}
	var id string
	_ = json.Unmarshal(e.EventID, &id)
	var sec int64
	_ = json.Unmarshal(e.EventTime, &sec)
	return ingress.Made{ID: githost.ID(body, id), Data: withMetadata(append(data, '}'), metadata), Time: unix(sec)}
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// interaction is the payload as it came. A click has one trigger_id, and one
// action_ts per action; what has none is known by all it holds.
func interaction(raw []byte, metadata map[string]string) ingress.Made {
	var p struct {
		Trigger json.RawMessage `json:"trigger_id"`
		At      json.RawMessage `json:"action_ts"`
		Actions []struct {
			At json.RawMessage `json:"action_ts"`
		} `json:"actions"`
	}
	_ = json.Unmarshal(raw, &p)
	key := raw
	if len(p.Trigger) > len(`""`) && p.Trigger[0] == '"' {
		key = append([]byte("interaction"), p.Trigger...)
		key = append(key, p.At...)
		for _, a := range p.Actions {
			key = append(append(key, ' '), a.At...)
		}
	}
	return ingress.Made{ID: hash(key), Data: withMetadata(raw, metadata)}
}

// command has a trigger_id of its own each time it is given.
func command(raw []byte, metadata map[string]string) ingress.Made {
	var c struct {
		Trigger  string `json:"trigger_id"`
		Response string `json:"response_url"`
	}
	_ = json.Unmarshal(raw, &c)
	m := ingress.Made{Data: withMetadata(raw, metadata)}
	if c.Trigger != "" || c.Response != "" {
		m.ID = hash([]byte("command" + c.Trigger + "\n" + c.Response))
	}
	return m
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// withMetadata puts the entry's metadata into a JSON object.
func withMetadata(object []byte, metadata map[string]string) []byte {
	object = bytes.TrimSpace(object)
	if len(metadata) == 0 {
		return object
	}
	value, _ := json.Marshal(metadata) //nolint:errchkjson // it holds text
	inner := bytes.TrimSpace(object[:len(object)-1])
	out := append(make([]byte, 0, len(object)+len(value)+16), inner...)
	if len(inner) > 1 {
		out = append(out, ',')
	}
	return append(append(append(out, `"metadata":`...), value...), '}')
}

// unix is a time that Slack gave; zero if it gave none that makes sense.
func unix(sec int64) time.Time {
	if sec <= 0 || sec > 1<<40 {
		return time.Time{}
	}
	return time.Unix(sec, 0).UTC()
}
