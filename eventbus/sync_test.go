package eventbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventbus/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embedded opens a bus on a server that leaves fsync to it.
func embedded(t testing.TB, limits Limits) *Bus {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s, err := server.Start(server.Config{DataDir: t.TempDir(), Embedded: true, Fsync: server.Fsync{Always: true}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Dial(t.Context(), LinkConfig{
		InProcess: s, User: s.User().Name, Password: s.User().Password, StoreDir: s.StoreDir(), Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), l, Config{Namespace: "ns", Name: "bus", Limits: limits, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(b.Close(), l.Close(), s.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestServerWritesBeforeItAcknowledges proves what group fsync rests on: once a
// publish is acknowledged its bytes are in the stream's current block file. If a
// new version of the server fails here, group fsync has to go.
func TestServerWritesBeforeItAcknowledges(t *testing.T) {
	b := embedded(t, Limits{})
	for i := range 200 {
		mark := fmt.Sprintf("<mark %d>", i)
		m := &nats.Msg{Subject: b.names.event(Address{"s", "e"}), Data: []byte(mark)}
		r, err := b.link.request(t.Context(), m, nil) // without our sync
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseAck(r.Data); err != nil {
			t.Fatal(err)
		}
		if !stored(t, b.events.sync, mark) {
			t.Fatalf("%s was acknowledged and is in no file", mark)
		}
	}
	if _, err := b.State().Put(t.Context(), "k", []byte("<state>")); err != nil {
		t.Fatal(err)
	}
	if !stored(t, b.state.sync, "<state>") {
		t.Fatal("state is in no file")
	}
}

// stored says whether the last block holds a text.
func stored(t *testing.T, y *syncer, text string) bool {
	t.Helper()
	list, err := blocks(filepath.Join(y.dir, "msgs"))
	if err != nil || len(list) == 0 {
		t.Fatalf("blocks %v, %v", list, err)
	}
	data, err := os.ReadFile(y.blockPath(list[len(list)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, []byte(text))
}

func TestSyncFollowsTheBlocks(t *testing.T) {
	b := embedded(t, Limits{MaxBytes: 120_000}) // blocks of 32 KB
	y := b.events.sync
	to := Address{"s", "e"}
	highest := 0
	for i := range 400 { // no consumer, so all of it is history and makes room
		e := example()
		e.DataEncoded = bytes.Repeat([]byte{'x'}, 3000)
		if err := b.Publish(t.Context(), to, strconv.Itoa(i), e); err != nil {
			t.Fatal(i, err)
		}
		list, err := blocks(filepath.Join(y.dir, "msgs"))
		if err != nil {
			t.Fatal(err)
		}
		highest = list[len(list)-1]
		if y.block != highest || y.replaced() {
			t.Fatalf("event %d: synced block %d (replaced: %v), the server writes to %d", i, y.block, y.replaced(), highest)
		}
	}
	if highest < 10 {
		t.Fatalf("only %d blocks were used", highest)
	}
	// A stream that is emptied keeps working.
	s := b.State()
	for range 3 {
		if _, err := s.Put(t.Context(), "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.events.purge(t.Context(), "", 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), to, "after", example()); err != nil {
		t.Fatal(err)
	}
}

func TestBlockThatIsReplacedIsOpenedAgain(t *testing.T) {
	b := embedded(t, Limits{})
	to := Address{"s", "e"}
	if err := b.Publish(t.Context(), to, "1", example()); err != nil {
		t.Fatal(err)
	}
	y := b.events.sync
	path := y.blockPath(y.block)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path+".tmp", data, 0o600), os.Rename(path+".tmp", path)); err != nil {
		t.Fatal(err)
	}
	if !y.replaced() {
		t.Fatal("not noticed")
	}
	if err := y.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if y.replaced() {
		t.Fatal("still the old file")
	}
}

func TestFailedSyncFailsPublishForGood(t *testing.T) {
	b := embedded(t, Limits{})
	to := Address{"s", "e"}
	if err := b.Publish(t.Context(), to, "1", example()); err != nil {
		t.Fatal(err)
	}
	y := b.events.sync
	if err := y.file.Close(); err != nil { // makes the next fsync fail
		t.Fatal(err)
	}
	for i := range 3 {
		if err := b.Publish(t.Context(), to, strconv.Itoa(2+i), example()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	y.file = nil
}

func TestOtherStoreLayoutIsRefused(t *testing.T) {
	b := embedded(t, Limits{})
	wrong := newSyncers()
	if y, err := wrong.open(t.TempDir(), b.names.events); err == nil {
		t.Fatalf("took %+v", y)
	}
}

func TestConsumerIsSynced(t *testing.T) {
	b := embedded(t, Limits{})
	if err := b.EnsureConsumer(t.Context(), ConsumerConfig{Sensor: "s", Trigger: "t"}); err != nil {
		t.Fatal(err)
	}
	if err := b.events.sync.consumer(b.names.consumer("s", "t")); err != nil {
		t.Fatal(err)
	}
	if err := b.events.sync.consumer("no-such"); err == nil {
		t.Fatal("a consumer without files was synced")
	}
}
