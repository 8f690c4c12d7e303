package argocd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// requestTimeout bounds one request.
	requestTimeout = 30 * time.Second
	// rounds is how often an application is read and written anew because
	// somebody else was faster.
	rounds = 5
)

var (
	// errStale says that the application has changed since it was read.
	errStale = errors.New("somebody else has changed the application meanwhile")
	// errRunning says that another operation has begun since it was read.
	errRunning = errors.New("another operation is in progress")
)

// backend is a way to Argo CD.
type backend interface {
	get(ctx context.Context, namespace, name string) (*application, error)
	// list gives the applications of the request's namespace, name, labels and project.
	list(ctx context.Context, r *request) ([]*application, error)
	// earlier tells whether an attempt before this one has begun the operation,
	// where the operation itself does not say so.
	earlier(ctx context.Context, r *request, app *application) (bool, error)
	// begin writes an operation, and a change of the spec with it, if there is
	// one. e is the entry of the history that a rollback goes to.
	begin(ctx context.Context, r *request, app *application, spec, operation map[string]any, e *entry) error
	terminate(ctx context.Context, app *application) error
	refresh(ctx context.Context, r *request, app *application) error
	// change applies a merge patch to spec and annotations, and gives what became
	// of the application.
	change(ctx context.Context, app *application, patch map[string]any) (*application, error)
	// until is cluster.Until.
	until(ctx context.Context, namespace, name string, look func(*application) (enough bool, err error)) error
}

// backend of a configuration.
func (a *actor) backend(ctx context.Context, s *Server) (backend, error) {
	if s == nil {
		client, err := a.env.Kubernetes.Dynamic()
		if err != nil {
			return nil, err
		}
		return &kubernetes{client}, nil
	}
	token, err := a.env.Secrets.Secret(ctx, s.Token)
	if err != nil {
		return nil, fmt.Errorf("server.token: %w", err)
	}
	client, err := a.env.HTTP.Client(ctx, s.TLS)
	if err != nil {
		return nil, fmt.Errorf("server.tls: %w", err)
	}
	return newREST(s.URL, token, client, a.pace), nil
}

// within bounds the time of one request.
func within[T any](ctx context.Context, send func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	v, err := send(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %v: %w", requestTimeout, context.DeadlineExceeded)
	}
	return v, err
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// selected are the applications that a request is about.
func (r *request) selected(ctx context.Context, b backend) ([]*application, error) {
	if r.pushed != nil && r.pushed.why != "" {
		return nil, nil
	}
	var all []*application
	if r.named() && r.conf.Namespace != everywhere {
		app, err := b.get(ctx, r.conf.Namespace, r.conf.Name)
		if err != nil {
			return nil, err
		}
		all = []*application{app}
	} else {
		var err error
		if all, err = b.list(ctx, r); err != nil {
			return nil, err
		}
	}
	var out []*application
	for _, app := range all {
		ok, err := r.takes(app)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, app)
		}
	}
	if r.named() && r.pushed == nil && len(out) == 0 {
		return nil, fmt.Errorf("there is no application %s that is asked for", r.conf.Name)
	}
	if n := len(out); r.conf.Follow != nil && n > maxFollowed {
		return nil, trigger.Permanent(fmt.Errorf("%d applications are selected; with follow there can be %d at most", n, maxFollowed))
	}
	return out, nil
}

// maxFollowed applications fit into the record of what is followed.
const maxFollowed = 150

// takes applies what the APIs do not select by. An application that is being
// deleted is passed over, unless it is asked for by name.
func (r *request) takes(app *application) (bool, error) {
	c := &r.conf
	if c.Project != "" && app.text("spec", "project") != c.Project {
		return false, nil
	}
	matches, err := selects(c.Selector, app.GetLabels())
	if err != nil || !matches {
		return false, err
	}
	if r.pushed != nil && !r.pushed.concerns(app, c.AffectedBy) {
		return false, nil
	}
	return !app.deleting() || r.named(), nil
}
