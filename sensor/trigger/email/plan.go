package email

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// plan is the mails of one firing.
type plan struct {
	conf    *Config
	server  string // host and port
	from    *netmail.Address
	replyTo *netmail.Address // nil if there is none
	to, cc  []*netmail.Address
	subject string
	mails   []letter
}

// letter is one mail to one recipient.
type letter struct {
	recipient *netmail.Address
	// to is who stands in To: of a mail to one of them the recipient alone.
	to []*netmail.Address
	id string // Message-ID, without angle brackets
}

// newPlan takes a configuration whose parameters have been put into it, and
// checks again what Validate leaves to them. Its error is of one line.
func newPlan(c Config, in trigger.Input) (*plan, error) {
	c.Parameters = nil
	c.Default()
	if err := v1alpha1.Fatal(c.Validate()); err != nil {
		var all []string
		for _, problem := range v1alpha1.Problems(err) {
			all = append(all, problem.Error())
		}
		return nil, errors.New(strings.Join(all, "; "))
	}
	p := &plan{conf: &c, server: net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), subject: line(c.Subject)}
	if p.subject == "" {
		return nil, errors.New("subject: is empty")
	}
	from := c.From
	if from == "" {
		from = c.Username
	}
	p.from, _ = address(from) // all of them are valid
	if c.ReplyTo != "" {
		p.replyTo, _ = address(c.ReplyTo)
	}
	p.to, p.cc = addresses(c.To), addresses(c.Cc)
	p.address(in.ID)
	return p, nil
}

func addresses(texts []string) []*netmail.Address {
	var all []*netmail.Address
	for _, text := range texts {
		a, _ := address(text)
		all = append(all, a)
	}
	return all
}

// address makes one letter for each address.
func (p *plan) address(firing string) {
	domain := p.from.Address[strings.LastIndexByte(p.from.Address, '@')+1:]
	if strings.Trim(strings.ToLower(domain), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		domain = "localhost"
	}
	seen := map[string]bool{}
	add := func(recipient *netmail.Address, to []*netmail.Address) {
		if seen[recipient.Address] {
			return
		}
		seen[recipient.Address] = true
		p.mails = append(p.mails, letter{recipient, to, firing + "." + hash(recipient.Address) + "@" + domain})
	}
	for _, to := range p.to {
		add(to, []*netmail.Address{to})
	}
	for _, cc := range p.cc {
		add(cc, p.to)
	}
}

// messageIDs are those of all mails, by address.
func (p *plan) messageIDs() map[string]string {
	ids := make(map[string]string, len(p.mails))
	for _, l := range p.mails {
		ids[l.recipient.Address] = "<" + l.id + ">"
	}
	return ids
}

// hash is short, and tells the recipients of one firing apart.
func hash(address string) string {
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:8])
}

// line makes one line of a text, without control characters.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// write makes the mail as it is sent.
func (p *plan) write(l letter, now time.Time) ([]byte, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(p.from)
	m.ToMailAddress(l.to...)
	if len(p.cc) > 0 {
		m.CcMailAddress(p.cc...)
	}
	if p.replyTo != nil {
		m.ReplyToMailAddress(p.replyTo)
	}
	m.Subject(p.subject)
	m.SetMessageIDWithValue(l.id)
	m.SetDateWithValue(now)
	for name, value := range p.headers() {
		m.SetGenHeader(mail.Header(name), value)
	}
	if p.conf.Body != "" {
		m.SetBodyString(mail.TypeTextPlain, p.conf.Body)
	}
	if p.conf.HTMLBody != "" {
		if p.conf.Body == "" {
			m.SetBodyString(mail.TypeTextHTML, p.conf.HTMLBody)
		} else {
			m.AddAlternativeString(mail.TypeTextHTML, p.conf.HTMLBody)
		}
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write the mail: %w", err)
	}
	return b.Bytes(), nil
}

// headers are the user's and the one that keeps programs from answering.
func (p *plan) headers() map[string]string {
	all := map[string]string{"Auto-Submitted": "auto-generated"}
	for name, value := range p.conf.Headers {
		if strings.EqualFold(name, "Auto-Submitted") {
			delete(all, "Auto-Submitted")
		}
		all[name] = value
	}
	return all
}

// spec is what Render shows.
type spec struct {
	// Server is host and port.
	Server string `json:"server"`
	// TLS is starttls, ssl, opportunistic or none.
	TLS string `json:"tls"`
	// Username and Password are there if somebody logs in.
	Username string   `json:"username,omitempty"`
	Password string   `json:"password,omitempty"`
	From     string   `json:"from"`
	ReplyTo  string   `json:"replyTo,omitempty"`
	Cc       []string `json:"cc,omitempty"`
	// Mails are one for each recipient, with what differs between them.
	Mails []mailSpec `json:"mails"`
	// Subject, headers and bodies are those of all mails.
	Subject  string            `json:"subject"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body,omitempty"`
	HTMLBody string            `json:"htmlBody,omitempty"`
}

type mailSpec struct {
	Recipient string   `json:"recipient"`
	To        []string `json:"to"`
	MessageID string   `json:"messageID"`
}

func (p *plan) spec() (json.RawMessage, error) {
	c := p.conf
	s := spec{
		Server: p.server, TLS: c.TLS, From: p.from.String(), Cc: texts(p.cc),
		Subject: p.subject, Headers: p.headers(), Body: c.Body, HTMLBody: c.HTMLBody,
	}
	if p.replyTo != nil {
		s.ReplyTo = p.replyTo.String()
	}
	if p.login() {
		s.Username, s.Password = c.Username, masked
	}
	for _, l := range p.mails {
		s.Mails = append(s.Mails, mailSpec{l.recipient.Address, texts(l.to), "<" + l.id + ">"})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s) //nolint:gosec // the password is masked
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

const masked = "***"

func (p *plan) login() bool { return p.conf.Username != "" && p.conf.SMTPPassword != nil }

func texts(as []*netmail.Address) []string {
	var all []string
	for _, a := range as {
		all = append(all, a.String())
	}
	return all
}
