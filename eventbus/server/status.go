package server

import (
	"slices"

	nats "github.com/nats-io/nats-server/v2/server"
)

// Status is what a server says of itself.
type Status struct {
	Name string
	// Problem says why the server is not fit for work, such as a stream that is
	// not in sync; empty if it is.
	Problem string
	// MetaLeader is the member that leads the cluster; empty if there is none.
	MetaLeader string
	// Members are the others that this server is connected to.
	Members []string
	// Connections of clients.
	Connections int
	// SlowConsumers is how many clients were disconnected because they did not read.
	SlowConsumers int64
	// StoreUsed and StoreLimit are bytes.
	StoreUsed, StoreLimit int64
	// Streams that this server holds a replica of.
	Streams []StreamStatus
}

// StreamStatus is one stream as this server has it.
type StreamStatus struct {
	Name            string
	Messages, Bytes uint64
	Consumers       int
	// Replicas that the stream is to have.
	Replicas int
	// Leader says that this server leads the stream. Only the leader knows InSync,
	// the number of replicas that are up to date, itself included.
	Leader bool
	InSync int
}

// Status of the server at this moment.
func (s *Server) Status() Status {
	ns := s.current()
	st := Status{
		Name: ns.Name(), Connections: ns.NumClients(), SlowConsumers: ns.NumSlowConsumers(), Problem: problem(ns),
	}
	if routes, err := ns.Routez(nil); err == nil {
		for _, r := range routes.Routes {
			st.Members = append(st.Members, r.RemoteName)
		}
		slices.Sort(st.Members)
		st.Members = slices.Compact(st.Members)
	}
	js, err := ns.Jsz(&nats.JSzOptions{Streams: true, Config: true})
	if err != nil || js.Disabled {
		return st
	}
	if js.Meta != nil {
		st.MetaLeader = js.Meta.Leader
	}
	st.StoreUsed, st.StoreLimit = int64(js.Store), js.Config.MaxStore //nolint:gosec // bytes on a disk
	for _, account := range js.AccountDetails {
		for i := range account.Streams {
			st.Streams = append(st.Streams, streamStatus(&account.Streams[i], st.Name))
		}
	}
	return st
}

func streamStatus(d *nats.StreamDetail, server string) StreamStatus {
	one := StreamStatus{
		Name: d.Name, Messages: d.State.Msgs, Bytes: d.State.Bytes, Consumers: d.State.Consumers, Replicas: 1,
		Leader: d.Cluster == nil || d.Cluster.Leader == server,
	}
	if d.Config != nil {
		one.Replicas = d.Config.Replicas
	}
	if one.Leader {
		one.InSync = 1
		if d.Cluster != nil {
			for _, p := range d.Cluster.Replicas {
				if p.Current && !p.Offline {
					one.InSync++
				}
			}
		}
	}
	return one
}

// problem says why a server is not fit for work; empty if it is.
func problem(ns *nats.Server) string {
	if h := ns.Healthz(nil); h.StatusCode != 0 && h.StatusCode != 200 || h.Error != "" {
		return h.Error
	}
	return ""
}
