package admission

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"
)

const day = 24 * time.Hour

var testLife = lifetimes{authority: 300 * day, leaf: 90 * day, settle: time.Minute}

var testHosts = []string{"signalbox-webhook.ns.svc", "127.0.0.1"}

// renew is what happens to a Secret at a time.
func renew(t *testing.T, data map[string][]byte, now time.Time, settled bool) (map[string][]byte, bool) {
	t.Helper()
	c, changed, err := parse(data).renewed(now, testHosts, testLife, settled)
	if err != nil {
		t.Fatal(err)
	}
	if !trusts(c.trusted, c.leaf.Leaf, testHosts, now) {
		t.Errorf("at %s: what is shown is not trusted", now)
	}
	next, err := c.data()
	if err != nil {
		t.Fatal(err)
	}
	return next, changed
}

func TestCertificatesAreRenewedAtTwoThirds(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	first, changed := renew(t, nil, start, false)
	if !changed {
		t.Fatal("nothing was made")
	}
	for _, tc := range []struct {
		name            string
		at              time.Duration
		settled         bool
		authority, leaf bool // whether they are others afterwards
	}{
		{"at once", 0, true, false, false},
		{"shortly before two thirds", 60*day - time.Hour, true, false, false},
		{"at two thirds of the certificate", 60*day + time.Hour, true, false, true},
		{"when the API servers do not know the authority yet", 60*day + time.Hour, false, false, false},
		{"when it has expired all the same", 91 * day, false, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			next, changed := renew(t, first, start.Add(tc.at), tc.settled)
			if changed != (tc.authority || tc.leaf) {
				t.Errorf("changed: %v", changed)
			}
			if got := !bytes.Equal(next[keyTrusted], first[keyTrusted]); got != tc.authority {
				t.Errorf("another authority: %v", got)
			}
			if got := !bytes.Equal(next[keyLeaf], first[keyLeaf]); got != tc.leaf {
				t.Errorf("another certificate: %v", got)
			}
		})
	}
}

// A year is played day by day. Whoever trusts what was published the day
// before, and whoever trusts what is published now, trusts what is shown.
func TestThereIsNoGapInTrust(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	data, _ := renew(t, nil, start, false)
	before, authorities, leaves, most := data, 1, 1, 1
	for d := range 1500 {
		now := start.Add(time.Duration(d) * day)
		settled := bytes.Equal(firstOf(parse(before).trusted), firstOf(parse(data).trusted))
		next, _ := renew(t, data, now, settled)
		now2 := parse(next)
		if !bytes.Equal(firstOf(now2.trusted), firstOf(parse(data).trusted)) {
			authorities++
		}
		if !bytes.Equal(next[keyLeaf], data[keyLeaf]) {
			leaves++
		}
		most = max(most, len(now2.trusted))
		if !trusts(parse(data).trusted, now2.leaf.Leaf, testHosts, now) {
			t.Fatalf("day %d: the new certificate is shown to API servers that do not trust it yet", d)
		}
		if !trusts(now2.trusted, parse(data).leaf.Leaf, testHosts, now) {
			t.Fatalf("day %d: the old certificate, which a replica may still show, is not trusted any more", d)
		}
		before, data = data, next
	}
	// 1500 days, 200 for an authority, 60 for a certificate.
	if authorities < 7 || authorities > 8 || leaves < 24 || leaves > 34 || most != 2 {
		t.Errorf("%d authorities, %d certificates, at most %d trusted at a time", authorities, leaves, most)
	}
}

func TestUnusableSecretsAreMadeAnew(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	good, _ := renew(t, nil, now, false)
	other, _ := renew(t, nil, now, false)
	for name, change := range map[string]func(map[string][]byte){
		"the authority's key is missing":         func(d map[string][]byte) { delete(d, keyAuthorityKey) },
		"the authority's key is another's":       func(d map[string][]byte) { d[keyAuthorityKey] = other[keyAuthorityKey] },
		"the authority is missing":               func(d map[string][]byte) { delete(d, keyTrusted) },
		"the authority is rubbish":               func(d map[string][]byte) { d[keyTrusted] = []byte("rubbish") },
		"the certificate is missing":             func(d map[string][]byte) { delete(d, keyLeaf) },
		"the certificate is another authority's": func(d map[string][]byte) { d[keyLeaf], d[keyLeafKey] = other[keyLeaf], other[keyLeafKey] },
		"the certificate's key is another's":     func(d map[string][]byte) { d[keyLeafKey] = other[keyLeafKey] },
		"everything is gone":                     func(d map[string][]byte) { clear(d) },
	} {
		t.Run(name, func(t *testing.T) {
			data := maps.Clone(good)
			change(data)
			next, changed := renew(t, data, now, false)
			if !changed {
				t.Error("left as it is")
			}
			if _, again := renew(t, next, now, true); again && name != "the authority's key is missing" && name != "the authority's key is another's" {
				t.Error("changed again")
			}
		})
	}
}

func TestOtherHostsNeedAnotherCertificate(t *testing.T) {
	now := time.Now()
	c, _, err := certificates{}.renewed(now, []string{"a.ns.svc"}, testLife, false)
	if err != nil {
		t.Fatal(err)
	}
	if next, changed, err := c.renewed(now, []string{"b.ns.svc"}, testLife, false); err != nil || !changed || !slices.Equal(next.leaf.Leaf.DNSNames, []string{"b.ns.svc"}) {
		t.Errorf("%v %v %v", changed, err, next.leaf.Leaf.DNSNames)
	}
}
