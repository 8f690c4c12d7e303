package storagegrid

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

const form = "application/x-www-form-urlencoded"

func (f *Filter) matches(key string) bool {
	return strings.HasPrefix(key, f.Prefix) && strings.HasSuffix(key, f.Suffix)
}

// payload makes JSON of what StorageGRID sends: a form, as Amazon SNS takes it,
// whose Message is JSON itself. What is a JSON object already is left alone.
func payload(r *http.Request, body []byte) ([]byte, error) {
	if r.Method == http.MethodHead {
		return []byte("{}"), nil
	}
	if t := bytes.TrimSpace(body); len(t) == 0 || t[0] == '{' {
		return body, nil
	}
	values, err := url.ParseQuery(string(bytes.TrimSpace(body)))
	if err != nil || !values.Has("Action") && !values.Has("Message") {
		return nil, &ingress.Error{Status: http.StatusBadRequest, Text: "the body is no notification of StorageGRID: want a form with Action and Message"}
	}
	all := make(map[string]any, len(values))
	for k := range values {
		all[k] = values.Get(k)
	}
	if m := []byte(values.Get("Message")); ingress.ValidJSON(m) {
		all["Message"] = json.RawMessage(m)
	}
	b, err := json.Marshal(all)
	if err != nil { // JSON nested too deeply
		return nil, &ingress.Error{Status: http.StatusBadRequest, Text: "the form's Message cannot be read"}
	}
	return b, nil
}

// notification is what of a notification decides what becomes of it.
type notification struct {
	Action  string
	Message struct {
		Event string // of a test
	}
}

func read(body []byte) *notification {
	var n notification
	_ = json.Unmarshal(body, &n) // what could not be read is empty
	return &n
}

// publishes tells whether the request brings an event. Others test the endpoint.
func (n *notification) publishes() bool {
	return (n.Action == "" || n.Action == "Publish") && n.Message.Event != "s3:TestEvent"
}

// decode makes an event of each record, each with a notification that has it alone.
func decode(body []byte, c *Config) ([]ingress.Made, error) {
	if !read(body).publishes() {
		return nil, nil
	}
	parts, ok, err := githost.Split(body, "Message", "Records")
	switch {
	case err != nil:
		return nil, err
	case !ok && c.Filter != nil:
		return []ingress.Made{{Filtered: true}}, nil
	case !ok:
		return []ingress.Made{{ID: hash(body), Data: data(body, c.Metadata)}}, nil
	}
	made := make([]ingress.Made, 0, len(parts.Items))
	for i, raw := range parts.Items {
		var r struct {
			Time string `json:"eventTime"`
			S3   struct {
				Object struct {
					Key string `json:"key"`
				} `json:"object"`
			} `json:"s3"`
		}
		_ = json.Unmarshal(raw, &r)
		if !c.Filter.passes(r.S3.Object.Key) {
			made = append(made, ingress.Made{Filtered: true})
			continue
		}
		at, _ := time.Parse(time.RFC3339, r.Time)
		made = append(made, ingress.Made{ID: hash(raw), Data: data(parts.With(i), c.Metadata), Time: at})
	}
	return made, nil
}

// data is {"notification":..} as in Argo Events.
func data(notification []byte, metadata map[string]string) []byte {
	b := append(append(make([]byte, 0, len(notification)+64), `{"notification":`...), notification...)
	if len(metadata) > 0 {
		m, _ := json.Marshal(metadata) //nolint:errchkjson // it holds text
		b = append(append(b, `,"metadata":`...), m...)
	}
	return append(b, '}')
}

// hash of a record: it has the request's id, the time and a sequencer.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

var word = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// answer is what Amazon SNS would answer.
func answer(d *ingress.Delivery) *ingress.Answer {
	action := read(d.Body).Action
	if !word.MatchString(action) {
		action = "Publish"
	}
	id := uuid(hash(d.Body))
	result := ""
	if action == "Publish" {
		result = "<PublishResult><MessageId>" + id + "</MessageId></PublishResult>"
	}
	return &ingress.Answer{
		ContentType: "text/xml; charset=utf-8",
		Body: []byte("<" + action + `Response xmlns="http://sns.amazonaws.com/doc/2010-03-31/">` + result +
			"<ResponseMetadata><RequestId>" + id + "</RequestId></ResponseMetadata></" + action + "Response>\n"),
	}
}

// uuid writes 32 hex digits as a UUID.
func uuid(h string) string {
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
