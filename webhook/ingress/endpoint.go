package ingress

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/seldom"
)

// Endpoint receives the requests of one entry. For each it checks the
// credentials, reads the body within the limit and calls Receive; then it
// answers. It is the whole of most webhook-driven sources:
//
//	func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
//		return s.endpoint.Serve(ctx, s.env.Hooks, emit)
//	}
type Endpoint struct {
	// Route to serve; see RouteOf.
	Route eventsource.Route
	// Context has the credentials and the limit of the body's size.
	Context v1alpha1.WebhookContext
	Secrets secret.Reader
	Log     *slog.Logger
	// Receive makes events of a request.
	Receive Receive
}

// Receive checks a request's signature, if it has one, before it looks into the
// body; makes events of it, hands them to emit and says what to answer. It
// returns emit's error as it is or wrapped, which is answered 503, or 413 if
// the event is too large; an *Error chooses its own status; any other error is
// answered 400 with its text, which must hold no secret. The body belongs to
// Receive only until it returns. It is called by many goroutines.
type Receive func(r *http.Request, body []byte, emit eventsource.Emit) (Answer, error)

// Answer is what a request is answered with.
type Answer struct {
	// Status; zero means 200.
	Status int
	// ID of the event, answered as {"id":"..."}.
	ID string
	// IDs of the events, where a request can bring several; not nil means {"ids":[...]}.
	IDs []string
	// Body is answered instead of all this if ContentType is set.
	ContentType string
	Body        []byte
}

// Error is an error that says how the request is to be answered. Its text is
// shown to the sender.
type Error struct {
	Status int
	// Text for the sender: what is wrong with the request.
	Text string
	// Cause is only logged; may be nil.
	Cause error
	// Challenge is the value of WWW-Authenticate of a 401.
	Challenge string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Text + ": " + e.Cause.Error()
	}
	return e.Text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// retryAfter is how many seconds a sender is asked to wait while the bus takes nothing.
const retryAfter = "2"

// notStored marks an error of emit.
type notStored struct{ error }

func (n notStored) Unwrap() error { return n.error }

// Serve answers requests until ctx is done.
func (e *Endpoint) Serve(ctx context.Context, hooks eventsource.Hooks, emit eventsource.Emit) error {
	h := &handler{endpoint: e, limit: Limit(&e.Context)}
	h.emit = func(ctx context.Context, ev eventsource.Event) error {
		if err := emit(ctx, ev); err != nil {
			return notStored{err}
		}
		return nil
	}
	route := e.Route
	route.Secrets = e.Secrets
	return hooks.Serve(ctx, route, h)
}

type handler struct {
	endpoint *Endpoint
	limit    int64
	emit     eventsource.Emit
	troubled seldom.Complaint
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h.receive(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	writeAnswer(w, answer)
}

func (h *handler) receive(r *http.Request) (Answer, error) {
	if err := authorize(r, &h.endpoint.Context, h.endpoint.Secrets); err != nil {
		return Answer{}, err
	}
	buf := buffers.Get().(*[]byte)
	body, err := readBody(r, h.limit, (*buf)[:0])
	if err != nil {
		return Answer{}, err
	}
	answer, err := h.endpoint.Receive(r, body, h.emit)
	if err != nil {
		// The bus may hold on to the body of an event that was refused.
		return Answer{}, err
	}
	if cap(body) <= keptBuffer {
		*buf = body
		buffers.Put(buf)
	}
	return answer, nil
}

func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, text := http.StatusBadRequest, err.Error()
	var own *Error
	var bus notStored
	switch {
	case errors.Is(err, eventsource.ErrTooLarge):
		status, text = http.StatusRequestEntityTooLarge, eventsource.ErrTooLarge.Error()
	case errors.As(err, &bus):
		status, text = http.StatusServiceUnavailable, "the event could not be stored; try again"
		w.Header().Set("Retry-After", retryAfter)
	case errors.As(err, &own):
		status, text = own.Status, own.Text
		if own.Challenge != "" {
			w.Header().Set("WWW-Authenticate", own.Challenge)
		}
	}
	if status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // what is left of the body is not worth reading
	}
	log, level := h.endpoint.Log, slog.LevelDebug
	if status == http.StatusInternalServerError {
		if due, _ := h.troubled.Due(err.Error()); due {
			level = slog.LevelError
		}
	}
	log.Log(r.Context(), level, "request refused", "status", status, "error", err)
	writeError(w, status, text)
}

const keptBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// readBody appends the request's body to buf.
func readBody(r *http.Request, limit int64, buf []byte) ([]byte, error) {
	if r.ContentLength > limit {
		return buf, tooLarge(limit)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return buf, nil
	}
	if want := int(max(r.ContentLength+1, 512)); cap(buf) < want {
		buf = make([]byte, 0, want)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return buf, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return buf, &Error{Status: http.StatusRequestTimeout, Text: "the body took too long", Cause: err}
		case err != nil:
			return buf, &Error{Status: http.StatusBadRequest, Text: "the body cannot be read", Cause: err}
		}
	}
}
