package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// auditPolicy has every request to change an object noted, before and after
// it is done. What the API server does by itself, and questions that have the
// form of a creation, are not.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted]
rules:
- {level: None, users: ["system:apiserver"]}
- {level: None, nonResourceURLs: ["*"]}
- level: None
  resources:
  - {group: authentication.k8s.io}
  - {group: authorization.k8s.io}
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
`

// Write is a request that was to change an object, whether or not it did:
// see Code. An update that changes nothing counts.
type Write struct {
	Time        time.Time // when the request came
	Verb        string    // create, update, patch (apply too), delete, deletecollection
	User        string    // who is impersonated, if anybody is
	Group       string    // of the resource; "" is the core group
	Resource    string    // plural
	Subresource string    // such as status; or empty
	Namespace   string
	Name        string // empty where the API makes the name, and for deletecollection
	Code        int    // HTTP status of the answer
}

// Writes are the requests to change an object since a time, in the order in
// which they came. It waits for the end of those that have come already. One
// that was cut off by the end of the API server has the Code 0. Dry runs are
// not among them.
func (c *Cluster) Writes(t testing.TB, since time.Time) []Write {
	t.Helper()
	writes, err := c.writes(since)
	if err != nil {
		t.Fatalf("read the audit log: %v", err)
	}
	return writes
}

func (c *Cluster) writes(since time.Time) ([]Write, error) {
	c.mu.Lock()
	defer c.mu.Unlock() // so that the API server is not ended while we wait for it
	var writes []Write
	for run := 1; run <= c.runs; run++ {
		path := c.auditLog(run)
		log, err := readAudit(path)
		if err != nil {
			return nil, err
		}
		if run == c.runs && c.api != nil {
			came := log.open()
			var readErr error
			err := c.api.until("end of requests", func() bool {
				log, readErr = readAudit(path)
				return readErr != nil || log.ended(came)
			})
			if err := errors.Join(err, readErr); err != nil {
				return nil, err
			}
			log.drop(log.open()) // they have come since
		}
		writes = append(writes, log.since(since)...)
	}
	return writes, nil
}

// auditEvent is what is read of an audit.k8s.io/v1 Event.
type auditEvent struct {
	AuditID                  string           `json:"auditID"`
	Stage                    string           `json:"stage"`
	RequestURI               string           `json:"requestURI"`
	Verb                     string           `json:"verb"`
	RequestReceivedTimestamp metav1.MicroTime `json:"requestReceivedTimestamp"`
	User                     auditUser        `json:"user"`
	ImpersonatedUser         *auditUser       `json:"impersonatedUser"`
	ObjectRef                struct {
		APIGroup    string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

type auditUser struct {
	Username string `json:"username"`
}

// auditLog is what an audit log says, by the ids of requests.
type auditLog struct {
	ids    []string // in order of coming
	writes map[string]*auditEvent
}

// readAudit reads the whole lines of an audit log. Of each request the last
// event counts.
func readAudit(path string) (*auditLog, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l := &auditLog{writes: map[string]*auditEvent{}}
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // being written
		}
		e := &auditEvent{}
		if err := json.Unmarshal(line, e); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		if l.writes[e.AuditID] == nil {
			l.ids = append(l.ids, e.AuditID)
		}
		l.writes[e.AuditID] = e
	}
	return l, nil
}

// open gives the requests that have not ended.
func (l *auditLog) open() []string {
	return slices.DeleteFunc(slices.Clone(l.ids), func(id string) bool { return l.writes[id].Stage != "RequestReceived" })
}

// ended tells whether all of these requests have ended.
func (l *auditLog) ended(ids []string) bool {
	open := l.open()
	return !slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(open, id) })
}

func (l *auditLog) drop(ids []string) {
	l.ids = slices.DeleteFunc(l.ids, func(id string) bool { return slices.Contains(ids, id) })
}

func (l *auditLog) since(t time.Time) []Write {
	t = t.Truncate(time.Microsecond) // as the log is
	var writes []Write
	for _, id := range l.ids {
		if e := l.writes[id]; !e.RequestReceivedTimestamp.Time.Before(t) && !e.dryRun() {
			writes = append(writes, e.write())
		}
	}
	return writes
}

func (e *auditEvent) dryRun() bool {
	u, err := url.Parse(e.RequestURI)
	return err == nil && u.Query().Has("dryRun")
}

func (e *auditEvent) write() Write {
	user := e.User
	if e.ImpersonatedUser != nil {
		user = *e.ImpersonatedUser
	}
	o := e.ObjectRef
	return Write{
		Time: e.RequestReceivedTimestamp.Time, Verb: e.Verb, User: user.Username, Code: e.ResponseStatus.Code,
		Group: o.APIGroup, Resource: o.Resource, Subresource: o.Subresource, Namespace: o.Namespace, Name: o.Name,
	}
}
