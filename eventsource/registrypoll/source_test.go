package registrypoll

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/test/registry"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// The registry leaves one goroutine behind that nothing can stop.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

// rig is a registry, and a source whose looks are made by hand.
type rig struct {
	t    *testing.T
	reg  *registry.Registry
	env  *sourcetest.Env
	s    *source
	got  []string
	ids  []string
	fail error
}

func newRig(t *testing.T, more string) *rig {
	t.Helper()
	r := &rig{t: t, reg: registry.Start(t, registry.Options{}), env: sourcetest.NewEnv(t)}
	r.again(more)
	return r
}

// again replaces the source by a new one, as a restart does.
func (r *rig) again(more string) {
	r.t.Helper()
	if r.s != nil {
		r.s.client.close()
	}
	text := strings.ReplaceAll("plainHTTP: true\n"+more, "HOST", r.reg.Host)
	if !strings.Contains(text, "repositories:") {
		text += "\nrepositories: [" + r.reg.Host + "/acme/api]"
	}
	r.s = sourcetest.Build(r.t, Kind, text, r.env).(*source)
	r.t.Cleanup(r.s.client.close)
}

// look looks once and returns what was emitted: "push api:v1 DIGEST".
func (r *rig) look() []string {
	r.t.Helper()
	got, err := r.tryLook()
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func (r *rig) tryLook() ([]string, error) {
	r.got = nil
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	err := r.s.look(ctx, func(_ context.Context, e eventsource.Event) error {
		if r.fail != nil {
			return r.fail
		}
		var data struct {
			Image imageevent.Event `json:"image"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			r.t.Error(err)
		}
		i := data.Image
		if i.Provider != "registry" || i.Registry != r.reg.Host || i.Verified != "polled" || i.DeliveryID != e.ID {
			r.t.Errorf("the block is %+v", i)
		}
		r.got = append(r.got, strings.TrimSpace(fmt.Sprintf("%s %s:%s %s", i.Action, strings.TrimPrefix(i.Repository, "acme/"), i.Tag, i.Kind)))
		r.ids = append(r.ids, e.ID)
		return nil
	})
	return r.got, err
}

func (r *rig) want(want ...string) {
	r.t.Helper()
	if got := r.look(); !slices.Equal(got, want) {
		r.t.Fatalf("emitted %q, want %q", got, want)
	}
}

func TestTags(t *testing.T) {
	r := newRig(t, "actions: [push, delete]")
	r.reg.Push(t, "acme/api:v1")
	r.want()
	r.want()
	r.reg.Push(t, "acme/api:v2")
	r.reg.PushIndex(t, "acme/api:multi")
	r.want("push api:multi index", "push api:v2 image")
	r.want()
	r.reg.Tag(t, "acme/api:v2", "v1")
	r.want("push api:v1 image")
	r.reg.Delete(t, "acme/api:v2")
	r.want("delete api:v2 unknown")
	r.want()
	r.again("actions: [push, delete]")
	r.reg.Push(t, "acme/api:v3")
	r.want("push api:v3 image")
	r.again("actions: [push, delete]")
	r.want()
	slices.Sort(r.ids)
	if n := len(slices.Compact(slices.Clone(r.ids))); n != len(r.ids) {
		t.Errorf("%d events have %d ids", len(r.ids), n)
	}
}

func TestATagThatMovesBackAndForth(t *testing.T) {
	r := newRig(t, "")
	r.reg.Push(t, "acme/api:a")
	r.reg.Push(t, "acme/api:b")
	r.reg.Tag(t, "acme/api:a", "latest")
	r.want()
	for _, from := range []string{"b", "a", "b"} {
		r.reg.Tag(t, "acme/api:"+from, "latest")
		r.want("push api:latest image")
	}
	slices.Sort(r.ids)
	if n := len(slices.Compact(r.ids)); n != 3 {
		t.Errorf("%d ids, want 3", n)
	}
}

func TestEmitExisting(t *testing.T) {
	r := newRig(t, "emitExisting: true")
	r.reg.Push(t, "acme/api:v1")
	r.reg.Push(t, "acme/api:v2")
	r.want("push api:v1 image", "push api:v2 image")
	r.want()
}

func TestSelection(t *testing.T) {
	r := newRig(t, "tags: ['v*']\nignore: ['*-rc*']")
	r.reg.Push(t, "acme/api:v0")
	r.want()
	for _, tag := range []string{"v1", "v1-rc1", "main"} {
		r.reg.Push(t, "acme/api:"+tag)
	}
	r.want("push api:v1 image")
	// What a changed manifest brings into sight is not new.
	r.again("tags: ['*']")
	r.want()
	r.reg.Push(t, "acme/api:main")
	r.want("push api:main image")
}

func TestSignaturesAreNotLookedAt(t *testing.T) {
	r := newRig(t, "")
	r.reg.Push(t, "acme/api:v0")
	r.want()
	r.reg.Push(t, "acme/api:sha256-"+strings.Repeat("0a", 32)+".sig")
	r.want()
}

func TestPolicies(t *testing.T) {
	for _, c := range []struct{ name, policy, existing, steps string }{
		{"semver", "semver: '^1'", "v1.0.0", "v1.2.0=push api:v1.2.0 image; v1.1.0=; v2.0.0=; v1.3.0-rc.1=; v1.2.0=push api:v1.2.0 image; x=; v1.10.0=push api:v1.10.0 image"},
		{"prereleases", "semver: '>=1.0.0-0'", "v1.0.0", "v1.1.0-rc.1=push api:v1.1.0-rc.1 image"},
		{"numbers", `regexp: {pattern: 'main-(\d+)-[0-9a-f]+'}`, "main-9-aa", "main-10-bb=push api:main-10-bb image; main-8-cc=; main-11=; latest="},
		{"lowest", `regexp: {pattern: 'r(\d+)', order: descending}`, "r5", "r6=; r4=push api:r4 image"},
		{"alphabetical", `regexp: {pattern: '\d{8}', sort: alphabetical}`, "20260101", "20260102=push api:20260102 image; 20251231="},
		{"versions in names", `regexp: {pattern: 'api-(.+)', sort: semver}`, "api-1.9.0", "api-1.10.0=push api:api-1.10.0 image; api-x="},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "policy: {"+c.policy+"}")
			r.reg.Push(t, "acme/api:"+c.existing)
			r.want()
			for step := range strings.SplitSeq(c.steps, "; ") {
				tag, want, _ := strings.Cut(step, "=")
				r.reg.Push(t, "acme/api:"+tag)
				got := strings.Join(r.look(), ",")
				if got != want {
					t.Errorf("%s: emitted %q, want %q", tag, got, want)
				}
			}
		})
	}
}

func TestAPickedTagThatGoes(t *testing.T) {
	r := newRig(t, "policy: {semver: '*'}\nactions: [push, delete]")
	r.reg.Push(t, "acme/api:v1.0.0")
	r.reg.Push(t, "acme/api:v1.1.0")
	r.want()
	r.reg.Push(t, "acme/api:v2.0.0")
	r.want("push api:v2.0.0 image")
	r.reg.Delete(t, "acme/api:v2.0.0")
	r.want("delete api:v2.0.0 unknown") // and not v1.1.0, which is no news
	r.want()
	r.reg.Push(t, "acme/api:v1.2.0")
	r.want("push api:v1.2.0 image")
}

func TestNewest(t *testing.T) {
	r := newRig(t, "policy: {newest: true}")
	r.reg.Push(t, "acme/api:old")
	r.want()
	for i, tag := range []string{"b", "c", "a"} {
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		made := v1.Time{Time: time.Date(2026, 1, 1+(i%2), 0, 0, 0, 0, time.UTC)}
		if image, err = mutate.CreatedAt(image, made); err != nil {
			t.Fatal(err)
		}
		r.reg.PushImage(t, "acme/api:"+tag, image)
	}
	r.want("push api:c image")
	r.want()
}

func TestManyTagsWithinTheLimit(t *testing.T) {
	r := newRig(t, "maxRequests: 20")
	r.reg.Push(t, "acme/api:t0000")
	const tags = 120
	for i := 1; i < tags; i++ {
		r.reg.Tag(t, "acme/api:t0000", fmt.Sprintf("t%04d", i))
	}
	r.want()
	moved := r.reg.Push(t, "acme/other:x")
	if moved == "" {
		t.Fatal("no digest")
	}
	// A tag that moves is found once every tag has had its turn, and no look
	// asks more than it may.
	for range tags/20 + 1 { // all digests are learned
		r.want()
	}
	r.reg.Push(t, "acme/api:t0077")
	found := 0
	for range tags/20 + 1 {
		r.reg.Asked()
		found += len(r.look())
		heads := 0
		for _, a := range r.reg.Asked() {
			if strings.HasPrefix(a, "HEAD ") {
				heads++
			}
		}
		if heads > 20 {
			t.Errorf("%d requests in a look that may make 20", heads)
		}
	}
	if found != 1 {
		t.Errorf("%d events of one move", found)
	}
}

func TestMoreNewTagsThanRequests(t *testing.T) {
	r := newRig(t, "maxRequests: 3")
	r.reg.Push(t, "acme/api:a0")
	r.want()
	for i := range 7 {
		r.reg.Tag(t, "acme/api:a0", fmt.Sprintf("b%d", i))
	}
	all := []string{}
	for range 3 {
		all = append(all, r.look()...)
	}
	if len(all) != 7 || len(slices.Compact(slices.Sorted(slices.Values(all)))) != 7 {
		t.Errorf("emitted %q", all)
	}
}

func TestTooManyRequests(t *testing.T) {
	r := newRig(t, "repositories: [HOST/acme/api, HOST/acme/web]")
	r.reg.Push(t, "acme/api:v1")
	r.reg.Push(t, "acme/web:v1")
	r.want()
	r.reg.Refuse(func(*http.Request) (int, http.Header) {
		return http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}
	})
	r.reg.Refused.Store(0)
	r.want() // waits for a second, and says so
	if n := r.reg.Refused.Load(); n != 1 {
		t.Errorf("%d requests were made after the registry had asked to be left alone", n-1)
	}
	r.reg.Refuse(nil)
	r.reg.Push(t, "acme/web:v2")
	r.want("push web:v2 image")
}

func TestOneRepositoryThatIsNotThere(t *testing.T) {
	r := newRig(t, "repositories: [HOST/acme/none, HOST/acme/api]")
	r.reg.Push(t, "acme/api:v1")
	r.want()
	r.reg.Push(t, "acme/api:v2")
	r.want("push api:v2 image")
	r.again("repositories: [HOST/acme/none]")
	_, err := r.tryLook()
	if err == nil || !strings.Contains(err.Error(), "acme/none: it is not there, or the credentials do not allow it") {
		t.Errorf("the error is %v", err)
	}
}

func TestCatalog(t *testing.T) {
	r := newRig(t, "repositories: ['HOST/acme/*']")
	r.reg.Push(t, "acme/api:v1")
	r.reg.Push(t, "other/api:v1")
	r.want()
	r.reg.Push(t, "acme/api:v2")
	r.reg.Push(t, "other/api:v2")
	r.want("push api:v2 image")
}

func TestARegistryThatIsEmptyForAMoment(t *testing.T) {
	r := newRig(t, "actions: [push, delete]")
	r.reg.Push(t, "acme/api:v1")
	r.want()
	r.reg.Delete(t, "acme/api:v1")
	r.want()
	r.want("delete api:v1 unknown")
}
