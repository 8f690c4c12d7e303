package resource

import (
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// object is one object as the API server wrote it. Its strings are parts of raw.
type object struct {
	raw                           string
	uid, namespace, name, version string
}

// parse reads what identifies an object. An item of a list may lack its kind,
// which then is put in.
func parse(raw, apiVersion, kind string) object {
	if kind != "" && !gjson.Get(raw, "kind").Exists() {
		head, _ := json.Marshal(map[string]string{"apiVersion": apiVersion, "kind": kind}) //nolint:errchkjson // strings
		rest := strings.TrimLeft(strings.TrimSpace(raw)[1:], " \n\t")
		sep := ","
		if strings.HasPrefix(rest, "}") {
			sep = ""
		}
		raw = string(head[:len(head)-1]) + sep + rest
	}
	meta := gjson.Get(raw, "metadata")
	o := object{
		raw: raw, uid: meta.Get("uid").String(), namespace: meta.Get("namespace").String(),
		name: meta.Get("name").String(), version: meta.Get("resourceVersion").String(),
	}
	if o.uid == "" {
		o.uid = o.path()
	}
	return o
}

// path is the object's place: NAMESPACE/NAME.
func (o object) path() string { return o.namespace + "/" + o.name }

func (o object) created() time.Time {
	return gjson.Get(o.raw, "metadata.creationTimestamp").Time()
}

// older tells whether the resource version a is before b. Versions that are
// not numbers have no order.
func older(a, b string) bool {
	if !number(a) || !number(b) {
		return false
	}
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

func number(v string) bool {
	return v != "" && strings.Trim(v, "0123456789") == "" && (v == "0" || v[0] != '0')
}

// upTo tells whether the resource version a is b or before it.
func upTo(a, b string) bool { return a != "" && (a == b || older(a, b)) }

// mark is a fingerprint of the values at the paths; empty without paths.
func (o object) mark(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	h := fnv.New64a()
	for _, path := range paths {
		_, _ = h.Write([]byte(canonical(gjson.Get(o.raw, path)))) // never fails
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// canonical is the same for the same value, in whatever order its keys are.
func canonical(r gjson.Result) string {
	if r.Type != gjson.JSON {
		return r.Raw
	}
	b, err := json.Marshal(r.Value())
	if err != nil {
		return r.Raw
	}
	return string(b)
}

// filter is what this side compares; labels are compared by the API server.
type filter struct {
	prefix    string
	createdBy time.Time
	fields    []field
}

// passes tells whether events of the object are wanted.
func (f filter) passes(o object) bool {
	if !strings.HasPrefix(o.name, f.prefix) {
		return false
	}
	if !f.createdBy.IsZero() && o.created().After(f.createdBy) {
		return false
	}
	for _, c := range f.fields {
		v := gjson.Get(o.raw, c.path)
		if !v.Exists() || c.value.MatchString(v.String()) == c.not {
			return false
		}
	}
	return true
}
