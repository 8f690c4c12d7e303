package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Small kinds, so that these tests tell of this package alone.

type hookConfig struct {
	v1alpha1.WebhookContext `json:",inline"`
	Filter                  *v1alpha1.EventSourceFilter `json:"filter,omitempty"`
}

func (c *hookConfig) Default() {
	if c.Port == "" {
		c.Port = "12000"
	}
}

func (c *hookConfig) Validate() error {
	if c.Endpoint == "" {
		return v1alpha1.Invalid("endpoint", "is required")
	}
	return nil
}

type tickConfig struct {
	v1alpha1.EventCommon `json:",inline"`
	Interval             string `json:"interval,omitempty"`
}

func (c *tickConfig) Default() {}

func (c *tickConfig) Validate() error {
	if c.Interval == "" {
		return v1alpha1.Invalid("interval", "is required")
	}
	return nil
}

type callConfig struct {
	URL     string                      `json:"url,omitempty"`
	Timeout int64                       `json:"timeout,omitempty"`
	Payload []v1alpha1.TriggerParameter `json:"payload,omitempty"`
}

func (c *callConfig) Default() {}

func (c *callConfig) Validate() error {
	var errs []error
	if c.URL == "" {
		errs = append(errs, v1alpha1.Invalid("url", "is required"))
	}
	if c.Timeout < 0 {
		errs = append(errs, v1alpha1.Invalid("timeout", "is negative"))
	}
	return errors.Join(errs...)
}

// anyConfig takes what the fields of EventCommon and these say.
type anyConfig struct {
	v1alpha1.EventCommon `json:",inline"`
	EventType            string         `json:"eventType,omitempty"`
	WatchPathConfig      map[string]any `json:"watchPathConfig,omitempty"`
	Polling              bool           `json:"polling,omitempty"`
}

func (c *anyConfig) Default()        {}
func (c *anyConfig) Validate() error { return nil }

type sayConfig struct{}

func (c *sayConfig) Default()        {}
func (c *sayConfig) Validate() error { return nil }

type syncConfig struct {
	Revision   string                      `json:"revision,omitempty"`
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	Follow     *v1alpha1.Follow            `json:"follow,omitempty"`
}

func (c *syncConfig) Default()        {}
func (c *syncConfig) Validate() error { return nil }

type emitConfig struct {
	EventSourceName string `json:"eventSourceName,omitempty"`
	EventName       string `json:"eventName"`
}

func (c *emitConfig) Default()        {}
func (c *emitConfig) Validate() error { return nil }

func noSource[C any](C, eventsource.Env) (eventsource.Source, error) {
	return nil, errors.New("only for reading")
}

func noTrigger[C any](C, trigger.Env) (trigger.Trigger, error) {
	return nil, errors.New("only for reading")
}

func options() manifest.Options {
	return manifest.Options{
		Sources: eventsource.Kinds{
			{
				Kind:     kind.Of("webhook", noSource[hookConfig]),
				DataKeys: []string{"header", "body"},
				Routes: func(c kind.Config) []eventsource.Route {
					h := c.(*hookConfig)
					r := eventsource.Route{Port: h.Port, Path: h.Endpoint, ServerCert: h.ServerCertSecret, ServerKey: h.ServerKeySecret}
					if h.Method != "" {
						r.Methods = []string{h.Method}
					}
					return []eventsource.Route{r}
				},
			},
			{Kind: kind.Of("calendar", noSource[tickConfig]), DataKeys: []string{"eventTime"}},
			{Kind: kind.Of("file", noSource[anyConfig]), DataKeys: []string{"name", "op"}},
			{Kind: kind.Of("cloudevents", noSource[hookConfig]), ForeignContext: true},
		},
		Triggers: trigger.Kinds{
			{Kind: kind.Of("http", noTrigger[callConfig]), StatusPolicy: true},
			{Kind: kind.Of("log", noTrigger[sayConfig])},
			{Kind: kind.Of("emit", noTrigger[emitConfig])},
			{
				Texts:  true,
				Kind:   kind.Of("sync", noTrigger[syncConfig]),
				Follow: &trigger.Follow{Block: func(c kind.Config) *v1alpha1.Follow { return c.(*syncConfig).Follow }},
			},
		},
	}
}

// lint reads text and returns its problems, one a line, without notes.
func lint(t *testing.T, text string) []string {
	t.Helper()
	var lines []string
	for _, p := range manifest.Read("m.yaml", []byte(text), options()).Problems {
		if p.Severity != v1alpha1.Note {
			lines = append(lines, p.String())
		}
	}
	return lines
}

// expect compares problems with the wanted lines.
func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
