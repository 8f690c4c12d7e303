package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/test/proc"
)

// sink takes the actions of one process and notes when each event came.
type sink struct {
	server *http.Server
	addr   string
	// delay, in nanoseconds, before each answer.
	delay atomic.Int64

	mu   sync.Mutex
	came map[int]arrival
}

type arrival struct {
	at    time.Time
	times int
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String(), came: map[int]arrival{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

func (s *sink) url() string { return "http://" + s.addr + "/" }

func (s *sink) close() { _ = s.server.Close() }

// ServeHTTP answers after the delay; the event came before it.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off
	}
	n, err := numberIn(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	if d := time.Duration(s.delay.Load()); d > 0 {
		time.Sleep(d)
		now = now.Add(d) // an action of a slow sink is done when it answers
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, again := s.came[n]
	if !again {
		a.at = now
	}
	a.times++
	s.came[n] = a
}

// numberIn finds the event's number, the first in the body.
func numberIn(body []byte) (int, error) {
	const digits = "0123456789"
	from := bytes.IndexAny(body, digits)
	if from < 0 {
		return 0, errors.New("no number in the body")
	}
	to := from
	for to < len(body) && body[to] >= '0' && body[to] <= '9' {
		to++
	}
	return strconv.Atoi(string(body[from:to]))
}

// arrived counts the events from first to last that have come.
func (s *sink) arrived(first, last int) (n, twice int, latest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := first; i < last; i++ {
		if a, ok := s.came[i]; ok {
			n++
			twice += a.times - 1
			if a.at.After(latest) {
				latest = a.at
			}
		}
	}
	return n, twice, latest
}

func (s *sink) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.came)
}

// senders send numbered events.
type senders struct {
	url    string
	n      int
	client *http.Client
	next   int // number of the next event
}

func newSenders(url string, n int) *senders {
	return &senders{url: url, n: n, client: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: max(n, 64)},
	}}
}

func (l *senders) close() { l.client.CloseIdleConnections() }

// send sends one event until it is accepted.
func (l *senders) send(ctx context.Context, number int) error {
	body := fmt.Sprintf(`{"id":%d,"ref":"refs/heads/main","after":"4f2d91c0b7e54b7e9f6a","repository":{"name":"signalbox","private":false},"commits":[{"message":"Measure it","added":["a.go","b.go"]}]}`, number)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader([]byte(body)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := l.client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode/100 == 2:
			return nil
		case resp.StatusCode != http.StatusServiceUnavailable:
			return fmt.Errorf("event refused: %s", resp.Status)
		}
	}
}

// flooded is what came of a flood.
type flooded struct {
	accepted, acted float64 // a second
	lost, twice     int
}

// flood sends count events, each sender the next as soon as the last is
// accepted, and waits for the actions.
func (l *senders) flood(ctx context.Context, s *sink, count int) (flooded, error) {
	first, last := l.next, l.next+count
	l.next = last
	before := s.total()
	var next atomic.Int64
	next.Store(int64(first))
	errs := make([]error, l.n)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range l.n {
		wg.Go(func() {
			for errs[i] == nil {
				n := int(next.Add(1)) - 1
				if n >= last {
					return
				}
				errs[i] = l.send(ctx, n)
			}
		})
	}
	wg.Wait()
	accepted := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return flooded{}, err
	}
	waited := proc.Until(time.Minute, func() bool { return s.total() >= before+count })
	n, twice, latest := s.arrived(first, last)
	f := flooded{
		accepted: float64(count) / accepted.Seconds(), acted: float64(n) / latest.Sub(start).Seconds(),
		lost: count - n, twice: twice,
	}
	if waited != nil {
		return f, fmt.Errorf("%d of %d events have not arrived: %w", f.lost, count, waited)
	}
	return f, nil
}

// paced sends count events at a rate and returns percentiles of the time from
// sending to arrival.
func (l *senders) paced(ctx context.Context, s *sink, count, rate int) (p50, p99 time.Duration, err error) {
	first := l.next
	l.next += count
	sent := make([]time.Time, count)
	errs := make([]error, count)
	before := s.total()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var wg sync.WaitGroup
	for i := range count {
		select {
		case <-tick.C:
		case <-ctx.Done():
			wg.Wait()
			return 0, 0, ctx.Err()
		}
		wg.Go(func() {
			sent[i] = time.Now()
			errs[i] = l.send(ctx, first+i)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, 0, err
	}
	if err := proc.Until(time.Minute, func() bool { return s.total() >= before+count }); err != nil {
		return 0, 0, err
	}
	took := make([]time.Duration, count)
	s.mu.Lock()
	for i := range count {
		took[i] = s.came[first+i].at.Sub(sent[i])
	}
	s.mu.Unlock()
	slices.Sort(took)
	return took[count/2], took[count*99/100], nil
}
