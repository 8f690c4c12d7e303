package email_test

import (
	"net"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/email"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

const login = `
username: ` + theUser + `
smtpPassword: {name: mail, key: password}
to: [anna@a.example]
subject: s
body: b
`

// TestLine has who may log in over which line.
func TestLine(t *testing.T) {
	ca, conf := authority(t)
	other, _ := authority(t)
	for name, tc := range map[string]struct {
		server    *server
		config    string
		encrypted bool
		mechanism string
		err       string // or this
		permanent bool
	}{
		"STARTTLS because it is offered": {
			&server{mechanisms: []string{"PLAIN"}, tls: conf}, "tlsConfig: {caCertSecret: {name: mail, key: ca}}", true, "PLAIN", "", false,
		},
		"STARTTLS is a must": {
			&server{mechanisms: []string{"PLAIN"}, tls: conf}, "tls: starttls\ntlsConfig: {caCertSecret: {name: mail, key: ca}}", true, "PLAIN", "", false,
		},
		"STARTTLS is a must and not offered": {
			&server{mechanisms: []string{"PLAIN"}, insecure: true}, "tls: starttls", false, "", "does not offer STARTTLS", false,
		},
		"TLS from the first byte": {
			&server{mechanisms: []string{"LOGIN"}, tls: conf, implicit: true}, "tls: ssl\ntlsConfig: {caCertSecret: {name: mail, key: ca}}", true, "LOGIN", "", false,
		},
		"a certificate of somebody else": {
			&server{tls: conf}, "tlsConfig: {caCertSecret: {name: mail, key: other}}", false, "", "STARTTLS: tls: failed to verify certificate", false,
		},
		"a certificate that nobody knows, ssl": {
			&server{tls: conf, implicit: true}, "tls: ssl", false, "", "TLS: tls: failed to verify certificate", false,
		},
		"any certificate": {
			&server{mechanisms: []string{"PLAIN"}, tls: conf}, "tlsConfig: {insecureSkipVerify: true}", true, "PLAIN", "", false,
		},
		"none although it is offered": {
			&server{mechanisms: []string{"CRAM-MD5"}, tls: conf, insecure: true}, "tls: none", false, "CRAM-MD5", "", false,
		},
		"the password on an open line of this machine": {
			&server{mechanisms: []string{"LOGIN"}, insecure: true}, "", false, "LOGIN", "", false,
		},
		"no login is offered":           {&server{}, "", false, "", "", false},
		"no login that we know":         {&server{mechanisms: []string{"NTLM"}, insecure: true}, "", false, "", "no login that keeps the password safe", false},
		"login is a must, none offered": {&server{mustLogin: true}, "", false, "", "MAIL FROM shop@shop.example: 502", true},
		"a wrong password": {
			&server{mechanisms: []string{"PLAIN"}, insecure: true}, "smtpPassword: {name: mail, key: wrong}", false, "",
			"login as shop@shop.example: 535 5.7.8 I do not know shop@shop.example with ***", true,
		},
		"no password":    {&server{mechanisms: []string{"PLAIN"}, insecure: true}, "smtpPassword: {name: mail, key: empty}", false, "", "smtpPassword: the secret is empty", false},
		"no secret":      {&server{}, "smtpPassword: {name: none, key: k}", false, "", `smtpPassword: secret "none"`, false},
		"no certificate": {&server{tls: conf}, "tlsConfig: {caCertSecret: {name: mail, key: wrong}}", false, "", "tlsConfig.caCertSecret: holds no PEM", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := tc.server.start(t)
			e := triggertest.NewEnv(t)
			for key, value := range map[string]string{"password": thePassword, "wrong": "incorrect horse", "ca": ca, "other": other, "empty": ""} {
				e.PutSecret("mail", key, value)
			}
			config := login
			if strings.HasPrefix(tc.config, "smtpPassword") {
				config = strings.Replace(config, "smtpPassword: {name: mail, key: password}", "", 1)
			}
			_, err := triggertest.Build(t, email.Kind, s.at()+config+tc.config, e).Fire(t.Context(), triggertest.Input(1))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || trigger.IsPermanent(err) != tc.permanent ||
					strings.Contains(err.Error(), "incorrect horse") || len(s.taken()) > 0 {
					t.Errorf("got %v (permanent: %v)", err, trigger.IsPermanent(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m := s.taken()[0]
			if m.encrypted != tc.encrypted || m.mechanism != tc.mechanism || (m.user == theUser) != (tc.mechanism != "") {
				t.Errorf("got %v, %s, %s", m.encrypted, m.mechanism, m.user)
			}
		})
	}
}

func TestAddressesBeyondASCII(t *testing.T) {
	const to = "from: a@b.example\nto: [jürgen@bücher.example]\nsubject: s\nbody: b"
	s := (&server{}).start(t)
	_, tr := build(t, s, to)
	if _, err := tr.Fire(t.Context(), triggertest.Input(1)); !trigger.IsPermanent(err) || !strings.Contains(err.Error(), "553 the server takes no addresses") {
		t.Errorf("got %v", err)
	}
	s = (&server{utf8: true}).start(t)
	_, tr = build(t, s, to)
	fire(t, tr, 1)
	if got := s.recipients(); got != "jürgen@bücher.example" {
		t.Errorf("mail to %s", got)
	}
}

// script plays a server of few words: its lines, one before each of ours.
func script(t *testing.T, lines ...string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		for _, line := range lines {
			if _, err := conn.Write([]byte(line)); err != nil {
				return
			}
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return &server{port: l.Addr().(*net.TCPAddr).Port}
}

func TestServersThatMisbehave(t *testing.T) {
	for name, tc := range map[string]struct {
		lines     []string
		want      string
		permanent bool
	}{
		"not now":            {[]string{"421 too busy\r\n"}, "greeting: 421 too busy", false},
		"go away":            {[]string{"554 you are\r\n"}, "greeting: 554 you are", true},
		"no SMTP":            {[]string{"HTTP/1.1 400 Bad Request\r\n\r\n"}, "greeting: ", false},
		"says too much":      {[]string{"220-" + strings.Repeat("x", 2<<20) + "\r\n"}, "the server says too much", false},
		"hangs up":           {[]string{"220 hi\r\n", "250 hi\r\n"}, "MAIL FROM shop@shop.example: ", false},
		"421 to a recipient": {[]string{"220 hi\r\n", "250 hi\r\n", "250 ok\r\n", "421 bye\r\n"}, "RCPT TO: 421 bye", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, tc.lines...)
			_, tr := build(t, s, plainMail)
			_, err := tr.Fire(t.Context(), triggertest.Input(1))
			if err == nil || !strings.Contains(err.Error(), tc.want) || trigger.IsPermanent(err) != tc.permanent || len(err.Error()) > 500 {
				t.Errorf("got %.600v (permanent: %v)", err, trigger.IsPermanent(err))
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &server{port: l.Addr().(*net.TCPAddr).Port}
		_ = l.Close()
		_, tr := build(t, s, plainMail)
		if _, err := tr.Fire(t.Context(), triggertest.Input(1)); err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
	})
}
