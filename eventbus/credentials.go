package eventbus

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

// credentials are the options that say who we are. Files are read when the
// client asks, which is at each connect.
func (c *LinkConfig) credentials() []nats.Option {
	var opts []nats.Option
	switch {
	case c.PasswordFile != "":
		opts = append(opts, nats.UserInfoHandler(func() (string, string) { return c.User, fileText(c.PasswordFile) }))
	case c.User != "":
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	switch {
	case c.TokenFile != "":
		opts = append(opts, nats.TokenHandler(func() string { return fileText(c.TokenFile) }))
	case c.Token != "":
		opts = append(opts, nats.Token(c.Token))
	}
	return opts
}

// check finds files that cannot be read at the start.
func (c *LinkConfig) check() error {
	var errs []error
	for _, file := range []string{c.PasswordFile, c.TokenFile} {
		if file != "" {
			_, err := os.ReadFile(file)
			errs = append(errs, err)
		}
	}
	if c.CAFile != "" {
		_, err := c.authorities()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// fileText is empty if the file cannot be read: the server then refuses us, and
// the next connect reads it again.
func fileText(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}

func (c *LinkConfig) authorities() (*x509.CertPool, error) {
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.CAFile)
	}
	return pool, nil
}
