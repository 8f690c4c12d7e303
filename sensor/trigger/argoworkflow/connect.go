package argoworkflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// backend is what the configuration says where workflows are.
func (a *actor) backend(ctx context.Context) (backend, error) {
	if s := a.server(); s != nil {
		return s.open(ctx)
	}
	c, err := a.cluster()
	if err != nil {
		return nil, err
	}
	client, err := c.Dynamic()
	if err != nil {
		return nil, err
	}
	return &kubeAPI{client}, nil
}

// cluster is the process's, unless args say otherwise.
func (a *actor) cluster() (*cluster.Cluster, error) {
	o := &a.options
	other := o.kubeconfig != "" || o.context != ""
	if !other && o.as == "" && o.asUID == "" && len(o.asGroups) == 0 && o.token == "" {
		return a.env.Kubernetes, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.own != nil {
		return a.own, nil
	}
	var config *rest.Config
	var err error
	if other {
		rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: o.kubeconfig}
		if o.kubeconfig == "" {
			rules = clientcmd.NewDefaultClientConfigLoadingRules()
		}
		config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.context}).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s: %w", cmp.Or(o.kubeconfig, "of this user"), err)
		}
	} else if config, err = a.env.Kubernetes.Config(); err != nil {
		return nil, err
	}
	if o.token != "" {
		config = rest.AnonymousClientConfig(config)
		config.BearerToken = o.token
	}
	if o.as != "" || o.asUID != "" || len(o.asGroups) > 0 {
		config.Impersonate = rest.ImpersonationConfig{UserName: o.as, UID: o.asUID, Groups: o.asGroups}
	}
	a.own = cluster.Of(config)
	return a.own, nil
}

func isNotFound(err error) bool {
	return apierrors.IsNotFound(err) || errors.Is(err, cluster.ErrDeleted)
}

// oneLine shows an error, which may quote what others say, as one line.
type oneLine struct{ error }

func (o oneLine) Error() string { return line(o.error.Error()) }

func (o oneLine) Unwrap() error { return o.error }

// failed adds what was done to what, the wait that the API asked for, and
// whether another attempt can do better. Permanent is only what depends on the
// request alone.
func (act *action) failed(wf *unstructured.Unstructured, err error) error {
	out := fmt.Errorf("%s workflow %s/%s: %w", act.operation, act.namespace, wf.GetName(), oneLine{err})
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
		out = trigger.After(out, min(time.Duration(seconds)*time.Second, v1alpha1.MaxWait))
	}
	creates := act.operation == opSubmit || act.operation == opSubmitFrom || act.operation == opResubmit
	if apierrors.IsRequestEntityTooLargeError(err) || creates && apierrors.IsInvalid(err) {
		out = trigger.Permanent(out)
	}
	return out
}
