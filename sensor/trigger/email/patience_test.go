package email

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// A server that takes the connection and says nothing is not waited for without end.
func TestHangingServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := Config{
		Host: "127.0.0.1", Port: int32(l.Addr().(*net.TCPAddr).Port),
		From: "a@b.example", To: []string{"c@d.example"}, Subject: "s", Body: "b",
	}
	c.Default()
	for _, mode := range []string{tlsOpportunistic, tlsSSL} {
		c.TLS = mode
		tr, err := newMailer(c, triggertest.NewEnv(t).Env)
		if err != nil {
			t.Fatal(err)
		}
		tr.(*mailer).patience = 20 * time.Millisecond
		if _, err = tr.Fire(t.Context(), triggertest.Input(1)); err == nil || trigger.IsPermanent(err) || !strings.Contains(err.Error(), "no answer within 20ms") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// What shows the password is not chosen on an unsafe line.
func TestChooseAuth(t *testing.T) {
	for _, tc := range []struct {
		offered string
		safe    bool
		want    string
	}{
		{"CRAM-MD5 LOGIN PLAIN", true, "PLAIN"},
		{"CRAM-MD5 login", true, "LOGIN"},
		{"PLAIN LOGIN CRAM-MD5", false, "CRAM-MD5"},
		{"PLAIN LOGIN SCRAM-SHA-256 CRAM-MD5", false, "SCRAM-SHA-256"},
		{"PLAIN LOGIN", false, ""},
		{"XOAUTH2", true, ""},
	} {
		got := ""
		if a := chooseAuth(strings.Fields(tc.offered), tc.safe, "h", "u", "p"); a != nil {
			var err error
			if got, _, err = a.Start(&smtp.ServerInfo{Name: "h"}); err != nil {
				t.Fatal(err)
			}
		}
		if got != tc.want {
			t.Errorf("%s, safe %v: %q, want %q", tc.offered, tc.safe, got, tc.want)
		}
	}
}
