package ingress

import (
	"container/list"
	"errors"
	"io"
	"math/bits"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// body is the body of a request while it is read and worked at.
type body struct {
	bytes []byte
	// taken is what it has of the room. Only who reads the body changes it.
	taken atomic.Int64

	// The rest is of bodies that do not come at once. place and givenUp belong
	// to the room's lock.
	lingers bool
	begun   time.Time
	place   *list.Element
	givenUp bool
	leaving int64
	control *http.ResponseController
	pace    pace
}

const (
	firstBuffer = 4 << 10
	keptBuffer  = smallBody
)

var bodies = sync.Pool{New: func() any { return new(body) }}

// done gives back what b has, and keeps its buffer for another, unless somebody
// may hold on to it.
func (b *body) done(r *room, held bool) {
	if r != nil {
		r.giveBack(b)
	}
	if held {
		return
	}
	if cap(b.bytes) > keptBuffer {
		keepLarge(b.bytes)
		b.bytes = nil
	}
	b.bytes = b.bytes[:0]
	if b.lingers {
		*b = body{bytes: b.bytes}
	}
	bodies.Put(b)
}

// abort makes the next read fail, and one that waits.
func (b *body) abort() {
	// The connection is closed then: net/http does not go on with one whose body was not read.
	_ = b.control.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // where there are no deadlines, the body ends by itself
}

// read reads the request's whole body. The error is an *Error.
func (b *body) read(w http.ResponseWriter, req *http.Request, room *room, limit int64) error {
	if req.ContentLength > limit {
		return tooLarge(limit)
	}
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	if !room.take(b, int64(cap(b.bytes))) {
		return overloaded("the server has no memory for the body at the moment")
	}
	// A small body mostly comes with the header. One that does not has BodyTime,
	// and is lost with its connection, of which there are not too many. An HTTP/2
	// connection can have many requests that bring nothing.
	if req.ProtoMajor > 1 || req.ContentLength < 0 || req.ContentLength > firstBuffer {
		if err := b.linger(w, room); err != nil {
			return err
		}
	}
	err := b.fill(w, req, room, limit)
	if !b.lingers {
		return err
	}
	if room.arrived(b) {
		return overloaded("the body came too slowly for the load that there is")
	}
	if err == nil { // or the deadline would end the request's context while it is worked at
		_ = b.control.SetReadDeadline(time.Time{}) //nolint:errcheck // see abort
	}
	return err
}

func (b *body) fill(w http.ResponseWriter, req *http.Request, room *room, limit int64) error {
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := b.grow(req, room, limit); err != nil {
				return err
			}
		}
		n, err := req.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > limit:
			return tooLarge(limit)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return &Error{Status: http.StatusRequestTimeout, Text: "the body took too long", Cause: err}
		case err != nil:
			return &Error{Status: http.StatusBadRequest, Text: "the body cannot be read", Cause: err}
		}
		if room == nil || int64(len(b.bytes)) == req.ContentLength { // the end is all that is to come
			continue
		}
		if err := b.linger(w, room); err != nil {
			return err
		}
	}
}

// grow makes the buffer four times as large, within what the body can have.
func (b *body) grow(req *http.Request, room *room, limit int64) error {
	most := limit + 1
	if req.ContentLength >= 0 {
		most = req.ContentLength + 1
	}
	want := min(max(4*int64(cap(b.bytes)), firstBuffer), most)
	if want > smallBody && cap(b.bytes) < smallBody {
		want = smallBody
	}
	larger := sizedBuffer(want)
	if !room.take(b, int64(cap(larger)-cap(b.bytes))) {
		keepLarge(larger)
		return overloaded("the server has no memory for the body at the moment")
	}
	larger = append(larger, b.bytes...)
	keepLarge(b.bytes)
	b.bytes = larger
	return nil
}

// largeBuffers are kept from one large body to the next, by the power of two that
// they hold at least. Somebody who sends many of them would make the process
// collect garbage all the time otherwise.
var largeBuffers [32]sync.Pool

// sizedBuffer is an empty one of n bytes, or at most twice as many.
func sizedBuffer(n int64) []byte {
	if n > keptBuffer {
		if b, ok := largeBuffers[bits.Len64(uint64(n-1))%len(largeBuffers)].Get().(*[]byte); ok { //nolint:gosec // it is positive
			if int64(cap(*b)) >= n {
				return (*b)[:0]
			}
		}
	}
	return make([]byte, 0, n)
}

func keepLarge(b []byte) {
	if cap(b) > keptBuffer {
		b = b[:0]
		largeBuffers[bits.Len64(uint64(cap(b)-1))%len(largeBuffers)].Put(&b) //nolint:gosec // it is positive
	}
}

// linger is called where the body may not come at once, and after each read that
// was not the last.
func (b *body) linger(w http.ResponseWriter, room *room) error {
	if room == nil {
		return nil
	}
	if !b.lingers {
		b.lingers, b.begun, b.control = true, time.Now(), http.NewResponseController(w)
		room.linger(b)
	}
	return b.pace.check(b, room)
}

// pace wants bodies to come at a rate.
type pace struct {
	until time.Time
	had   int
}

// check asks for the bytes that are due, and sets the time by which a read that
// waits is ended.
func (p *pace) check(b *body, room *room) error {
	now := time.Now()
	if now.Before(p.until) {
		return nil
	}
	due := int(bodyWindow/time.Second) * room.limits.BodyRate
	end := b.begun.Add(room.limits.BodyTime)
	if !p.until.IsZero() && len(b.bytes)-p.had < due || !now.Before(end) {
		return &Error{Status: http.StatusRequestTimeout, Text: "the body comes too slowly"}
	}
	p.until, p.had = now.Add(bodyWindow), len(b.bytes)
	if p.until.After(end) {
		p.until = end
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	if b.givenUp {
		return nil // the next read fails
	}
	// One that is not to be had leaves that of the whole request.
	_ = b.control.SetReadDeadline(p.until) //nolint:errcheck // see above
	return nil
}
