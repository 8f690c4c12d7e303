package frontdoor_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/test/proc"
	"github.com/signalbox-events/signalbox/test/registry"
)

// named counts the blocks of an entry by what name makes of them.
func (h *house) named(entry string, name func(b map[string]any) string) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]int{}
	for _, b := range h.seen[entry] {
		out[name(b.Block)]++
	}
	return out
}

// settle waits until each of want has come, and then a little for what should not.
func (h *house) settle(entry string, name func(map[string]any) string, want ...string) {
	h.t.Helper()
	if err := proc.Until(40*time.Second, func() bool {
		got := h.named(entry, name)
		for _, w := range want {
			if got[w] == 0 {
				return false
			}
		}
		return true
	}); err != nil {
		h.t.Fatalf("%s: not all came: %v", entry, h.named(entry, name))
	}
	time.Sleep(500 * time.Millisecond)
	got := h.named(entry, name)
	if len(got) != len(want) {
		h.t.Errorf("%s: %d came, want %d: %v", entry, len(got), len(want), got)
	}
	for what, n := range got {
		if n != 1 {
			h.t.Errorf("%s: %s came %d times", entry, what, n)
		}
	}
}

const door = `
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: door}
spec:
`

// Two replicas hear of each image that is pushed, and look themselves; one after
// the other is killed. Each image is acted on once as a push that was told, and
// once as one that was found.
func TestImagesWithTwoReplicas(t *testing.T) {
	addr, err := proc.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	bus, err := proc.Start(binary, "bus", "--listen", addr, "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = bus.Terminate(30 * time.Second) }) //nolint:errcheck // whether it ends well is another test's business
	if err := proc.Until(30*time.Second, func() bool { return strings.Contains(bus.Out(), "bus listens on") }); err != nil {
		t.Fatal(bus.Out(), bus.Log())
	}
	one, other := newHouse(t), newHouse(t)
	reg := registry.Start(t, registry.Options{Notify: "http://" + one.addr + "/pushed", Authorization: "Bearer s3cr3t"})
	reg.Push(t, "acme/api:v0") // before anybody looks
	for _, h := range []*house{one, other} {
		h.write("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: hooks}\nstringData: {secret: s3cr3t}\n")
		h.write("source.yaml", door+`
  registry:
    pushed: {provider: distribution, secret: {name: hooks, key: secret}, webhook: {port: "PORT", endpoint: /pushed}}
  registryPoll:
    polled: {repositories: [`+reg.Host+`/acme/api], interval: 300ms, plainHTTP: true}
`)
		h.write("sensors.yaml", one.sensor("pushed", "image", `data.image.tag != "v0"`)+one.sensor("polled", "image", `data.image.action == "push"`))
		h.start("nats://" + addr)
	}
	if err := proc.Until(40*time.Second, func() bool {
		return strings.Contains(one.process.Log()+other.process.Log(), "seen for the first time")
	}); err != nil {
		t.Fatal(one.process.Log(), other.process.Log())
	}
	tag := func(b map[string]any) string { return fmt.Sprint(b["tag"]) }
	var want []string
	push := func(tags ...string) {
		t.Helper()
		for _, v := range tags {
			reg.Push(t, "acme/api:"+v)
		}
		want = append(want, tags...)
		one.settle("pushed", tag, want...)
		one.settle("polled", tag, want...)
	}
	push("v1", "v2", "v3")
	for i, h := range []*house{one, other} {
		h.process.Kill()
		h.start("nats://" + addr)
		push(fmt.Sprintf("v%d", 4+i))
	}
}

// A repository is looked at while it changes in every way, and the process is
// killed while it tells of 500 branches.
func TestGitPollKilled(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git:", err)
	}
	repo := gitrepotest.New(t, "shop")
	first := repo.Commit(t, "refs/heads/main", "first", map[string]string{"a.txt": "1"})
	server := repo.Serve(t)
	h := newHouse(t)
	h.write("source.yaml", door+`
  gitPoll:
    shop: {url: "`+server.Repository+`", interval: 300ms, branches: ["**"], tags: ["**"]}
`)
	h.write("sensors.yaml", h.sensor("shop", "git", `data.git.provider == "git"`))
	h.start("")
	if err := proc.Until(40*time.Second, func() bool { return strings.Contains(h.process.Log(), "seen for the first time") }); err != nil {
		t.Fatal(h.process.Log())
	}
	told := func(b map[string]any) string {
		after, _ := b["after"].(string)
		return fmt.Sprint(b["action"], " ", b["ref"], " ", after)
	}
	var want []string
	expect := func(text string) {
		t.Helper()
		want = append(want, text)
		h.settle("shop", told, want...)
	}
	second := repo.Commit(t, "refs/heads/main", "second", map[string]string{"b.txt": "2"}, first)
	expect("updated refs/heads/main " + second)
	forced := repo.Commit(t, "refs/heads/main", "instead", map[string]string{"c.txt": "3"}, first)
	expect("updated refs/heads/main " + forced)
	repo.Set(t, "refs/tags/v1", forced)
	expect("created refs/tags/v1 " + forced)
	repo.Set(t, "refs/heads/short", forced)
	expect("created refs/heads/short " + forced)
	repo.Delete(t, "refs/heads/short")
	expect("deleted refs/heads/short ")

	var refs strings.Builder
	before := len(want)
	for i := range 500 {
		ref := fmt.Sprintf("refs/heads/many/%03d", i)
		fmt.Fprintf(&refs, "create %s %s\n", ref, forced)
		want = append(want, "created "+ref+" "+forced)
	}
	repo.Git(t, refs.String(), "update-ref", "--stdin")
	for _, share := range []int{50, 250} {
		if err := proc.Until(40*time.Second, func() bool { return len(h.named("shop", told)) >= before+share }); err != nil {
			t.Fatal(len(h.named("shop", told)), h.process.Log())
		}
		h.process.Kill()
		h.start("")
	}
	h.settle("shop", told, want...)
	last := repo.Commit(t, "refs/heads/main", "last", map[string]string{"d.txt": "4"}, forced)
	expect("updated refs/heads/main " + last)
}
