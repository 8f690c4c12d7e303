package registry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// plainJSON decodes JSON with whole numbers kept as such.
func plainJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return plainNumbers(v), nil
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = plainNumbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = plainNumbers(e)
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return n
		}
		n, _ := v.Float64()
		return n
	}
	return v
}

// visible are the headers as events have them, secrets masked.
func visible(h http.Header, secret []string) map[string][]string {
	var m map[string][]string
	_ = json.Unmarshal(ingress.AppendHeader(nil, h, secret...), &m)
	return m
}
