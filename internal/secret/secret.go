// Package secret reads secrets and ConfigMaps.
package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ErrNotFound is what a Reader's error wraps if the object or its key is not there.
var ErrNotFound = errors.New("not found")

// A Reader looks a reference up anew on every call, so that rotation works.
// One trailing newline of a value is cut. Errors name the object and the key,
// never the value. A missing key of a reference that is marked optional gives
// nil without an error.
type Reader interface {
	Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error)
	ConfigMap(ctx context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error)
}

// Dir is a folder with one file a key: DIR/NAME/KEY. In a pod the controller
// mounts there what the manifest refers to; on a single machine the user makes
// the files. Secrets and ConfigMaps share the folder.
type Dir string

// Secret implements Reader.
func (d Dir) Secret(_ context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	return d.read("secret", ref.Name, ref.Key, ref.Optional)
}

// ConfigMap implements Reader.
func (d Dir) ConfigMap(_ context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	return d.read("configmap", ref.Name, ref.Key, ref.Optional)
}

// Folders reads secrets from one folder and ConfigMaps from another, so that
// a Secret and a ConfigMap may have the same name.
type Folders struct{ Secrets, ConfigMaps Dir }

// Secret implements Reader.
func (f Folders) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	return f.Secrets.Secret(ctx, ref)
}

// ConfigMap implements Reader.
func (f Folders) ConfigMap(ctx context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	return f.ConfigMaps.ConfigMap(ctx, ref)
}

func (d Dir) read(what, name, key string, optional *bool) ([]byte, error) {
	if !isName(name) || !isName(key) {
		return nil, fmt.Errorf("%s %q, key %q: not a name", what, name, key)
	}
	if d == "" {
		return missing(what, name, key, optional, "there is no folder of secrets; see --secrets")
	}
	b, err := os.ReadFile(filepath.Join(string(d), name, key))
	if errors.Is(err, os.ErrNotExist) {
		return missing(what, name, key, optional, "no file "+name+"/"+key+" in the folder of secrets")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q, key %q: %w", what, name, key, err)
	}
	return trim(b), nil
}

// Objects are secrets and ConfigMaps that stand among the manifests, by name.
type Objects struct {
	Secrets, ConfigMaps map[string]map[string][]byte
}

// Secret implements Reader.
func (o Objects) Secret(_ context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	return lookUp(o.Secrets, "secret", ref.Name, ref.Key, ref.Optional)
}

// ConfigMap implements Reader.
func (o Objects) ConfigMap(_ context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	return lookUp(o.ConfigMaps, "configmap", ref.Name, ref.Key, ref.Optional)
}

func lookUp(in map[string]map[string][]byte, what, name, key string, optional *bool) ([]byte, error) {
	if v, ok := in[name][key]; ok {
		return trim(v), nil
	}
	return missing(what, name, key, optional, "not among the manifests")
}

// First asks each of its readers in turn until one has the key.
type First []Reader

// Secret implements Reader.
func (f First) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	must := ref.DeepCopy()
	must.Optional = nil
	return f.first(ref.Optional, func(r Reader) ([]byte, error) { return r.Secret(ctx, must) })
}

// ConfigMap implements Reader.
func (f First) ConfigMap(ctx context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	must := ref.DeepCopy()
	must.Optional = nil
	return f.first(ref.Optional, func(r Reader) ([]byte, error) { return r.ConfigMap(ctx, must) })
}

func (f First) first(optional *bool, read func(Reader) ([]byte, error)) ([]byte, error) {
	var absent missingError
	for _, r := range f {
		b, err := read(r)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		each := missingError{err.Error(), nil}
		_ = errors.As(err, &each)
		absent.what, absent.why = each.what, append(absent.why, each.why...)
	}
	if optional != nil && *optional {
		return nil, nil
	}
	return nil, absent
}

// missingError is an ErrNotFound that says where was looked, in one line.
type missingError struct {
	what string
	why  []string
}

func (e missingError) Error() string {
	return fmt.Sprintf("%s: %v (%s)", e.what, ErrNotFound, strings.Join(e.why, "; "))
}

func (e missingError) Unwrap() error { return ErrNotFound }

func missing(what, name, key string, optional *bool, why string) ([]byte, error) {
	if optional != nil && *optional {
		return nil, nil
	}
	return nil, missingError{fmt.Sprintf("%s %q, key %q", what, name, key), []string{why}}
}

func trim(b []byte) []byte { return bytes.TrimSuffix(b, []byte("\n")) }

func isName(s string) bool { return filepath.IsLocal(s) && !strings.ContainsAny(s, `/\`) && s != "." }
