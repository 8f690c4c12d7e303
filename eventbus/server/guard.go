package server

import (
	"crypto/subtle"
	"sync"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
)

// oldPasswords is how long a password is still taken after another one has
// replaced it: the files of clients change later than ours, or earlier.
const oldPasswords = 10 * time.Minute

// guard decides who may connect. In contrast to the server's own list its users
// can be replaced without connections being closed.
type guard struct {
	private User // never replaced

	mu    sync.RWMutex
	users map[string]*login
}

// login is a user, and the password that its current one replaced.
type login struct {
	User
	old   string
	until time.Time
}

func newGuard(private User, users []User) *guard {
	g := &guard{private: private}
	g.replace(users, time.Now())
	return g
}

// replace has other users from now on.
func (g *guard) replace(users []User, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := make(map[string]*login, len(users))
	for _, u := range users {
		l := &login{User: u}
		if before := g.users[u.Name]; before != nil {
			l.old, l.until = before.old, before.until
			if before.Password != u.Password {
				l.old, l.until = before.Password, now.Add(oldPasswords)
			}
		}
		next[u.Name] = l
	}
	g.users = next
}

// Check implements the server's Authentication.
func (g *guard) Check(c nats.ClientAuthentication) bool {
	o := c.GetOpts()
	u, ok := g.find(o.Username, o.Password, time.Now())
	if ok {
		c.RegisterUser(u.user())
	}
	return ok
}

func (g *guard) find(name, password string, now time.Time) (User, bool) {
	if name == g.private.Name {
		return g.private, same(g.private.Password, password)
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	l := g.users[name]
	switch {
	case l == nil:
		return User{}, false
	case same(l.Password, password), now.Before(l.until) && same(l.old, password):
		return l.User, true
	}
	return User{}, false
}

// same takes as long for any two texts of a length; an empty password is none.
func same(want, got string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}

// user is u as the server has it.
func (u User) user() *nats.User {
	n := &nats.User{Username: u.Name, Password: u.Password}
	if u.Publish != nil || u.Subscribe != nil {
		n.Permissions = &nats.Permissions{Publish: allow(u.Publish), Subscribe: allow(u.Subscribe)}
	}
	return n
}

// allow permits nothing but subjects; the server takes an empty list for all.
func allow(subjects []string) *nats.SubjectPermission {
	if len(subjects) == 0 {
		return &nats.SubjectPermission{Deny: []string{">"}}
	}
	return &nats.SubjectPermission{Allow: subjects}
}

// SetUsers replaces Config.Users of a Private server. Who is connected stays
// connected, and a password that is replaced is taken for 10 more minutes.
func (s *Server) SetUsers(users []User) {
	if s.guard != nil {
		s.guard.replace(users, time.Now())
	}
}
