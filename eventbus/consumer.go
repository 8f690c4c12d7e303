package eventbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	metaSensor  = "sensor"
	metaTrigger = "trigger"
)

// ensureTimeout is long because a server creates consumers one after the other,
// with several files each, and hundreds may be waiting.
const ensureTimeout = 30 * time.Second

// EnsureConsumer creates a trigger's consumer, which gets what is published from
// now on, or changes it in place. It is cheap if nothing changes.
func (b *Bus) EnsureConsumer(ctx context.Context, c ConsumerConfig) error {
	if err := b.ensureConsumer(ctx, c, 0); err != nil {
		return fmt.Errorf("consumer of %s/%s: %w", c.Sensor, c.Trigger, err)
	}
	return nil
}

// ensureConsumer has a consumer that it creates start at a sequence; 0: at the
// next event.
func (b *Bus) ensureConsumer(ctx context.Context, c ConsumerConfig, start uint64) error {
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	want := b.consumerConfig(c)
	for attempt := 0; ; attempt++ {
		switch have, err := b.lookUp(ctx, want.Durable); {
		case err == nil:
			config := have.CachedInfo().Config
			if sameConsumer(config, want) {
				return nil
			}
			// Where it started cannot be changed.
			want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = config.DeliverPolicy, config.OptStartSeq, config.OptStartTime
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			if start == 0 {
				if start, err = b.nextSeq(ctx); err != nil {
					return err
				}
			}
			// Deliver-new would begin when the consumer's leader is elected, which
			// may be after the next event.
			want.DeliverPolicy, want.OptStartSeq = jetstream.DeliverByStartSequencePolicy, start
		default:
			return unavailable(err)
		}
		_, err := b.js.CreateOrUpdateConsumer(ctx, b.names.events, want)
		if err == nil {
			break
		}
		// Somebody else may have created it in between.
		var api *jetstream.APIError
		if attempt == 2 || !errors.As(err, &api) || api.Code >= 500 && api.ErrorCode != codeConsumerCreate {
			return unavailable(err)
		}
	}
	if b.events.sync != nil {
		if err := b.events.sync.consumer(want.Durable); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return nil
}

// lookUp is quick to give up: while a consumer has no leader nobody answers, and
// whoever asks again finds the new one.
func (b *Bus) lookUp(ctx context.Context, name string) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return b.js.Consumer(ctx, b.names.events, name)
}

// codeConsumerCreate is JetStream's error for a consumer that cannot be changed.
const codeConsumerCreate = 10012

// nextSeq is the sequence that the next event will have.
func (b *Bus) nextSeq(ctx context.Context) (uint64, error) {
	s, err := b.js.Stream(ctx, b.names.events)
	if err != nil {
		return 0, unavailable(err)
	}
	return s.CachedInfo().State.LastSeq + 1, nil
}

func (b *Bus) consumerConfig(c ConsumerConfig) jetstream.ConsumerConfig {
	filters := make([]string, 0, len(c.From)+1)
	for _, a := range c.From {
		filters = append(filters, b.names.event(a))
	}
	filters = append(filters, b.names.redrive(c.Sensor, c.Trigger))
	slices.Sort(filters)
	return jetstream.ConsumerConfig{
		Durable:        b.names.consumer(c.Sensor, c.Trigger),
		Description:    "Signalbox trigger",
		FilterSubjects: slices.Compact(filters),
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        b.cfg.AckWait,
		MaxAckPending:  b.cfg.MaxAckPending,
		MaxDeliver:     -1,
		Metadata: map[string]string{
			"signalbox": "1", "namespace": b.cfg.Namespace, metaSensor: c.Sensor, metaTrigger: c.Trigger,
		},
	}
}

// Listeners counts the consumers that get the events of an address.
func (b *Bus) Listeners(ctx context.Context, of Address) (int, error) {
	infos, err := b.consumerInfos(ctx, 0)
	if err != nil {
		return 0, fmt.Errorf("list consumers: %w", err)
	}
	n := 0
	for _, c := range infos {
		if slices.Contains(filtersOf(&c.Config), b.names.event(of)) {
			n++
		}
	}
	return n, nil
}

func filtersOf(c *jetstream.ConsumerConfig) []string {
	if len(c.FilterSubjects) == 0 && c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

func sameConsumer(have, want jetstream.ConsumerConfig) bool {
	filters := slices.Sorted(slices.Values(filtersOf(&have)))
	return slices.Equal(filters, want.FilterSubjects) &&
		have.AckWait == want.AckWait && have.MaxAckPending == want.MaxAckPending &&
		have.MaxDeliver == want.MaxDeliver && sameMetadata(have.Metadata, want.Metadata)
}

// RemoveConsumer deletes a trigger's consumer and says how many events it drops
// with it: those not delivered yet, in work, or waiting for a retry. The error
// wraps ErrNotFound if there is no such consumer.
func (b *Bus) RemoveConsumer(ctx context.Context, sensor, trigger string) (dropped int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	fail := func(err error) (int64, error) {
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			err = fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		return 0, fmt.Errorf("remove consumer of %s/%s: %w", sensor, trigger, unavailable(err))
	}
	name := b.names.consumer(sensor, trigger)
	c, err := b.js.Consumer(ctx, b.names.events, name)
	if err != nil {
		return fail(err)
	}
	if err := b.js.DeleteConsumer(ctx, b.names.events, name); err != nil {
		return fail(err)
	}
	info := c.CachedInfo()
	return int64(info.NumPending) + int64(info.NumAckPending), nil
}

// Consumers lists the bus's consumers by sensor and trigger.
func (b *Bus) Consumers(ctx context.Context) ([]ConsumerInfo, error) {
	infos, err := b.consumerInfos(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("list consumers: %w", err)
	}
	var list []ConsumerInfo
	for _, c := range infos {
		if c.Config.Metadata["signalbox"] == "" {
			continue
		}
		one := ConsumerInfo{
			Sensor: c.Config.Metadata[metaSensor], Trigger: c.Config.Metadata[metaTrigger],
			Waiting: int64(c.NumPending), InWork: int64(c.NumAckPending),
		}
		if one.Waiting+one.InWork > 0 {
			m, err := b.oldest(ctx, c)
			if err != nil {
				return nil, fmt.Errorf("list consumers: oldest event of %s/%s: %w", one.Sensor, one.Trigger, err)
			}
			if m != nil {
				one.Oldest = m.Time
			}
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b ConsumerInfo) int {
		return cmp.Or(cmp.Compare(a.Sensor, b.Sensor), cmp.Compare(a.Trigger, b.Trigger))
	})
	return list, nil
}
