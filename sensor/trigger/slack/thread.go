package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// thread is what is known of the thread of a key in a channel.
type thread struct {
	// TS is its first message; empty if there is none yet.
	TS string `json:"ts,omitempty"`
	// Used is when it was last noted that the thread is in use, Unix seconds.
	Used int64 `json:"used,omitempty"`
	// By is the firing that is sending the first message, until Until (Unix
	// milliseconds). Whoever does not come back is not waited for longer.
	By    string `json:"by,omitempty"`
	Until int64  `json:"until,omitempty"`
}

const (
	// claimTime is longer than sending a message takes.
	claimTime = 3 * answerTime
	// beginWait is how long a firing waits in place for a thread's first message;
	// then it comes back later, up to beginMost.
	beginWait = 2 * time.Second
	beginMost = 10 * time.Minute
	refresh   = 24 * time.Hour
)

// threadID is the id of a thread in the memory.
func (m *message) threadID() string {
	sum := sha256.Sum256([]byte(m.Channel + "\x00" + m.Thread))
	return hex.EncodeToString(sum[:16])
}

// send puts the message into its thread, if it has one.
func (p *poster) send(ctx context.Context, in trigger.Input, m *message, c *Config) (sent, error) {
	if m.Thread == "" {
		return p.post(ctx, m, c, "")
	}
	for again := false; ; again = true {
		ts, err := p.join(ctx, in, m)
		if err != nil {
			return sent{}, err
		}
		if ts == "" {
			return p.begin(ctx, in, m, c)
		}
		done, err := p.post(ctx, m, c, ts)
		if errors.Is(err, errNoThread) && !again {
			p.change(ctx, m, func(t thread) (thread, error) {
				if t.TS != ts {
					return t, trigger.ErrKeep
				}
				return thread{}, nil
			})
			continue
		}
		done.Thread = ts
		return done, err
	}
}

// join returns the thread's first message, or nothing if this firing is to send it.
func (p *poster) join(ctx context.Context, in trigger.Input, m *message) (string, error) {
	wait := 20 * time.Millisecond
	for began := time.Now(); ; wait = min(2*wait, time.Second/2) {
		var now thread
		busy := false
		err := p.threads.Change(ctx, m.threadID(), func(t thread) (thread, error) {
			now, busy = t, t.By != "" && t.By != in.ID && time.Now().Before(time.UnixMilli(t.Until))
			switch {
			case t.TS == "" && !busy:
				return thread{By: in.ID, Until: time.Now().Add(claimTime).UnixMilli()}, nil
			case t.TS != "" && time.Since(time.Unix(t.Used, 0)) > refresh:
				t.Used = time.Now().Unix()
				return t, nil
			}
			return t, trigger.ErrKeep
		})
		switch {
		case err != nil && !errors.Is(err, trigger.ErrKeep):
			return "", err
		case now.TS != "" || !busy:
			return now.TS, nil
		case time.Since(began) > beginWait:
			return "", trigger.Postpone(errors.New("the first message of the thread is still being sent"), time.Second, beginMost)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(wait):
		}
	}
}

// begin sends the first message of a thread.
func (p *poster) begin(ctx context.Context, in trigger.Input, m *message, c *Config) (sent, error) {
	done, err := p.post(ctx, m, c, "")
	p.change(ctx, m, func(t thread) (thread, error) {
		switch {
		case t.By != in.ID:
			return t, trigger.ErrKeep // another one has gone on without this one
		case err != nil:
			return thread{}, nil
		}
		return thread{TS: done.TS, Used: time.Now().Unix()}, nil
	})
	done.Thread = done.TS
	return done, err
}

func (p *poster) change(ctx context.Context, m *message, f func(thread) (thread, error)) {
	p.note(ctx, func(ctx context.Context) error { return p.threads.Change(ctx, m.threadID(), f) })
}
