package gitcommit

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// signer reads the key; it is nil if commits are not signed.
func (s *Signing) signer(ctx context.Context, secrets secret.Reader) (gitrepo.Signer, error) {
	if s == nil {
		return nil, nil
	}
	if s.SSHKeySecret != nil {
		text, err := secrets.Secret(ctx, s.SSHKeySecret)
		if err != nil {
			return nil, fmt.Errorf("signing.sshKeySecret: %w", err)
		}
		key, err := ssh.ParsePrivateKey(append(bytes.Clone(text), '\n'))
		if err != nil {
			return nil, errors.New("signing.sshKeySecret holds no key that can be used")
		}
		return sshSigner{key}, nil
	}
	text, err := secrets.Secret(ctx, s.OpenPGPKeySecret)
	if err != nil {
		return nil, fmt.Errorf("signing.openPGPKeySecret: %w", err)
	}
	keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(text))
	if err != nil || len(keys) == 0 || keys[0].PrivateKey == nil {
		return nil, errors.New("signing.openPGPKeySecret holds no armored private key")
	}
	if s.PassphraseSecret != nil {
		phrase, err := secrets.Secret(ctx, s.PassphraseSecret)
		if err != nil {
			return nil, fmt.Errorf("signing.passphraseSecret: %w", err)
		}
		if err := keys[0].DecryptPrivateKeys(bytes.TrimRight(phrase, "\r\n")); err != nil {
			return nil, errors.New("signing.passphraseSecret does not open the key")
		}
	}
	return pgpSigner{keys[0]}, nil
}

type pgpSigner struct{ key *openpgp.Entity }

// Sign implements gitrepo.Signer.
func (s pgpSigner) Sign(message io.Reader) ([]byte, error) {
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, s.key, message, nil); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// sshSigner makes signatures of the format SSHSIG, which OpenSSH's
// PROTOCOL.sshsig describes and git reads with gpg.format=ssh.
type sshSigner struct{ key ssh.Signer }

const (
	sshMagic     = "SSHSIG"
	sshNamespace = "git"
	sshHash      = "sha512"
)

// Sign implements gitrepo.Signer.
func (s sshSigner) Sign(message io.Reader) ([]byte, error) {
	h := sha512.New()
	if _, err := io.Copy(h, message); err != nil {
		return nil, err
	}
	signed := append([]byte(sshMagic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{
		sshNamespace, "", sshHash, string(h.Sum(nil)),
	})...)
	var signature *ssh.Signature
	var err error
	if rsa, ok := s.key.(ssh.AlgorithmSigner); ok && s.key.PublicKey().Type() == ssh.KeyAlgoRSA {
		signature, err = rsa.SignWithAlgorithm(rand.Reader, signed, ssh.KeyAlgoRSASHA512) // SHA-1 is not taken any more
	} else {
		signature, err = s.key.Sign(rand.Reader, signed)
	}
	if err != nil {
		return nil, err
	}
	blob := append([]byte(sshMagic), ssh.Marshal(struct {
		Version                                   uint32
		Key, Namespace, Reserved, Hash, Signature string
	}{1, string(s.key.PublicKey().Marshal()), sshNamespace, "", sshHash, string(ssh.Marshal(signature))})...)
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob}), nil
}
