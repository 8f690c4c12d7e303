// Package eventsource runs the entries of an EventSource manifest.
//
// Each kind of source lives in a folder of its own below this one and is named
// once, in package all. A kind brings its configuration type, with defaults and
// validation, and a constructor; what all kinds share (retries, filters, event
// ids, metrics, logs, publishing) is done here, once.
package eventsource

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// A Source produces the events of one entry, for example spec.webhook.push.
type Source interface {
	// Run connects and hands every event to emit until ctx is done, then lets
	// go of what it holds and returns nil. It acknowledges an event to its
	// upstream only after emit returned nil. An error means that the source
	// cannot go on as it is: the caller logs it, waits and calls Run again.
	// Permanent(err) says that trying again cannot help. Run is called by one
	// goroutine at a time, and may be called again after it returned.
	Run(ctx context.Context, emit Emit) error
}

// Emit puts one event on the bus. Nil means that the event is stored (or that
// the entry's own filter dropped it), and only then may a source tell its
// upstream that the event is taken: commit the offset, delete the message,
// answer 2xx. After an error it must not. ErrTooLarge means that this event
// can never be stored; every other error may pass by itself. Emit is safe for
// concurrent use, and calls made at the same time share round trips and disk
// writes.
type Emit func(ctx context.Context, e Event) error

// ErrTooLarge is what Emit's error wraps if the event is larger than the bus takes.
var ErrTooLarge = errors.New("the event is larger than the event bus takes")

// Event is what a source knows of one event. The runner makes a CloudEvent of
// it: id, source (the EventSource's name), subject (the event's name), type
// (the kind), time (now), with what is set here taking precedence.
type Event struct {
	// ID makes a redelivered event recognizable: the bus stores an id of one
	// entry once within its window (streamConfig.duplicates, 5 minutes by
	// default). Use what upstream offers (a delivery header; topic, partition
	// and offset; schedule and time). Empty gets a random one.
	ID string
	// Data is the payload, JSON unless ContentType says otherwise. Emit does
	// not change it and does not keep it after it returned.
	Data []byte
	// ContentType of Data. Empty means application/json.
	ContentType string
	// Time the event happened. Zero means now.
	Time time.Time

	// Source, Type, Subject, DataSchema and Extensions are for sources whose
	// upstream speaks CloudEvents; they are kept as they came.
	Source, Type, Subject, DataSchema string
	// Extensions are CloudEvents extension attributes, such as traceparent.
	Extensions map[string]string

	// Filtered says that the source's own settings dropped the event: it is
	// counted as filtered and goes nowhere. All other fields may be empty.
	Filtered bool
}

// Env is what a source may use of its surroundings.
type Env struct {
	// Namespace, EventSource and Event name the entry.
	Namespace, EventSource, Event string
	// Log carries the names above.
	Log *slog.Logger
	// Secrets reads secrets and ConfigMaps at the time of use.
	Secrets secret.Reader
	// Hooks is the HTTP server that all sources of the process share.
	Hooks Hooks
	// State keeps a little memory of this entry on the bus, over restarts and
	// shared by all replicas.
	State State
	// Lead elects one among the processes that run this entry.
	Lead Leader
	// Offline says that nothing outside may be asked: a tool wants to see what
	// the source makes of a request.
	Offline bool
	// Kubernetes is the API for kinds that need it. Its clients cannot be had
	// where there is no cluster.
	Kubernetes *cluster.Cluster
}

// State is a small key-value store. Keys are any text.
type State interface {
	// Get returns nil without an error if there is no value.
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
}

// A Leader lets one process at a time do what only one may do.
type Leader interface {
	// Lead waits until this process is the one that does the work of that name,
	// and then calls run, whose context ends when it is the one no longer; then it
	// waits again. It returns nil when ctx is done, after run has returned, or
	// run's error as soon as it returns one. A process that dies is replaced
	// within a minute.
	Lead(ctx context.Context, name string, run func(ctx context.Context) error) error
}

// Route is a place at which a source receives HTTP requests.
type Route struct {
	// Port is a decimal number.
	Port string
	// Methods that are answered; others get 405. Empty means all.
	Methods []string
	// Path begins with a slash and may have variables: /push/{team}.
	Path string
	// ServerCert and ServerKey make the port speak HTTPS; both or none, and the
	// same for all routes of a port.
	ServerCert, ServerKey *corev1.SecretKeySelector
	// ClientCA makes the port ask clients for certificates, which the handler
	// checks; nil for none.
	ClientCA *corev1.SecretKeySelector
	// Secrets has them; nil means the server's own.
	Secrets secret.Reader
	// Owner is whose route it is. The runner fills it in.
	Owner Owner
}

// Owner names an entry.
type Owner struct{ Namespace, EventSource, Event string }

// Hooks is the HTTP server that sources share.
type Hooks interface {
	// Serve answers the route's requests with h until ctx is done and the
	// requests that had begun have been answered; then it returns nil. Serving
	// a route that is being served already takes it over for new requests
	// (that is how a changed manifest replaces the old one without a gap). It
	// returns an error if it cannot listen.
	Serve(ctx context.Context, route Route, h http.Handler) error
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that no retry can mend.
func Permanent(err error) error { return permanent{err} }
