package http_test

import (
	"io"
	"log/slog"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/http"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func BenchmarkFire(b *testing.B) {
	server := httptest.NewServer(nethttp.HandlerFunc(func(_ nethttp.ResponseWriter, r *nethttp.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	clients := httpclient.New(secret.Objects{}, "bench")
	defer clients.Close()
	env := trigger.Env{Log: slog.New(slog.DiscardHandler), Secrets: secret.Objects{}, HTTP: clients}
	for name, extra := range map[string]string{
		"fixed":      "",
		"parameters": "parameters: [{src: {dependencyName: dep, dataKey: number}, dest: headers.X-N}]",
	} {
		config := "{url: " + server.URL + ", headers: {Content-Type: application/json}, payload: [{src: {dependencyName: dep, dataKey: text}, dest: message}, {src: {dependencyName: dep, dataKey: number, useRawData: true}, dest: number}], " + extra + "}"
		tr := triggertest.Build(b, http.Kind, config, &triggertest.Env{Env: env})
		in := triggertest.Input(1)
		b.Run("Render/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Render(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Fire/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := tr.Fire(b.Context(), in); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	b.Run("Fire/ceiling", func(b *testing.B) {
		client, err := clients.Client(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				req, err := nethttp.NewRequestWithContext(b.Context(), nethttp.MethodPost, server.URL, strings.NewReader(`{"message":"number 1","number":1}`))
				if err != nil {
					b.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	})
}
