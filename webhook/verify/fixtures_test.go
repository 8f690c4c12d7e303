package verify

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signedAt is when the fixtures were signed.
var signedAt = time.Unix(1760000000, 0)

// fixture is one request of the sample payloads beside this repository.
type fixture struct {
	name   string
	header http.Header
	body   []byte
}

func fixtures(t testing.TB, dir string) []fixture {
	t.Helper()
	dir = filepath.Join("../../../shared/fixtures/webhooks", dir)
	table, err := os.ReadFile(filepath.Join(dir, "headers.tsv"))
	if err != nil {
		t.Skip("the sample payloads are not beside this repository")
	}
	byName := map[string]*fixture{}
	var names []string
	for i, line := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		col := strings.SplitN(line, "\t", 3)
		if i == 0 || len(col) < 3 {
			continue
		}
		f := byName[col[0]]
		if f == nil {
			body, err := os.ReadFile(filepath.Join(dir, col[0]))
			if err != nil {
				t.Fatal(err)
			}
			f = &fixture{col[0], http.Header{}, body}
			byName[col[0]], names = f, append(names, col[0])
		}
		f.header.Add(col[1], col[2])
	}
	var out []fixture
	for _, name := range names {
		out = append(out, *byName[name])
	}
	if len(out) == 0 {
		t.Fatal("no fixtures in ", dir)
	}
	return out
}

func publicKey(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../shared/fixtures/webhooks/sourcehut/test-public-key.txt")
	if err != nil {
		t.Skip("the sample payloads are not beside this repository")
	}
	return []byte(strings.TrimSpace(string(b)))
}

func TestFixtures(t *testing.T) {
	plain := []byte("s3cr3t")
	signing := []byte("whsec_TnOMpVY8Bs/QAYKZkz1Y2x3Yv5f2lz3Jm/bNxktVUL0=")
	for _, tt := range []struct {
		dir    string
		scheme Scheme
		key    []byte
	}{
		{"github", HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256="}, plain},
		{"gitlab", Token{Header: "X-Gitlab-Token"}, plain},
		{"gitlab", StandardWebhooks{}, signing},
		{"bitbucket", HMAC{Header: "X-Hub-Signature", Prefix: "sha256="}, plain},
		{"bitbucket-server", HMAC{Header: "X-Hub-Signature", Prefix: "sha256="}, plain},
		{"slack", Slack{}, plain},
		{"stripe", Stripe{}, plain},
		{"sourcehut", Ed25519{Header: "X-Payload-Signature", NonceHeader: "X-Payload-Nonce"}, nil},
		{"generic-hmac", HMAC{Header: "X-Signature", Prefix: "sha256="}, plain},
	} {
		t.Run(tt.dir+" "+tt.scheme.Verified(), func(t *testing.T) {
			key := tt.key
			if key == nil {
				key = publicKey(t)
			}
			checked := 0
			for _, f := range fixtures(t, tt.dir) {
				err := tt.scheme.Check(f.header, f.body, key, signedAt)
				if isMissing(err) { // a few are sent without
					continue
				}
				checked++
				if err != nil {
					t.Errorf("%s: %v", f.name, err)
				}
				if tt.scheme.Verified() == BySignature && tt.scheme.Check(f.header, append([]byte(" "), f.body...), key, signedAt) == nil {
					t.Errorf("%s: a changed body is taken", f.name)
				}
				if tt.scheme.Check(f.header, f.body, append([]byte("x"), key...), signedAt) == nil {
					t.Errorf("%s: another key is taken", f.name)
				}
			}
			if checked == 0 {
				t.Error("nothing was checked")
			}
		})
	}
	f := fixtures(t, "generic-hmac")[0]
	for algorithm, header := range map[string]string{"sha1": "X-Signature-sha1-variant", "sha512": "X-Signature-sha512-variant"} {
		if err := (HMAC{Header: header, Algorithm: algorithm, Prefix: algorithm + "="}).Check(f.header, f.body, plain, signedAt); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

func isMissing(err error) bool {
	e, ok := err.(*Error) //nolint:errorlint // Check returns it itself
	return ok && e.missing
}
