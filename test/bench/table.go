package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// numbers are what is measured of one process.
type numbers struct {
	// Events a second: accepted, acted on, and acted on by the slow sink.
	accepted, acted, slow float64
	// p50 and p99 of the time from sending to arrival at the sink.
	p50, p99 time.Duration
	// Resident bytes: before the first event, and after the last.
	idle, loaded int64
	lost, twice  int
}

// write prints a line for each measurement: the means of the rounds, and the
// mean, least and greatest of the rounds' ratios.
func (c config) write(out io.Writer, fsync string, bare, ours []numbers) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "\nfsync %s\n", fsync)
	fmt.Fprintln(w, "\tceiling\tsignalbox\tratio\tleast\tmost\t")
	line := func(name, format string, value func(numbers) float64) {
		fmt.Fprintf(w, "%s\t"+format+"\t"+format+"\t", name, mean(bare, value), mean(ours, value))
		ratios := make([]float64, len(bare))
		for i := range bare {
			ratios[i] = value(ours[i]) / value(bare[i])
		}
		least, most, sum := ratios[0], ratios[0], 0.0
		for _, r := range ratios {
			least, most, sum = min(least, r), max(most, r), sum+r
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t\n", sum/float64(len(ratios)), least, most)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	mb := func(n int64) float64 { return float64(n) / (1 << 20) }
	line(fmt.Sprintf("%d senders: accepted/s", c.senders), "%.0f", func(n numbers) float64 { return n.accepted })
	line(fmt.Sprintf("%d senders: acted on/s", c.senders), "%.0f", func(n numbers) float64 { return n.acted })
	line(fmt.Sprintf("at %d/s: p50 ms", c.rate), "%.2f", func(n numbers) float64 { return ms(n.p50) })
	line(fmt.Sprintf("at %d/s: p99 ms", c.rate), "%.2f", func(n numbers) float64 { return ms(n.p99) })
	line(fmt.Sprintf("sink of %s: acted on/s", c.delay), "%.0f", func(n numbers) float64 { return n.slow })
	line("resident at first, MB", "%.1f", func(n numbers) float64 { return mb(n.idle) })
	line("resident at last, MB", "%.1f", func(n numbers) float64 { return mb(n.loaded) })
	_ = w.Flush()
	lost, twice := 0, 0
	for _, n := range ours {
		lost, twice = lost+n.lost, twice+n.twice
	}
	fmt.Fprintf(out, "signalbox: %d lost, %d twice\n", lost, twice)
}

func mean(all []numbers, value func(numbers) float64) float64 {
	sum := 0.0
	for _, n := range all {
		sum += value(n)
	}
	return sum / float64(len(all))
}
