package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// senderNames are all foreign programs whose requests "send" can make.
func senderNames() []string {
	var names []string
	for _, k := range sources.Kinds {
		for _, s := range k.Senders {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func senderNamed(name string) (eventsource.Sender, bool) {
	for _, k := range sources.Kinds {
		for _, s := range k.Senders {
			if s.Name == name {
				return s, true
			}
		}
	}
	return eventsource.Sender{}, false
}

func (f *sendFlags) senderArgs(name string) error {
	switch {
	case f.url != "" && len(f.manifests) > 0:
		return errors.New("give --url or --manifests, not both")
	case f.url == "" && len(f.manifests) == 0:
		return fmt.Errorf("say where to: --url, or --manifests with an EventSource on this machine that takes requests of %s", name)
	case f.data == "" && f.file == "":
		return errors.New("say what to send: --file or --data")
	case f.url == "":
		return nil
	}
	return wantURL(f.url)
}

// playSender posts a payload as s does.
func (f *sendFlags) playSender(ctx context.Context, out io.Writer, g *globals, s eventsource.Sender, data []byte) error {
	if f.url == "" {
		var err error
		if f.url, err = f.endpointOf(s.Name); err != nil {
			return err
		}
	}
	return f.post(ctx, out, g, data, func() (http.Header, error) {
		id := f.id
		if id == "" {
			id = eventsource.NewID()
		}
		h, err := s.Header(eventsource.Sending{Body: data, Event: f.event, ID: id, Secret: []byte(f.secret), Now: time.Now()})
		if err != nil {
			return nil, fmt.Errorf("as %s: %w", s.Name, err)
		}
		return h, nil
	})
}

// endpointOf is the URL, on this machine, of the one entry in the manifests that
// takes requests of a sender.
func (f *sendFlags) endpointOf(sender string) (string, error) {
	set := manifest.Load(f.manifests, manifestOptions(f.bus.namespace))
	var urls, names []string
	for _, o := range set.OfKind(v1alpha1.KindEventSource) {
		for _, e := range o.Entries {
			if e.Kind.Routes == nil || !slices.ContainsFunc(e.Kind.Senders, func(s eventsource.Sender) bool { return s.Name == sender }) {
				continue
			}
			for _, r := range e.Kind.Routes(e.Config) {
				scheme := "http"
				if r.ServerCert != nil {
					scheme = "https"
				}
				urls = append(urls, scheme+"://"+net.JoinHostPort("localhost", r.Port)+r.Path)
				names = append(names, o.Name+"/"+e.Event)
			}
		}
	}
	switch len(urls) {
	case 1:
		return urls[0], nil
	case 0:
		return "", fmt.Errorf("no EventSource in %s takes requests of %s", strings.Join(f.manifests, ", "), sender)
	}
	return "", fmt.Errorf("several entries in %s take requests of %s (%s); say which with --url, such as %s", strings.Join(f.manifests, ", "), sender, strings.Join(names, ", "), urls[0])
}

// wrap breaks a text into lines of at most n characters.
func wrap(text string, n int) string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > n:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n")
}
