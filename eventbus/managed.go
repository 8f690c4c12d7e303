package eventbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamPoll = 100 * time.Millisecond
	// A keeper looks at the stream and purges; that may take a while.
	roomTimeout = 4 * time.Second
)

// Answers of a keeper to a request for room.
var (
	roomMade = []byte("+")
	roomNone = []byte("-")
)

// awaitStreams waits until the bus's keepers have made the streams.
func (b *Bus) awaitStreams(ctx context.Context) error {
	for _, name := range []string{b.names.events, b.names.dead, b.names.state} {
		for {
			cctx, cancel := context.WithTimeout(ctx, callTimeout)
			_, err := b.js.Stream(cctx, name)
			cancel()
			if err == nil {
				break
			}
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				err = fmt.Errorf("%w: stream %s does not exist yet; signalbox bus makes it", ErrUnavailable, name)
			} else {
				err = fmt.Errorf("look up stream %s: %w", name, unavailable(err))
			}
			if rest(ctx, streamPoll) != nil {
				return err
			}
		}
	}
	return nil
}

// askForRoom asks a keeper for room in the stream.
func (b *Bus) askForRoom(ctx context.Context, full bool) (bool, error) {
	if !full {
		return true, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, roomTimeout, errNoAnswer)
	defer cancel()
	r, err := b.link.request(ctx, &nats.Msg{Subject: b.names.room()}, nil)
	if err != nil {
		return false, fmt.Errorf("ask for room: %w", err)
	}
	return string(r.Data) == string(roomMade), nil
}
