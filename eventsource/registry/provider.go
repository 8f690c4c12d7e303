package registry

import (
	"context"
	"net/http"
	"slices"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// provider is a kind of registry.
type provider struct {
	// name in the configuration and in events; title is what people call it.
	name, title string
	// byHeader tells its requests by their header alone; nil if that cannot be.
	byHeader func(h http.Header) bool
	// byShape tells its deliveries by what they look like inside.
	byShape func(in *input) bool
	// signed are the signatures that it makes; nil if it can have a token at best.
	signed func() []verify.Scheme
	// instead may stand in the header of the signature; nil if nothing may.
	instead func(c *Config) verify.Scheme
	// decode says which events a delivery is.
	decode func(ctx context.Context, s *source, in *input) ([]found, error)
	// host puts the registry's host and the path of the repository right, where that depends on
	// the configuration; nil leaves them.
	host func(s *source, f *found)
	// send adds what its requests have beside body and secret; nil if that is nothing.
	send func(h http.Header, in *input, s eventsource.Sending)
}

// providers are all of them, in the order in which they are tried: those that are
// sure of theirs by a header come first.
func providers() []*provider {
	return []*provider{
		&gitea, &ghcr, &acr, &ecr, &nexus, &artifactory, &zot, &harbor, &cdevents,
		&distribution, &gitlab, &gar, &quay, &aliyun, &dockerhub, &generic,
	}
}

// providerNames are the values that the configuration's provider can have.
func providerNames() []string {
	var names []string
	for _, p := range providers() {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return append([]string{auto}, names...)
}

// providerNamed finds a provider; nil for auto.
func providerNamed(name string) *provider {
	for _, p := range providers() {
		if p.name == name {
			return p
		}
	}
	return nil
}

// senderByHeader finds the provider that a request says it is of; nil if it
// does not. Nothing but the header has been looked at.
func senderByHeader(h http.Header) *provider {
	for _, p := range providers() {
		if p.byHeader != nil && p.byHeader(h) {
			return p
		}
	}
	return nil
}

// sender finds the provider of a delivery; nil if it is of none. What has been
// found by the header, and chosen the signature, stays.
func (in *input) sender() *provider {
	if p := senderByHeader(in.header); p != nil {
		return p
	}
	for _, p := range providers() {
		if p.byShape != nil && p.byShape(in) {
			return p
		}
	}
	return nil
}
