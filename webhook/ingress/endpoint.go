package ingress

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

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
	// Verify checks the signature of a request, before it is counted (rateLimit)
	// and before Receive; nil if there is none. Its errors are answered as Receive's.
	Verify func(r *http.Request, body []byte) error
	// Receive makes events of a request.
	Receive Receive

	hook *Hook // takes the place of Verify and Receive
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
	// RetryAfter is when the sender may try again; zero says nothing about it.
	RetryAfter time.Duration
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

// retryAfter is how many seconds a sender is asked to wait while the bus takes
// nothing, or the server has too much to do.
const (
	retryAfter   = "2"
	retrySeconds = 2
)

// notStored marks an error of emit.
type notStored struct{ error }

func (n notStored) Unwrap() error { return n.error }

// Serve answers requests until ctx is done.
func (e *Endpoint) Serve(ctx context.Context, hooks eventsource.Hooks, emit eventsource.Emit) error {
	h := &handler{endpoint: e, limit: Limit(&e.Context), guard: newGuard(&e.Context, e.Secrets)}
	h.emit = func(ctx context.Context, ev eventsource.Event) error {
		if err := emit(ctx, ev); err != nil {
			return notStored{err}
		}
		return nil
	}
	route := e.Route
	route.Secrets, route.ClientCA = e.Secrets, e.Context.ClientCASecret
	return hooks.Serve(ctx, route, h)
}

type handler struct {
	endpoint *Endpoint
	limit    int64
	guard    *guard
	emit     eventsource.Emit
	troubled seldom.Complaint
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h.receive(w, r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	writeAnswer(w, answer)
}

func (h *handler) receive(w http.ResponseWriter, r *http.Request) (Answer, error) {
	if err := h.guard.authorize(r); err != nil {
		return Answer{}, err
	}
	if !h.endpoint.signed() {
		if err := h.guard.count(); err != nil {
			return Answer{}, err
		}
	}
	from := guestOf(r)
	var room *room
	if from != nil {
		room = from.of.room
	}
	b := bodies.Get().(*body)
	if err := b.read(w, r, room, h.limit); err != nil {
		b.done(room, false)
		return Answer{}, err
	}
	var answer Answer
	var err error
	if from == nil { // a connection of another server
		answer, err = h.verified(r, b.bytes)
	} else {
		answer, err = h.work(r, b.bytes, from)
	}
	// The bus may hold on to the body of an event that was refused.
	b.done(room, err != nil)
	return answer, err
}

// work lets Receive have the body when it is its turn.
func (h *handler) work(r *http.Request, body []byte, from *guest) (Answer, error) {
	from.work()
	defer from.rest()
	turn, err := from.of.room.work(r.Context(), int64(len(body)))
	if err != nil {
		return Answer{}, err
	}
	defer turn.end()
	return h.verified(r, body)
}

// verified calls Receive for requests whose signature is right. Those are
// counted that are let in: senders who are not known must not use up what those
// who are may send.
func (h *handler) verified(r *http.Request, body []byte) (Answer, error) {
	e, proved, err := h.endpoint, "", error(nil)
	switch {
	case e.hook != nil:
		proved, err = e.hook.check(r, body)
	case e.Verify != nil:
		err = e.Verify(r, body)
	}
	if err == nil && e.signed() {
		err = h.guard.count()
	}
	switch {
	case err != nil:
		return Answer{}, err
	case e.hook != nil:
		return e.hook.accept(r, body, proved, h.emit)
	default:
		return e.Receive(r, body, h.emit)
	}
}

// signed tells whether requests prove themselves by more than the general credentials.
func (e *Endpoint) signed() bool { return e.Verify != nil || e.hook != nil && e.hook.signed() }

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
		if own.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(own.RetryAfter/time.Second)))
		}
	}
	if status == http.StatusRequestEntityTooLarge || status == http.StatusRequestTimeout {
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
