package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/sensortest"
)

type sendFlags struct {
	bus     busFlags
	data    string
	file    string
	id      string
	url     string
	method  string
	headers []string
	repeat  int
	// manifests are looked through for somebody who listens, or for the endpoint.
	manifests []string
	// event and secret are for a sender's request.
	event, secret string
}

func newSend(g *globals) *cobra.Command {
	f := &sendFlags{}
	cmd := &cobra.Command{
		Use:   "send [EVENTSOURCE/EVENT | SENDER]",
		Short: "Put an event on the bus by hand, or post it to a webhook, also in a Git host's or registry's name",
		Long: "With EVENTSOURCE/EVENT, put an event on the bus as if that source had emitted it; the data is what\n" +
			"sensors see (for a webhook: {\"header\":{},\"body\":...}), or a whole CloudEvent as JSON.\n" +
			"With --url, post the data to that address.\n" +
			"With SENDER, post a payload as that one does, with its headers, signed with --secret:\n" + wrap(strings.Join(senderNames(), ", "), 96) + ".",
		Example: "  signalbox send webhook/push --data '{\"body\":{\"ref\":\"refs/heads/main\"}}'\n" +
			"  signalbox send --url http://localhost:12000/push --file push.json --repeat 10\n" +
			"  signalbox send github --file push.json --secret s3cr3t --url http://localhost:12000/github",
		Args:              f.args,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := f.read(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if s, ok := senderNamed(first(args)); ok {
				return f.playSender(cmd.Context(), cmd.OutOrStdout(), g, s, data)
			}
			if f.url != "" {
				return f.post(cmd.Context(), cmd.OutOrStdout(), g, data, nil)
			}
			return f.publish(cmd, g, args[0], data)
		},
	}
	f.bus.add(cmd)
	f.bus.addNames(cmd)
	cmd.Flags().StringVar(&f.data, "data", "", "the data")
	cmd.Flags().StringVar(&f.file, "file", "", "file with the data; - is standard input")
	cmd.Flags().StringVar(&f.id, "id", "", "id of the event (default: random); the bus stores an id once")
	cmd.Flags().StringVar(&f.url, "url", "", "post to this address instead")
	cmd.Flags().StringVarP(&f.method, "method", "X", http.MethodPost, "HTTP method, with --url")
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "HTTP header NAME: VALUE, with --url; may be repeated")
	cmd.Flags().IntVar(&f.repeat, "repeat", 1, "how often")
	cmd.Flags().StringArrayVar(&f.manifests, "manifests", nil, "file or folder of manifests, to be told if no sensor in it listens to the event, or to find SENDER's endpoint on this machine; may be repeated")
	cmd.Flags().StringVar(&f.event, "event", "", "with SENDER: its own name of the event, such as pull_request, where the payload does not tell")
	cmd.Flags().StringVar(&f.secret, "secret", "", "with SENDER: the secret to sign with (default: not signed)")
	return cmd
}

// args checks what does not need the bus.
func (f *sendFlags) args(cmd *cobra.Command, args []string) error {
	_, sender := senderNamed(first(args))
	switch {
	case sender && len(args) == 1 && f.repeat >= 1:
		return f.senderArgs(args[0])
	case !sender && (f.event != "" || f.secret != ""):
		return fmt.Errorf("--event and --secret go with a sender: %s", strings.Join(senderNames(), ", "))
	case len(args) == 0 && f.url == "":
		return fmt.Errorf("say where to: EVENTSOURCE/EVENT for the bus, or --url for a webhook; see %s --help", cmd.CommandPath())
	case len(args) > 0 && f.url != "" && !strings.Contains(args[0], "/"):
		return fmt.Errorf("there is no sender %q; there are %s", args[0], strings.Join(senderNames(), ", "))
	case len(args) > 0 && f.url != "":
		return errors.New("give EVENTSOURCE/EVENT for the bus or --url for a webhook, not both")
	case len(args) > 1:
		return fmt.Errorf("send takes one EVENTSOURCE/EVENT, got %s; the data goes in quotes behind --data", quoted(args))
	case f.repeat < 1:
		return fmt.Errorf("--repeat %d: want 1 or more", f.repeat)
	case f.url != "" && len(f.manifests) > 0:
		return errors.New("--manifests goes with EVENTSOURCE/EVENT, not with --url")
	case f.url == "":
		return nil
	}
	return wantURL(f.url)
}

func wantURL(s string) error {
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("--url %s: want an address such as http://localhost:12000/push", s)
	}
	return nil
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (f *sendFlags) read(stdin io.Reader) ([]byte, error) {
	switch {
	case f.data != "" && f.file != "":
		return nil, errors.New("give --data or --file, not both")
	case f.file == "-":
		return io.ReadAll(stdin)
	case f.file != "":
		return readFile("--file", f.file)
	case f.data != "":
		return []byte(f.data), nil
	}
	return []byte("{}"), nil
}

func (f *sendFlags) publish(cmd *cobra.Command, g *globals, to string, data []byte) error {
	ctx := cmd.Context()
	source, name, ok := cutLast(to)
	if !ok {
		return fmt.Errorf("%q: want EVENTSOURCE/EVENT", to)
	}
	if f.id != "" && f.repeat > 1 {
		return errors.New("--id with --repeat stores one event only; leave one of them out")
	}
	addr := eventbus.Address{Source: source, Event: name}
	e, err := sensortest.NewEvent(addr, data)
	if err != nil {
		return err
	}
	bus, closeBus, err := f.bus.open(ctx)
	if err != nil {
		return err
	}
	defer closeBus()
	note := f.unheard(ctx, bus, addr)
	for i := range f.repeat {
		one := e.Clone()
		switch {
		case f.id != "":
			one.SetID(f.id)
		case i > 0 || one.ID() == "":
			one.SetID(eventsource.NewID())
		}
		if err := bus.Publish(ctx, addr, one.ID(), &one); err != nil {
			return fmt.Errorf("event %d of %d: %w", i+1, f.repeat, err)
		}
		if err := tell(cmd.OutOrStdout(), g, &one, note); err != nil {
			return err
		}
	}
	if note != "" && !g.json() {
		fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
	}
	return nil
}

// unheard says that nobody will get events of an address: no sensor in the
// manifests that were given, or else none on the bus.
func (f *sendFlags) unheard(ctx context.Context, bus *eventbus.Bus, to eventbus.Address) string {
	if len(f.manifests) > 0 {
		set := manifest.Load(f.manifests, manifestOptions(f.bus.namespace))
		if !set.Complete() {
			return fmt.Sprintf("whether a sensor listens to %s/%s is not known: %s", to.Source, to.Event, oneLine(set.Problems[0].String(), 200))
		}
		if listens(set, f.bus.namespace, f.bus.name, to) {
			return ""
		}
		return fmt.Sprintf("no sensor in %s listens to %s/%s", strings.Join(f.manifests, ", "), to.Source, to.Event)
	}
	if n, err := bus.Listeners(ctx, to); err != nil || n > 0 {
		return ""
	}
	return fmt.Sprintf("no sensor on EventBus %s listens to %s/%s", f.bus.name, to.Source, to.Event)
}

func listens(set *manifest.Set, namespace, bus string, to eventbus.Address) bool {
	for _, o := range set.OfKind(v1alpha1.KindSensor) {
		if o.Sensor == nil || o.Namespace != namespace || o.Sensor.Spec.Bus() != bus {
			continue
		}
		for _, d := range o.Sensor.Spec.Dependencies {
			if d.EventSourceName == to.Source && d.EventName == to.Event {
				return true
			}
		}
	}
	return false
}

func tell(out io.Writer, g *globals, e *event.Event, note string) error {
	if g.json() {
		v := map[string]string{"id": e.ID()}
		if note != "" {
			v["note"] = note
		}
		return json.NewEncoder(out).Encode(v)
	}
	_, err := fmt.Fprintln(out, "stored", e.ID())
	return err
}

// post sends the data to the URL. header, if not nil, makes the header of each request.
func (f *sendFlags) post(ctx context.Context, out io.Writer, g *globals, data []byte, header func() (http.Header, error)) error {
	client := &http.Client{Timeout: 60 * time.Second}
	for i := range f.repeat {
		req, err := http.NewRequestWithContext(ctx, f.method, f.url, bytes.NewReader(data))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		if header != nil {
			if req.Header, err = header(); err != nil {
				return err
			}
		}
		for _, h := range f.headers {
			name, value, ok := strings.Cut(h, ":")
			if !ok {
				return fmt.Errorf("--header %q: want NAME: VALUE", h)
			}
			req.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		if f.id != "" && header == nil {
			req.Header.Set("Idempotency-Key", f.id)
		}
		status, body, err := do(client, req)
		if err != nil {
			if f.repeat == 1 {
				return err
			}
			return fmt.Errorf("request %d of %d: %w", i+1, f.repeat, err)
		}
		if g.json() {
			err = json.NewEncoder(out).Encode(map[string]any{"status": status, "body": body})
		} else {
			_, err = fmt.Fprintln(out, status, strings.TrimSpace(body))
		}
		if err != nil {
			return err
		}
		if status/100 != 2 {
			return exitCode(1)
		}
	}
	return nil
}

func do(client *http.Client, req *http.Request) (int, string, error) {
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(b), err
}
