package eventbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Defaults of Config and Limits.
const (
	DefaultAckWait       = 10 * time.Second
	DefaultMaxAckPending = 10000
	DefaultMaxAge        = 168 * time.Hour
	DefaultDuplicates    = 5 * time.Minute
)

// Config names an EventBus and says how it is to be.
type Config struct {
	// Namespace and Name of the EventBus. Any characters.
	Namespace, Name string
	Limits          Limits
	// AckWait is how long a process may be silent until its messages go to
	// another one. Defaults to 10s.
	AckWait time.Duration
	// MaxAckPending bounds the messages of one trigger that are in work or wait
	// for a retry. Defaults to 10000.
	MaxAckPending int
	// AsIs uses the streams as they are, for tools that look into a bus that
	// others run: nothing is created or changed. Open fails with ErrNotFound if
	// there are none.
	AsIs bool
	// Managed says that the bus's own processes keep the streams, see Keep: Open
	// waits for the streams instead of creating them, nothing is changed, and a
	// full bus is told to the keepers, who purge processed events.
	Managed bool
	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Bus is one EventBus over a Link. Safe for concurrent use.
type Bus struct {
	link  *Link
	js    jetstream.JetStream
	names names
	cfg   Config
	log   *slog.Logger

	limits atomic.Pointer[Limits]
	keeper bool // this process makes the streams what they should be

	events, dead, state *stream
	have                [3]int // replicas of the streams, as last seen; under restore
	clustered           bool
	janitor             *janitor

	restore sync.Mutex // held while streams are created or updated
}

// Open connects an EventBus, and creates or updates its streams if they are not
// as they should be. It waits for the Link to connect; if ctx ends before, or the
// server does not answer, the error wraps ErrUnavailable.
func Open(ctx context.Context, l *Link, c Config) (*Bus, error) {
	return open(ctx, l, c, false)
}

func open(ctx context.Context, l *Link, c Config, keeper bool) (*Bus, error) {
	c.fill()
	b := &Bus{link: l, js: l.js, names: namesOf(c.Namespace, c.Name), cfg: c, log: c.Log, keeper: keeper}
	b.limits.Store(&c.Limits)
	fail := func(err error) (*Bus, error) {
		return nil, fmt.Errorf("open event bus %s/%s: %w", c.Namespace, c.Name, err)
	}
	if err := l.wait(ctx); err != nil {
		return fail(err)
	}
	b.clustered = l.nc.ConnectedClusterName() != ""
	b.events = &stream{bus: b, name: b.names.events}
	b.dead = &stream{bus: b, name: b.names.dead}
	b.state = &stream{bus: b, name: b.names.state}
	ready := b.ensureStreams
	if c.Managed {
		ready = b.awaitStreams
	}
	if err := ready(ctx); err != nil {
		return fail(err)
	}
	if l.storeDir != "" {
		for _, s := range []*stream{b.events, b.dead, b.state} {
			var err error
			if s.sync, err = l.syncs.open(l.storeDir, s.name); err != nil {
				return fail(err)
			}
		}
	}
	switch {
	case c.Managed:
		b.janitor = startJanitor(b, b.askForRoom, false)
	case !c.AsIs:
		b.janitor = startJanitor(b, b.clean, true)
	}
	return b, nil
}

func (c *Config) fill() {
	if c.AckWait <= 0 {
		c.AckWait = DefaultAckWait
	}
	if c.MaxAckPending <= 0 {
		c.MaxAckPending = DefaultMaxAckPending
	}
	c.Limits.fill()
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Log = c.Log.With("eventbus", c.Name, "namespace", c.Namespace)
}

func (l *Limits) fill() {
	if l.MaxAge <= 0 {
		l.MaxAge = DefaultMaxAge
	}
	if l.Duplicates <= 0 {
		l.Duplicates = DefaultDuplicates
	}
}

// Close stops the Bus's own work. It leaves the Link open, and everything on the
// server as it is.
func (b *Bus) Close() error {
	if b.janitor != nil {
		b.janitor.stop()
	}
	return nil
}

// streamConfigs are the three streams of a bus, for replicas.
func (b *Bus) streamConfigs(replicas int) []jetstream.StreamConfig {
	limit := func(n int64) int64 {
		if n <= 0 {
			return -1
		}
		return n
	}
	lim := b.limits.Load()
	metadata := map[string]string{"signalbox": "1", "namespace": b.cfg.Namespace, "eventbus": b.cfg.Name}
	return []jetstream.StreamConfig{
		{
			Name:        b.names.events,
			Description: "Signalbox events",
			Subjects:    []string{"events." + b.names.bus + ".*.*", "redrive." + b.names.bus + ".*.*"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew,
			MaxBytes:    limit(lim.MaxBytes),
			MaxMsgs:     limit(lim.MaxMsgs),
			MaxMsgSize:  -1, MaxMsgsPerSubject: -1, MaxConsumers: -1,
			Duplicates:  lim.Duplicates,
			Storage:     jetstream.FileStorage,
			Replicas:    replicas,
			AllowDirect: true,
			Metadata:    metadata,
		},
		{
			Name:        b.names.dead,
			Description: "Signalbox dead letters",
			Subjects:    []string{"dead." + b.names.bus + ".>"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew,
			MaxBytes:    -1, MaxMsgs: -1, MaxMsgSize: -1, MaxConsumers: -1,
			MaxMsgsPerSubject: 1,
			Duplicates:        time.Minute,
			Storage:           jetstream.FileStorage,
			Replicas:          replicas,
			AllowDirect:       true,
			Metadata:          metadata,
		},
		{
			Name:        b.names.state,
			Description: "Signalbox state",
			Subjects:    []string{"$KV." + b.names.bucket + ".>"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew,
			MaxBytes:    -1, MaxMsgs: -1, MaxMsgSize: -1, MaxConsumers: -1,
			MaxMsgsPerSubject: 1,
			Duplicates:        time.Minute,
			Storage:           jetstream.FileStorage,
			Replicas:          replicas,
			AllowDirect:       true,
			AllowRollup:       true,
			DenyDelete:        false,
			Metadata:          metadata,
		},
	}
}

// ensureStreams makes the streams what they should be. It costs three reads if
// they are.
func (b *Bus) ensureStreams(ctx context.Context) error {
	b.restore.Lock()
	defer b.restore.Unlock()
	for i := range 3 {
		if err := b.ensureStream(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) ensureStream(ctx context.Context, i int) error {
	cctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	candidates := b.replicaChoices()
	name := b.streamConfigs(1)[i].Name
	current, err := b.js.Stream(cctx, name)
	switch {
	case err == nil && b.cfg.AsIs:
		b.have[i] = current.CachedInfo().Config.Replicas
		return nil
	case b.cfg.AsIs && errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("stream %s: %w", name, ErrNotFound)
	case err == nil:
		have := current.CachedInfo().Config
		if b.keeper {
			candidates = grow(candidates, have.Replicas)
		} else if b.limits.Load().Replicas == 0 && have.Replicas >= candidates[0] {
			candidates = []int{have.Replicas} // somebody else asked for more
		}
		if same(have, b.streamConfigs(candidates[0])[i]) {
			b.have[i] = have.Replicas
			return nil
		}
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("look up stream %s: %w", name, unavailable(err))
	}
	for _, n := range candidates {
		if _, err = b.js.CreateOrUpdateStream(cctx, b.streamConfigs(n)[i]); err == nil {
			b.have[i] = n
			return nil
		}
		if !tooFewServers(err) {
			break
		}
	}
	return fmt.Errorf("create or update stream %s: %w", name, unavailable(err))
}

// replicaChoices are the numbers of replicas to try, best first. A client without
// rights on the system account cannot count servers, so it asks for what it wants and
// takes less if that is refused.
func (b *Bus) replicaChoices() []int {
	n := b.limits.Load().Replicas
	switch {
	case !b.clustered:
		return []int{1}
	case n <= 0:
		return []int{3, 1}
	}
	var choices []int
	for want := min(n, 5); n > 1; n-- {
		// A keeper asks again, so it need not make do with a number that is no better
		// than the next lower one.
		if n == want || n < want && (n%2 == 1 || !b.keeper) {
			choices = append(choices, n)
		}
	}
	return append(choices, 1)
}

// grow picks from numbers of replicas, best first, those that take none away.
func grow(candidates []int, have int) []int {
	candidates = slices.DeleteFunc(candidates, func(n int) bool { return n < have })
	if !slices.Contains(candidates, have) {
		candidates = append(candidates, have)
	}
	return candidates
}

// same compares what we set; the server adds fields of its own.
func same(have, want jetstream.StreamConfig) bool {
	return slices.Equal(have.Subjects, want.Subjects) &&
		have.Retention == want.Retention && have.Discard == want.Discard &&
		have.MaxBytes == want.MaxBytes && have.MaxMsgs == want.MaxMsgs &&
		have.MaxMsgsPerSubject == want.MaxMsgsPerSubject && have.MaxAge == want.MaxAge &&
		have.Duplicates == want.Duplicates && have.Replicas == want.Replicas &&
		have.AllowDirect == want.AllowDirect && have.AllowRollup == want.AllowRollup
}

const (
	codeNoSuitablePeers    = 10005
	codeReplicasNotAllowed = 10074
)

func tooFewServers(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeNoSuitablePeers || api.ErrorCode == codeReplicasNotAllowed)
}

// restoreStreams creates streams that somebody deleted. It is called when nobody
// listens to their subjects, which most often only means a change of leader.
func (b *Bus) restoreStreams(ctx context.Context) {
	if b.cfg.Managed || b.cfg.AsIs || !b.restore.TryLock() {
		return
	}
	defer b.restore.Unlock()
	for i := range 3 {
		name := b.streamConfigs(1)[i].Name
		if _, err := b.js.Stream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		b.log.Warn("a stream of the event bus is gone, creating it again", "stream", name)
		if err := b.ensureStream(ctx, i); err != nil {
			b.log.Error("cannot create the stream again", "stream", name, "error", err)
		}
	}
}

// Usage says what the bus holds.
func (b *Bus) Usage(ctx context.Context) (Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	events, err := b.js.Stream(ctx, b.names.events)
	if err != nil {
		return Usage{}, fmt.Errorf("usage of stream %s: %w", b.names.events, unavailable(err))
	}
	heads, err := b.subjects(ctx, b.names.dead, b.names.deadHeads("*", "*", "*")+headSuffix)
	if err != nil {
		return Usage{}, fmt.Errorf("usage: %w", err)
	}
	info := events.CachedInfo()
	u := Usage{Events: int64(info.State.Msgs), Bytes: int64(info.State.Bytes), DeadLetters: int64(len(heads))}
	if info.Config.MaxBytes > 0 {
		u.MaxBytes = info.Config.MaxBytes
	}
	return u, nil
}

// subjects lists the subjects of a stream that match a filter.
func (b *Bus) subjects(ctx context.Context, name, filter string) ([]string, error) {
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, unavailable(err))
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("list subjects of stream %s: %w", name, unavailable(err))
	}
	list := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		list = append(list, subject)
	}
	slices.Sort(list)
	return list, nil
}

// sameMetadata ignores what the server adds.
func sameMetadata(have, want map[string]string) bool {
	picked := make(map[string]string, len(want))
	for k := range want {
		if v, ok := have[k]; ok {
			picked[k] = v
		}
	}
	return reflect.DeepEqual(picked, want)
}
