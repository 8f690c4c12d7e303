package verify

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// vault is a secret.Reader whose values change.
type vault map[string]string

func (v vault) Secret(_ context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	s, ok := v[ref.Key]
	if !ok {
		return nil, errors.New("not found")
	}
	return []byte(s), nil
}

func (vault) ConfigMap(context.Context, *corev1.ConfigMapKeySelector) ([]byte, error) {
	return nil, errors.New("no ConfigMaps")
}

func refs(keys ...string) (out []*corev1.SecretKeySelector) {
	for _, k := range keys {
		if k == "" {
			out = append(out, nil)
			continue
		}
		out = append(out, &corev1.SecretKeySelector{Key: k})
	}
	return out
}

func TestKeys(t *testing.T) {
	v := vault{"a": "1", "b": "2", "empty": ""}
	for name, tt := range map[string]struct {
		refs []*corev1.SecretKeySelector
		want string
	}{
		"one":               {refs("a"), "1"},
		"two":               {refs("a", "b"), "1,2"},
		"the second absent": {refs("a", "c"), "1"},
		"the second empty":  {refs("a", "empty", "b"), "1,2"},
		"the second nil":    {refs("a", "", "b"), "1,2"},
		"the first absent":  {refs("c", "a"), "error"},
		"the first empty":   {refs("empty", "a"), "error"},
		"the first nil":     {refs("", "a"), "error"},
		"none":              {nil, "error"},
	} {
		k := &Keys{Secrets: v, Refs: tt.refs}
		for range 2 { // the second time takes the short way
			got, err := k.Read(t.Context())
			if text := string(bytes.Join(got, []byte(","))); err != nil && tt.want != "error" || err == nil && text != tt.want {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
		if current, err := k.Current(t.Context()); err == nil && string(current) != "1" {
			t.Errorf("%s: the current one is %q", name, current)
		}
	}
}

func TestRotation(t *testing.T) {
	v, now := vault{"a": "1"}, time.Unix(0, 0)
	k := &Keys{Secrets: v, Refs: refs("a", "b"), Now: func() time.Time { return now }}
	for _, step := range []struct {
		after time.Duration
		a, b  string
		want  string
	}{
		{0, "1", "", "1"},
		{time.Minute, "2", "", "2,1"},
		{time.Minute, "3", "", "3,1,2"},
		{time.Minute, "3", "2", "3,2,1"}, // not twice
		{time.Minute, "1", "2", "1,2,3"}, // back again
		{time.Minute, "1", "", "1,3,2"},
		{50 * time.Minute, "1", "", "1,3,2"},
		{Grace - 51*time.Minute, "1", "", "1,3,2"},
		{time.Minute, "1", "", "1,2"}, // 3 was replaced a minute before 2
		{time.Second, "1", "", "1"},
	} {
		now = now.Add(step.after)
		v["a"] = step.a
		if delete(v, "b"); step.b != "" {
			v["b"] = step.b
		}
		got, err := k.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if text := string(bytes.Join(got, []byte(","))); text != step.want {
			t.Errorf("at %v: %s, want %s", now.UTC().Format("15:04:05"), text, step.want)
		}
	}
	delete(v, "a")
	if _, err := k.Read(t.Context()); err == nil || strings.Contains(err.Error(), "1") {
		t.Errorf("a secret that is gone: %v", err)
	}
}
