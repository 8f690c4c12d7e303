package server

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// logger passes the server's lines to slog. What it calls a notice is Debug
// here, except a few changes of state.
type logger struct {
	log *slog.Logger
	// broken gets a value when the server can no longer write a stream.
	broken chan struct{}

	mu   sync.Mutex
	died error
}

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log.With("component", "nats-server"), broken: make(chan struct{}, 1)}
}

// notable are beginnings of notices that are changes of state.
var notable = []string{"Entering lame duck mode", "JetStream cluster new metadata leader", "JetStream Shutdown"}

// writeErrors are parts of errors after which JetStream refuses to store.
var writeErrors = []string{"critical write error", "Critical write error", "will be DISABLED"}

// needless are beginnings of warnings that do not apply: passwords are random or
// the user's choice, and certificates are verified by our own function.
var needless = []string{"Plaintext passwords detected", "TLS certificate chain and hostname of solicited routes will not be verified"}

func (l *logger) Noticef(format string, v ...any) {
	for _, n := range notable {
		if strings.HasPrefix(format, n) {
			l.log.Info(fmt.Sprintf(format, v...))
			return
		}
	}
	l.log.Debug(fmt.Sprintf(format, v...))
}

func (l *logger) Warnf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	for _, n := range needless {
		if strings.HasPrefix(text, n) {
			l.log.Debug(text)
			return
		}
	}
	l.log.Warn(text)
}

func (l *logger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.HasPrefix(text, "Error trying to connect to route") { // members start one after the other
		l.log.Warn(text)
		return
	}
	for _, part := range writeErrors {
		if strings.Contains(text, part) {
			select {
			case l.broken <- struct{}{}:
			default:
			}
		}
	}
	l.log.Error(text)
}

// Fatalf notes the error for launch; the server goes on to its end by itself.
func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.died == nil {
		l.died = fmt.Errorf(format, v...)
	}
}

func (l *logger) Debugf(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

func (l *logger) Tracef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

func (l *logger) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.died
}

func (l *logger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.died = nil
}

// mend forgets write errors of a server that was stopped.
func (l *logger) mend() {
	select {
	case <-l.broken:
	default:
	}
}
