package argocd

import (
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// Config says what Argo CD is to do with which applications. Fields that say
// "Text" may hold a Go template over the events, such as
// {{ .Input.push.data.git.after }}, where push is a dependency. Signalbox.
type Config struct {
	// Operation is sync (default), refresh, hardRefresh, rollback, terminate or
	// set. Set changes the application as the block set says and nothing more;
	// with sync, the block set is applied together with the sync, at once.
	// Signalbox.
	// +optional
	Operation string `json:"operation,omitempty"`
	// Name of the one application. Text. Signalbox.
	// +optional
	Name string `json:"name,omitempty"`
	// Namespace of the applications; "*" is all namespaces. Defaults to argocd;
	// with server, to all that the token may see, and for a name to that of Argo CD.
	// Text. Signalbox.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Selector takes the applications with these labels, written as for kubectl:
	// team=shop,tier in (web,api). Text. Signalbox.
	// +optional
	Selector string `json:"selector,omitempty"`
	// Project takes only applications of this AppProject. Text. Signalbox.
	// +optional
	Project string `json:"project,omitempty"`
	// AffectedBy takes only applications that what has been pushed is a source of. Signalbox.
	// +optional
	AffectedBy *AffectedBy `json:"affectedBy,omitempty"`
	// Sync is how to sync; rollback uses prune and dryRun of it. Signalbox.
	// +optional
	Sync *Sync `json:"sync,omitempty"`
	// Set is what to change in the application's source. Signalbox.
	// +optional
	Set *Set `json:"set,omitempty"`
	// Rollback is where to go back to. Signalbox.
	// +optional
	Rollback *Rollback `json:"rollback,omitempty"`
	// DisableAutoSync turns auto-sync of the application off before a sync or a
	// rollback, which it would undo or refuse; nobody turns it on again. Signalbox.
	// +optional
	DisableAutoSync bool `json:"disableAutoSync,omitempty"`
	// OnBusy is what sync and rollback do while another operation of the
	// application is running: wait (default) for its end, coalesce (wait, but a
	// firing that a later one has covered meanwhile is done), replace (end it), or
	// fail. Signalbox.
	// +optional
	OnBusy string `json:"onBusy,omitempty"`
	// BusyTimeout is how long to wait for a running operation. Defaults to 15m. Signalbox.
	// +optional
	BusyTimeout *v1alpha1.Duration `json:"busyTimeout,omitempty"`
	// Server is the Argo CD API server to use instead of the Kubernetes API. Signalbox.
	// +optional
	Server *Server `json:"server,omitempty"`
	// Follow waits for the end of the operation on all applications, and for
	// their health. Signalbox.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
	// FollowHealth is whether follow goes on until the applications are Healthy.
	// Defaults to true. Signalbox.
	// +optional
	FollowHealth *bool `json:"followHealth,omitempty"`
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example sync.revision. Signalbox.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
}

// AffectedBy selects applications by what an event of a Git host (its block
// git) or a registry (its block image) says was pushed. Signalbox.
type AffectedBy struct {
	// Dependency whose event it is. Signalbox.
	Dependency string `json:"dependency"`
	// UnknownFiles is what to do with applications that watch certain paths (the
	// annotation argocd.argoproj.io/manifest-generate-paths) if the event does not
	// say which files have changed: affected (default) or unaffected. Signalbox.
	// +optional
	UnknownFiles string `json:"unknownFiles,omitempty"`
	// SourcePath makes applications without that annotation watch the path of
	// their source alone. Argo CD does not do so, as a source may use files
	// elsewhere, such as a kustomize base. Signalbox.
	// +optional
	SourcePath bool `json:"sourcePath,omitempty"`
}

// Sync says how to sync. Signalbox.
type Sync struct {
	// Revision to sync to instead of the application's targetRevision: a commit,
	// tag, branch or chart version. For applications with one source. Text. Signalbox.
	// +optional
	Revision string `json:"revision,omitempty"`
	// Revisions for applications with several sources, one for each, in their
	// order; an empty one is that source's targetRevision. Texts. Signalbox.
	// +optional
	Revisions []string `json:"revisions,omitempty"`
	// Prune deletes objects that are not in the source any more. Signalbox.
	// +optional
	Prune bool `json:"prune,omitempty"`
	// DryRun changes nothing in the cluster. Signalbox.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// Strategy is hook (default), or apply, which leaves out hooks. Signalbox.
	// +optional
	Strategy string `json:"strategy,omitempty"`
	// Force deletes and creates anew objects that cannot be changed. Signalbox.
	// +optional
	Force bool `json:"force,omitempty"`
	// Resources are the only ones to sync; hooks do not run then, and the sync is
	// not written to the history. Signalbox.
	// +optional
	Resources []Resource `json:"resources,omitempty"`
	// SyncOptions such as CreateNamespace=true. Default to those of the application. Texts. Signalbox.
	// +optional
	SyncOptions []string `json:"syncOptions,omitempty"`
	// Retry of a sync that fails, by Argo CD. Defaults to that of the application. Signalbox.
	// +optional
	Retry *Retry `json:"retry,omitempty"`
	// Info is shown with the operation. Names that begin with signalbox are
	// taken. Signalbox.
	// +optional
	Info []NameValue `json:"info,omitempty"`
}

// Resource names objects of an application. Signalbox.
type Resource struct {
	// Group of the kind; empty is the core group. Signalbox.
	// +optional
	Group string `json:"group,omitempty"`
	// Kind, such as Deployment. Signalbox.
	Kind string `json:"kind"`
	// Name of the object. Text. Signalbox.
	Name string `json:"name"`
	// Namespace of the object; empty is any. Text. Signalbox.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// Retry is how often Argo CD tries a sync again. Signalbox.
type Retry struct {
	// Limit is how often; below 0 is for ever, 0 not at all. Signalbox.
	// +optional
	Limit int64 `json:"limit"`
	// Backoff is how long it waits. Signalbox.
	// +optional
	Backoff *RetryBackoff `json:"backoff,omitempty"`
	// Refresh takes the latest revision at each further attempt. Signalbox.
	// +optional
	Refresh bool `json:"refresh,omitempty"`
}

// RetryBackoff is how long Argo CD waits before it tries a sync again. Signalbox.
type RetryBackoff struct {
	// Duration of the first wait. Defaults to 5s. Signalbox.
	// +optional
	Duration string `json:"duration,omitempty"`
	// Factor by which each wait is longer than the one before. Defaults to 2. Signalbox.
	// +optional
	Factor *int64 `json:"factor,omitempty"`
	// MaxDuration is the longest wait. Defaults to 3m. Signalbox.
	// +optional
	MaxDuration string `json:"maxDuration,omitempty"`
}

// NameValue is a named text. Signalbox.
type NameValue struct {
	// Name of it. Signalbox.
	Name string `json:"name"`
	// Value of it. Text. Signalbox.
	// +optional
	Value string `json:"value,omitempty"`
}

// Rollback says where to go back to. Signalbox.
type Rollback struct {
	// To is the id of an entry of the application's history, or previous (default):
	// what was deployed before what is deployed now. Text. Signalbox.
	// +optional
	To string `json:"to,omitempty"`
}

// Set says what to change in a source of the application. Signalbox.
type Set struct {
	// SourceName is the name of the source, if there are several. Text. Signalbox.
	// +optional
	SourceName string `json:"sourceName,omitempty"`
	// SourcePosition counts from 1, if there are several. Signalbox.
	// +optional
	SourcePosition int32 `json:"sourcePosition,omitempty"`
	// TargetRevision to follow from now on: a branch, tag, commit or chart
	// version. Text. Signalbox.
	// +optional
	TargetRevision string `json:"targetRevision,omitempty"`
	// Images for kustomize: [NAME=]IMAGE[:TAG][@DIGEST]. One replaces the one of
	// the same name. Write NAME= if the registry has a port. Texts. Signalbox.
	// +optional
	Images []string `json:"images,omitempty"`
	// Replicas for kustomize. One replaces the one of the same name. Signalbox.
	// +optional
	Replicas []Replicas `json:"replicas,omitempty"`
	// Helm is what to change for a chart. Signalbox.
	// +optional
	Helm *Helm `json:"helm,omitempty"`
}

// Replicas is how many pods a workload has. Signalbox.
type Replicas struct {
	// Name of the workload. Text. Signalbox.
	Name string `json:"name"`
	// Count is a whole number. Text. Signalbox.
	Count string `json:"count"`
}

// Helm says what to change for a chart. Signalbox.
type Helm struct {
	// Parameters, as of --set. One replaces the one of the same name. Signalbox.
	// +optional
	Parameters []HelmParameter `json:"parameters,omitempty"`
	// Values is the whole text of the values; it replaces what is there. Text. Signalbox.
	// +optional
	Values string `json:"values,omitempty"`
	// ValuesObject is merged into the values that are there as an object: a key
	// that is null is removed, a list is replaced. Its strings are Texts. Signalbox.
	// +optional
	ValuesObject *apiextv1.JSON `json:"valuesObject,omitempty"`
}

// HelmParameter is a value, as of --set. Signalbox.
type HelmParameter struct {
	// Name is its path, such as image.tag. Text. Signalbox.
	Name string `json:"name"`
	// Value of it; a comma has to be written as \, there. Text. Signalbox.
	Value string `json:"value"`
	// ForceString takes 1 and true as strings. Signalbox.
	// +optional
	ForceString bool `json:"forceString,omitempty"`
}

// Server is an Argo CD API server. Signalbox.
type Server struct {
	// URL of it, http or https, such as https://argocd.example.com. Signalbox.
	URL string `json:"url"`
	// Token is an API token of an Argo CD account or project role. Signalbox.
	Token *corev1.SecretKeySelector `json:"token"`
	// TLS for https. Without it the system's certificate authorities are trusted. Signalbox.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
}
