package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ceilingCommand makes this program be the ceiling.
const ceilingCommand = "ceiling"

const inFlight = 64

// ceiling is the path with nothing on it: a request is stored on a JetStream in
// this process and answered when that is done; a durable consumer forwards what
// is stored and acknowledges when the sink has answered. It does not return
// while all is well.
func ceiling(args []string) error {
	fs := flag.NewFlagSet(ceilingCommand, flag.ExitOnError)
	listen := fs.String("listen", "", "address for events")
	admin := fs.String("admin-addr", "", "address for /readyz")
	sink := fs.String("sink", "", "URL to forward to")
	dir := fs.String("data-dir", "", "folder of the store")
	fsync := fs.String("fsync", "always", "always, or an interval")
	if err := fs.Parse(args); err != nil {
		return err
	}
	js, err := openStore(*dir, *fsync)
	if err != nil {
		return err
	}
	ctx := context.Background()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "events", Subjects: []string{"events.>"}, Duplicates: 2 * time.Minute,
	})
	if err != nil {
		return err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "forward", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10000,
	})
	if err != nil {
		return err
	}
	work := make(chan jetstream.Msg)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}
	for range inFlight {
		go func() {
			for m := range work {
				forward(client, *sink, m)
			}
		}()
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) { work <- m })
	if err != nil {
		return err
	}
	defer consuming.Stop()
	ended := make(chan error, 2)
	go func() { ended <- serve(*admin, func(http.ResponseWriter, *http.Request) {}) }()
	go func() { ended <- serve(*listen, storing(js)) }()
	return <-ended
}

func openStore(dir, fsync string) (jetstream.JetStream, error) {
	opts := &natsserver.Options{JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true}
	if fsync == "always" {
		opts.SyncAlways = true
	} else {
		every, err := time.ParseDuration(fsync)
		if err != nil {
			return nil, err
		}
		opts.SyncInterval = every
	}
	srv, err := natsserver.NewServer(opts)
	if err != nil {
		return nil, err
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("server not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return nil, err
	}
	return jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
}

func serve(addr string, h http.HandlerFunc) error {
	s := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return s.ListenAndServe()
}

func storing(js jetstream.JetStream) http.HandlerFunc {
	var last atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender has gone
		}
		ack, err := js.PublishMsgAsync(&nats.Msg{Subject: "events.push", Data: body},
			jetstream.WithMsgID(strconv.FormatInt(last.Add(1), 10)))
		if err == nil {
			select {
			case <-ack.Ok():
				return
			case err = <-ack.Err():
			}
		}
		http.Error(w, fmt.Sprint(err), http.StatusServiceUnavailable)
	}
}

func forward(client *http.Client, url string, m jetstream.Msg) {
	resp, err := client.Post(url, "application/json", bytes.NewReader(m.Data())) //nolint:noctx // as bare as it gets
	if err != nil {
		_ = m.Nak()
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) //nolint:errcheck // the answer is not looked at
	_ = resp.Body.Close()
	_ = m.Ack()
}
