package sourcehut

import (
	"encoding/json"

	"github.com/signalbox-events/signalbox/webhook/githost"
)

// payload is what is read of a delivery. What is of a wrong type stays empty.
type payload struct {
	// Of GraphQL: the result of the query that is stored with the hook.
	Data struct {
		Webhook hook `json:"webhook"`
	} `json:"data"`

	// Of the old hooks of a repository.
	Push   string                `json:"push"`
	Pusher entity                `json:"pusher"`
	Refs   *githost.List[update] `json:"refs"`

	// Of the old hooks of a user: the repository itself.
	Name  string `json:"name"`
	Owner entity `json:"owner"`
}

type hook struct {
	UUID       string               `json:"uuid"`
	Event      string               `json:"event"`
	Repository repository           `json:"repository"`
	Pusher     entity               `json:"pusher"`
	Updates    githost.List[update] `json:"updates"`
}

type repository struct {
	Name  string `json:"name"`
	Owner entity `json:"owner"`
	HEAD  struct {
		Name string `json:"name"`
	} `json:"HEAD"`
}

// entity is a user. The old hooks write its names in another way.
type entity struct {
	CanonicalName string `json:"canonicalName"`
	Canonical     string `json:"canonical_name"`
	Email         string `json:"email"`
}

func (e entity) name() string { return githost.First(e.CanonicalName, e.Canonical) }

// update of a ref. Ref is of GraphQL, and null if the ref is gone; Name is of the
// old hooks, and empty then.
type update struct {
	Name string `json:"name"`
	Ref  struct {
		Name   string `json:"name"`
		Target string `json:"target"`
	} `json:"ref"`
	Old object `json:"old"`
	New object `json:"new"`
	Log struct {
		Results githost.List[object] `json:"results"`
	} `json:"log"`
}

// object is a commit, or the object of a tag.
type object struct {
	fields
	// told tells that it is in the payload, if only as null.
	told bool
}

type fields struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	// Timestamp is of the old hooks, and so is Parents as a list of texts.
	Timestamp string   `json:"timestamp"`
	Parents   []string `json:"parents"`
	Author    struct {
		Name  string `json:"name"`
		Email string `json:"email"`
		Time  string `json:"time"`
	} `json:"author"`
}

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (o *object) UnmarshalJSON(b []byte) error {
	*o = object{told: true}
	_ = json.Unmarshal(b, &o.fields) // what is of a wrong type stays empty
	return nil
}

// The events whose bodies tell them by their shape.
const postUpdate = "repo:post-update"

// event is its name. That of the body counts, because the header is not signed.
func (p *payload) event(header string) string {
	if p.Data.Webhook.Event == "" && p.Refs != nil {
		return postUpdate
	}
	return githost.First(p.Data.Webhook.Event, header)
}
