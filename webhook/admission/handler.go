// Package admission checks EventBus, EventSource and Sensor objects for the
// API server, with the code of lint: errors refuse an object, warnings are told
// to the person who applies it.
//
// It is never in the way. An object whose check goes wrong or takes too long
// is let in with a warning, and the ValidatingWebhookConfiguration has the
// failure policy Ignore. The controller checks each object again by itself.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/signalbox-events/signalbox/internal/manifest"
)

const (
	// maxReview bounds a review. It has an object twice, and the API server
	// takes none above 3 MiB.
	maxReview = 8 << 20
	// maxChecks run at a time.
	maxChecks = 8
	// checkTime is less than the API server waits.
	checkTime = 4 * time.Second
)

// Handler answers an AdmissionReview (admission.k8s.io/v1, JSON) with one. What
// is no review gets an HTTP error, which the failure policy passes over.
type Handler struct {
	options manifest.Options
	sources Sources
	log     *slog.Logger
	within  time.Duration
	check   func(*admissionv1.AdmissionRequest, manifest.Options, source) *admissionv1.AdmissionResponse

	slots  chan struct{}
	checks sync.WaitGroup
}

// Sources gives an EventSource as JSON, nil if there is none.
type Sources func(ctx context.Context, namespace, name string) ([]byte, error)

// NewHandler makes a Handler that knows the kinds of options. With sources, which
// may be nil, sensors are compared with the EventSources that they name.
func NewHandler(options manifest.Options, sources Sources, log *slog.Logger) *Handler {
	return &Handler{options: options, sources: sources, log: log, within: checkTime, check: review, slots: make(chan struct{}, maxChecks)}
}

// Wait returns when no check runs any more. No request may come meanwhile.
func (h *Handler) Wait() { h.checks.Wait() }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err != nil {
		status := http.StatusBadRequest
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "read the review: "+err.Error(), status)
		return
	}
	var in admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &in); err != nil || in.Request == nil {
		http.Error(w, "want an AdmissionReview with a request", http.StatusBadRequest)
		return
	}
	out := admissionv1.AdmissionReview{TypeMeta: in.TypeMeta, Response: h.answer(r.Context(), in.Request)}
	out.Response.UID = in.Request.UID
	b, err := json.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) //nolint:gosec // the API server reads it as JSON
}

// answer checks the object, but waits no longer than it may.
func (h *Handler) answer(ctx context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	ctx, cancel := context.WithTimeout(ctx, h.within)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return unchecked("too many objects come at once")
	}
	done := make(chan *admissionv1.AdmissionResponse, 1)
	h.checks.Go(func() {
		defer func() { <-h.slots }()
		done <- h.safely(ctx, req)
	})
	select {
	case resp := <-done:
		return resp
	case <-ctx.Done():
		return unchecked("the check takes too long")
	}
}

// safely turns a panic of a check into an answer that lets the object in.
func (h *Handler) safely(ctx context.Context, req *admissionv1.AdmissionRequest) (resp *admissionv1.AdmissionResponse) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("the check of an object panicked", "kind", req.Kind.Kind, "namespace", req.Namespace, "name", req.Name,
				"error", fmt.Sprint(p), "stack", string(debug.Stack()))
			resp = unchecked("the check failed, see the log of the controller")
		}
	}()
	return h.check(req, h.options, func(name string) []byte {
		if h.sources == nil {
			return nil
		}
		raw, err := h.sources(ctx, req.Namespace, name)
		if err != nil { // what is compared is only warned of
			h.log.Debug("an EventSource that a sensor names could not be read", "namespace", req.Namespace, "name", name, "error", err)
		}
		return raw
	})
}

func unchecked(why string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"not checked by Signalbox: " + why}}
}
