package notify

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/format"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// service is a shoutrrr URL that has been read. It is used for one message,
// because services keep parameters of a message for the next one.
type service struct {
	name string
	// keys are the parameters that it knows, in lower case.
	keys   []string
	config types.ServiceConfig
	url    *url.URL
	types.Service
}

// open reads a URL, without any connection. Errors do not quote it.
func open(raw string) (s *service, err error) {
	defer func() {
		if p := recover(); p != nil { // the URL may be anything
			s, err = nil, errors.New("the URL cannot be read")
		}
	}()
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("is no URL")
	}
	name, _, custom := strings.Cut(strings.ToLower(u.Scheme), "+")
	switch name {
	case "":
		return nil, v1alpha1.Invalid("", "is no URL of shoutrrr").Hinted("it begins with a service, such as discord://")
	case "http", "https":
		return nil, v1alpha1.Invalid("", "names no service").Hinted("give json to post to a webhook, or write generic+%s://", name)
	case "logger":
		return nil, errors.New("logger tells nobody")
	}
	r := router.ServiceRouter{}
	inner, err := r.NewService(name)
	if err != nil {
		bad := v1alpha1.Invalid("", "there is no service %q", name)
		if near := kind.Nearest(name, r.ListServices()); near != "" {
			bad.Hinted("did you mean %s?", near)
		}
		return nil, bad
	}
	if custom {
		c, ok := inner.(types.CustomURLService)
		if !ok {
			return nil, fmt.Errorf("%s takes no URL of another kind behind a +", name)
		}
		if u, err = c.GetConfigURLFromCustom(u); err != nil || u == nil {
			return nil, fmt.Errorf("the URL is not as %s wants it: %s", name, mask(err, raw))
		}
	}
	if (name == "pagerduty" || name == "opsgenie") && u.Hostname() != "" && u.Port() == "" {
		u.Host += ":443" // they take port 0 where there is none
	}
	s = &service{name: name, url: u, Service: inner, config: format.GetServiceConfig(inner)}
	if err := s.config.SetURL(u); err != nil {
		return nil, fmt.Errorf("the URL is not as %s wants it: %s", name, mask(err, raw))
	}
	for _, key := range format.GetConfigQueryResolver(s.config).QueryFields() {
		s.keys = append(s.keys, strings.ToLower(key))
	}
	return s, nil
}

func (s *service) knows(key string) bool { return slices.Contains(s.keys, strings.ToLower(key)) }

// send may log in, and sends. It does not know of a context; see adapt.
func (s *service) send(o outgoing, adapt func(types.Service) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := s.Initialize(s.url, log.New(io.Discard, "", 0)); err != nil {
		return err
	}
	if err := adapt(s.Service); err != nil {
		return err
	}
	params := types.Params{}
	for name, value := range s.special(o) {
		params[name] = value
	}
	for name, value := range o.Params {
		if s.knows(name) {
			params[strings.ToLower(name)] = value
		}
	}
	text := o.Text
	switch {
	case o.Title == "":
	case s.shows():
		params[types.TitleKey] = o.Title
	case text == "":
		text = o.Title
	default:
		text = o.Title + "\n" + text
	}
	return s.Send(text, &params)
}

// shows tells whether the service has a place for the title.
func (s *service) shows() bool {
	switch s.name {
	case "mattermost", "matrix": // they take it and do not use it
		return false
	case "generic":
		return s.url.Query().Get("template") != ""
	}
	return s.knows(types.TitleKey)
}

var severities = []string{"info", "warning", "error", "critical"}

func checkSeverity(s string) error {
	if !slices.Contains(severities, s) {
		return v1alpha1.Invalid("", "%q is no severity", s).Hinted("use one of %s", strings.Join(severities, ", "))
	}
	return nil
}

// special are the parameters that follow from the message's severity and group.
func (s *service) special(o outgoing) map[string]string {
	// by severity: info, warning, error, critical; then resolved
	table := map[string]struct {
		key    string
		values [5]string
	}{
		"ntfy":      {"priority", [5]string{"3", "4", "4", "5", "3"}},
		"gotify":    {"priority", [5]string{"2", "5", "8", "10", "2"}},
		"pushover":  {"priority", [5]string{"0", "0", "1", "1", "0"}},
		"opsgenie":  {"priority", [5]string{"P5", "P3", "P2", "P1", "P5"}},
		"pagerduty": {"severity", [5]string{"info", "warning", "error", "critical", "info"}},
		"slack":     {"color", [5]string{"#2488ff", "#ffc441", "#d60510", "#d60510", "#2eb67d"}},
		"discord":   {"color", [5]string{"0x2488ff", "0xffc441", "0xd60510", "0xd60510", "0x2eb67d"}},
		"teams":     {"color", [5]string{"2488ff", "ffc441", "d60510", "d60510", "2eb67d"}},
		"notifiarr": {"color", [5]string{"2488ff", "ffc441", "d60510", "d60510", "2eb67d"}},
	}
	out := map[string]string{}
	if row, ok := table[s.name]; ok {
		i := slices.Index(severities, o.Severity)
		if o.Kind == resolved {
			i = len(severities)
		}
		if i >= 0 {
			out[row.key] = row.values[i]
		}
	}
	if o.group == "" {
		return out
	}
	switch s.name {
	case "pagerduty": // one incident a group, which ends with it
		out["dedup_key"] = o.group
		if o.Kind == resolved {
			out["action"] = "resolve"
		}
	case "opsgenie":
		out["alias"] = o.group
	}
	return out
}
