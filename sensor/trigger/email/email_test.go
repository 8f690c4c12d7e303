package email_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/email"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

const plainMail = `
from: shop@shop.example
to: [anna@a.example, bert@b.example, cleo@c.example]
subject: an order
body: hello
`

func build(t *testing.T, s *server, config string) (*triggertest.Env, trigger.Trigger) {
	t.Helper()
	e := triggertest.NewEnv(t)
	e.PutSecret("mail", "password", thePassword)
	return e, triggertest.Build(t, email.Kind, s.at()+config, e)
}

func fire(t *testing.T, tr trigger.Trigger, n int) trigger.Result {
	t.Helper()
	r, err := tr.Fire(t.Context(), triggertest.Input(n))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// again is firing n as it is tried again.
func again(n int) trigger.Input {
	in := triggertest.Input(n)
	in.Attempt = 2
	return in
}

func TestMails(t *testing.T) {
	s := (&server{}).start(t)
	_, tr := build(t, s, plainMail)
	r := fire(t, tr, 1)
	if got := s.recipients(); got != "anna@a.example bert@b.example cleo@c.example" {
		t.Errorf("mails to %s", got)
	}
	if got := fmt.Sprint(r.Details["accepted"]); got != "[anna@a.example bert@b.example cleo@c.example]" || r.Follow != nil {
		t.Errorf("got %+v", r)
	}
	ids := map[string]bool{}
	told, _ := r.Details["messageIDs"].(map[string]string)
	for _, m := range s.taken() {
		p := parse(t, m.text)
		ids[p.Get("Message-ID")] = true
		if told[m.to] != p.Get("Message-ID") {
			t.Errorf("the details have %q for %s, the mail %s", told[m.to], m.to, p.Get("Message-ID"))
		}
		if got := p.Get("To"); got != "<"+m.to+">" {
			t.Errorf("the mail to %s says To: %s", m.to, got)
		}
		if !strings.HasPrefix(p.Get("Message-ID"), "<"+triggertest.Input(1).ID+".") || !strings.HasSuffix(p.Get("Message-ID"), "@shop.example>") {
			t.Errorf("Message-ID %s", p.Get("Message-ID"))
		}
	}
	if len(ids) != 3 {
		t.Errorf("Message-IDs %v", ids)
	}
}

func TestParameters(t *testing.T) {
	s := (&server{}).start(t)
	_, tr := build(t, s, `
from: a@a.example
to: [Old <old@a.example>, old@a.example]
subject: x
parameters:
  - {src: {dependencyName: dep, dataTemplate: "N <n{{ .Input.number }}@b.example>"}, dest: to.-1}
  - {src: {dependencyName: dep, dataTemplate: "one\r\nBcc: evil@x.example\n\ttwo\x00 "}, dest: subject}
  - {src: {dependencyName: dep, dataKey: text}, dest: body}
  - {src: {dependencyName: dep, value: ssl2}, dest: headers.X-A}
`)
	fire(t, tr, 7)
	if got := s.recipients(); got != "old@a.example n7@b.example" {
		t.Errorf("mails to %s", got)
	}
	p := parse(t, s.taken()[0].text)
	if p.subject != "one Bcc: evil@x.example two" || p.body != "number 7 <&>" || p.Get("Bcc") != "" || p.Get("X-A") != "ssl2" {
		t.Errorf("got %+v", p)
	}
}

func TestNothingIsSent(t *testing.T) {
	for name, tc := range map[string]struct{ param, want string }{
		"an address that is none":      {`{src: {dependencyName: dep, dataKey: text}, dest: to.0}`, `to[0]: "number 1 <&>" is no mail address`},
		"a line break in an address":   {`{src: {dependencyName: dep, value: "a@b.example\r\nBcc: c@d.example"}, dest: from}`, `from: holds a line break`},
		"a line break in a header":     {`{src: {dependencyName: dep, value: "x\r\nBcc: c@d.example"}, dest: headers.X-A}`, `headers.X-A: holds a line break`},
		"a header that is made":        {`{src: {dependencyName: dep, value: x}, dest: headers.bcc}`, `headers.bcc: is made by the trigger itself`},
		"an empty subject":             {`{src: {dependencyName: dep, value: " "}, dest: subject}`, `subject: is empty`},
		"no such key":                  {`{src: {dependencyName: dep, dataKey: nothing}, dest: body}`, `there is no data at "nothing"`},
		"a mode that there is not":     {`{src: {dependencyName: dep, value: x}, dest: tls}`, `tls: "x" is not known`},
		"a host with a port behind it": {`{src: {dependencyName: dep, value: "h:25"}, dest: host}`, `host: is no host name`},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&server{}).start(t)
			_, tr := build(t, s, plainMail+"parameters: ["+tc.param+"]")
			_, err := tr.Fire(t.Context(), triggertest.Input(1))
			if !trigger.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("got %v", err)
			}
			if _, renderErr := tr.Render(t.Context(), triggertest.Input(1)); fmt.Sprint(renderErr) != fmt.Sprint(err) {
				t.Errorf("Render says %v, Fire %v", renderErr, err)
			}
			if got := s.recipients(); got != "" {
				t.Errorf("mails to %s", got)
			}
		})
	}
}

// What one recipient's server refuses is no matter of the others.
func TestOneRecipientIsRefused(t *testing.T) {
	s := (&server{}).start(t)
	e, tr := build(t, s, plainMail)
	refuse := func(_ *session, to string) error {
		if to == "bert@b.example" {
			return code(550, "no such user")
		}
		return nil
	}
	s.respond(refuse, nil)
	_, err := tr.Fire(t.Context(), triggertest.Input(1))
	want := "to bert@b.example: RCPT TO: 550 5.1.1 no such user (accepted: anna@a.example, cleo@c.example)"
	if !trigger.IsPermanent(err) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	d := trigger.DetailsOf(err)
	if got := fmt.Sprint(d["accepted"], d["refused"]); got != "[anna@a.example cleo@c.example] map[bert@b.example:RCPT TO: 550 5.1.1 no such user]" {
		t.Errorf("details %s", got)
	}
	if got := s.recipients(); got != "anna@a.example cleo@c.example" {
		t.Errorf("mails to %s", got)
	}
	// Fired again by hand, once the mailbox is there.
	s.respond(nil, nil)
	r := fire(t, triggertest.Build(t, email.Kind, s.at()+plainMail, e), 1)
	if got := s.recipients(); got != "anna@a.example cleo@c.example bert@b.example" || len(r.Details["accepted"].([]string)) != 3 {
		t.Errorf("mails to %s, %v", got, r)
	}
}

// Greylisting: those who got their mail do not get it again.
func TestGreylisting(t *testing.T) {
	s := (&server{}).start(t)
	_, tr := build(t, s, plainMail)
	s.respond(func(_ *session, to string) error {
		switch to {
		case "bert@b.example":
			return code(451, "come back later")
		case "cleo@c.example":
			return code(553, "no such user")
		}
		return nil
	}, nil)
	_, err := tr.Fire(t.Context(), triggertest.Input(1))
	if err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "to bert@b.example: RCPT TO: 451 4.1.1 come back later; to cleo@c.example: RCPT TO: 553") {
		t.Fatalf("got %v", err)
	}
	s.respond(func(_ *session, to string) error {
		if to != "bert@b.example" {
			t.Errorf("%s is asked again", to)
		}
		return nil
	}, nil)
	_, err = tr.Fire(t.Context(), again(1))
	if !trigger.IsPermanent(err) || !strings.Contains(err.Error(), "to cleo@c.example: RCPT TO: 553 5.1.1 no such user (accepted: anna@a.example, bert@b.example)") {
		t.Errorf("got %v", err)
	}
	if got := s.recipients(); got != "anna@a.example bert@b.example" {
		t.Errorf("mails to %s", got)
	}
}

func TestRefusedData(t *testing.T) {
	for name, tc := range map[string]struct {
		code      int
		permanent bool
	}{"spam": {554, true}, "full": {452, false}} {
		t.Run(name, func(t *testing.T) {
			s := (&server{}).start(t)
			s.respond(nil, func(*session) error { return code(tc.code, "no") })
			_, tr := build(t, s, plainMail)
			_, err := tr.Fire(t.Context(), triggertest.Input(1))
			if err == nil || trigger.IsPermanent(err) != tc.permanent || strings.Count(err.Error(), fmt.Sprintf("DATA: %d", tc.code)) != 3 {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The server goes away in the middle: the rest is sent next time.
func TestLostConnection(t *testing.T) {
	s := (&server{}).start(t)
	_, tr := build(t, s, plainMail)
	s.respond(func(ss *session, to string) error {
		if to == "bert@b.example" {
			_ = ss.conn.Conn().Close()
		}
		return nil
	}, nil)
	_, err := tr.Fire(t.Context(), triggertest.Input(1))
	if err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "(accepted: anna@a.example); then: ") {
		t.Fatalf("got %v", err)
	}
	s.respond(nil, nil)
	if _, err := tr.Fire(t.Context(), again(1)); err != nil {
		t.Fatal(err)
	}
	if got := s.recipients(); got != "anna@a.example bert@b.example cleo@c.example" {
		t.Errorf("mails to %s", got)
	}
}

func TestRepetition(t *testing.T) {
	s := (&server{}).start(t)
	e, tr := build(t, s, plainMail)
	first := fire(t, tr, 1)
	second := fire(t, triggertest.Build(t, email.Kind, s.at()+plainMail, e), 1) // after a restart
	if n := len(s.taken()); n != 3 {
		t.Errorf("%d mails, want 3", n)
	}
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("first %v, then %v", first, second)
	}
	fire(t, tr, 2)
	if n := len(s.taken()); n != 6 {
		t.Errorf("%d mails, want 6", n)
	}
}

// failing is a state that cannot be written.
type failing struct{ trigger.State }

func (failing) Change(context.Context, string, func([]byte) ([]byte, error)) error {
	return errors.New("the bus is away")
}

func TestStateThatFails(t *testing.T) {
	s, e := (&server{}).start(t), triggertest.NewEnv(t)
	e.Env.State = failing{triggertest.NewState()}
	fire(t, triggertest.Build(t, email.Kind, s.at()+plainMail, e), 1)
	if n := len(s.taken()); n != 3 || !strings.Contains(e.Logs(), "could not be noted") {
		t.Errorf("%d mails, the log says %s", n, e.Logs())
	}
}

func TestOutcome(t *testing.T) {
	c, err := email.Kind.Decode(json.RawMessage(`{"host":"h","from":"a@b.example","to":["a@b.example"],"subject":"s","body":"b","follow":{"emit":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	if f := email.Kind.Follow.Block(c); f == nil || !f.Emit {
		t.Errorf("the block is %v", f)
	}
	if _, err := email.Kind.Follow.Await(t.Context(), nil, trigger.Following{}); !trigger.IsPermanent(err) {
		t.Errorf("Await returned %v", err)
	}
}
