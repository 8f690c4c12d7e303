package argocd

import (
	"context"
	"net/http"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// spec is what Render shows.
type spec struct {
	Operation    string    `json:"operation"`
	Applications selection `json:"applications"`
	// Patch is the merge patch of the Kubernetes API on each of the applications,
	// without what depends on its state: resourceVersion, and the time of the request.
	Patch map[string]any `json:"patch,omitempty"`
	// Request to Argo CD's server about each of the applications.
	Request *call `json:"request,omitempty"`
	// FromApplication are fields of each application that the operation takes over.
	FromApplication []string `json:"fromApplication,omitempty"`
	// Set is put into a source of the application, in the same patch or before the request.
	Set *Set `json:"set,omitempty"`
	// Rollback is the entry of the history, whose revisions and sources go into
	// the operation: an id, or previous.
	Rollback string `json:"rollback,omitempty"`
	// DisableAutoSync tells that auto-sync is turned off before.
	DisableAutoSync bool `json:"disableAutoSync,omitempty"`
}

// selection says which applications.
type selection struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Selector  string `json:"selector,omitempty"`
	Project   string `json:"project,omitempty"`
	// AffectedBy is what was pushed.
	AffectedBy *shownPush `json:"affectedBy,omitempty"`
}

type shownPush struct {
	// Repositories and Images are the names of the one that was pushed to.
	Repositories []string `json:"repositories,omitempty"`
	Images       []string `json:"images,omitempty"`
	// Name of the branch or tag.
	Name string `json:"name,omitempty"`
	// DefaultBranch tells that it is.
	DefaultBranch bool `json:"defaultBranch,omitempty"`
	// Files is how many have changed; 0 if that is not known.
	Files int `json:"files"`
	// None says why no application is concerned, if that is known.
	None string `json:"none,omitempty"`
}

// call is a request to Argo CD's server; NAME in its path is the application's.
type call struct {
	Method        string         `json:"method"`
	URL           string         `json:"url"`
	Authorization string         `json:"authorization"`
	Body          map[string]any `json:"body,omitempty"`
}

// Render implements trigger.Trigger. The Spec is a spec.
func (a *actor) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	r, err := a.request(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	b, err := encode(r.spec())
	return trigger.Action{Kind: "argoCD", Spec: b}, err
}

func (r *request) spec() spec {
	c := &r.conf
	out := spec{
		Operation:       c.Operation,
		Applications:    selection{Namespace: c.Namespace, Name: c.Name, Selector: c.Selector, Project: c.Project},
		DisableAutoSync: c.DisableAutoSync && c.begins(),
	}
	if p := r.pushed; p != nil {
		out.Applications.AffectedBy = &shownPush{p.repositories, p.images, p.name, p.isDefault, len(p.files), p.why}
	}
	if r.changes() {
		out.Set = c.Set
	}
	if c.Operation == opRollback {
		if out.Rollback = toPrevious; c.Rollback != nil && c.Rollback.To != "" {
			out.Rollback = c.Rollback.To
		}
	}
	if c.begins() {
		if len(r.sync().SyncOptions) == 0 || c.Operation == opRollback {
			out.FromApplication = append(out.FromApplication, "spec.syncPolicy.syncOptions")
		}
		if r.sync().Retry == nil {
			out.FromApplication = append(out.FromApplication, "spec.syncPolicy.retry")
		}
	}
	if c.Server != nil {
		out.Request = r.call()
	} else {
		out.Patch = r.patch()
	}
	return out
}

func (r *request) patch() map[string]any {
	switch r.conf.Operation {
	case opRefresh, opHardRefresh:
		return r.refreshPatch(nil)
	case opTerminate:
		return terminatePatch()
	case opSet:
		return nil
	}
	return r.beginPatch(nil, nil, r.operation(nil))
}

func (r *request) call() *call {
	out := &call{Method: http.MethodPost, URL: newREST(r.conf.Server.URL, nil, &http.Client{}, pace{}).base + "/applications/NAME", Authorization: "Bearer ***"}
	switch r.conf.Operation {
	case opRefresh, opHardRefresh:
		out.Method = http.MethodGet
		out.URL += "?refresh=" + howFresh(r.hard())
	case opTerminate:
		out.Method = http.MethodDelete
		out.URL += "/operation"
	case opSet:
		out.Method = http.MethodPatch
	case opRollback:
		out.URL += "/rollback"
		out.Body = map[string]any{"prune": r.sync().Prune, "dryRun": r.sync().DryRun}
	default:
		out.URL += "/sync"
		out.Body = syncBody(r.operation(nil))
	}
	return out
}
