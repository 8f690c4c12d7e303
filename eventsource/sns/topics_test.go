package sns

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const target = "https://hooks.example.com/sns"

type entry struct{ arn, protocol, endpoint string }

// service plays the APIs of SNS, with pages of two, and of STS. A subscription is
// pending until it is confirmed with the token t0.
type service struct {
	*hosttest.Host
	mu    sync.Mutex
	all   []entry
	who   string // access key id that requests have to be signed with
	token string // session token that they have to have
	busy  bool
	made  int
}

func newService(t *testing.T, all ...entry) *service {
	s := &service{all: all, who: "AKID"}
	s.Host = hosttest.NewHost(t, s.answer)
	return s
}

func (s *service) list() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error></ErrorResponse>", code)
}

func (s *service) answer(w http.ResponseWriter, r *http.Request, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, _ := url.ParseQuery(body)
	by := r.Header.Get("Authorization")
	ok := func(result string) {
		_, _ = fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", f.Get("Action"), result)
	}
	identity := func(id string) string {
		return "<Credentials><AccessKeyId>" + id + "</AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>st</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>"
	}
	switch f.Get("Action") {
	case "AssumeRole":
		if !strings.Contains(by, "Credential=AKID/") || f.Get("RoleArn") != "arn:aws:iam::1:role/r" {
			fail(w, 403, "AccessDenied")
			return
		}
		ok(identity("ROLE"))
		return
	case "AssumeRoleWithWebIdentity":
		if by != "" || f.Get("WebIdentityToken") != "jwt" || f.Get("RoleArn") != "arn:aws:iam::1:role/pod" {
			fail(w, 403, "AccessDenied")
			return
		}
		ok(identity("POD"))
		return
	}
	switch {
	case !strings.Contains(by, "AWS4-HMAC-SHA256 Credential="+s.who+"/") || !strings.Contains(by, "/eu-central-1/sns/") || r.Header.Get("X-Amz-Security-Token") != s.token:
		fail(w, 403, "InvalidClientTokenId")
	case s.busy:
		fail(w, 400, "Throttling")
	case f.Get("Action") != "Unsubscribe" && f.Get("TopicArn") != topic:
		fail(w, 404, "NotFound")
	case f.Get("Action") == "ListSubscriptionsByTopic":
		ok(s.page(f.Get("NextToken")))
	case f.Get("Action") == "Subscribe":
		i := slices.IndexFunc(s.all, func(e entry) bool { return e.endpoint == f.Get("Endpoint") })
		if i < 0 {
			s.made++
			i, s.all = len(s.all), append(s.all, entry{pending, f.Get("Protocol"), f.Get("Endpoint")})
		}
		arn := s.all[i].arn
		if arn == pending {
			arn = fmt.Sprint(topic, ":new", s.made)
		}
		ok("<SubscriptionArn>" + arn + "</SubscriptionArn>")
	case f.Get("Action") == "ConfirmSubscription" && f.Get("Token") == "t0":
		for i := range s.all {
			if s.all[i].arn == pending && s.all[i].endpoint == target {
				s.all[i].arn = fmt.Sprint(topic, ":new", s.made)
			}
		}
		ok("")
	case f.Get("Action") == "Unsubscribe":
		i := slices.IndexFunc(s.all, func(e entry) bool { return e.arn == f.Get("SubscriptionArn") })
		if i < 0 {
			fail(w, 404, "NotFound")
			return
		}
		s.all = slices.Delete(s.all, i, i+1)
		ok("")
	default:
		fail(w, 400, "InvalidParameter")
	}
}

func (s *service) page(token string) string {
	first := 0
	_, _ = fmt.Sscan(token, &first)
	last := min(first+2, len(s.all))
	var b strings.Builder
	for _, e := range s.all[first:last] {
		fmt.Fprintf(&b, "<member><SubscriptionArn>%s</SubscriptionArn><Protocol>%s</Protocol><Endpoint>%s</Endpoint></member>", e.arn, e.protocol, e.endpoint)
	}
	next := ""
	if last < len(s.all) {
		next = fmt.Sprintf("<NextToken>%d</NextToken>", last)
	}
	return "<Subscriptions>" + b.String() + "</Subscriptions>" + next
}

const withKeys = "accessKey: {name: aws, key: id}\nsecretKey: {name: aws, key: secret}\n"

func kept(s *service, more string) string {
	return strings.Replace(open, "{", "{url: https://hooks.example.com, ", 1) + "deleteSubscriptionOnFinish: true\nendpoint: " + s.URL + "\n" + more
}

func env(t *testing.T) *sourcetest.Env {
	e := sourcetest.NewEnv(t)
	e.Vault.Set("aws", "id", "AKID")
	e.Vault.Set("aws", "secret", "s3cr3t\n")
	return e
}

// The endpoint is subscribed once and confirmed by API, whoever is subscribed
// beside it, and stays subscribed when the source stops.
func TestSubscription(t *testing.T) {
	others := []entry{{topic + ":1", "sqs", "arn:aws:sqs:x:1:q"}, {topic + ":2", "https", "https://other.example.com/"}, {pending, "https", "https://third.example.com/"}}
	for _, tt := range []struct{ name, have, want string }{
		{"there is none", "", topic + ":new1"},
		{"it waits for its confirmation", pending, topic + ":new0"},
		{"it is there", topic + ":9", topic + ":9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, others...)
			if tt.have != "" {
				s.all = append(s.all, entry{tt.have, "https", target})
			}
			e := env(t)
			a := newAmazon()
			for n := range 2 { // and after a restart
				r := sourcetest.Go(t, build(t, kept(s, withKeys), e.Env, a.client()))
				sourcetest.Eventually(t, "the subscription", func() bool { return len(s.list()) == 4 && len(e.Memory.All()) > 0 })
				if n == 0 && tt.have != topic+":9" {
					sourcetest.Eventually(t, "the wish to subscribe", func() bool {
						return slices.ContainsFunc(s.Calls(), func(c hosttest.Call) bool { return strings.Contains(c.Body, "Action=Subscribe&") })
					})
					body := message(t, subscription)
					if status, text := hosttest.Send(t, e.URL(t, "12000", "/sns"), sent(t, body), body); status != 200 {
						t.Fatalf("%d %s", status, text)
					}
				}
				if err := r.Stop(t); err != nil {
					t.Fatal(err)
				}
			}
			got := s.list()
			if !slices.Equal(got[:3], others) || got[3] != (entry{tt.want, "https", target}) {
				t.Errorf("%+v", got)
			}
			if a.confirmed() > 0 {
				t.Error("confirmed at the address in the message")
			}
			c := decoded(t, kept(s, withKeys))
			if !Kind.NeedsFinish(c) {
				t.Error("needs no finish")
			}
			for range 2 {
				if err := Kind.Finish(t.Context(), c, e.Env); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.list(); !slices.Equal(got, others) {
				t.Errorf("after the end %+v", got)
			}
		})
	}
}

func TestConfirmationRefusedByAPI(t *testing.T) {
	s := newService(t)
	e := env(t)
	sourcetest.Go(t, build(t, kept(s, withKeys), e.Env, newAmazon().client()))
	body := message(t, func(m *verify.SNSMessage) {
		subscription(m)
		m.Token = "guess"
	})
	if status, text := hosttest.Send(t, e.URL(t, "12000", "/sns"), sent(t, body), body); status != 503 {
		t.Errorf("%d %s", status, text)
	}
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("jwt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, config, who, token string
		env                      map[string]string
		fails                    string
	}{
		{"keys of the manifest", withKeys, "AKID", "", nil, ""},
		{"keys that are refused", withKeys, "OTHER", "", nil, "InvalidClientTokenId"},
		{"a role", withKeys + "roleARN: arn:aws:iam::1:role/r", "ROLE", "st", nil, ""},
		{"a role that is refused", withKeys + "roleARN: arn:aws:iam::1:role/x", "ROLE", "st", nil, "take on arn:aws:iam::1:role/x"},
		{"keys of the environment", "", "ENVID", "st", map[string]string{"AWS_ACCESS_KEY_ID": "ENVID", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "st"}, ""},
		{"the pod's role", "", "POD", "st", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/pod", "AWS_WEB_IDENTITY_TOKEN_FILE": file}, ""},
		{"none", "", "AKID", "", nil, "there are no credentials"},
		{"a secret that is missing", "accessKey: {name: gone, key: id}\nsecretKey: {name: aws, key: secret}", "AKID", "", nil, "accessKey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, k := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
				t.Setenv(k, tt.env[k])
			}
			s := newService(t, entry{topic + ":1", "https", target})
			s.who, s.token = tt.who, tt.token
			e := env(t)
			src := build(t, kept(s, tt.config), e.Env, newAmazon().client())
			defer src.run.Clients.Close()
			all, err := src.topics.List(t.Context(), topic)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("%v, want %s", err, tt.fails)
				}
				return
			}
			if err != nil || len(all) != 1 || !all[0].Active {
				t.Errorf("%+v, %v", all, err)
			}
		})
	}
}

func TestThrottling(t *testing.T) {
	s := newService(t)
	s.busy = true
	src := build(t, kept(s, withKeys), env(t).Env, newAmazon().client())
	defer src.run.Clients.Close()
	_, err := src.topics.List(t.Context(), topic)
	if l, ok := err.(*hooks.Limited); !ok || l.Until.IsZero() { //nolint:errorlint // it is not wrapped
		t.Errorf("%v", err)
	}
}

func TestSubscribeIsYourOwn(t *testing.T) {
	for config, want := range map[string]bool{"": true, "subscribe: true": true, "subscribe: false": false} {
		s := newService(t)
		src := build(t, kept(s, withKeys+config), env(t).Env, newAmazon().client())
		if got := src.run.Keeper != nil; got != want {
			t.Errorf("%q: %v", config, got)
		}
		src.run.Clients.Close()
	}
	src := build(t, open, env(t).Env, newAmazon().client())
	defer src.run.Clients.Close()
	if src.run.Keeper != nil {
		t.Error("subscribes without an address")
	}
}
