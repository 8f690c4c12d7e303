package gitrepotest

import (
	"io"
	"log"
	"net/http"
	"net/http/cgi" //nolint:gosec // a test is no attack surface
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// HTTP serves a repository as git does.
type HTTP struct {
	*httptest.Server
	// URL of the repository.
	Repository string
	// Lists and Packs count the requests for refs and for objects.
	Lists, Packs atomic.Int64

	mu             sync.Mutex
	user, password string
	before         http.HandlerFunc
}

// Serve begins to serve r to everybody.
func (r *Repo) Serve(t testing.TB) *HTTP { return r.serve(t, httptest.NewServer) }

// ServeTLS is Serve with a certificate of its own.
func (r *Repo) ServeTLS(t testing.TB) *HTTP { return r.serve(t, httptest.NewTLSServer) }

func (r *Repo) serve(t testing.TB, start func(http.Handler) *httptest.Server) *HTTP {
	t.Helper()
	s := &HTTP{}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		user, password, before := s.user, s.password, s.before
		s.mu.Unlock()
		if before != nil {
			answer := &answered{ResponseWriter: w}
			if before(answer, q); answer.done {
				return
			}
		}
		if gotUser, got, _ := q.BasicAuth(); password != "" && (got != password || gotUser != user) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "<html>who are you, with "+got+"?</html>", http.StatusUnauthorized)
			return
		}
		if q.Method == http.MethodPost {
			s.Packs.Add(1)
		} else {
			s.Lists.Add(1)
		}
		backend := &cgi.Handler{
			Path: r.git, Args: []string{"http-backend"}, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
			Env: append(r.env(), "GIT_PROJECT_ROOT="+filepath.Dir(r.Dir), "GIT_HTTP_EXPORT_ALL=1"),
		}
		backend.ServeHTTP(w, q)
	}))
	t.Cleanup(s.Close)
	s.Repository = s.URL + "/" + filepath.Base(r.Dir)
	return s
}

// Only lets in those with this user and password.
func (s *HTTP) Only(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.password = user, password
}

// Before is asked before git is; if it writes anything, that is the answer.
func (s *HTTP) Before(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = h
}

type answered struct {
	http.ResponseWriter
	done bool
}

// Unwrap is what http.ResponseController looks for.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(status int) {
	a.done = true
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answered) Write(b []byte) (int, error) {
	a.done = true
	return a.ResponseWriter.Write(b)
}
