// Package pki makes the certificate authority of an EventBus, the certificates
// of its pods, and passwords.
package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 365 * 24 * time.Hour
	// Clocks of nodes differ.
	leeway = 5 * time.Minute
	// passwordSize is in bytes, before they are encoded.
	passwordSize = 32
)

// Pair is a certificate and its key, PEM.
type Pair struct{ Cert, Key []byte }

// Authority signs certificates.
type Authority struct {
	Pair
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority for ten years.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	return sign(name, key, now)
}

// ReadAuthority reads an authority that was kept.
func ReadAuthority(p Pair) (*Authority, error) {
	cert, key, err := parse(p)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	if !cert.IsCA {
		return nil, errors.New("certificate authority: the certificate is none of an authority")
	}
	return &Authority{Pair: p, cert: cert, key: key}, nil
}

// Renewed is the authority itself, or one with the same key and name for ten more
// years if two thirds of its time are over. What trusts the one trusts the
// certificates of the other.
func (a *Authority) Renewed(now time.Time) (*Authority, error) {
	if now.Before(due(a.cert)) {
		return a, nil
	}
	return sign(a.cert.Subject.CommonName, a.key, now)
}

// Due is when Renewed renews.
func (a *Authority) Due() time.Time { return due(a.cert) }

func sign(name string, key *ecdsa.PrivateKey, now time.Time) (*Authority, error) {
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-leeway), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	pair, err := create(t, t, key, key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	return ReadAuthority(pair)
}

// Server is the certificate of a pod, to be shown to clients and to other pods.
type Server struct {
	Pair
	cert *x509.Certificate
}

// Server returns have if it is a certificate of this authority for these names
// (IP addresses among them) and less than two thirds of its time are over;
// otherwise a new one for a year.
func (a *Authority) Server(have Pair, names []string, now time.Time) (*Server, error) {
	if cert, _, err := parse(have); err == nil && a.signed(cert) && sameNames(cert, names) && now.Before(due(cert)) {
		return &Server{have, cert}, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a server's key: %w", err)
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: names[0]},
		NotBefore: now.Add(-leeway), NotAfter: now.Add(serverLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	t.DNSNames, t.IPAddresses = split(names)
	pair, err := create(t, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("make a server's certificate: %w", err)
	}
	cert, _, err := parse(pair)
	if err != nil {
		return nil, fmt.Errorf("make a server's certificate: %w", err)
	}
	return &Server{pair, cert}, nil
}

// Due is when it has to be renewed.
func (s *Server) Due() time.Time { return due(s.cert) }

// signed compares keys and not certificates, so that a certificate outlives the
// renewal of its authority.
func (a *Authority) signed(cert *x509.Certificate) bool {
	return cert.CheckSignatureFrom(a.cert) == nil && bytes.Equal(cert.RawIssuer, a.cert.RawSubject)
}

func sameNames(cert *x509.Certificate, names []string) bool {
	dns, ips := split(names)
	return slices.Equal(cert.DNSNames, dns) && slices.EqualFunc(cert.IPAddresses, ips, func(a, b net.IP) bool { return a.Equal(b) })
}

func split(names []string) (dns []string, ips []net.IP) {
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, n)
		}
	}
	return dns, ips
}

// due is two thirds into the time of a certificate.
func due(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2)
}

func create(t, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (Pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return Pair{}, err
	}
	t.SerialNumber = serial
	cert, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, parentKey)
	if err != nil {
		return Pair{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, nil
}

func parse(p Pair) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certBlock, _ := pem.Decode(p.Cert)
	keyBlock, _ := pem.Decode(p.Key)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, errors.New("no PEM")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("read the certificate: %w", err)
	}
	any, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, errors.New("read the key: it is no PKCS #8 key") // the cause might quote it
	}
	key, ok := any.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("read the key: it is no ECDSA key")
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, errors.New("the key is not that of the certificate")
	}
	return cert, key, nil
}

// Password makes a password: 32 random bytes, URL-safe.
func Password() string {
	b := make([]byte, passwordSize)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
