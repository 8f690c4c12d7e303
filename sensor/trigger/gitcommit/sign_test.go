package gitcommit_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"golang.org/x/crypto/ssh"

	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
)

func TestSSHSignature(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("git checks signatures with ssh-keygen: ", err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&old.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	signer, key := gitrepotest.NewKey(t)
	for name, k := range map[string]struct {
		pem    string
		public ssh.PublicKey
	}{
		"ed25519": {key, signer.PublicKey()},
		"rsa":     {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(old)})), public},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, oneApp)
			r.env.PutSecret("bot", "key", k.pem)
			fire(t, r.build(t, "author: {name: Bot, email: bot@example.com}\nsigning: {sshKeySecret: {name: bot, key: key}}"), push(1, "app", "v1", 1))
			allowed := filepath.Join(t.TempDir(), "allowed")
			if err := os.WriteFile(allowed, append([]byte("bot@example.com "), ssh.MarshalAuthorizedKey(k.public)...), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := r.Git(t, "", "-c", "gpg.ssh.allowedSignersFile="+allowed, "log", "-1", "--format=%G? %GS", "main"); got != "G bot@example.com" {
				t.Errorf("git says %q of the signature", got)
			}
		})
	}
}

func TestOpenPGPSignature(t *testing.T) {
	entity, err := openpgp.NewEntity("Bot", "", "bot@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	phrase := "open-sesame"
	if err := entity.EncryptPrivateKeys([]byte(phrase), nil); err != nil {
		t.Fatal(err)
	}
	var key bytes.Buffer
	w, err := armor.Encode(&key, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = entity.SerializePrivateWithoutSigning(w, nil)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, oneApp)
	r.env.PutSecret("bot", "key", key.String())
	r.env.PutSecret("bot", "phrase", phrase+"\n")
	fire(t, r.build(t, "signing: {openPGPKeySecret: {name: bot, key: key}, passphraseSecret: {name: bot, key: phrase}}"), push(1, "app", "v1", 1))
	head, message, _ := strings.Cut(r.Git(t, "", "cat-file", "commit", "main")+"\n", "\n\n")
	plain, signature, found := strings.Cut(head, "\ngpgsig ")
	if !found {
		t.Fatalf("no signature in %s", head)
	}
	signature = strings.ReplaceAll(signature, "\n ", "\n")
	if _, err := openpgp.CheckArmoredDetachedSignature(openpgp.EntityList{entity},
		strings.NewReader(plain+"\n\n"+message), strings.NewReader(signature), nil); err != nil {
		t.Errorf("the signature is not good: %v", err)
	}
	r.env.PutSecret("bot", "phrase", "wrong")
	_, err = r.build(t, "signing: {openPGPKeySecret: {name: bot, key: key}, passphraseSecret: {name: bot, key: phrase}}").
		Fire(t.Context(), push(2, "app", "v2", 2))
	if err == nil || !strings.Contains(err.Error(), "signing.passphraseSecret does not open the key") {
		t.Errorf("a wrong passphrase: %v", err)
	}
}
