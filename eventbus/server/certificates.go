package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
)

// certificates read TLSFiles again at each handshake, so that they may change. If
// that fails, as it does while they are being replaced, those that were read
// before count.
type certificates struct {
	files  TLSFiles
	verify bool

	mu   sync.Mutex
	good *tls.Config
}

// config is for connections from others, who are verified if verify is set; then
// it is also for connections to others, as members of a cluster have both.
func (f *TLSFiles) config(verify bool) (*tls.Config, error) {
	c := &certificates{files: *f, verify: verify}
	first, err := c.read()
	if err != nil {
		return nil, err
	}
	c.good = first
	conf := first.Clone()
	conf.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil }
	if verify {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.current().Certificates[0], nil
		}
		c.asClient(conf)
	}
	return conf, nil
}

func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conf, err := c.read(); err == nil {
		c.good = conf
	}
	return c.good
}

func (c *certificates) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.files.CA != "" {
		pem, err := os.ReadFile(c.files.CA)
		if err != nil {
			return nil, err
		}
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", c.files.CA)
		}
	}
	if c.verify {
		if conf.ClientCAs == nil {
			return nil, errors.New("a CA is needed to verify the other side")
		}
		conf.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return conf, nil
}

// asClient has conf verify the servers it connects to, against the authorities
// as they are then. crypto/tls itself knows only those of the start, so its
// check is replaced by the same one.
func (c *certificates) asClient(conf *tls.Config) {
	conf.InsecureSkipVerify = true //nolint:gosec // VerifyConnection verifies
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the other side shows no certificate")
		}
		o := x509.VerifyOptions{Roots: c.current().ClientCAs, DNSName: s.ServerName, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(o)
		return err
	}
}
