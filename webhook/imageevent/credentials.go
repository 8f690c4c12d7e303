package imageevent

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Credentials are those of a .dockerconfigjson, as an authn.Keychain. The zero
// value has none, and asks anonymously.
type Credentials struct {
	entries []credential
}

type credential struct {
	host, path string
	auth       authn.AuthConfig
}

var _ authn.Keychain = (*Credentials)(nil)

// ParseCredentials reads a .dockerconfigjson
// (https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/).
// Its keys are hosts, with * for one label of a name, or a path behind them; of
// several that fit the longest counts. Errors do not have the text.
func ParseCredentials(text []byte) (*Credentials, error) {
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, errors.New("the credentials are no .dockerconfigjson")
	}
	c := &Credentials{}
	for key, auth := range config.Auths {
		rest := key
		if _, after, ok := strings.Cut(key, "://"); ok {
			rest = after
		}
		_, path, _ := strings.Cut(rest, "/")
		path = strings.Trim(path, "/")
		if path == "v1" || path == "v2" {
			path = ""
		}
		c.entries = append(c.entries, credential{Host(key), path, auth})
	}
	return c, nil
}

// Hosts that there are credentials for; they may hold *.
func (c *Credentials) Hosts() []string {
	var hosts []string
	for _, e := range c.entries {
		hosts = append(hosts, e.host)
	}
	return hosts
}

// Resolve implements authn.Keychain.
func (c *Credentials) Resolve(r authn.Resource) (authn.Authenticator, error) {
	host := Host(r.RegistryStr())
	_, path, _ := strings.Cut(r.String(), "/")
	var best *credential
	for i := range c.entries {
		e := &c.entries[i]
		if !sameHost(e.host, host) || e.path != "" && path != e.path && !strings.HasPrefix(path, e.path+"/") {
			continue
		}
		if best == nil || len(e.path) > len(best.path) || len(e.path) == len(best.path) && len(e.host) > len(best.host) {
			best = e
		}
	}
	if best == nil {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(best.auth), nil
}

// sameHost compares label by label; * stands for one.
func sameHost(pattern, host string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == host
	}
	want, have := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}
