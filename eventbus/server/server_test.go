package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, c Config) *Server {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, url, user, password string, opts ...client.Option) (*client.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := client.Connect(url, append(opts, client.UserInfo(user, password), client.MaxReconnects(-1),
		client.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func stream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
}

func TestOtherProcessesFindTheEmbeddedServer(t *testing.T) {
	dir := t.TempDir()
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("before: %v", err)
	}
	s := run(t, Config{DataDir: dir, Embedded: true})
	st, err := os.Stat(filepath.Join(dir, "bus.json"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("bus.json: %v, %v", st, err)
	}
	info, err := Find(dir)
	if err != nil || info.PID != os.Getpid() || info.StoreDir == "" || !strings.HasPrefix(info.URL, "nats://127.0.0.1:") {
		t.Fatalf("found %+v, %v", info, err)
	}
	_, js := connect(t, info.URL, info.User, info.Password)
	stream(t, js)
	if _, err := os.Stat(filepath.Join(info.StoreDir, "$G", "streams", "s", "msgs")); err != nil {
		t.Fatalf("the store is not in %s: %v", info.StoreDir, err)
	}
	if nc, err := client.Connect(info.URL, client.UserInfo(info.User, "wrong")); err == nil {
		nc.Close()
		t.Fatal("a wrong password will do")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bus.json")); !os.IsNotExist(err) {
		t.Fatalf("bus.json stays: %v", err)
	}
}

func TestFileOfAKilledProcessIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	data, err := json.Marshal(Info{URL: "nats://127.0.0.1:1", PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "bus.json"), data, 0o600), os.WriteFile(filepath.Join(dir, "lock"), []byte("1\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("found %+v, %v", info, err)
	}
	run(t, Config{DataDir: dir, Embedded: true})
	if info, err := Find(dir); err != nil || info.PID != os.Getpid() {
		t.Fatalf("found %+v, %v", info, err)
	}
}

func TestOneServerPerFolder(t *testing.T) {
	dir := t.TempDir()
	run(t, Config{DataDir: dir})
	_, err := Start(Config{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Fatalf("got %v", err)
	}
}

func TestMessagesAreThereAfterARestart(t *testing.T) {
	s := run(t, Config{DataDir: t.TempDir(), Embedded: true})
	url := s.URL()
	_, js := connect(t, "", s.User().Name, s.User().Password, client.InProcessServer(s))
	stream(t, js)
	if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.URL() != url {
		t.Fatalf("was %s, is %s", url, s.URL())
	}
	_, js = connect(t, url, s.User().Name, s.User().Password)
	got, err := js.Stream(t.Context(), "s")
	if err != nil || got.CachedInfo().State.Msgs != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestFullDiskIsSurvived(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("needs a file system of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := run(t, Config{DataDir: filepath.Join(dir, "data"), Embedded: true, MaxStore: 1 << 30})
	_, js := connect(t, "", s.User().Name, s.User().Password, client.InProcessServer(s))
	stream(t, js)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 150<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.Publish(ctx, "s", make([]byte, 512<<10))
		return err
	}
	stored := uint64(0)
	for publish() == nil {
		if stored++; stored > 100 {
			t.Fatal("the disk does not get full")
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(20 * time.Second)
	for publish() != nil {
		if time.Now().After(end) {
			t.Fatal("the server does not recover")
		}
	}
	got, err := js.Stream(t.Context(), "s")
	if err != nil || got.CachedInfo().State.Msgs < stored+1 {
		t.Fatalf("%d were acknowledged, there are %+v, %v", stored+1, got.CachedInfo().State, err)
	}
}

func TestUsersFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	for _, c := range []struct {
		name, text string
		want       []User
		ok         bool
	}{
		{"usual", "# users\n\na:b\n c:d:e \n", []User{{Name: "a", Password: "b"}, {Name: "c", Password: "d:e"}}, true},
		{"no colon", "ab\n", nil, false},
		{"no password", "a:\n", nil, false},
		{"empty", "", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := ReadUsers(path)
			if (err == nil) != c.ok || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Fatalf("got %v, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "ab") {
				t.Fatalf("the error shows the file: %v", err)
			}
		})
	}
}

func TestWrongConfigurations(t *testing.T) {
	for name, c := range map[string]Config{
		"no folder":        {},
		"listen":           {DataDir: t.TempDir(), Listen: "nowhere"},
		"port":             {DataDir: t.TempDir(), Listen: "127.0.0.1:x"},
		"tls files":        {DataDir: t.TempDir(), TLS: &TLSFiles{Cert: "no", Key: "no"}},
		"cluster name":     {DataDir: t.TempDir(), Cluster: &Cluster{Listen: "127.0.0.1:0"}},
		"embedded cluster": {DataDir: t.TempDir(), Name: "a", Embedded: true, Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0"}},
		"route":            {DataDir: t.TempDir(), Name: "a", Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0", Routes: []string{"x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Start(c); err == nil {
				t.Error(s.Shutdown(t.Context()))
				t.Fatal("it starts")
			}
		})
	}
}

func TestFsync(t *testing.T) {
	for _, c := range []struct {
		name          string
		config        Config
		always, group bool
		every         time.Duration
	}{
		{"embedded", Config{Embedded: true}, false, true, embeddedSyncInterval},
		{"embedded, interval", Config{Embedded: true, Fsync: Fsync{Every: time.Minute}}, false, false, time.Minute},
		{"alone", Config{}, true, false, defaultSyncInterval},
		{"member", Config{Name: "a", Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0"}}, false, false, defaultSyncInterval},
		{"member, always", Config{Name: "a", Fsync: Fsync{Always: true}, Cluster: &Cluster{Name: "c", Listen: "127.0.0.1:0"}}, true, false, defaultSyncInterval},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := c.config.options()
			if err != nil {
				t.Fatal(err)
			}
			if o.SyncAlways != c.always || c.config.groupSync() != c.group || o.SyncInterval != c.every {
				t.Fatalf("always %v, group %v, every %v", o.SyncAlways, c.config.groupSync(), o.SyncInterval)
			}
		})
	}
}
