// Package gitrepotest has real Git repositories and servers for tests. Tests skip
// where there is no git program.
package gitrepotest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Repo is a bare repository that a test changes.
type Repo struct {
	// Dir is its folder, NAME.git.
	Dir string

	git   string
	clock int64

	mu     sync.Mutex
	config []string
}

// Configure sets what the git that serves r is told, as in uploadpack.allowFilter=true.
func (r *Repo) Configure(config ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config = config
}

// New makes a repository whose default branch is main.
func New(t testing.TB, name string) *Repo {
	t.Helper()
	bin, err := exec.LookPath("git")
	if err != nil {
		t.Skip("a git server needs git: ", err)
	}
	r := &Repo{Dir: filepath.Join(t.TempDir(), name+".git"), git: bin, clock: 1_767_322_985}
	if err := os.MkdirAll(r.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	r.Git(t, "", "init", "--quiet", "--bare", "--initial-branch=main", ".")
	return r
}

// env keeps the machine's own configuration out.
func (r *Repo) env() []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "HOME=" + r.Dir, "GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example.com",
		"GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example.com", "PATH=" + os.Getenv("PATH"),
	}
	r.mu.Lock()
	all := append([]string{"safe.directory=*"}, r.config...)
	r.mu.Unlock()
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(all)))
	for i, c := range all {
		key, value, _ := strings.Cut(c, "=")
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, value))
	}
	return env
}

// Git runs git in the repository and returns what it prints.
func (r *Repo) Git(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), r.git, args...) //nolint:gosec // a test says what
	cmd.Dir, cmd.Env, cmd.Stdin = r.Dir, r.env(), strings.NewReader(stdin)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, problems.String())
	}
	return strings.TrimSpace(string(out))
}

// Commit puts a commit with some files changed onto a whole ref, made if it is not
// there, and returns its id. An empty text removes a file. The parents are
// the ref's commit unless they are given; "-" is none.
func (r *Repo) Commit(t testing.TB, ref, message string, files map[string]string, parents ...string) string {
	t.Helper()
	if len(parents) == 0 {
		if at := r.At(t, ref); at != "" {
			parents = []string{at}
		}
	}
	r.clock++
	var b strings.Builder
	fmt.Fprintf(&b, "commit %s\ncommitter ann <ann@example.com> %d +0100\ndata %d\n%s\n", ref, r.clock, len(message), message)
	for i, p := range parents {
		switch {
		case p == "-":
			b.WriteString("deleteall\n")
		case i == 0:
			fmt.Fprintf(&b, "from %s\n", p)
		default:
			fmt.Fprintf(&b, "merge %s\n", p)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if text := files[path]; text == "" {
			fmt.Fprintf(&b, "D %s\n", path)
		} else {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", path, len(text), text)
		}
	}
	if len(parents) > 0 && parents[0] == "-" {
		r.Delete(t, ref)
	}
	r.Git(t, b.String(), "fast-import", "--quiet", "--force")
	return r.At(t, ref)
}

// At is the commit that a ref points to; empty if there is none.
func (r *Repo) At(t testing.TB, ref string) string {
	t.Helper()
	return r.Git(t, "", "for-each-ref", "--format=%(objectname)", ref)
}

// Set points a ref to an object.
func (r *Repo) Set(t testing.TB, ref, id string) { t.Helper(); r.Git(t, "", "update-ref", ref, id) }

// Delete removes a ref.
func (r *Repo) Delete(t testing.TB, ref string) { t.Helper(); r.Git(t, "", "update-ref", "-d", ref) }

// Forget removes all objects that no ref leads to.
func (r *Repo) Forget(t testing.TB) {
	t.Helper()
	r.Git(t, "", "reflog", "expire", "--expire=now", "--all")
	r.Git(t, "", "gc", "--quiet", "--prune=now")
}
