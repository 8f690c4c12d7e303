package ingress

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// serveEndpoint opens an endpoint at / of port 1, which answers to receive.
func (h *house) serveEndpoint(c v1alpha1.WebhookContext, emit eventsource.Emit, receive Receive) {
	h.t.Helper()
	c.Endpoint = "/"
	Default(&c)
	c.Port = "1"
	e := &Endpoint{
		Route: RouteOf(&c), Context: c, Secrets: h.Secrets,
		Log: slog.New(slog.NewTextHandler(h.log, nil)), Receive: receive,
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	h.serving.Go(func() {
		if err := e.Serve(ctx, h.Server, emit); err != nil {
			h.t.Error(err)
		}
	})
	h.until("the endpoint", func() bool { return h.routes("1") > 0 })
}

type posted struct {
	status int
	header http.Header
	body   string
}

func (h *house) post(body io.Reader, header ...string) posted {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "http://"+h.Addr("1")+"/", body)
	if err != nil {
		h.t.Fatal(err)
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return posted{res.StatusCode, res.Header, strings.TrimSpace(string(b))}
}

func store(context.Context, eventsource.Event) error { return nil }

func TestAnswers(t *testing.T) {
	emits := func(answer Answer) Receive {
		return func(r *http.Request, body []byte, emit eventsource.Emit) (Answer, error) {
			return answer, emit(r.Context(), eventsource.Event{Data: body})
		}
	}
	fails := func(err error) Receive {
		return func(*http.Request, []byte, eventsource.Emit) (Answer, error) { return Answer{}, err }
	}
	busError := func(err error) eventsource.Emit {
		return func(context.Context, eventsource.Event) error { return err }
	}
	for name, tt := range map[string]struct {
		emit    eventsource.Emit
		receive Receive
		status  int
		body    string
		header  string // NAME: VALUE
	}{
		"an id":           {store, emits(Answer{ID: `a"b`}), 200, `{"id":"a\"b"}`, "Content-Type: application/json"},
		"ids":             {store, emits(Answer{IDs: []string{"a", "b"}}), 200, `{"ids":["a","b"]}`, ""},
		"no ids":          {store, emits(Answer{IDs: []string{}}), 200, `{"ids":[]}`, ""},
		"nothing":         {store, emits(Answer{}), 200, `{}`, ""},
		"a status":        {store, emits(Answer{Status: 202, ID: "a"}), 202, `{"id":"a"}`, ""},
		"a body":          {store, emits(Answer{ContentType: "text/xml", Body: []byte("<x/>")}), 200, `<x/>`, "Content-Type: text/xml"},
		"not stored":      {busError(errors.New("disk /dev/x")), emits(Answer{ID: "a"}), 503, `{"error":"the event could not be stored; try again"}`, "Retry-After: 2"},
		"event too large": {busError(fmt.Errorf("x: %w", eventsource.ErrTooLarge)), emits(Answer{ID: "a"}), 413, `{"error":"the event is larger than the event bus takes"}`, ""},
		"bad request":     {store, fails(errors.New("no such event")), 400, `{"error":"no such event"}`, ""},
		"own status":      {store, fails(fmt.Errorf("x: %w", &Error{Status: 422, Text: "odd", Cause: errors.New("hidden")})), 422, `{"error":"odd"}`, ""},
		"challenge":       {store, fails(&Error{Status: 401, Text: "who?", Challenge: "Bearer"}), 401, `{"error":"who?"}`, "WWW-Authenticate: Bearer"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.serveEndpoint(v1alpha1.WebhookContext{}, tt.emit, tt.receive)
			res := h.post(strings.NewReader("x"))
			if res.status != tt.status || res.body != tt.body {
				t.Errorf("%d %s, want %d %s", res.status, res.body, tt.status, tt.body)
			}
			if name, value, ok := strings.Cut(tt.header, ": "); ok && res.header.Get(name) != value {
				t.Errorf("header %s is %q, want %q", name, res.header.Get(name), value)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	limit := int64(100)
	for name, tt := range map[string]struct {
		size    int
		chunked bool
		want    int
	}{
		"empty":                  {0, false, 200},
		"at the limit":           {100, false, 200},
		"at the limit, chunked":  {100, true, 200},
		"over":                   {101, false, 413},
		"over, chunked":          {101, true, 413},
		"far over, chunked":      {1 << 20, true, 413},
		"larger than the buffer": {99, true, 200},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.serveEndpoint(v1alpha1.WebhookContext{MaxPayloadSize: &limit}, store, func(_ *http.Request, body []byte, _ eventsource.Emit) (Answer, error) {
				if len(body) != tt.size || strings.Trim(string(body), "x") != "" {
					t.Errorf("read %d bytes", len(body))
				}
				return Answer{}, nil
			})
			var body io.Reader = strings.NewReader(strings.Repeat("x", tt.size))
			if tt.chunked {
				body = io.MultiReader(body)
			}
			res := h.post(body)
			if res.status != tt.want {
				t.Errorf("%d %s, want %d", res.status, res.body, tt.want)
			}
		})
	}
}

func TestBodyCutOff(t *testing.T) {
	h := newHouse(t)
	h.serveEndpoint(v1alpha1.WebhookContext{}, store, func(*http.Request, []byte, eventsource.Emit) (Answer, error) {
		t.Error("half a body was taken for a whole one")
		return Answer{}, nil
	})
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", h.Addr("1"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(c)
	_ = c.Close()
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
		t.Errorf("answer %q", answer)
	}
}

func TestAuth(t *testing.T) {
	secrets := secret.Objects{Secrets: map[string]map[string][]byte{
		"s": {"token": []byte("geheim\n"), "user": []byte("jane"), "password": []byte("pa:ss"), "empty": nil},
	}}
	yes := true
	optional := selector("s", "absent")
	optional.Optional = &yes
	bearer := v1alpha1.WebhookContext{AuthSecret: selector("s", "token")}
	basic := v1alpha1.WebhookContext{BasicAuth: &v1alpha1.BasicAuth{Username: selector("s", "user"), Password: selector("s", "password")}}
	const right = "Basic amFuZTpwYTpzcw==" // jane:pa:ss
	for name, tt := range map[string]struct {
		c      v1alpha1.WebhookContext
		header string
		want   int
	}{
		"open":                        {v1alpha1.WebhookContext{}, "", 200},
		"bearer":                      {bearer, "Bearer geheim", 200},
		"bearer in small letters":     {bearer, "bearer geheim", 200},
		"bearer wrong":                {bearer, "Bearer geheim2", 401},
		"bearer a part":               {bearer, "Bearer gehei", 401},
		"bearer empty":                {bearer, "Bearer ", 401},
		"bearer without a header":     {bearer, "", 401},
		"bearer without scheme":       {bearer, "geheim", 401},
		"bearer, but basic":           {bearer, right, 401},
		"bearer, secret absent":       {v1alpha1.WebhookContext{AuthSecret: selector("s", "absent")}, "Bearer geheim", 500},
		"bearer, secret empty":        {v1alpha1.WebhookContext{AuthSecret: selector("s", "empty")}, "Bearer ", 500},
		"bearer, optional and absent": {v1alpha1.WebhookContext{AuthSecret: optional}, "Bearer ", 500},
		"basic":                       {basic, right, 200},
		"basic, wrong user":           {basic, "Basic amFuOnBhOnNz", 401},
		"basic, wrong password":       {basic, "Basic amFuZTpwYTpz", 401},
		"basic without a header":      {basic, "", 401},
		"basic, but bearer":           {basic, "Bearer geheim", 401},
		"basic, no base64":            {basic, "Basic ???", 401},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.Secrets = secrets
			received := 0
			h.serveEndpoint(tt.c, store, func(*http.Request, []byte, eventsource.Emit) (Answer, error) {
				received++
				return Answer{}, nil
			})
			var header []string
			if tt.header != "" {
				header = []string{"Authorization", tt.header}
			}
			res := h.post(nil, header...)
			if res.status != tt.want {
				t.Errorf("%d %s, want %d", res.status, res.body, tt.want)
			}
			if (received == 1) != (tt.want == 200) {
				t.Errorf("received %d times", received)
			}
			if challenged := res.header.Get("WWW-Authenticate") != ""; challenged != (tt.want == 401) {
				t.Errorf("WWW-Authenticate %q", res.header.Get("WWW-Authenticate"))
			}
			if everything := res.body + h.log.String(); strings.Contains(everything, "geheim") || strings.Contains(everything, "pa:ss") {
				t.Errorf("a secret is told: %s", everything)
			}
			if logged := strings.Contains(h.log.String(), "level=ERROR"); logged != (tt.want == 500) {
				t.Errorf("log: %s", h.log)
			}
		})
	}
}

func TestCheckHMAC(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte("body"))
	right := hex.EncodeToString(mac.Sum(nil))
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"right":          {CheckHMAC(sha256.New, []byte("key"), []byte("body"), right), true},
		"capitals":       {CheckHMAC(sha256.New, []byte("key"), []byte("body"), strings.ToUpper(right)), true},
		"other body":     {CheckHMAC(sha256.New, []byte("key"), []byte("Body"), right), false},
		"other key":      {CheckHMAC(sha256.New, []byte("kez"), []byte("body"), right), false},
		"other hash":     {CheckHMAC(sha512.New, []byte("key"), []byte("body"), right), false},
		"a part":         {CheckHMAC(sha256.New, []byte("key"), []byte("body"), right[:8]), false},
		"empty":          {CheckHMAC(sha256.New, []byte("key"), []byte("body"), ""), false},
		"no hexadecimal": {CheckHMAC(sha256.New, []byte("key"), []byte("body"), "xyz"), false},
	} {
		var e *Error
		if (tt.err == nil) != tt.want || (tt.err != nil && (!errors.As(tt.err, &e) || e.Status != 401)) {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
}

// A sender that goes away does not hold the server up.
func TestSenderGoesAway(t *testing.T) {
	h := newHouse(t)
	begun, over := make(chan struct{}), make(chan error, 1)
	h.serveEndpoint(v1alpha1.WebhookContext{}, func(ctx context.Context, _ eventsource.Event) error {
		close(begun)
		select {
		case <-ctx.Done():
			over <- ctx.Err()
		case <-time.After(10 * time.Second):
			over <- errors.New("the context of emit goes on")
		}
		return ctx.Err()
	}, func(r *http.Request, _ []byte, emit eventsource.Emit) (Answer, error) {
		return Answer{}, emit(r.Context(), eventsource.Event{})
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.Addr("1")+"/", nil)
	go func() {
		<-begun
		cancel()
	}()
	if res, err := h.client.Do(req); err == nil {
		_ = res.Body.Close()
		t.Error("the request was answered")
	}
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAppendJSON(t *testing.T) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "ä€𝄞", "a\xffb\xe2\x82", "\u2028", "\xc3"} {
		for _, b := range [][]byte{AppendJSON([]byte("x"), s), AppendJSON([]byte("x"), []byte(s))} {
			var got string
			if err := json.Unmarshal(b[1:], &got); err != nil || got != strings.ToValidUTF8(s, "\uFFFD") && got != eachInvalid(s) {
				t.Errorf("%q became %s (%q), %v", s, b, got, err)
			}
		}
	}
}

func eachInvalid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("a\xffb\"\\")
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendJSON(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil || got != eachInvalid(s) || !utf8.Valid(b) {
			t.Errorf("%q became %s, %v", s, b, err)
		}
	})
}

func TestValidate(t *testing.T) {
	limit := int64(-1)
	for name, tt := range map[string]struct {
		c    v1alpha1.WebhookContext
		want string // paths and words
	}{
		"defaults":        {v1alpha1.WebhookContext{Endpoint: "/x"}, ""},
		"no slash":        {v1alpha1.WebhookContext{Endpoint: "x/{a}"}, ""},
		"no endpoint":     {v1alpha1.WebhookContext{}, "webhook.endpoint: is missing"},
		"query":           {v1alpha1.WebhookContext{Endpoint: "/x?a=b"}, "webhook.endpoint: is no path"},
		"twice a name":    {v1alpha1.WebhookContext{Endpoint: "/{a}/{a}"}, "webhook.endpoint: path /{a}/{a}"},
		"unclosed":        {v1alpha1.WebhookContext{Endpoint: "/{a"}, "webhook.endpoint: path /{a: a { without"},
		"unopened":        {v1alpha1.WebhookContext{Endpoint: "/a}"}, "webhook.endpoint: path /a}: a } without"},
		"group":           {v1alpha1.WebhookContext{Endpoint: "/{a:(x|y)}"}, "write (?:...)"},
		"bad expression":  {v1alpha1.WebhookContext{Endpoint: "/{a:[}"}, "webhook.endpoint: path"},
		"small letters":   {v1alpha1.WebhookContext{Endpoint: "/x", Method: "post"}, `webhook.method: "post" is no HTTP method (write POST, in capitals)`},
		"no method":       {v1alpha1.WebhookContext{Endpoint: "/x", Method: "FETCH"}, "one of GET"},
		"port text":       {v1alpha1.WebhookContext{Endpoint: "/x", Port: "http"}, `webhook.port: "http" is no port`},
		"port zero":       {v1alpha1.WebhookContext{Endpoint: "/x", Port: "0"}, "webhook.port"},
		"port large":      {v1alpha1.WebhookContext{Endpoint: "/x", Port: "65536"}, "webhook.port"},
		"port with plus":  {v1alpha1.WebhookContext{Endpoint: "/x", Port: "+1200"}, "webhook.port"},
		"certificate":     {v1alpha1.WebhookContext{Endpoint: "/x", ServerCertSecret: selector("a", "b")}, "webhook: serverCertSecret and serverKeySecret belong together"},
		"half basic auth": {v1alpha1.WebhookContext{Endpoint: "/x", BasicAuth: &v1alpha1.BasicAuth{}}, "webhook.basicAuth: needs"},
		"both auths": {v1alpha1.WebhookContext{
			Endpoint: "/x", AuthSecret: selector("a", "b"),
			BasicAuth: &v1alpha1.BasicAuth{Username: selector("a", "b"), Password: selector("a", "b")},
		}, "webhook.basicAuth: cannot"},
		"negative limit": {v1alpha1.WebhookContext{Endpoint: "/x", MaxPayloadSize: &limit}, "webhook.maxPayloadSize: is negative"},
	} {
		Default(&tt.c)
		err := Validate("webhook", &tt.c)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}
