package ingress

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestValidateCredentials(t *testing.T) {
	ref := selector("a", "b")
	basic := &v1alpha1.BasicAuth{Username: ref, Password: ref}
	oidc := func(change func(*v1alpha1.OIDC)) *v1alpha1.OIDC {
		o := &v1alpha1.OIDC{Issuer: "https://x.example/realm", Audience: "a", Claims: map[string]string{"sub": "*"}}
		if change != nil {
			change(o)
		}
		return o
	}
	rate := func(n int32, per string, burst int32) *v1alpha1.RequestRate {
		return &v1alpha1.RequestRate{Requests: n, Per: per, Burst: burst}
	}
	type context = v1alpha1.WebhookContext
	for name, tt := range map[string]struct {
		c    context
		want string // SEVERITY PATH: WORDS, separated by |
	}{
		"oidc":                {context{OIDC: oidc(nil)}, ""},
		"oidc without claims": {context{OIDC: oidc(func(o *v1alpha1.OIDC) { o.Claims = nil })}, "note webhook.oidc.claims: every token"},
		"oidc empty":          {context{OIDC: &v1alpha1.OIDC{}}, "error webhook.oidc.issuer: is missing|error webhook.oidc.audience: is missing|note webhook.oidc.claims"},
		"issuer no URL":       {context{OIDC: oidc(func(o *v1alpha1.OIDC) { o.Issuer = "x.example" })}, `error webhook.oidc.issuer: "x.example" is no URL`},
		"issuer with query":   {context{OIDC: oidc(func(o *v1alpha1.OIDC) { o.Issuer = "https://x.example?a" })}, `error webhook.oidc.issuer: `},
		"issuer without TLS":  {context{OIDC: oidc(func(o *v1alpha1.OIDC) { o.Issuer = "http://x.example" })}, "warning webhook.oidc.issuer: is asked"},
		"empty claim":         {context{OIDC: oidc(func(o *v1alpha1.OIDC) { o.Claims = map[string]string{"a.b": ""} })}, `error webhook.oidc.claims["a.b"]: is empty`},
		"three in one header": {
			context{AuthSecret: ref, BasicAuth: basic, OIDC: oidc(nil)},
			"error webhook.basicAuth: cannot be asked for together with authSecret|error webhook.oidc: cannot be asked for together with authSecret",
		},
		"two in one header":  {context{BasicAuth: basic, OIDC: oidc(nil)}, "error webhook.oidc: cannot be asked for together with basicAuth"},
		"client CA":          {context{ServerCertSecret: ref, ServerKeySecret: ref, ClientCASecret: ref, AuthSecret: ref}, ""},
		"client CA, no TLS":  {context{ClientCASecret: ref}, "error webhook.clientCASecret: needs serverCertSecret"},
		"accepted":           {context{AcceptedSecrets: []corev1.SecretKeySelector{*ref, {}}}, "error webhook.acceptedSecrets[1]: needs name and key"},
		"rate":               {context{RateLimit: rate(5, "", 0)}, ""},
		"rate by the minute": {context{RateLimit: rate(5, "1m", 10)}, ""},
		"no rate":            {context{RateLimit: rate(0, "x", -1)}, "error webhook.rateLimit.requests: |error webhook.rateLimit.per: |error webhook.rateLimit.burst: "},
		"negative time":      {context{RateLimit: rate(1, "-1s", 0)}, `error webhook.rateLimit.per: "-1s" is no length of time`},
		"insecure":           {context{Insecure: true}, ""},
		"insecure, but not":  {context{Insecure: true, AuthSecret: ref}, "warning webhook.insecure: has no effect"},
	} {
		tt.c.Endpoint = "/x"
		Default(&tt.c)
		var got []string
		for _, p := range v1alpha1.Problems(Validate("webhook", &tt.c)) {
			got = append(got, p.Severity.String()+" "+p.Error())
		}
		want := strings.Split(tt.want, "|")
		if tt.want == "" {
			want = nil
		}
		if len(got) != len(want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: got %q, want %q", name, got[i], want[i])
			}
		}
	}
}

func TestNoteOpen(t *testing.T) {
	ref := selector("a", "b")
	for name, tt := range map[string]struct {
		c      v1alpha1.WebhookContext
		signed bool
		warned bool
	}{
		"open":        {v1alpha1.WebhookContext{}, false, true},
		"signed":      {v1alpha1.WebhookContext{}, true, false},
		"meant":       {v1alpha1.WebhookContext{Insecure: true}, false, false},
		"token":       {v1alpha1.WebhookContext{AuthSecret: ref}, false, false},
		"basic":       {v1alpha1.WebhookContext{BasicAuth: &v1alpha1.BasicAuth{}}, false, false},
		"oidc":        {v1alpha1.WebhookContext{OIDC: &v1alpha1.OIDC{}}, false, false},
		"certificate": {v1alpha1.WebhookContext{ClientCASecret: ref}, false, false},
	} {
		err := NoteOpenUnless("webhook", &tt.c, tt.signed)
		if (err != nil) != tt.warned {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "insecure: true") || v1alpha1.Fatal(err) != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
