package email_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/email"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// parsed is a mail as its reader sees it.
type parsed struct {
	mail.Header
	subject, body, html string
}

func parse(t *testing.T, text []byte) parsed {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	p := parsed{Header: m.Header}
	if p.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	part := func(contentType, encoding string, r io.Reader) {
		kind, params, err := mime.ParseMediaType(contentType)
		if err != nil || !strings.EqualFold(params["charset"], "utf-8") {
			t.Errorf("content type %s", contentType)
		}
		if encoding == "quoted-printable" {
			r = quotedprintable.NewReader(r)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		s := strings.TrimSuffix(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
		if kind == "text/html" {
			p.html = s
		} else {
			p.body = s
		}
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "multipart/alternative" {
		part(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
		return p
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		raw, err := r.NextRawPart()
		if err == io.EOF { //nolint:errorlint // never wrapped
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		part(raw.Header.Get("Content-Type"), raw.Header.Get("Content-Transfer-Encoding"), raw)
	}
}

func (p parsed) addresses(t *testing.T, name string) []string {
	t.Helper()
	list, err := p.AddressList(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return all
}

// effects writes the mails of each firing as Render does.
func (s *server) effects(t *testing.T, mode string) []json.RawMessage {
	t.Helper()
	specs := map[string]map[string]any{}
	var order []string
	for _, m := range s.taken() {
		p := parse(t, m.text)
		id := p.Get("Message-ID")
		firing, _, _ := strings.Cut(strings.Trim(id, "<>"), ".")
		letter := map[string]any{"recipient": m.to, "to": p.addresses(t, "To"), "messageID": id}
		if spec, ok := specs[firing]; ok {
			spec["mails"] = append(spec["mails"].([]any), letter)
			continue
		}
		headers := map[string]string{}
		for name, values := range p.Header {
			if name == "Auto-Submitted" || strings.HasPrefix(name, "X-") {
				headers[name] = strings.Join(values, "|")
			}
		}
		if from := p.addresses(t, "From")[0]; !strings.Contains(from, "<"+m.from+">") {
			t.Errorf("the mail is from %s, the envelope from %s", from, m.from)
		}
		if m.encrypted != (mode != "none") || p.Get("Date") == "" || p.Get("User-Agent")+p.Get("X-Mailer") != "" {
			t.Errorf("encrypted %v, headers %v", m.encrypted, p.Header)
		}
		order = append(order, firing)
		specs[firing] = map[string]any{
			"server": fmt.Sprintf("127.0.0.1:%d", s.port), "tls": mode, "username": m.user, "password": "***",
			"from": p.addresses(t, "From")[0], "replyTo": p.addresses(t, "Reply-To")[0], "cc": p.addresses(t, "Cc"),
			"mails": []any{letter}, "subject": p.subject, "headers": headers, "body": p.body, "htmlBody": p.html,
		}
	}
	var all []json.RawMessage
	for _, firing := range order {
		b, err := json.Marshal(specs[firing])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestConformance(t *testing.T) {
	const least = `host: h, from: a@b.example, to: [c@d.example], subject: s, body: b`
	triggertest.Run(t, triggertest.Case{
		Kind: email.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			ca, conf := authority(t)
			s := (&server{mechanisms: []string{"LOGIN", "PLAIN"}, mustLogin: true, tls: conf}).start(t)
			e.State = s
			e.PutConfigMap("unused", "k", "v")
			e.PutSecret("mail", "password", thePassword)
			e.PutSecret("mail", "ca", ca)
			return s.at() + `
tls: starttls
tlsConfig: {caCertSecret: {name: mail, key: ca}}
username: ` + theUser + `
smtpPassword: {name: mail, key: password}
from: "Jürgen's Shop <shop@shop.example>"
to: [anna@a.example, "Bert Ö. <bert+orders@b.museum>"]
cc: [Cleo <cleo@c.example>]
replyTo: office@shop.example
subject: "Order ☃ {{ x }}: "
body: "Hi,\n\n. a line\n.\nä = 3 <&>"
htmlBody: "<p>Hi ☃</p>"
headers: {X-Team: nörth}
parameters:
  - {src: {dependencyName: dep, dataKey: text}, dest: subject, operation: append}
  - {src: {dependencyName: dep, contextKey: id}, dest: headers.X-Event}
  - {src: {dependencyName: other, dataKey: text}, dest: htmlBody, operation: append}
follow: {emit: true}
`
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage {
			all := e.State.(*server).effects(t, "starttls")
			for i, raw := range all {
				var spec map[string]any
				if err := json.Unmarshal(raw, &spec); err != nil {
					t.Fatal(err)
				}
				headers := spec["headers"].(map[string]any)
				headers["X-Team"], _ = new(mime.WordDecoder).DecodeHeader(headers["X-Team"].(string))
				all[i], _ = json.Marshal(spec)
			}
			return all
		},
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*server).respond(func(*session, string) error { return code(451, "not now: "+thePassword+"\nat all") }, nil)
		},
		Hang: func(t *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived, release := make(chan struct{}), make(chan struct{})
			t.Cleanup(func() { close(release) })
			e.State.(*server).respond(func(*session, string) error {
				close(arrived)
				<-release
				return nil
			}, nil)
			return arrived
		},
		NoID: true, // it is in the Message-ID; a repetition sends nothing, see TestRepetition
		Valid: []string{
			`{` + least + `}`,
			`{` + least + `, port: 465, tls: ssl, tlsConfig: {insecureSkipVerify: true}, htmlBody: x, cc: ["C <c@c.example>"], replyTo: r@r.example}`,
			`{host: "::1", username: a@b.example, smtpPassword: {name: nn, key: k}, to: ["x+y@a.photography"], subject: s, htmlBody: b}`,
			`{host: x, from: x, to: [""], parameters: [{src: {dependencyName: d}, dest: to.0}, {src: {dependencyName: d}, dest: from}, {src: {dependencyName: d}, dest: subject}, {src: {dependencyName: d}, dest: body}]}`,
			`{` + least + `, headers: {List-Id: <x.example>, X-A: b}, follow: {timeout: 1m}}`,
		},
		Invalid: map[string][]string{
			`{}`: {`host: is required`, `to: is required`, `from: is required`, `subject: is required`, `body: is required`},
			`{host: "smtp.example:25", from: "a b", to: [c, "a@b.example, c@d.example", "a@b.example\r\nBcc: x@y.example"], subject: s, body: b}`: {
				`host: is no host name`, `from: "a b" is no mail address`, `to[0]: "c" is no mail address (write anna@`,
				`to[1]: "a@b.example, c@d.example" is no mail address (make an item`, `to[2]: holds a line break`,
			},
			`{` + least + `, port: 70000}`:                           {`port: is not between`},
			`{` + least + `, tls: startls}`:                          {`tls: "startls" is not known (did you mean starttls?)`},
			`{` + least + `, tls: yes please}`:                       {`tls: "yes please" is not known (use one of`},
			`{` + least + `, tls: none, tlsConfig: {enabled: true}}`: {`tlsConfig: has no effect`},
			`{` + least + `, tlsConfig: {}}`:                         {`tlsConfig: says nothing`},
			`{` + least + `, tlsConfig: {caCertSecret: {name: x}}}`:  {`tlsConfig.caCertSecret.key: is required`},
			`{` + least + `, username: x}`:                           {`username: has no effect`},
			`{` + least + `, smtpPassword: {name: x}}`:               {`smtpPassword.key: is required`, `smtpPassword: has no effect`},
			`{host: h, from: a@b.example, to: [typo, x], subject: s, body: b, parameters: [{src: {dependencyName: d}, dest: to.-1}, {src: {dependencyName: d}, dest: to.1}]}`: {`to[0]: "typo" is no`},
			`{` + least + `, cc: [x], replyTo: z}`:                                                               {`cc[0]: "x" is no`, `replyTo: "z" is no`},
			`{` + least + `, headers: {"a b": c, subject: x, X-A: "b\nc", d: e, D: f}}`:                          {`headers["a b"]: is no name`, `headers.subject: is made by`, `headers.X-A: holds a line break`, `headers.d: stands there twice, as D`},
			`{host: h, to: [c@d.example], subject: s, body: b, username: joe, smtpPassword: {name: nn, key: k}}`: {`from: is required`},
			`{` + least + `, follow: {timeout: 0s}, parameters: [{dest: x}]}`:                                    {`follow.timeout: has to be longer`, `parameters[0].src: is required`},
		},
	})
}
