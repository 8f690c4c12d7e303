package ingress

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Block is a member of an event's data beside headers and body.
type Block struct {
	// Key in the data, such as "git".
	Key string
	// Value is written by encoding/json.
	Value any
}

const masked = `["*** Masked Auth Secret ***"]`

// secretHeaders hold secrets themselves, in their canonical form; those that
// hold signatures are no secrets.
var secretHeaders = map[string]bool{
	"Authorization":             true,
	"Proxy-Authorization":       true,
	"X-Gitlab-Token":            true,
	"X-Jfrog-Event-Auth":        true,
	"Cookie":                    true,
	"X-Api-Key":                 true,
	"X-Auth-Token":              true,
	"X-Amz-Firehose-Access-Key": true,
}

// AppendHeader appends h to dst as a JSON object of lists, names in order. The
// values of headers that hold a secret are masked: those that are known to, and more.
func AppendHeader(dst []byte, h http.Header, more ...string) []byte {
	var space [32]string
	keys := space[:0]
	for k := range h {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendJSON(dst, k), ':')
		if secretHeaders[k] || slices.Contains(more, k) {
			dst = append(dst, masked...)
			continue
		}
		dst = append(dst, '[')
		for j, v := range h[k] {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, v)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendData appends {"headers":..,"body":BODY,BLOCKS,"metadata":..}. body is
// valid JSON; headersKey is "headers" or, for Argo Events' sns, "header".
func appendData(dst []byte, headersKey string, h http.Header, secret []string, body []byte, blocks []Block, metadata map[string]string) ([]byte, error) {
	dst = append(AppendJSON(append(dst, '{'), headersKey), ':')
	dst = AppendHeader(dst, h, secret...)
	dst = append(append(dst, `,"body":`...), body...)
	for _, b := range blocks {
		v, err := json.Marshal(b.Value)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Key, err)
		}
		dst = append(AppendJSON(append(dst, ','), b.Key), ':')
		dst = append(dst, v...)
	}
	if len(metadata) > 0 {
		v, err := json.Marshal(metadata)
		if err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
		dst = append(append(dst, `,"metadata":`...), v...)
	}
	return append(dst, '}'), nil
}
