package http_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/http"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// TestOnTheWire looks at the bytes that a server gets.
func TestOnTheWire(t *testing.T) {
	for name, tc := range map[string]struct {
		config    string
		has, lack []string
	}{
		"defaults":           {"", []string{"POST /x?y=z HTTP/1.1\r\n", "User-Agent: signalbox/test\r\n", "Content-Length: 0\r\n"}, []string{"Content-Type"}},
		"spelling":           {"headers: {x-lower: a, X_under: b}", []string{"\r\nx-lower: a\r\n", "\r\nX_under: b\r\n"}, nil},
		"user agent":         {"headers: {user-agent: mine}", []string{"\r\nuser-agent: mine\r\n"}, []string{"User-Agent", "signalbox"}},
		"host":               {"host: other.example", []string{"\r\nHost: other.example\r\n"}, []string{"127.0.0.1"}},
		"body without types": {"payload: [{src: {dependencyName: dep, dataKey: text}}]", []string{"Content-Length: 12\r\n", "\r\n\r\nnumber 1 <&>"}, []string{"Content-Type"}},
		"GET":                {"method: GET", []string{"GET /x"}, []string{"Content-Length"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			got := make(chan string, 1)
			go func() {
				defer close(got)
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				var raw bytes.Buffer
				r, err := nethttp.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
				if err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				got <- raw.String()
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}()
			tr := triggertest.Build(t, http.Kind, "url: http://"+l.Addr().String()+"/x?y=z\n"+tc.config, triggertest.NewEnv(t))
			if _, err := tr.Fire(t.Context(), triggertest.Input(1)); err != nil {
				t.Fatal(err)
			}
			text := <-got
			for _, s := range tc.has {
				if !strings.Contains(text, s) {
					t.Errorf("%q is not in %q", s, text)
				}
			}
			for _, s := range tc.lack {
				if strings.Contains(text, s) {
					t.Errorf("%q is in %q", s, text)
				}
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(nethttp.HandlerFunc(func(nethttp.ResponseWriter, *nethttp.Request) { <-release }))
	defer server.Close()
	defer close(release)
	tr := triggertest.Build(t, http.Kind, "{timeout: 1, url: '"+server.URL+"/x'}", triggertest.NewEnv(t))
	_, err := tr.Fire(t.Context(), triggertest.Input(1))
	if want := "POST " + server.URL + "/x: no answer within 1s: context deadline exceeded"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestEndlessAnswer has a server that never ends its answers.
func TestEndlessAnswer(t *testing.T) {
	for name, flood := range map[string]bool{"silent": false, "flood": true} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
				w.WriteHeader(nethttp.StatusAccepted)
				_ = nethttp.NewResponseController(w).Flush()
				for flood && r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 32<<10)); err != nil {
						return
					}
				}
				<-r.Context().Done()
			}))
			defer server.Close()
			in := triggertest.Input(1)
			in.Policy = nil
			r, err := triggertest.Build(t, http.Kind, "url: "+server.URL, triggertest.NewEnv(t)).Fire(t.Context(), in)
			if err != nil || r.Summary != "202 Accepted" {
				t.Errorf("got %q, %v", r.Summary, err)
			}
		})
	}
}

func TestConnectionIsUsedAgain(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.WriteHeader(nethttp.StatusTeapot)
		_, _ = w.Write(make([]byte, 100<<10))
	}))
	server.Config.ConnState = func(_ net.Conn, s nethttp.ConnState) {
		if s == nethttp.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	tr := triggertest.Build(t, http.Kind, "url: "+server.URL, triggertest.NewEnv(t))
	in := triggertest.Input(1)
	for i := range 6 {
		if in.Policy = nil; i%2 == 1 {
			in.Policy = triggertest.Input(1).Policy
		}
		if _, err := tr.Fire(t.Context(), in); (err != nil) != (in.Policy != nil) {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestRedirects looks at what arrives after a redirect: to the same server, and
// to one that must not see secrets.
func TestRedirects(t *testing.T) {
	type arrival struct{ method, body, token, auth, key, referer string }
	arrived := make(chan arrival, 1)
	var redirected atomic.Int32
	target := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/loop" {
			nethttp.Redirect(w, r, "/loop", nethttp.StatusTemporaryRedirect)
			return
		}
		if to := r.URL.Query().Get("to"); to != "" {
			redirected.Add(1)
			nethttp.Redirect(w, r, to, nethttp.StatusTemporaryRedirect)
			return
		}
		b, _ := io.ReadAll(r.Body)
		arrived <- arrival{r.Method, string(b), r.Header.Get("X-Token"), r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key"), r.Referer()}
	}))
	defer target.Close()
	elsewhere := strings.Replace(target.URL, "127.0.0.1", "localhost", 1)
	id := triggertest.Input(1).ID
	for name, tc := range map[string]struct {
		query string
		want  arrival
	}{
		"same host":  {"?to=/end", arrival{"POST", "1", "t0ken", "Basic dTpw", id, ""}},
		"other host": {"?to=" + elsewhere + "/end", arrival{"POST", "1", "", "", id, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			e := triggertest.NewEnv(t)
			e.PutSecret("s", "k", "t0ken")
			tr := triggertest.Build(t, http.Kind, `{url: "`+strings.Replace(target.URL, "//", "//u:p@", 1)+tc.query+`",
				payload: [{src: {dependencyName: dep, dataKey: number}}],
				secureHeaders: [{name: X-Token, valueFrom: {secretKeyRef: {name: s, key: k}}}]}`, e)
			if _, err := tr.Fire(t.Context(), triggertest.Input(1)); err != nil {
				t.Fatal(err)
			}
			if got := <-arrived; got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if n := redirected.Swap(0); n != 1 {
				t.Errorf("the server that redirects was asked %d times", n)
			}
		})
	}
	t.Run("for ever", func(t *testing.T) {
		tr := triggertest.Build(t, http.Kind, "url: "+target.URL+"/loop", triggertest.NewEnv(t))
		_, err := tr.Fire(t.Context(), triggertest.Input(1))
		if err == nil || !strings.HasSuffix(err.Error(), "stopped after 10 redirects") {
			t.Errorf("got %v", err)
		}
	})
}
