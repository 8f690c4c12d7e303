package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/spf13/cobra"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventsource"
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
}

func newSend(g *globals) *cobra.Command {
	f := &sendFlags{}
	cmd := &cobra.Command{
		Use:   "send [EVENTSOURCE/EVENT]",
		Short: "Put an event on the bus by hand, or post it to a webhook",
		Long: "With EVENTSOURCE/EVENT, put an event on the bus as if that source had emitted it; the data is what\n" +
			"sensors see (for a webhook: {\"header\":{},\"body\":...}), or a whole CloudEvent as JSON.\n" +
			"With --url, post the data to that address.",
		Example: "  signalbox send webhook/push --data '{\"body\":{\"ref\":\"refs/heads/main\"}}'\n" +
			"  signalbox send --url http://localhost:12000/push --file push.json --repeat 10",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (f.url != "") {
				return errors.New("say where to: EVENTSOURCE/EVENT for the bus, or --url for a webhook")
			}
			data, err := f.read(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if f.url != "" {
				return f.post(cmd.Context(), cmd.OutOrStdout(), g, data)
			}
			return f.publish(cmd.Context(), cmd.OutOrStdout(), g, args[0], data)
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
	return cmd
}

func (f *sendFlags) read(stdin io.Reader) ([]byte, error) {
	switch {
	case f.data != "" && f.file != "":
		return nil, errors.New("give --data or --file, not both")
	case f.file == "-":
		return io.ReadAll(stdin)
	case f.file != "":
		return os.ReadFile(f.file)
	case f.data != "":
		return []byte(f.data), nil
	}
	return []byte("{}"), nil
}

func (f *sendFlags) publish(ctx context.Context, out io.Writer, g *globals, to string, data []byte) error {
	source, name, ok := strings.Cut(to, "/")
	if !ok || source == "" || name == "" {
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
		if err := tell(out, g, &one); err != nil {
			return err
		}
	}
	return nil
}

func tell(out io.Writer, g *globals, e *event.Event) error {
	if g.json() {
		return json.NewEncoder(out).Encode(map[string]string{"id": e.ID()})
	}
	_, err := fmt.Fprintln(out, "stored", e.ID())
	return err
}

func (f *sendFlags) post(ctx context.Context, out io.Writer, g *globals, data []byte) error {
	client := &http.Client{Timeout: 60 * time.Second}
	for i := range f.repeat {
		req, err := http.NewRequestWithContext(ctx, f.method, f.url, bytes.NewReader(data))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		for _, h := range f.headers {
			name, value, ok := strings.Cut(h, ":")
			if !ok {
				return fmt.Errorf("--header %q: want NAME: VALUE", h)
			}
			req.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		if f.id != "" {
			req.Header.Set("Idempotency-Key", f.id)
		}
		status, body, err := do(client, req)
		if err != nil {
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
