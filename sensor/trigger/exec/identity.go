package exec

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// identity is who a program runs as. The zero identity is the process's own.
type identity struct {
	credential *syscall.Credential
	home       string
}

// splitUser reads NAME, UID or UID:GID.
func splitUser(s string) (name, group string, err error) {
	name, group, both := strings.Cut(s, ":")
	switch {
	case both && (!isID(name) || !isID(group)):
		return "", "", v1alpha1.Invalid("", "%q is no UID:GID", s)
	case strings.ContainsAny(s, "\x00/ "):
		return "", "", v1alpha1.Invalid("", "%q is no name of a user", s)
	}
	return name, group, nil
}

func isID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}

func (c *call) identity() (identity, error) {
	if c.conf.User == "" {
		return identity{}, nil
	}
	if os.Geteuid() != 0 {
		return identity{}, trigger.Permanent(errors.New("user: only a process of root can run a program as somebody else"))
	}
	who, err := identify(c.conf.User)
	if err != nil {
		return identity{}, fmt.Errorf("user: %w", err)
	}
	return who, nil
}

// identify asks the system for what is not said.
func identify(s string) (identity, error) {
	name, group, err := splitUser(s)
	if err != nil {
		return identity{}, err
	}
	var known *user.User
	if isID(name) {
		known, err = user.LookupId(name)
	} else {
		known, err = user.Lookup(name)
	}
	switch {
	case err == nil:
	case group != "":
		known = &user.User{Uid: name, HomeDir: "/"}
	case isID(name):
		return identity{}, fmt.Errorf("there is no user %s: write UID:GID", name)
	default:
		return identity{}, fmt.Errorf("there is no user %s", name)
	}
	who := identity{home: known.HomeDir, credential: &syscall.Credential{}}
	groups := []string{}
	if group == "" {
		group = known.Gid
		if groups, err = known.GroupIds(); err != nil {
			return identity{}, fmt.Errorf("the groups of %s: %w", name, err)
		}
	}
	if who.credential.Uid, err = number(known.Uid); err != nil {
		return identity{}, err
	}
	if who.credential.Gid, err = number(group); err != nil {
		return identity{}, err
	}
	for _, g := range groups {
		n, err := number(g)
		if err != nil {
			return identity{}, err
		}
		who.credential.Groups = append(who.credential.Groups, n)
	}
	return who, nil
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of a user or group", s)
	}
	return uint32(n), nil
}
