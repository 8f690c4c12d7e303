package admission

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// The keys of the Secret. ca.crt has all authorities that are trusted, the
// newest first; ca.key is the newest one's.
const (
	keyTrusted      = "ca.crt"
	keyAuthorityKey = "ca.key"
	keyLeaf         = "tls.crt"
	keyLeafKey      = "tls.key"
)

// backdate makes certificates valid on machines whose clock is behind.
const backdate = time.Hour

// lifetimes of certificates, each of which is renewed when a third is left.
type lifetimes struct {
	authority, leaf time.Duration
	// settle is how long the API servers have to be told of an authority before
	// a certificate of it is shown to them.
	settle time.Duration
}

// certificates is what the Secret holds. Parts that are missing or unusable
// are nil. It is never changed.
type certificates struct {
	trusted      []*x509.Certificate
	authorityKey crypto.Signer
	leaf         *tls.Certificate
}

func parse(data map[string][]byte) certificates {
	var c certificates
	for rest := data[keyTrusted]; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.IsCA {
			c.trusted = append(c.trusted, cert)
		}
	}
	if pair, err := tls.X509KeyPair(firstOf(c.trusted), data[keyAuthorityKey]); err == nil {
		c.authorityKey, _ = pair.PrivateKey.(crypto.Signer)
	}
	if pair, err := tls.X509KeyPair(data[keyLeaf], data[keyLeafKey]); err == nil {
		c.leaf = &pair
	}
	return c
}

// data is what to store, or an error if a key cannot be written.
func (c certificates) data() (map[string][]byte, error) {
	authorityKey, err := encodeKey(c.authorityKey)
	if err != nil {
		return nil, err
	}
	leafKey, err := encodeKey(c.leaf.PrivateKey)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		keyTrusted:      c.bundle(),
		keyAuthorityKey: authorityKey,
		keyLeaf:         encode(c.leaf.Leaf),
		keyLeafKey:      leafKey,
	}, nil
}

// bundle is what API servers have to trust.
func (c certificates) bundle() []byte {
	var b []byte
	for _, cert := range c.trusted {
		b = append(b, encode(cert)...)
	}
	return b
}

// renewed returns the certificates there should be, and whether they are
// others. settled tells that the API servers have trusted the newest authority
// for long enough to have noticed.
//
// A new authority first only joins the trusted ones. When it has settled, it
// signs. The old one stays trusted until it expires, so that replicas of the
// controller that show an older certificate are trusted all the time.
func (c certificates) renewed(now time.Time, hosts []string, life lifetimes, settled bool) (certificates, bool, error) {
	var err error
	changed := false
	valid := slices.DeleteFunc(slices.Clone(c.trusted), func(a *x509.Certificate) bool { return now.After(a.NotAfter) })
	if len(valid) != len(c.trusted) {
		changed = true
	}
	if len(valid) == 0 || valid[0] != c.trusted[0] || c.authorityKey == nil || due(valid[0], life.authority, now) {
		var made *x509.Certificate
		if made, c.authorityKey, err = newAuthority(now, life.authority); err != nil {
			return c, false, err
		}
		valid = append([]*x509.Certificate{made}, valid...)
		changed, settled = true, false
	}
	c.trusted = valid
	unusable := c.leaf == nil || !trusts(c.trusted, c.leaf.Leaf, hosts, now)
	old := unusable || due(c.leaf.Leaf, life.leaf, now) || c.leaf.Leaf.CheckSignatureFrom(valid[0]) != nil
	if unusable || old && settled {
		if c.leaf, err = c.sign(now, hosts, life.leaf); err != nil {
			return c, false, err
		}
		changed = true
	}
	return c, changed, nil
}

func due(cert *x509.Certificate, life time.Duration, now time.Time) bool {
	return cert.NotAfter.Sub(now) < life/3
}

func trusts(trusted []*x509.Certificate, leaf *x509.Certificate, hosts []string, now time.Time) bool {
	roots := x509.NewCertPool()
	for _, cert := range trusted {
		roots.AddCert(cert)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		return false
	}
	return !slices.ContainsFunc(hosts, func(host string) bool { return leaf.VerifyHostname(host) != nil })
}

func newAuthority(now time.Time, life time.Duration) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := newTemplate(now, life)
	if err != nil {
		return nil, nil, err
	}
	// Each has a name of its own, so that nobody takes one for another.
	template.Subject = pkix.Name{CommonName: fmt.Sprintf("signalbox-webhook-ca-%x", template.SerialNumber)}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	cert, err := create(template, template, key.Public(), key)
	return cert, key, err
}

func (c certificates) sign(now time.Time, hosts []string, life time.Duration) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(now, life)
	if err != nil {
		return nil, err
	}
	template.Subject = pkix.Name{CommonName: "signalbox-webhook"}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if end := c.trusted[0].NotAfter; template.NotAfter.After(end) {
		template.NotAfter = end
	}
	leaf, err := create(template, c.trusted[0], key.Public(), c.authorityKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func newTemplate(now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-backdate), NotAfter: now.Add(life)}, nil
}

func create(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func firstOf(certs []*x509.Certificate) []byte {
	if len(certs) == 0 {
		return nil
	}
	return encode(certs[0])
}

func encode(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
