package http

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
)

// plan is what can be known of the requests of one configuration before there
// is an event.
type plan struct {
	conf    Config
	url     *url.URL // without user and password
	shown   string   // the URL as errors may show it
	headers []header
	// userinfo is the Authorization header that the URL asks for; "" if none.
	userinfo string
	payload  *param.List
	dynamic  *param.List
	timeout  time.Duration
}

type header struct {
	name, value string
	secret      bool
}

// newPlan takes a configuration that has been validated.
func newPlan(c Config) (*plan, error) {
	u, err := parseURL(c.URL)
	if err != nil {
		return nil, v1alpha1.Invalid("url", "%v", err)
	}
	p := &plan{conf: c, timeout: time.Duration(min(c.Timeout, 1<<31)) * time.Second}
	if u.User != nil {
		password, _ := u.User.Password()
		p.userinfo = basic(u.User.Username(), password)
		u.User = nil
	}
	p.url, p.shown = u, show(u)
	if p.payload, err = param.CompilePayload(c.Payload); err != nil {
		return nil, v1alpha1.At("payload", err)
	}
	if p.dynamic, err = param.Compile(c.DynamicHeaders); err != nil {
		return nil, v1alpha1.At("dynamicHeaders", err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		p.headers = append(p.headers, header{name: name, value: c.Headers[name]})
	}
	return p, nil
}

// show writes a URL without what may be secret: user, password, query.
func show(u *url.URL) string {
	s := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		s += "?..."
	}
	return s
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
