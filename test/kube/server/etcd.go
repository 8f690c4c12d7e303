package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// etcd runs a cluster of one node on unix sockets in its folder. It does not
// sync to disk: what it holds is gone with the tests anyway. When the tests are
// killed, it removes the folder, which they cannot do then.
func etcd() error {
	flags := flag.NewFlagSet("etcd", flag.ExitOnError)
	dir := flags.String("dir", "", "absolute path of the folder for data and sockets")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	// A terminal and timeout(1) end the tests and us at once.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go endWithInput(func() error { return os.RemoveAll(*dir) })
	// Sockets are named relative to the working directory, in the form
	// HOST:PORT: etcd refuses to advertise other names.
	if err := os.Chdir(*dir); err != nil {
		return err
	}
	client, peer := url.URL{Scheme: "unix", Host: "etcd:1"}, url.URL{Scheme: "unix", Host: "peer:1"}
	c := embed.NewConfig()
	c.Name = "kube"
	c.Dir = "data"
	c.UnsafeNoFsync = true
	c.LogLevel = "warn"
	c.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration // else it warns of each
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	return <-e.Err()
}

// compact forgets all revisions but the current one.
func compact() error {
	flags := flag.NewFlagSet("compact", flag.ExitOnError)
	endpoint := flags.String("etcd", "", "URL of etcd")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, Context: ctx})
	if err != nil {
		return err
	}
	defer c.Close()
	now, err := c.Get(ctx, "compact_rev_key")
	if err != nil {
		return fmt.Errorf("ask for the revision: %w", err)
	}
	_, err = c.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical())
	return err
}
