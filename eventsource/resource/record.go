package resource

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-events/signalbox/eventsource"
)

// shards is into how many values the memory is divided, so that a change does
// not write it as a whole. 10,000 objects give shards of about 20 KB.
const shards = 32

func shardOf(uid string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid)) // never fails
	return int(h.Sum32() % shards)
}

// record is the memory on the event bus. All replicas share it. It is of what
// is watched (cluster, resource, namespace, labels): something else has
// another record.
//
// The head is written about once a second while there are changes; that is
// cheap. Shards follow less often: where they lag behind the head, its version
// tells of an object that its latest state is old news.
type record struct {
	state  eventsource.State
	prefix string

	head    head // as last seen or written
	failing bool
}

// head is the small part of the memory.
type head struct {
	// Version up to which everything is done.
	Version string `json:"resourceVersion,omitempty"`
	// Since is when the source ran for the first time.
	Since time.Time `json:"since,omitzero"`
	// Config is a fingerprint of what the marks depend on.
	Config string `json:"config,omitempty"`
}

func newRecord(state eventsource.State, parts ...string) *record {
	return &record{state: state, prefix: fingerprint(parts)}
}

// fingerprint of some values, 16 hex digits.
func fingerprint(v any) string {
	b, _ := json.Marshal(v) //nolint:errchkjson // strings, and structs of them
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (r *record) key(shard int) string { return r.prefix + "/" + strconv.Itoa(shard) }

// readHead returns the zero head if there is none.
func (r *record) readHead(ctx context.Context) (head, error) {
	b, err := r.state.Get(ctx, r.prefix+"/head")
	if err != nil {
		return head{}, fmt.Errorf("read what was seen: %w", err)
	}
	var h head
	if len(b) > 0 {
		if err := json.Unmarshal(b, &h); err != nil {
			return head{}, fmt.Errorf("read what was seen: %w", err)
		}
	}
	return h, nil
}

// writeHead never puts the version of a record back, unless force says that the
// history of the API server is another one now.
func (r *record) writeHead(ctx context.Context, h head, force bool) error {
	if h == r.head && !force {
		return nil
	}
	there, err := r.readHead(ctx)
	if err != nil {
		return err
	}
	write := h
	if !force && older(h.Version, there.Version) {
		write.Version = there.Version
	}
	if !there.Since.IsZero() {
		write.Since = there.Since
	}
	if write != there {
		b, _ := json.Marshal(write) //nolint:errchkjson // strings and a time
		if err := r.state.Put(ctx, r.prefix+"/head", b); err != nil {
			return fmt.Errorf("write what was seen: %w", err)
		}
	}
	h.Since = write.Since
	r.head = h
	return nil
}

// row is an entry as it is stored, an array: uid, namespace, name, version,
// mark, and "1" if it passed the filter.
type row [6]string

func (r *record) readShards(ctx context.Context) (map[string]entry, error) {
	var all [shards][]row
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range shards {
		g.Go(func() error {
			b, err := r.state.Get(ctx, r.key(i))
			if err != nil || len(b) == 0 {
				return err
			}
			z := flate.NewReader(bytes.NewReader(b))
			return errors.Join(json.NewDecoder(z).Decode(&all[i]), z.Close())
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read what was seen: %w", err)
	}
	objects := map[string]entry{}
	for _, rows := range all {
		for _, c := range rows {
			objects[c[0]] = entry{namespace: c[1], name: c[2], version: c[3], mark: c[4], passed: c[5] != ""}
		}
	}
	return objects, nil
}

// writeShards writes those that have changed.
func (r *record) writeShards(ctx context.Context, m *memory) error {
	var rows [shards][]row
	some := false
	for _, d := range m.dirty {
		some = some || d
	}
	if !some {
		return nil
	}
	for uid, e := range m.objects {
		i := shardOf(uid)
		if !m.dirty[i] {
			continue
		}
		c := row{uid, e.namespace, e.name, e.version, e.mark, ""}
		if e.passed {
			c[5] = "1"
		}
		rows[i] = append(rows[i], c)
	}
	var b bytes.Buffer
	z, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	for i := range shards {
		if !m.dirty[i] {
			continue
		}
		b.Reset()
		z.Reset(&b)
		if err := errors.Join(json.NewEncoder(z).Encode(rows[i]), z.Close()); err != nil {
			return fmt.Errorf("write what was seen: %w", err)
		}
		if err := r.state.Put(ctx, r.key(i), b.Bytes()); err != nil {
			return fmt.Errorf("write what was seen: %w", err)
		}
		m.dirty[i] = false
	}
	return nil
}
