package email_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	theUser     = "shop@shop.example"
	thePassword = "correct horse battery staple"
)

// server is a real SMTP server. Its fields are set before it is started.
type server struct {
	mechanisms []string // of AUTH; none means no AUTH
	insecure   bool     // AUTH without TLS
	mustLogin  bool
	implicit   bool // TLS from the first byte
	tls        *tls.Config
	utf8       bool

	port int

	mu    sync.Mutex
	mails []mailed
	// rcpt and data answer those steps; nil accepts.
	rcpt func(s *session, to string) error
	data func(s *session) error
}

// mailed is a mail that the server has accepted.
type mailed struct {
	from, to, user, mechanism string
	encrypted                 bool
	text                      []byte
}

func (s *server) start(t *testing.T) *server {
	t.Helper()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c}, nil
	}))
	srv.Domain, srv.AllowInsecureAuth, srv.EnableSMTPUTF8 = "mail.example", s.insecure, s.utf8
	srv.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if s.implicit {
		l = tls.NewListener(l, s.tls)
	} else {
		srv.TLSConfig = s.tls
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = l.Close() // Serve may not have begun
		_ = srv.Close()
		wg.Wait()
	})
	return s
}

func (s *server) respond(rcpt func(s *session, to string) error, data func(s *session) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rcpt, s.data = rcpt, data
}

func (s *server) taken() []mailed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]mailed(nil), s.mails...)
}

// recipients are those of the mails, in their order.
func (s *server) recipients() string {
	var all []string
	for _, m := range s.taken() {
		all = append(all, m.to)
	}
	return strings.Join(all, " ")
}

func (s *server) at() string { return "host: 127.0.0.1\nport: " + strconv.Itoa(s.port) + "\n" }

type session struct {
	server *server
	conn   *smtp.Conn
	mail   mailed
}

func (s *session) AuthMechanisms() []string { return s.server.mechanisms }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != theUser || password != thePassword {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "I do not know " + user + " with " + password}
		}
		s.mail.user, s.mail.mechanism = user, mechanism
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case sasl.Login:
		return &loginServer{check: check}, nil
	case "CRAM-MD5":
		return &cramServer{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

type loginServer struct {
	check func(user, password string) error
	said  []string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		l.said = append(l.said, string(response))
	}
	if len(l.said) < 2 {
		return []byte([]string{"Username:", "Password:"}[len(l.said)]), false, nil
	}
	return nil, true, l.check(l.said[0], l.said[1])
}

type cramServer struct {
	check func(user, password string) error
}

const challenge = "<1896.697170952@mail.example>"

func (c *cramServer) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte(challenge), false, nil
	}
	user, digest, _ := strings.Cut(string(response), " ")
	mac := hmac.New(md5.New, []byte(thePassword))
	mac.Write([]byte(challenge))
	if digest != hex.EncodeToString(mac.Sum(nil)) {
		return nil, true, errors.New("wrong digest")
	}
	return nil, true, c.check(user, thePassword)
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.mustLogin && s.mail.user == "" {
		return smtp.ErrAuthRequired
	}
	s.mail.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.to = to
	s.server.mu.Lock()
	answer := s.server.rcpt
	s.server.mu.Unlock()
	if answer != nil {
		return answer(s, to)
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	answer := s.server.data
	s.server.mu.Unlock()
	if answer != nil {
		if err := answer(s); err != nil {
			return err
		}
	}
	s.mail.text = text
	_, s.mail.encrypted = s.conn.TLSConnectionState()
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return nil
}

func (s *session) Reset() {}

func (s *session) Logout() error { return nil }

// code is an answer.
func code(n int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: n, EnhancedCode: smtp.EnhancedCode{n / 100, 1, 1}, Message: text}
}

// authority makes a certificate authority (PEM) and what a server of ours needs of it.
func authority(t *testing.T) (ca string, conf *tls.Config) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, caKey.Public(), caKey)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mail"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), caKey)
	must(err)
	var b bytes.Buffer
	must(pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: rootDER}))
	return b.String(), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
