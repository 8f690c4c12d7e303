package webhook

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

func TestSignature(t *testing.T) {
	const body = `{"a":1}`
	sign := func(s verify.Scheme, key string, at time.Time) []string {
		h := http.Header{}
		if err := s.Sign(h, []byte(body), []byte(key), at); err != nil {
			t.Fatal(err)
		}
		var out []string
		for name := range h {
			out = append(out, name, h.Get(name))
		}
		return out
	}
	plain := verify.HMAC{Header: "X-Sign"}
	timed := verify.HMAC{Header: "X-Sign", Algorithm: "sha512", Encoding: "base64", Prefix: "v1=", TimestampHeader: "X-Time"}
	now := time.Now()
	const one = "endpoint: /\nsignature: {header: x-sign, secrets: [{name: hook, key: new}, {name: hook, key: old}]}"
	const full = "endpoint: /\nacceptedSecrets: [{name: hook, key: old}]\nsignature: {header: X-Sign, algorithm: sha512, encoding: base64, prefix: v1=, timestampHeader: x-time, tolerance: 1m, secrets: [{name: hook, key: new}]}"
	for name, tt := range map[string]struct {
		manifest string
		header   []string
		body     string
		want     int
	}{
		"right":                   {one, sign(plain, "n", now), body, 200},
		"the old secret":          {one, sign(plain, "o", now), body, 200},
		"another secret":          {one, sign(plain, "x", now), body, 401},
		"another body":            {one, sign(plain, "n", now), body + " ", 401},
		"not signed":              {one, nil, body, 401},
		"another algorithm":       {one, sign(verify.HMAC{Header: "X-Sign", Algorithm: "sha1"}, "n", now), body, 401},
		"timed":                   {full, sign(timed, "n", now), body, 200},
		"timed, accepted secret":  {full, sign(timed, "o", now), body, 200},
		"timed, too old":          {full, sign(timed, "n", now.Add(-2*time.Minute)), body, 401},
		"timed, without the time": {full, slices.Concat(sign(verify.HMAC{Header: "X-Sign", Algorithm: "sha512", Encoding: "base64", Prefix: "v1="}, "n", now)), body, 401},
		"secret absent":           {"endpoint: /\nsignature: {header: X-Sign, secrets: [{name: hook, key: none}]}", sign(plain, "n", now), body, 500},
		"beside a token": {
			one + "\nauthSecret: {name: hook, key: new}", append(sign(plain, "n", now), "Authorization", "Bearer n"), body, 200,
		},
		"without the token": {one + "\nauthSecret: {name: hook, key: new}", sign(plain, "n", now), body, 401},
	} {
		t.Run(name, func(t *testing.T) {
			e := sourcetest.NewEnv(t)
			e.Vault.Set("hook", "new", "n")
			e.Vault.Set("hook", "old", "o")
			r := sourcetest.Start(t, Kind, tt.manifest, e)
			got := send(t, "POST", e.URL(t, "12000", "/"), tt.body, tt.header...)
			if got.status != tt.want || (len(r.Stored()) == 1) != (tt.want == 200) {
				t.Errorf("%d %s, %d events; want %d", got.status, got.body, len(r.Stored()), tt.want)
			}
		})
	}
}

// A sender that has not learned of a new secret yet is let in for a while.
func TestSignatureSecretChanges(t *testing.T) {
	e := sourcetest.NewEnv(t)
	e.Vault.Set("hook", "key", "one")
	sourcetest.Start(t, Kind, "endpoint: /\nsignature: {header: X-Sign, secrets: [{name: hook, key: key}]}", e)
	url := e.URL(t, "12000", "/")
	status := func(key string) int {
		h := http.Header{}
		if err := (verify.HMAC{Header: "X-Sign"}).Sign(h, []byte("{}"), []byte(key), time.Now()); err != nil {
			t.Fatal(err)
		}
		return send(t, "POST", url, "{}", "X-Sign", h.Get("X-Sign")).status
	}
	if got := status("one"); got != 200 {
		t.Error(got)
	}
	e.Vault.Set("hook", "key", "two")
	if one, two, other := status("one"), status("two"), status("three"); one != 200 || two != 200 || other != 401 {
		t.Errorf("%d, %d, %d", one, two, other)
	}
}

// The samples of senders that have no kind of their own, sent as they were.
func TestSampleSenders(t *testing.T) {
	const samples = "../../../shared/fixtures/webhooks"
	for dir, manifest := range map[string]string{
		"generic-hmac": "endpoint: /\nsignature: {header: X-Signature, prefix: sha256=, secrets: [{name: hook, key: key}]}",
		"jenkins":      "endpoint: /\nbasicAuth: {username: {name: hook, key: user}, password: {name: hook, key: key}}",
	} {
		t.Run(dir, func(t *testing.T) {
			table, err := os.ReadFile(filepath.Join(samples, dir, "headers.tsv"))
			if err != nil {
				t.Skip("the sample payloads are not beside this repository")
			}
			headers := map[string][]string{}
			for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
				col := strings.SplitN(line, "\t", 3)
				headers[col[0]] = append(headers[col[0]], col[1], col[2])
			}
			e := sourcetest.NewEnv(t)
			e.Vault.Set("hook", "user", "hooks")
			e.Vault.Set("hook", "key", "s3cr3t")
			r := sourcetest.Start(t, Kind, manifest, e)
			url := e.URL(t, "12000", "/")
			for file, header := range headers {
				body, err := os.ReadFile(filepath.Join(samples, dir, file))
				if err != nil {
					t.Fatal(err)
				}
				if got := send(t, "POST", url, string(body), header...); got.status != 200 {
					t.Errorf("%s: %d %s", file, got.status, got.body)
				}
				for i := 0; i < len(header); i += 2 {
					if header[i] != "Content-Type" {
						header[i+1] = strings.Replace(header[i+1], "a", "b", 1)
					}
				}
				if got := send(t, "POST", url, string(body), header...); got.status != 401 {
					t.Errorf("%s, wrong: %d %s", file, got.status, got.body)
				}
			}
			if n := len(r.Stored()); n != len(headers) {
				t.Errorf("%d events of %d", n, len(headers))
			}
		})
	}
}

func TestValidateSignature(t *testing.T) {
	for name, tt := range map[string]struct{ signature, want string }{
		"least":     {"{header: X, secrets: [{name: a, key: b}]}", ""},
		"all":       {"{header: X, algorithm: sha1, encoding: hex, prefix: 'a=', timestampHeader: T, tolerance: 90s, secrets: [{name: a, key: b}, {name: a, key: c}]}", ""},
		"nothing":   {"{}", "error signature.header|error signature.secrets"},
		"all wrong": {"{header: 'a b', algorithm: md5, encoding: hax, timestampHeader: 'c:', tolerance: soon, secrets: [{name: a}]}", "error signature.header|error signature.timestampHeader|error signature.algorithm|error signature.encoding|error signature.tolerance|error signature.secrets[0]"},
		"tolerance": {"{header: X, tolerance: 1m, secrets: [{name: a, key: b}]}", "warning signature.tolerance"},
		"no time":   {"{header: X, timestampHeader: T, tolerance: 0s, secrets: [{name: a, key: b}]}", "error signature.tolerance"},
	} {
		raw, err := yaml.YAMLToJSON([]byte("endpoint: /x\nsignature: " + tt.signature))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Kind.Decode(raw)
		var got []string
		for _, p := range v1alpha1.Problems(err) {
			got = append(got, p.Severity.String()+" "+p.Path)
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s: %s", name, strconv.Quote(strings.Join(got, "|")))
		}
	}
}
