package gitrepo_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
)

// Files of a list are fetched together; if that is too much, one by one.
func TestDraftOfFilesThatAreTooLargeTogether(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure("uploadpack.allowFilter=true", pushable)
	files := map[string]string{}
	for n := range 5 {
		b := make([]byte, 20<<10)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprintf("f/%d", n)] = hex.EncodeToString(b)
	}
	r.Commit(t, main, "random", files)
	a := remote(t, nil, "url: "+r.Serve(t).Repository)
	a.SetLimit(60 << 10)
	d := draft(t, a, "main", "")
	if _, err := d.Files(t.Context()).List("f/*"); err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		if b, err := d.Files(t.Context()).Read(path); err != nil || string(b) != want {
			t.Errorf("%s: %d bytes, %v", path, len(b), err)
		}
	}
	a.SetLimit(1 << 10)
	d = draft(t, a, "main", "")
	if _, err := d.Files(t.Context()).Read("f/1"); !errors.Is(err, gitrepo.ErrTooLarge) {
		t.Errorf("a file that is too large: %v", err)
	}
}
