// Command bench measures the whole path of an event on this machine, over
// loopback, beside what the machine can do at most: the same path with nothing
// on it (see ceiling.go). The two take turns, so that what drifts hits both; the
// ratios are what counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/signalbox-events/signalbox/test/proc"
)

type config struct {
	events, latencyEvents, slowEvents int
	senders, rounds, rate             int
	delay                             time.Duration
	dir, bin                          string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == ceilingCommand {
		if err := ceiling(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "ceiling:", err)
			os.Exit(1)
		}
		return
	}
	var c config
	flag.IntVar(&c.events, "n", 10000, "events sent as fast as they are accepted")
	flag.IntVar(&c.senders, "senders", 64, "senders at the same time")
	flag.IntVar(&c.rounds, "rounds", 2, "how often the two take turns")
	flag.IntVar(&c.rate, "rate", 200, "events a second while the latency is measured")
	flag.IntVar(&c.latencyEvents, "latency-n", 1000, "events sent at -rate")
	flag.IntVar(&c.slowEvents, "slow-n", 3000, "events for the slow sink")
	flag.DurationVar(&c.delay, "delay", 50*time.Millisecond, "what the slow sink takes for each")
	flag.StringVar(&c.dir, "dir", "", "folder for the stores, on the disk to be measured (default: that of temporary files)")
	flag.StringVar(&c.bin, "bin", "", "signalbox binary (default: build it)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := bench(ctx, c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, c config) (err error) {
	dir, err := os.MkdirTemp(c.dir, "signalbox-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if c.bin == "" {
		if c.bin, err = proc.Build(ctx, dir); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.dir = dir
	for _, fsync := range []string{"always", "1m"} {
		var bare, ours []numbers
		for range c.rounds {
			n, err := c.measure(ctx, target{name: "ceiling", bin: self, fsync: fsync})
			if err != nil {
				return fmt.Errorf("ceiling: %w", err)
			}
			bare = append(bare, n)
			if n, err = c.measure(ctx, target{name: "signalbox", bin: c.bin, fsync: fsync}); err != nil {
				return fmt.Errorf("signalbox: %w", err)
			}
			ours = append(ours, n)
		}
		c.write(os.Stdout, fsync, bare, ours)
	}
	return nil
}

// measure runs one process through all measurements, on a store of its own.
func (c config) measure(ctx context.Context, t target) (n numbers, err error) {
	s, err := newSink()
	if err != nil {
		return n, err
	}
	defer s.close()
	p, url, err := t.start(c.dir, s.url())
	if err != nil {
		return n, err
	}
	defer p.Kill()
	l := newSenders(url, c.senders)
	defer l.close()

	n.idle, _ = p.Resident() //nolint:errcheck // shown as 0 where the system does not tell
	// The first events pay for connections and caches; they are not counted.
	if _, err := l.flood(ctx, s, c.senders*8); err != nil {
		return n, err
	}
	f, err := l.flood(ctx, s, c.events)
	if err != nil {
		return n, fmt.Errorf("%d senders: %w\n%s", c.senders, err, tail(p.Log()))
	}
	n.accepted, n.acted, n.lost, n.twice = f.accepted, f.acted, f.lost, f.twice
	if n.p50, n.p99, err = l.paced(ctx, s, c.latencyEvents, c.rate); err != nil {
		return n, fmt.Errorf("at %d/s: %w\n%s", c.rate, err, tail(p.Log()))
	}
	s.delay.Store(int64(c.delay))
	f, err = l.flood(ctx, s, c.slowEvents)
	if err != nil {
		return n, fmt.Errorf("sink of %s: %w\n%s", c.delay, err, tail(p.Log()))
	}
	n.slow = f.acted
	n.lost += f.lost
	n.twice += f.twice
	n.loaded, _ = p.Resident() //nolint:errcheck // as above
	return n, nil
}

func tail(log string) string { return log[max(0, len(log)-2000):] }
