package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
)

const (
	peerFile   = "peers.idx"
	peerIDSize = 8
	// knockInterval is how often the one who knocks looks for the leader.
	knockInterval = 50 * time.Millisecond
	peerDigits    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// beginAlone lets a server that has no state begin as a cluster of one. The NATS
// server takes two members for the least, and would wait for the second one before
// it stores anything; what tells it otherwise is the list of members that a
// running cluster leaves on disk. Members that come later are added to it.
func beginAlone(dataDir, name string) error {
	file := peersOf(dataDir)
	switch _, err := os.Stat(file); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, peerState(1, name), 0o600)
}

func peersOf(dataDir string) string {
	return filepath.Join(storeDir(dataDir), nats.DEFAULT_SYSTEM_ACCOUNT, "_js_", "_meta_", peerFile)
}

// isAlone tells whether the state on disk is that of a cluster of one.
func isAlone(dataDir string) bool {
	b, err := os.ReadFile(peersOf(dataDir))
	return err == nil && len(b) >= 4 && binary.LittleEndian.Uint32(b) == 1
}

// peerState is the file's content: the size of the cluster, the number of members
// known, their ids, and two bytes that say nothing.
func peerState(size int, names ...string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(size))    //nolint:gosec // a few
	b = binary.LittleEndian.AppendUint32(b, uint32(len(names))) //nolint:gosec // a few
	for _, name := range names {
		b = append(b, peerID(name)...)
	}
	return append(b, 0, 0)
}

// peerID is how the server calls a member by its name.
func peerID(name string) string {
	sum := sha256.Sum256([]byte(name))
	id := make([]byte, peerIDSize)
	for i := range id {
		id[i] = peerDigits[int(sum[i])%len(peerDigits)]
	}
	return string(id)
}

// knocker is who gets a cluster of one going. A server elects no leader before
// another server has connected to it once. With nobody there to do so, we connect
// as a leaf node that has nothing to say, and leave when there is a leader.
type knocker struct{ password string }

// newKnocker has the server listen to leaf nodes, on this machine only.
func newKnocker(o *nats.Options) *knocker {
	k := &knocker{password: rand.Text()}
	o.LeafNode = nats.LeafNodeOpts{Host: "127.0.0.1", Port: nats.RANDOM_PORT, Username: embeddedUser, Password: k.password}
	return k
}

// knock is to be called once the server listens.
func (k *knocker) knock(ctx context.Context, ns *nats.Server) error {
	v, err := ns.Varz(nil)
	if err != nil {
		return err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(v.LeafNode.Port)))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it has done its work
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		return err
	}
	hello, err := json.Marshal(map[string]string{
		"user": embeddedUser, "pass": k.password, "name": "knocker", "version": nats.VERSION,
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s\r\nPING\r\n", hello); err != nil {
		return err
	}
	tick := time.NewTicker(knockInterval)
	defer tick.Stop()
	for !ns.JetStreamIsLeader() && ns.NumRemotes() == 0 && ns.Running() {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}
