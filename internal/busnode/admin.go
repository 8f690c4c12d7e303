package busnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signalbox-events/signalbox/eventbus/server"
)

// Readiness is the answer of /readyz.
type Readiness struct {
	// Ready means that the streams of this member are in sync and are what the
	// EventBus wants, and that a majority of the members is connected.
	Ready    bool     `json:"ready"`
	Server   string   `json:"server"`
	Problems []string `json:"problems,omitempty"`
	// Leader of the cluster; empty if there is none, or no cluster.
	Leader string `json:"leader,omitempty"`
	// Members are the others that are connected.
	Members []string              `json:"members,omitempty"`
	Streams []server.StreamStatus `json:"streams,omitempty"`
}

func (n *node) readiness() Readiness {
	s := n.server.Status()
	r := Readiness{Server: s.Name, Leader: s.MetaLeader, Members: s.Members, Streams: s.Streams}
	n.mu.Lock()
	if n.stopping {
		r.Problems = append(r.Problems, "it is stopping")
	}
	n.mu.Unlock()
	if s.Problem != "" {
		r.Problems = append(r.Problems, s.Problem)
	}
	if all := n.members(); len(s.Members)+1 <= all/2 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d of %d other members are connected", len(s.Members), all-1))
	}
	if n.keeper != nil {
		if err := n.keeper.Err(); err != nil {
			r.Problems = append(r.Problems, err.Error())
		}
	}
	r.Ready = len(r.Problems) == 0
	return r
}

// admin serves health and metrics.
type admin struct {
	server *http.Server
	work   sync.WaitGroup
}

// listenAdmin returns nil if there is nothing to serve.
func (n *node) listenAdmin(ctx context.Context) (*admin, error) {
	if n.cfg.AdminAddr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", n.cfg.AdminAddr)
	if err != nil {
		return nil, fmt.Errorf("listen on --admin-addr: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("/readyz", n.serveReady)
	mux.Handle("/metrics", promhttp.HandlerFor(n.registry(), promhttp.HandlerOpts{}))
	a := &admin{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}}
	n.cfg.Log.Info("admin open", "address", l.Addr().String())
	a.work.Go(func() {
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.cfg.Log.Error("admin ended", "error", err)
		}
	})
	return a, nil
}

func (a *admin) close() error {
	if a == nil {
		return nil
	}
	err := a.server.Close()
	a.work.Wait()
	return err
}

func (n *node) serveReady(w http.ResponseWriter, _ *http.Request) {
	r := n.readiness()
	w.Header().Set("Content-Type", "application/json")
	if !r.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(r)
}
