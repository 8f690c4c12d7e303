package alertmanager

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// blockKey is the key of Alert in the data of events.
const blockKey = "alert"

// The values of Alert.Status.
const (
	firing   = "firing"
	resolved = "resolved"
)

// Alert is what an event tells of, an alert or a group of them, in one shape.
// What is not known is absent.
type Alert struct {
	// Status is firing or resolved; a group fires as long as any of its alerts does.
	Status string `json:"status,omitempty"`
	// Name is the label alertname; of a group, if all have the same.
	Name string `json:"name,omitempty"`
	// Labels and Annotations are the alert's, or those that all of a group have in common.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// StartsAt is when the alert began, of a group the first of its alerts. RFC 3339.
	StartsAt string `json:"startsAt,omitempty"`
	// EndsAt is when it ended, of a group the last one; absent while it fires.
	EndsAt string `json:"endsAt,omitempty"`
	// Fingerprint and GeneratorURL are those of one alert; a group has none.
	Fingerprint  string `json:"fingerprint,omitempty"`
	GeneratorURL string `json:"generatorURL,omitempty"`
	// GroupKey, GroupLabels and Receiver say how Alertmanager came to send it.
	GroupKey    string            `json:"groupKey,omitempty"`
	GroupLabels map[string]string `json:"groupLabels,omitempty"`
	Receiver    string            `json:"receiver,omitempty"`
	// ExternalURL is Alertmanager's own.
	ExternalURL string `json:"externalURL,omitempty"`
	// Firing, Resolved and Truncated are how many alerts the notification has, and
	// how many it leaves out; absent in an event of one alert.
	Firing    *int `json:"firing,omitempty"`
	Resolved  *int `json:"resolved,omitempty"`
	Truncated *int `json:"truncated,omitempty"`
}

// notification is what Alertmanager sends, version 4
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).
type notification struct {
	Status            text          `json:"status"`
	Receiver          text          `json:"receiver"`
	GroupKey          text          `json:"groupKey"`
	TruncatedAlerts   number        `json:"truncatedAlerts"`
	GroupLabels       labels        `json:"groupLabels"`
	CommonLabels      labels        `json:"commonLabels"`
	CommonAnnotations labels        `json:"commonAnnotations"`
	ExternalURL       text          `json:"externalURL"`
	Alerts            lenient[item] `json:"alerts"`
}

type item struct {
	Status       text   `json:"status"`
	Labels       labels `json:"labels"`
	Annotations  labels `json:"annotations"`
	StartsAt     text   `json:"startsAt"`
	EndsAt       text   `json:"endsAt"`
	GeneratorURL text   `json:"generatorURL"`
	Fingerprint  text   `json:"fingerprint"`
}

// text, number, labels and lenient are empty where the JSON is of another type.
type (
	text   string
	number int
	labels map[string]string
	// lenient is a list.
	lenient[T any] []T
)

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	_ = json.Unmarshal(b, (*string)(t))
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	_ = json.Unmarshal(b, (*int)(n))
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *labels) UnmarshalJSON(b []byte) error {
	var all map[string]text
	_ = json.Unmarshal(b, &all)
	if len(all) == 0 {
		return nil
	}
	*l = labels{}
	for k, v := range all {
		(*l)[k] = string(v)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *lenient[T]) UnmarshalJSON(b []byte) error {
	var all []json.RawMessage
	_ = json.Unmarshal(b, &all)
	for _, raw := range all {
		var v T
		_ = json.Unmarshal(raw, &v)
		*l = append(*l, v)
	}
	return nil
}

// decode makes the events of a notification: one of the group, or one per alert.
func decode(body []byte, perAlert bool) ([]ingress.Made, error) {
	var n notification
	_ = json.Unmarshal(body, &n) // what could not be read is not in the block
	if perAlert {
		parts, ok, err := githost.Split(body, "alerts")
		if err != nil {
			return nil, err
		}
		if ok {
			return n.each(parts), nil
		}
	}
	return []ingress.Made{{ID: n.id(body), Blocks: block(n.group())}}, nil
}

func block(a Alert) []ingress.Block { return []ingress.Block{{Key: blockKey, Value: a}} }

// each makes an event of each alert, with a payload that has it alone.
func (n *notification) each(parts githost.Parts) []ingress.Made {
	made := make([]ingress.Made, 0, len(parts.Items))
	for i, raw := range parts.Items {
		var it item
		_ = json.Unmarshal(raw, &it)
		made = append(made, ingress.Made{ID: n.idOf(raw, it), Body: parts.With(i), Blocks: block(n.one(it))})
	}
	return made
}

func (n *notification) one(it item) Alert {
	return Alert{
		Status: string(it.Status), Name: it.Labels["alertname"], Labels: it.Labels, Annotations: it.Annotations,
		StartsAt: string(it.StartsAt), EndsAt: it.ended(), Fingerprint: string(it.Fingerprint), GeneratorURL: string(it.GeneratorURL),
		GroupKey: string(n.GroupKey), GroupLabels: n.GroupLabels, Receiver: string(n.Receiver), ExternalURL: string(n.ExternalURL),
	}
}

func (n *notification) group() Alert {
	var fires, resolves int
	var first, last moment
	for _, it := range n.Alerts {
		first.earlier(string(it.StartsAt))
		last.later(it.ended())
		switch it.Status {
		case firing:
			fires++
		case resolved:
			resolves++
		}
	}
	a := Alert{
		Status: string(n.Status), Name: n.CommonLabels["alertname"], Labels: n.CommonLabels, Annotations: n.CommonAnnotations,
		StartsAt: first.text,
		GroupKey: string(n.GroupKey), GroupLabels: n.GroupLabels, Receiver: string(n.Receiver), ExternalURL: string(n.ExternalURL),
		Firing: &fires, Resolved: &resolves, Truncated: (*int)(&n.TruncatedAlerts),
	}
	if n.Status == resolved {
		a.EndsAt = last.text
	}
	return a
}

// ended is when an alert ended. While it fires, endsAt is the year 1 or when it
// would be given up.
func (it *item) ended() string {
	if it.Status != resolved {
		return ""
	}
	return string(it.EndsAt)
}

// moment is a time, kept as it was written.
type moment struct {
	at   time.Time
	text string
}

func (m *moment) earlier(s string) {
	m.replace(s, func(t time.Time) bool { return t.Before(m.at) })
}

func (m *moment) later(s string) {
	m.replace(s, func(t time.Time) bool { return t.After(m.at) })
}

func (m *moment) replace(s string, better func(time.Time) bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil && (m.text == "" || better(t)) {
		m.at, m.text = t, s
	}
}

// id of a group: its key and what state which alerts are in. Alertmanagers of a
// cluster may each send the same; a repetition is the same, too.
func (n *notification) id(body []byte) string {
	if n.GroupKey == "" || len(n.Alerts) == 0 {
		return githost.ID(body)
	}
	var states []string
	for _, it := range n.Alerts {
		states = append(states, it.state())
	}
	slices.Sort(states)
	return hash(append([]string{string(n.GroupKey), string(n.Status)}, states...)...)
}

func (n *notification) idOf(raw []byte, it item) string {
	if it.Fingerprint == "" && len(it.Labels) == 0 {
		return githost.ID(raw)
	}
	return hash(string(n.GroupKey), it.state())
}

// state tells one alert and what became of it from all others.
func (it *item) state() string {
	which := string(it.Fingerprint)
	if which == "" { // before version 0.19
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(it.Labels)) {
			b.WriteString(k + "\x00" + it.Labels[k] + "\x00")
		}
		which = b.String()
	}
	return which + "\n" + string(it.StartsAt) + "\n" + string(it.Status)
}

// hash is 32 hex digits; the texts cannot run into each other.
func hash(texts ...string) string {
	b, _ := json.Marshal(texts) //nolint:errchkjson // they are strings
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
