package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// limitFlags bound what senders of requests can use up.
type limitFlags struct {
	header, rate, memory           string
	headerTime, bodyTime, idleTime time.Duration
	connections, requests          int
}

func (f *limitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.header, "max-header", "16Ki", "largest header of a request to a source")
	flags.DurationVar(&f.headerTime, "header-timeout", 10*time.Second, "how long a request's header may take")
	flags.DurationVar(&f.bodyTime, "body-timeout", time.Minute, "how long a request's body may take")
	flags.StringVar(&f.rate, "min-body-rate", "4Ki", "bytes a second that a request's body has to bring")
	flags.DurationVar(&f.idleTime, "idle-timeout", 2*time.Minute, "how long a connection is kept without a request")
	flags.IntVar(&f.connections, "max-connections", 1000, "connections that a port has at a time; one more replaces the one that waits longest")
	flags.IntVar(&f.requests, "max-requests", 1000, "requests that are worked at at a time; one more is answered 503")
	flags.StringVar(&f.memory, "max-body-memory", "44Mi", "memory for the bodies of all requests; what does not fit is answered 503")
}

// limits wants all of them to be given: zero would mean the default.
func (f *limitFlags) limits() (ingress.Limits, error) {
	var errs []error
	size := func(flag, s string, least, most int64) int64 {
		n, err := bytesOf(flag, s)
		if err == nil && (n < least || n > most) {
			err = fmt.Errorf("%s %s: want %d bytes or more", flag, s, least)
		}
		errs = append(errs, err)
		return n
	}
	for _, d := range []struct {
		flag string
		time time.Duration
	}{{"--header-timeout", f.headerTime}, {"--body-timeout", f.bodyTime}, {"--idle-timeout", f.idleTime}} {
		if d.time < time.Second {
			errs = append(errs, fmt.Errorf("%s %s: want 1s or more", d.flag, d.time))
		}
	}
	for _, n := range []struct {
		flag   string
		number int
	}{{"--max-connections", f.connections}, {"--max-requests", f.requests}} {
		if n.number < 1 {
			errs = append(errs, fmt.Errorf("%s %d: want 1 or more", n.flag, n.number))
		}
	}
	l := ingress.Limits{
		HeaderBytes: int(size("--max-header", f.header, 8<<10, math.MaxInt32)), HeaderTime: f.headerTime,
		BodyTime: f.bodyTime, BodyRate: int(size("--min-body-rate", f.rate, 1, math.MaxInt32)), IdleTime: f.idleTime,
		Connections: f.connections, Requests: f.requests, Memory: size("--max-body-memory", f.memory, 1<<20, math.MaxInt64),
	}
	return l, errors.Join(errs...)
}
