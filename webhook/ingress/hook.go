package ingress

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Hook receives the deliveries of one vendor for one entry. A vendor's kind says
// how they are signed and what events they are; all else is here: credentials,
// limits, the order of checks, the shape of the data, ids, answers.
type Hook struct {
	// Context has the route, the limits and the general credentials.
	Context v1alpha1.WebhookContext
	// Methods to answer; empty means the context's own.
	Methods []string
	Secrets secret.Reader
	Log     *slog.Logger
	// Metadata of the entry, put into each event.
	Metadata map[string]string
	// HeadersKey is the data's key for the request's headers; empty means "headers".
	HeadersKey string
	// SecretHeaders are masked in events, in canonical form, beside those that always are.
	SecretHeaders []string

	// Schemes by which a delivery may be signed, and the Keys to check with. All
	// schemes that the request has anything of must agree; if it has nothing of
	// any, it is refused. Without Keys nothing is checked beyond Context.
	Schemes []verify.Scheme
	Keys    *verify.Keys
	// Check replaces Schemes where a sender needs more: it returns what was
	// proved (verify.BySignature and so on), or an error as Receive does.
	Check func(r *http.Request, body []byte) (string, error)

	// Payload makes JSON of the body, where it may come in another form. Nil
	// takes it as it is. It runs after the checks.
	Payload func(r *http.Request, body []byte) ([]byte, error)
	// Events says what a delivery means. Its errors are answered as those of
	// Receive. An authentic delivery that is of no interest makes no events, and
	// is answered 200.
	Events func(ctx context.Context, d *Delivery) ([]Made, error)
	// Answer replaces {"id":..} where the sender wants something else; it may be nil.
	Answer func(d *Delivery) *Answer
}

// Delivery is a request that has passed all checks.
type Delivery struct {
	Request *http.Request
	Header  http.Header
	// Body is valid JSON, valid only until Events returns.
	Body []byte
	// Verified is what was proved about the sender, one of verify's constants.
	Verified string
}

// Made is one event of a delivery.
type Made struct {
	// ID of the event; see eventsource.Event.
	ID string
	// Body to put into the event instead of the delivery's; nil means that one.
	Body []byte
	// Blocks beside it.
	Blocks []Block
	// Data is the event's whole data instead of {"headers","body",..}; nil means that shape.
	Data []byte
	Time time.Time
	// Filtered says that the entry's own settings dropped it; see eventsource.Event.
	Filtered bool
}

// Serve answers requests until ctx is done.
func (h *Hook) Serve(ctx context.Context, hooks eventsource.Hooks, emit eventsource.Emit) error {
	e := Endpoint{Route: RouteOf(&h.Context, h.Methods...), Context: h.Context, Secrets: h.Secrets, Log: h.Log, hook: h}
	return e.Serve(ctx, hooks, emit)
}

// signed tells whether deliveries prove themselves by more than the general credentials.
func (h *Hook) signed() bool { return h.Check != nil || h.Keys != nil }

// accept makes events of a delivery that is authentic.
func (h *Hook) accept(r *http.Request, body []byte, verified string, emit eventsource.Emit) (Answer, error) {
	var err error
	if h.Payload != nil {
		if body, err = h.Payload(r, body); err != nil {
			return Answer{}, err
		}
	}
	if body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))); len(body) == 0 {
		return Answer{}, &Error{Status: http.StatusBadRequest, Text: "the body is empty; want JSON"}
	}
	if !ValidJSON(body) {
		return Answer{}, &Error{Status: http.StatusBadRequest, Text: "the body is not JSON"}
	}
	d := &Delivery{Request: r, Header: r.Header, Body: body, Verified: verified}
	made, err := h.Events(r.Context(), d)
	if err != nil {
		return Answer{}, err
	}
	ids := make([]string, 0, len(made))
	for i := range made {
		id, err := h.emit(r, d, &made[i], emit)
		if err != nil {
			return Answer{}, err
		}
		if id != "" {
			ids = append(ids, id)
		}
	}
	if h.Answer != nil {
		if a := h.Answer(d); a != nil {
			return *a, nil
		}
	}
	if len(ids) == 1 {
		return Answer{ID: ids[0]}, nil
	}
	return Answer{IDs: ids}, nil
}

func (h *Hook) emit(r *http.Request, d *Delivery, m *Made, emit eventsource.Emit) (string, error) {
	if m.Filtered {
		return "", emit(r.Context(), eventsource.Event{Filtered: true})
	}
	e := eventsource.Event{ID: m.ID, Data: m.Data, Time: m.Time, Extensions: Trace(r.Header)}
	if e.ID == "" {
		e.ID = eventsource.NewID()
	}
	if e.Data != nil {
		return e.ID, emit(r.Context(), e)
	}
	body, key := m.Body, h.HeadersKey
	if body == nil {
		body = d.Body
	}
	if key == "" {
		key = "headers"
	}
	buf := datas.Get().(*[]byte)
	if want := len(body) + 4096; cap(*buf) < want {
		*buf = make([]byte, 0, want)
	}
	var err error
	if e.Data, err = appendData((*buf)[:0], key, d.Header, h.SecretHeaders, body, m.Blocks, h.Metadata); err != nil {
		return "", &Error{Status: http.StatusInternalServerError, Text: "internal error", Cause: err}
	}
	if err := emit(r.Context(), e); err != nil {
		return "", err // the bus may hold on to the data of an event that it did not store
	}
	if cap(e.Data) <= keptBuffer {
		*buf = e.Data[:0]
		datas.Put(buf)
	}
	return e.ID, nil
}

var datas = sync.Pool{New: func() any { return new([]byte) }}

// check proves who the sender is.
func (h *Hook) check(r *http.Request, body []byte) (string, error) {
	if h.Check != nil {
		return h.Check(r, body)
	}
	if h.Keys != nil {
		return CheckKeys(r, body, h.Schemes, h.Keys)
	}
	if hasCredentials(&h.Context) {
		return verify.ByToken, nil // the endpoint has checked it
	}
	return verify.ByNothing, nil
}

// CheckKeys is CheckSchemes with the keys that are accepted now. The error is an
// *Error: 401, or 500 if the current secret cannot be read.
func CheckKeys(r *http.Request, body []byte, schemes []verify.Scheme, keys *verify.Keys) (string, error) {
	values, err := keys.Read(r.Context())
	if err != nil {
		return "", unreadable(err)
	}
	now := time.Now()
	if keys.Now != nil {
		now = keys.Now()
	}
	return CheckSchemes(schemes, r.Header, body, values, now)
}

// CheckSchemes wants the request to satisfy every scheme of which it has
// anything, and at least one. It returns the most that was proved; the error is
// an *Error: 401.
func CheckSchemes(schemes []verify.Scheme, h http.Header, body []byte, keys [][]byte, now time.Time) (string, error) {
	proved, missing := "", error(nil)
	for _, s := range schemes {
		err := verify.Any(s, h, body, keys, now)
		switch {
		case err == nil && proved != verify.BySignature:
			proved = s.Verified()
		case err == nil:
		case errors.Is(err, verify.ErrMissing):
			if missing == nil {
				missing = err
			}
		default:
			return "", refused(err)
		}
	}
	switch {
	case proved == "" && missing == nil:
		return "", unreadable(errors.New("there is no scheme to check with"))
	case proved == "":
		return "", refused(missing)
	}
	return proved, nil
}

func refused(err error) error {
	var own *verify.Error
	if errors.As(err, &own) {
		return &Error{Status: http.StatusUnauthorized, Text: own.Text}
	}
	return unreadable(err)
}

// Numbered is the id of one of several events of a delivery: the delivery's for
// the first, ID/1 and so on for the others.
func Numbered(id string, i int) string {
	if i == 0 || id == "" {
		return id
	}
	return id + "/" + strconv.Itoa(i)
}
