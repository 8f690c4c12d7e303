package argoworkflow

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/artifact"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says what to do with which workflow of Argo Workflows.
type Config struct {
	// Source says where the object is. To submit, it is the Workflow; for
	// submit-from a WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow, of
	// which only kind and name are used; for all others it names the Workflow.
	Source *artifact.Location `json:"source"`
	// Operation is submit (default), submit-from, resubmit, retry, resume,
	// suspend, stop or terminate.
	// +optional
	Operation string `json:"operation,omitempty"`
	// Parameters are put into the object before it is used; the root of dest is
	// the object, for example spec.arguments.parameters.0.value.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// Args are further flags of the operation as the argo command has them, for
	// example -p and message=hello.
	// +optional
	Args []string `json:"args,omitempty"`
	// Server does it through Argo Server instead of the Kubernetes API. That is
	// needed for workflows whose status is not kept in the cluster. Signalbox.
	// +optional
	Server *Server `json:"server,omitempty"`
	// Follow waits for the end of the workflow. Signalbox.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
}

// Server is an Argo Server. Signalbox.
type Server struct {
	// URL of the server, such as https://argo-server.argo:2746.
	URL string `json:"url"`
	// Token is the bearer token to show. Without it the server has to let
	// anybody in.
	// +optional
	Token *corev1.SecretKeySelector `json:"token,omitempty"`
	// TLS for https. Without it the system's certificate authorities are trusted.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
}

// The operations.
const (
	opSubmit     = "submit"
	opSubmitFrom = "submit-from"
	opResubmit   = "resubmit"
	opRetry      = "retry"
	opResume     = "resume"
	opSuspend    = "suspend"
	opStop       = "stop"
	opTerminate  = "terminate"
)

func operations() []string {
	return []string{opSubmit, opSubmitFrom, opResubmit, opRetry, opResume, opSuspend, opStop, opTerminate}
}

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Operation == "" {
		c.Operation = opSubmit
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{v1alpha1.At("source", c.Source.Validate()), trigger.CheckFollow(c.Follow), v1alpha1.At("server", c.Server.validate())}
	_, err := param.Compile(c.Parameters)
	errs = append(errs, v1alpha1.At("parameters", err))
	if !slices.Contains(operations(), c.Operation) {
		bad := v1alpha1.Invalid("operation", "%q is not known", c.Operation)
		if near := kind.Nearest(c.Operation, operations()); near != "" {
			bad.Hinted("did you mean %s?", near)
		} else {
			bad.Hinted("use one of %s", strings.Join(operations(), ", "))
		}
		return errors.Join(append(errs, bad)...)
	}
	o, err := parseArgs(c.Operation, c.Args)
	errs = append(errs, err)
	if o.server != "" && c.Server != nil {
		errs = append(errs, v1alpha1.Warn("args", "--argo-server is not used, because there is server").Hinted("remove it"))
	}
	if c.Operation == opSubmitFrom {
		for i, p := range c.Parameters {
			if strings.HasPrefix(p.Dest, "spec") {
				errs = append(errs, v1alpha1.Warn("parameters"+v1alpha1.Index(i)+".dest", "has no effect: submit-from uses nothing but the template's name").
					Hinted("put -p and name=value into args, and the event into them by the trigger's parameters"))
			}
		}
	}
	if c.Source.Fixed() {
		errs = append(errs, c.validateObject(o))
	}
	return errors.Join(errs...)
}

func (s *Server) validate() error {
	if s == nil {
		return nil
	}
	var errs []error
	if s.URL == "" {
		errs = append(errs, v1alpha1.Invalid("url", "is required"))
	} else if _, err := parseURL(s.URL); err != nil {
		errs = append(errs, v1alpha1.Invalid("url", "%v", err))
	}
	if s.Token != nil {
		if s.Token.Name == "" {
			errs = append(errs, v1alpha1.Invalid("token.name", "is required"))
		}
		if s.Token.Key == "" {
			errs = append(errs, v1alpha1.Invalid("token.key", "is required"))
		}
		if strings.HasPrefix(s.URL, "http://") {
			errs = append(errs, v1alpha1.Warn("token", "goes over the network in clear").Hinted("use https"))
		}
	}
	return errors.Join(append(errs, v1alpha1.At("tls", s.TLS.Validate()))...)
}

// parseURL reads the address of a server. Its errors do not quote it, as it
// may hold a password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("does not begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case u.User != nil:
		return nil, errors.New("holds a user name; give a token")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("has a query or a fragment")
	}
	return u, nil
}

// validateObject looks at an object that stands in the manifest. What a
// parameter may yet write is not missing.
func (c *Config) validateObject(o options) error {
	path, text := "source.inline", []byte(c.Source.Inline)
	if len(text) == 0 {
		path, text = "source.resource", c.Source.Resource.Raw
	}
	raw, err := toJSON(text)
	if err != nil {
		return v1alpha1.Invalid(path, "%v", err)
	}
	obj, err := decode(raw)
	if err != nil {
		return v1alpha1.Invalid(path, "%v", err)
	}
	written := func(p string) bool {
		return slices.ContainsFunc(c.Parameters, func(w v1alpha1.TriggerParameter) bool {
			return w.Dest == p || p == pathName && c.Operation == opSubmit && w.Dest == "metadata.generateName" ||
				strings.HasPrefix(p, w.Dest+".") || strings.HasPrefix(w.Dest, p+".")
		})
	}
	var errs []error
	for _, l := range lacks(obj, c.Operation, o) {
		if written(l.path) {
			continue
		}
		bad := v1alpha1.Invalid(v1alpha1.Join(path, l.path), "%s", l.message)
		if l.hint != "" {
			bad.Hinted("%s", l.hint)
		}
		errs = append(errs, bad)
	}
	return errors.Join(errs...)
}
