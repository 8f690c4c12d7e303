package email

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	dialTime = 10 * time.Second
	// maxAnswers is how much a server may say in one connection.
	maxAnswers = 1 << 20
	maxQuote   = 200
)

// connection speaks to the server for one firing.
type connection struct {
	*smtp.Client
	conn     *limitedConn
	stop     func() bool // of the watch over the context
	patience time.Duration
	secrets  []string // texts that nobody may see
}

// limitedConn ends when the server has said too much.
type limitedConn struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (l *limitedConn) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("the server says too much")
	}
	n, err := l.Conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// connect goes as far as to where mails can be sent.
func (m *mailer) connect(ctx context.Context, p *plan) (*connection, error) {
	conf, err := m.tls(ctx, p)
	if err != nil {
		return nil, err
	}
	var password []byte
	if p.login() {
		if password, err = m.env.Secrets.Secret(ctx, p.conf.SMTPPassword); err != nil {
			return nil, fmt.Errorf("smtpPassword: %w", err)
		}
	}
	dialer := net.Dialer{Timeout: min(dialTime, m.patience)}
	raw, err := dialer.DialContext(ctx, "tcp", p.server)
	if err != nil {
		return nil, err
	}
	c := &connection{conn: &limitedConn{raw, maxAnswers}, patience: m.patience}
	c.stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
	if err := c.greet(p, conf, string(password)); err != nil {
		c.close()
		return nil, c.explain(err)
	}
	return c, nil
}

func (c *connection) greet(p *plan, conf *tls.Config, password string) error {
	c.step()
	var conn net.Conn = c.conn
	if p.conf.TLS == tlsSSL {
		encrypted := tls.Client(c.conn, conf)
		if err := encrypted.Handshake(); err != nil { //nolint:noctx // the connection has a deadline, and is closed with the context
			return fmt.Errorf("TLS: %w", err)
		}
		conn = encrypted
	}
	var err error
	if c.Client, err = smtp.NewClient(conn, p.conf.Host); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	c.step()
	if err := c.Hello(helloName()); err != nil {
		return fmt.Errorf("EHLO: %w", err)
	}
	offered, _ := c.Extension("STARTTLS")
	switch {
	case p.conf.TLS == tlsStart && !offered:
		return errors.New("the server does not offer STARTTLS, and tls is starttls")
	case p.conf.TLS == tlsStart, p.conf.TLS == tlsOpportunistic && offered:
		c.step()
		if err := c.StartTLS(conf); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	return c.login(p, password)
}

// helloName is how we call ourselves.
func helloName() string {
	name, err := os.Hostname()
	if err != nil || name == "" || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return "localhost"
	}
	return name
}

// login does nothing where the server knows no login: it will say if it wants one.
func (c *connection) login(p *plan, password string) error {
	offered, mechanisms := c.Extension("AUTH")
	if !p.login() || !offered {
		return nil
	}
	if password == "" {
		return errors.New("smtpPassword: the secret is empty")
	}
	user := p.conf.Username
	for _, s := range []string{password, "\x00" + user + "\x00" + password} {
		c.secrets = append(c.secrets, s, base64.StdEncoding.EncodeToString([]byte(s)))
	}
	addr, _ := c.conn.RemoteAddr().(*net.TCPAddr)
	_, encrypted := c.TLSConnectionState()
	auth := chooseAuth(strings.Fields(mechanisms), encrypted || addr != nil && addr.IP.IsLoopback(), p.conf.Host, user, password)
	if auth == nil {
		return fmt.Errorf("the server offers no login that keeps the password safe: %s, encrypted: %v (use tls: starttls or ssl)", mechanisms, encrypted)
	}
	c.step()
	if err := c.Auth(auth); err != nil {
		return fmt.Errorf("login as %s: %w", user, err)
	}
	return nil
}

// chooseAuth takes the first mechanism that the server offers; those that show
// the password only over a safe line. Nil if there is none.
func chooseAuth(offered []string, safe bool, host, user, password string) smtp.Auth {
	for _, mechanism := range []struct {
		name  string
		shows bool
		auth  func() smtp.Auth
	}{
		{"PLAIN", true, func() smtp.Auth { return smtp.PlainAuth("", user, password, host, true) }},
		{"LOGIN", true, func() smtp.Auth { return smtp.LoginAuth(user, password, host, true) }},
		{"SCRAM-SHA-256", false, func() smtp.Auth { return smtp.ScramSHA256Auth(user, password) }},
		{"CRAM-MD5", false, func() smtp.Auth { return smtp.CRAMMD5Auth(user, password) }},
	} {
		if (safe || !mechanism.shows) && slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, mechanism.name) }) {
			return mechanism.auth()
		}
	}
	return nil
}

// send hands one mail over. After an error that is an answer of the server
// another mail can be sent.
func (c *connection) send(from, to string, text []byte) error {
	if utf8, _ := c.Extension("SMTPUTF8"); !utf8 && !ascii(from+to) {
		return &textproto.Error{Code: 553, Msg: "the server takes no addresses that are not ASCII"}
	}
	err := c.transfer(from, to, text)
	if err != nil && isAnswer(err) {
		c.step()
		if resetErr := c.Reset(); resetErr != nil {
			return fmt.Errorf("%s, and then RSET: %w", c.quote(err), lost{resetErr})
		}
	}
	return err
}

func (c *connection) transfer(from, to string, text []byte) error {
	c.step()
	if err := c.Mail("<" + from + ">"); err != nil {
		return fmt.Errorf("MAIL FROM %s: %w", from, err)
	}
	c.step()
	if err := c.Rcpt("<" + to + ">"); err != nil {
		return fmt.Errorf("RCPT TO: %w", err)
	}
	c.step()
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	c.step()
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("DATA: %w", lost{err})
	}
	c.step()
	if err := w.Close(); err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	return nil
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// step gives the server time for the next step.
func (c *connection) step() { _ = c.conn.SetDeadline(time.Now().Add(c.patience)) }

// close says good-bye, if somebody listens.
func (c *connection) close() {
	if c.stop() && c.Client != nil && c.HasConnection() {
		_ = c.conn.SetDeadline(time.Now().Add(min(c.patience, time.Second)))
		_ = c.Quit()
	}
	_ = c.conn.Close()
}

// lost marks an error after which the connection is of no use.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// isAnswer tells whether an error is an answer of a server that goes on.
func isAnswer(err error) bool {
	var answer *textproto.Error
	return errors.As(err, &answer) && answer.Code != 421 && !errors.As(err, new(lost))
}

// isTemporary tells whether the server may answer otherwise later. Nil is not.
func isTemporary(err error) bool {
	var answer *textproto.Error
	return errors.As(err, &answer) && answer.Code/100 != 5
}

// explain makes one line of an error of the connection, without secrets. A
// refusal (5xx) of all that we could ask for is Permanent.
func (c *connection) explain(err error) error {
	var answer *textproto.Error
	var timeout net.Error
	switch {
	case errors.As(err, &answer):
		lasting := answer.Code/100 == 5 && !errors.As(err, new(lost))
		err = errors.New(c.quote(err))
		if lasting {
			err = trigger.Permanent(err)
		}
	case errors.As(err, &timeout) && timeout.Timeout():
		err = fmt.Errorf("no answer within %v: %w", c.patience, err)
	}
	return err
}

// quote makes one line of an error that the server has a part in, without secrets.
func (c *connection) quote(err error) string {
	s := err.Error()
	var answer *textproto.Error
	if errors.As(err, &answer) { // in its own words, in which secrets are found
		s = strings.ReplaceAll(s, answer.Error(), fmt.Sprintf("%d %s", answer.Code, answer.Msg))
	}
	for _, hidden := range c.secrets {
		if len(hidden) >= 4 {
			s = strings.ReplaceAll(s, hidden, masked)
		}
	}
	s = line(s)
	if len(s) > maxQuote {
		s = strings.ToValidUTF8(s[:maxQuote], "") + "..."
	}
	return s
}

// tls is the configuration for ssl and STARTTLS; secrets are read anew each time.
func (m *mailer) tls(ctx context.Context, p *plan) (*tls.Config, error) {
	conf := &tls.Config{ServerName: p.conf.Host, MinVersion: tls.VersionTLS12}
	t := p.conf.TLSConfig
	if t == nil || p.conf.TLS == tlsNone {
		return conf, nil
	}
	if t.InsecureSkipVerify {
		conf.InsecureSkipVerify = true //nolint:gosec // what the user asked for by name
		return conf, nil
	}
	if t.CACertSecret != nil {
		ca, err := m.env.Secrets.Secret(ctx, t.CACertSecret)
		if err != nil {
			return nil, fmt.Errorf("tlsConfig.caCertSecret: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("tlsConfig.caCertSecret: holds no PEM certificate")
		}
	}
	if t.ClientCertSecret != nil {
		pair, err := keyPair(ctx, m.env.Secrets, p)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func keyPair(ctx context.Context, secrets secret.Reader, p *plan) (tls.Certificate, error) {
	t := p.conf.TLSConfig
	cert, err := secrets.Secret(ctx, t.ClientCertSecret)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tlsConfig.clientCertSecret: %w", err)
	}
	key, err := secrets.Secret(ctx, t.ClientKeySecret)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tlsConfig.clientKeySecret: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("tlsConfig: %w", err)
	}
	return pair, nil
}
