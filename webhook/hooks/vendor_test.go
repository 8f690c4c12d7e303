package hooks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/webhook/hooks"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// stored is a hook as the vendor has it.
type stored struct {
	ID     string   `json:"id"`
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Active bool     `json:"active"`
	Type   string   `json:"content_type"`
	Secret string   `json:"secret,omitempty"` // written, never shown
}

// vendor plays a Git host's API.
type vendor struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	repos    map[string][]*stored
	ids      int
	creates  map[string]int
	requests int
	same     int       // answered with 304
	deny     time.Time // refuse until
}

const (
	perPage = 2
	token   = "t0ken"
	ourURL  = "https://events.example.com/github"
)

func newVendor(t *testing.T, repos ...string) *vendor {
	v := &vendor{t: t, repos: map[string][]*stored{}, creates: map[string]int{}}
	for _, r := range repos {
		v.repos[r] = nil
	}
	v.server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.server.Close)
	return v
}

func (v *vendor) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests++
	if r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if left := time.Until(v.deny); left > 0 {
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(v.deny.Add(time.Second).Unix(), 10))
		http.Error(w, "too many", http.StatusForbidden)
		return
	}
	repo, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/repos/"), "/hooks")
	list, ok := v.repos[repo]
	if !ok {
		http.Error(w, "no such repository", http.StatusNotFound)
		return
	}
	at := slices.IndexFunc(list, func(s *stored) bool { return "/"+s.ID == rest })
	switch {
	case r.Method == http.MethodGet && rest == "":
		v.list(w, r, list)
	case r.Method == http.MethodPost && rest == "":
		v.ids++
		s := &stored{}
		v.read(r, s)
		s.ID = strconv.Itoa(v.ids)
		v.repos[repo] = append(list, s)
		v.creates[repo]++
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]string{"id": s.ID})
	case at < 0:
		http.Error(w, "no such hook", http.StatusNotFound)
	case r.Method == http.MethodPatch:
		s := *list[at]
		id, secret := s.ID, s.Secret
		s.Secret = ""
		v.read(r, &s)
		s.ID = id
		if s.Secret == "" {
			s.Secret = secret
		}
		list[at] = &s
	case r.Method == http.MethodDelete:
		v.repos[repo] = slices.Delete(slices.Clone(list), at, at+1)
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "no", http.StatusMethodNotAllowed)
	}
}

func (v *vendor) list(w http.ResponseWriter, r *http.Request, list []*stored) {
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || page < 1 {
		v.t.Errorf("page %q", r.URL.Query().Get("page"))
	}
	from, to := min((page-1)*perPage, len(list)), min(page*perPage, len(list))
	shown := []stored{}
	for _, s := range list[from:to] {
		c := *s
		c.Secret = ""
		shown = append(shown, c)
	}
	b, _ := json.Marshal(shown)
	w.Header().Set("ETag", fmt.Sprintf("%q", strconv.FormatUint(uint64(crc32.ChecksumIEEE(b)), 16)))
	if to < len(list) {
		w.Header().Set("X-Next-Page", strconv.Itoa(page+1))
	}
	if r.Header.Get("If-None-Match") == w.Header().Get("ETag") {
		v.same++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(b)
}

func (v *vendor) read(r *http.Request, s *stored) {
	if err := json.NewDecoder(r.Body).Decode(s); err != nil {
		v.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
}

// put adds a hook that somebody made by hand.
func (v *vendor) put(repo string, s stored) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ids++
	s.ID = strconv.Itoa(v.ids)
	v.repos[repo] = append(v.repos[repo], &s)
	return s.ID
}

func (v *vendor) hooks(repo string) []stored {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []stored
	for _, s := range v.repos[repo] {
		out = append(out, *s)
	}
	return out
}

// made counts the hooks that were made.
func (v *vendor) made(repo string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.creates[repo]
}

func (v *vendor) asked() (all, same int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requests, v.same
}

// client is the API as a kind has it.
type client struct {
	v    *vendor
	http *http.Client
	dead atomic.Bool // the process is gone
	made atomic.Int32
	dies int32 // after so many hooks; 0 is never
}

func (v *vendor) client(t *testing.T) *client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{v: v, http: &http.Client{Transport: &hooks.Cache{Base: transport}}}
}

func (c *client) do(ctx context.Context, method, path string, body, out any) (code int, next string, err error) {
	if c.dead.Load() {
		<-ctx.Done()
		return 0, "", ctx.Err()
	}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, "", err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.v.server.URL+"/repos/"+path, r)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	if l := hooks.RateLimits(resp); l != nil {
		return 0, "", l
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, "", fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(b))
	}
	if out != nil {
		return resp.StatusCode, resp.Header.Get("X-Next-Page"), json.Unmarshal(b, out)
	}
	return resp.StatusCode, "", nil
}

func (c *client) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	var out []hooks.Hook
	for page := "1"; page != ""; {
		var got []stored
		_, next, err := c.do(ctx, http.MethodGet, target+"/hooks?page="+page, nil, &got)
		if err != nil {
			return nil, err
		}
		for _, s := range got {
			out = append(out, hooks.Hook{ID: s.ID, URL: s.URL, Events: s.Events, Active: s.Active, Settings: map[string]string{"content_type": s.Type}})
		}
		page = next
	}
	return out, nil
}

func body(want hooks.Hook, secret []byte) stored {
	return stored{URL: want.URL, Events: want.Events, Active: want.Active, Type: want.Settings["content_type"], Secret: string(secret)}
}

func (c *client) Create(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, error) {
	if n := c.made.Add(1); c.dies > 0 && n > c.dies {
		c.dead.Store(true)
	}
	var out struct{ ID string }
	_, _, err := c.do(ctx, http.MethodPost, target+"/hooks", body(want, secret), &out)
	return out.ID, err
}

func (c *client) Update(ctx context.Context, target string, want hooks.Hook, secret []byte) error {
	_, _, err := c.do(ctx, http.MethodPatch, target+"/hooks/"+want.ID, body(want, secret), nil)
	return err
}

func (c *client) Delete(ctx context.Context, target, id string) error {
	code, _, err := c.do(ctx, http.MethodDelete, target+"/hooks/"+id, nil, nil)
	if code == http.StatusNotFound {
		return nil
	}
	return err
}
