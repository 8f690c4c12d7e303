package eventsource_test

import (
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
)

type nothing struct{}

func (*nothing) Default()        {}
func (*nothing) Validate() error { return nil }

type embedding struct {
	nothing
	v1alpha1.WebhookContext
}

type holding struct {
	nothing
	Webhook v1alpha1.WebhookContext
}

type pointing struct {
	nothing
	Webhook *v1alpha1.WebhookContext
}

func TestPublicURL(t *testing.T) {
	at := func(url, endpoint string) v1alpha1.WebhookContext {
		return v1alpha1.WebhookContext{URL: url, Endpoint: endpoint}
	}
	one := at("https://own.example.com/", "push")
	for _, c := range []struct {
		name   string
		config kind.Config
		base   string
		want   string
	}{
		{"no endpoint", &nothing{}, "https://a", ""},
		{"nothing is known", &embedding{WebhookContext: at("", "/push")}, "", ""},
		{"base", &embedding{WebhookContext: at("", "/push")}, "https://a/", "https://a/push"},
		{"base with a path", &holding{Webhook: at("", "/push")}, "https://a/hooks", "https://a/hooks/push"},
		{"its own", &pointing{Webhook: &one}, "https://a", "https://own.example.com/push"},
		{"a pointer that is nil", &pointing{}, "https://a", ""},
	} {
		eventsource.SetBase(c.config, c.base)
		if got := eventsource.PublicURL(c.config); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
