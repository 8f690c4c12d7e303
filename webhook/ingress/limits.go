package ingress

import (
	"cmp"
	"time"
)

// Limits bound what senders can use up, most of it before anybody knows who
// they are. A zero field means its default.
type Limits struct {
	// HeaderBytes is the largest header of a request, its first line included. Default 16 KiB.
	HeaderBytes int
	// HeaderTime is how long it may take to arrive. Default 10s.
	HeaderTime time.Duration
	// BodyTime is how long a body may take. Default 60s.
	BodyTime time.Duration
	// BodyRate is how many bytes a second a body has to bring, in every few
	// seconds of it. Default 4096.
	BodyRate int
	// IdleTime is how long a connection is kept without a request. Default 2m.
	IdleTime time.Duration
	// Connections is how many a port has at a time. One more replaces one of
	// the address that has most: the one that has been waiting longest, those
	// first that have never had an event accepted. Default 1000.
	Connections int
	// Requests is how many are worked at at a time, once they have arrived
	// whole; one more is answered 503. Default 1000.
	Requests int
	// Memory is how many bytes the bodies of all requests take. Bodies larger
	// than 64 KiB get seven twelfths of it at most, which is enough for one of 25 MiB by default. Where it does not suffice,
	// bodies that arrive slowly are given up, and then new ones are answered 503.
	// Default 44 MiB.
	Memory int64
}

const (
	// smallBody is what a body gets of the memory that large ones leave alone.
	smallBody = 64 << 10
	// bodyWindow is the time over which BodyRate is measured.
	bodyWindow = 5 * time.Second
	// mostHeaders is how many header fields a request may have. Many tiny ones
	// take many times their size in memory.
	mostHeaders = 200
	// mostStreams is how many requests an HTTP/2 connection may have at a time.
	mostStreams = 100
)

func (l Limits) withDefaults() Limits {
	return Limits{
		HeaderBytes: cmp.Or(l.HeaderBytes, 16<<10),
		HeaderTime:  cmp.Or(l.HeaderTime, 10*time.Second),
		BodyTime:    cmp.Or(l.BodyTime, 60*time.Second),
		BodyRate:    cmp.Or(l.BodyRate, 4096),
		IdleTime:    cmp.Or(l.IdleTime, 2*time.Minute),
		Connections: cmp.Or(l.Connections, 1000),
		Requests:    cmp.Or(l.Requests, 1000),
		Memory:      cmp.Or(l.Memory, 44<<20),
	}
}
