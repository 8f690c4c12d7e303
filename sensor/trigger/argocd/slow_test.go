package argocd_test

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger/argocd"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// before is the URL of a server in front of s whose requests go to h first; what
// that does not answer goes on.
func before(t *testing.T, s *argotest.CDServer, h func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorLog: log.New(io.Discard, "", 0)}
	t.Cleanup(func() { http.DefaultTransport.(*http.Transport).CloseIdleConnections() })
	return newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
}

// TestServerLags has a server that for a little answers what was before: nothing is
// concluded from that.
func TestServerLags(t *testing.T) {
	for _, tc := range []struct{ name, more, config, summary, want string }{
		{"sync", "{}", "{name: shop}", "sync of shop started", "shop: Succeeded, Synced, Healthy at "},
		{"rollback", twice, "{name: shop, operation: rollback}", "rollback of shop to 4 (aaaaaaa) started", "shop: Succeeded, OutOfSync, Healthy at aaaaaaa"},
		{"set", "{}", "{name: shop, operation: set, set: {targetRevision: " + one + "}}", "shop changed", "shop: OutOfSync, Missing at aaaaaaa"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, s := serverLab(t)
			l.put(s, "shop", tc.more)
			old, err := json.Marshal(s.App("shop"))
			if err != nil {
				t.Fatal(err)
			}
			var lag atomic.Int32
			front := before(t, s, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || lag.Add(-1) < 0 {
					return false
				}
				_, _ = w.Write(old)
				return true
			})
			config := "{server: {url: '" + front + "', token: {name: argo, key: token}}, " + follow + ", " + tc.config[1:]
			in := l.input(1)
			r := l.fire(l.build(config), in, tc.summary)
			lag.Store(3)
			tr := l.build(config)
			argocd.Steady(tr, time.Second) // longer than three answers of a busy machine
			l.outcome(awaitBy(t.Context(), tr, l.following(in, r)), false, tc.want)
		})
	}
}

// TestServerIsSlow has a comparison that takes longer than one waits for an answer:
// that it was asked for will do. A server that does nothing is another thing.
func TestServerIsSlow(t *testing.T) {
	for _, tc := range []struct {
		name string
		asks bool
		want string
	}{
		{"compares", true, ""},
		{"hangs", false, "refresh of shop: no answer within 300ms: context deadline exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, s := serverLab(t)
			l.put(s, "shop")
			s.App("shop")
			front := before(t, s, func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("refresh") == "" {
					return false
				}
				if tc.asks {
					l.put(s, "shop", "{metadata: {annotations: {argocd.argoproj.io/refresh: normal}}}")
					s.Ignore()
				}
				<-r.Context().Done()
				return true
			})
			tr := l.build("{name: shop, operation: refresh, server: {url: '" + front + "', token: {name: argo, key: token}}}")
			if tc.want == "" {
				l.fire(tr, l.input(1), "refresh of shop asked for")
				return
			}
			_ = l.fails(tr, l.input(1), false, tc.want)
		})
	}
}
