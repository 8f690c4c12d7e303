package secret

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func key(name, key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
}

// mount writes a version of a projected volume as the kubelet does: a folder
// of its own, to which the link ..data is moved, and links through that.
func mount(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range files {
		file := filepath.Join(dir, version, path)
		must(os.MkdirAll(filepath.Dir(file), 0o755))
		must(os.WriteFile(file, []byte(text), 0o600))
		top := filepath.Join(dir, filepath.Dir(path))
		if _, err := os.Lstat(top); err != nil {
			must(os.Symlink(filepath.Join("..data", filepath.Dir(path)), top))
		}
	}
	must(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
}

func TestDirFollowsRotation(t *testing.T) {
	dir := t.TempDir()
	read := func(want string) {
		t.Helper()
		b, err := Dir(dir).Secret(t.Context(), key("login", "password"))
		if err != nil || string(b) != want {
			t.Errorf("got %q, %v, want %q", b, err, want)
		}
	}
	mount(t, dir, "..1", map[string]string{"login/password": "old\n"})
	read("old")
	mount(t, dir, "..2", map[string]string{"login/password": "new"})
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	read("new")
	mount(t, dir, "..3", map[string]string{"other/key": "x"}) // optional, and gone
	if _, err := Dir(dir).Secret(t.Context(), key("login", "password")); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}

func TestFoldersKeepSecretsAndConfigMapsApart(t *testing.T) {
	secrets, configMaps := t.TempDir(), t.TempDir()
	mount(t, secrets, "..1", map[string]string{"shop/key": "secret"})
	mount(t, configMaps, "..1", map[string]string{"shop/key": "plain", "only/key": "plain"})
	f := Folders{Dir(secrets), Dir(configMaps)}
	if b, err := f.Secret(t.Context(), key("shop", "key")); err != nil || string(b) != "secret" {
		t.Errorf("secret: %q, %v", b, err)
	}
	cm := &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "shop"}, Key: "key"}
	if b, err := f.ConfigMap(t.Context(), cm); err != nil || string(b) != "plain" {
		t.Errorf("ConfigMap: %q, %v", b, err)
	}
	if b, err := f.Secret(t.Context(), key("only", "key")); !errors.Is(err, ErrNotFound) {
		t.Errorf("a ConfigMap is read as a secret: %q, %v", b, err)
	}
}

func TestDirStaysInside(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dir, "in")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, k := range []*corev1.SecretKeySelector{key("..", "outside"), key("a", "../../outside"), key("a/..", "outside"), key(".", "outside"), key("", "outside")} {
		if b, err := Dir(inner).Secret(t.Context(), k); err == nil {
			t.Errorf("%s/%s gives %q", k.Name, k.Key, b)
		}
	}
}

func TestFirstSaysWhereItLooked(t *testing.T) {
	f := First{Objects{}, Dir("")}
	_, err := f.Secret(t.Context(), key("login", "password"))
	want := `secret "login", key "password": not found (not among the manifests; there is no folder of secrets; see --secrets)`
	if !errors.Is(err, ErrNotFound) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
