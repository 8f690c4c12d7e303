package v1alpha1

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EventSource turns something that happens outside into events on the bus.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=es
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Pods",type=string,JSONPath=`.status.pods`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.urls[0].url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EventSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec EventSourceSpec `json:"spec"`
	// +optional
	Status EventSourceStatus `json:"status,omitempty"`
}

// EventSourceStatus is what the controller observed.
type EventSourceStatus struct {
	Status `json:",inline"`
	// State is Ready, or the reason of the first condition that is not True. Signalbox.
	// +optional
	State string `json:"state,omitempty"`
	// Pods is how many pods are ready, and of how many: 1/1. Signalbox.
	// +optional
	Pods string `json:"pods,omitempty"`
	// URLs are the addresses in the cluster at which events are received. Signalbox.
	// +optional
	URLs []EventURL `json:"urls,omitempty"`
}

// EventURL is an address at which an event is received.
type EventURL struct {
	// Event is the event's name in the EventSource.
	Event string `json:"event"`
	// URL in the cluster.
	URL string `json:"url"`
	// PublicURL is the one for the outside, where spec.ingress, spec.baseURL or
	// the entry's own url tells. Signalbox.
	// +optional
	PublicURL string `json:"publicURL,omitempty"`
}

// EventSourceList is a list of EventSources.
//
// +kubebuilder:object:root=true
type EventSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventSource `json:"items"`
}

// EventSourceSpec is what the user asks for. Beside the fields below, the spec
// has one key per kind of source (webhook, calendar, ...), which maps event
// names to the configuration of that kind.
//
// +kubebuilder:pruning:PreserveUnknownFields
type EventSourceSpec struct {
	// EventBusName names the EventBus to publish to. Defaults to "default".
	// +optional
	EventBusName string `json:"eventBusName,omitempty"`
	// Template adjusts the pods.
	// +optional
	Template *Template `json:"template,omitempty"`
	// Replicas is the number of pods. Defaults to 1.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// Service is put in front of the pods if it has ports.
	// +optional
	Service *Service `json:"service,omitempty"`
	// Ingress leads the outside to the Service. Signalbox.
	// +optional
	Ingress *Ingress `json:"ingress,omitempty"`
	// BaseURL is the address under which the outside reaches the endpoints, where
	// something other than ingress leads there: https://hooks.example.com. It is
	// what URLs are shown with, and what endpoints without a url of their own are
	// registered with upstream. Signalbox.
	// +optional
	BaseURL string `json:"baseURL,omitempty"`

	// Sources is kind -> event name -> configuration.
	Sources map[string]map[string]apiextv1.JSON `json:"-"`
	// Stray holds keys that are no fixed field and cannot be a kind of source,
	// because their value is not an object of objects.
	Stray map[string]apiextv1.JSON `json:"-"`
}

// PublicBase is the address under which the outside reaches the endpoints,
// without a slash at its end; empty if it is not known.
func (s *EventSourceSpec) PublicBase() string {
	switch {
	case s.BaseURL != "":
		return strings.TrimSuffix(s.BaseURL, "/")
	case s.Ingress == nil || s.Ingress.Host == "" || strings.HasPrefix(s.Ingress.Host, "*"):
		return ""
	case s.Ingress.TLSSecret != "":
		return "https://" + s.Ingress.Host
	}
	return "http://" + s.Ingress.Host
}

// Bus is the name of the EventBus that applies.
func (s *EventSourceSpec) Bus() string { return busName(s.EventBusName) }

// Service describes the Kubernetes Service in front of an EventSource.
type Service struct {
	// +optional
	Metadata *Metadata `json:"metadata,omitempty"`
	// +optional
	Ports []corev1.ServicePort `json:"ports,omitempty"`
	// +optional
	ClusterIP string `json:"clusterIP,omitempty"`
}

// Ingress makes a Kubernetes Ingress in front of the Service, with one path for
// each entry that receives requests.
type Ingress struct {
	// Host under which the outside reaches the endpoints.
	Host string `json:"host"`
	// ClassName is the IngressClass; the cluster's default if empty.
	// +optional
	ClassName string `json:"className,omitempty"`
	// Metadata of the Ingress.
	// +optional
	Metadata *Metadata `json:"metadata,omitempty"`
	// TLSSecret names the Secret with the host's certificate; the public URLs
	// begin with https then.
	// +optional
	TLSSecret string `json:"tlsSecret,omitempty"`
}

// EventCommon is embedded (inline) by the configuration of most kinds of source.
type EventCommon struct {
	// Filter drops events for which it is not true.
	// +optional
	Filter *EventSourceFilter `json:"filter,omitempty"`
	// Metadata is put into every event's data, under the key metadata.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
}

// EventSourceFilter is an expression over the data of an event.
type EventSourceFilter struct {
	// Expression is in the language of expr-lang.org; its names are the
	// top-level keys of the data, with - written as _. It has to give a
	// boolean. An empty expression lets everything pass.
	// +optional
	Expression string `json:"expression,omitempty"`
}

// WebhookContext says where a source listens for HTTP requests.
type WebhookContext struct {
	// Endpoint is the path, for example /push. It may have variables, /push/{team}.
	Endpoint string `json:"endpoint"`
	// Method is the HTTP method to answer. Defaults to POST.
	// +optional
	Method string `json:"method,omitempty"`
	// Port to listen on, a quoted number. Defaults to "12000".
	// +optional
	Port string `json:"port,omitempty"`
	// URL is the address under which the outside reaches this endpoint, used to
	// register it upstream.
	// +optional
	URL string `json:"url,omitempty"`
	// ServerCertSecret is the server's certificate, PEM. With it and
	// serverKeySecret the port speaks HTTPS.
	// +optional
	ServerCertSecret *corev1.SecretKeySelector `json:"serverCertSecret,omitempty"`
	// ServerKeySecret is the key of the server's certificate, PEM.
	// +optional
	ServerKeySecret *corev1.SecretKeySelector `json:"serverKeySecret,omitempty"`
	// Metadata is put into every event's data, under the key metadata.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// AuthSecret is a token that every request has to carry as
	// "Authorization: Bearer TOKEN".
	// +optional
	AuthSecret *corev1.SecretKeySelector `json:"authSecret,omitempty"`
	// BasicAuth is a user name and a password that every request has to carry. Signalbox.
	// +optional
	BasicAuth *BasicAuth `json:"basicAuth,omitempty"`
	// OIDC asks for a bearer token of an OpenID Connect issuer, as CI systems and
	// clouds hand them out. Signalbox.
	// +optional
	OIDC *OIDC `json:"oidc,omitempty"`
	// ClientCASecret is a certificate authority, PEM; clients then need a
	// certificate of it (mutual TLS). Needs serverCertSecret. Signalbox.
	// +optional
	ClientCASecret *corev1.SecretKeySelector `json:"clientCASecret,omitempty"`
	// AcceptedSecrets are further values of the secret that requests are checked
	// with (authSecret, webhookSecret and so on), for the time of a rotation. Signalbox.
	// +optional
	AcceptedSecrets []corev1.SecretKeySelector `json:"acceptedSecrets,omitempty"`
	// Insecure says that the endpoint is meant to take requests from anybody who
	// reaches it, which is warned of otherwise. Signalbox.
	// +optional
	Insecure bool `json:"insecure,omitempty"`
	// MaxPayloadSize is the largest body that is taken, in bytes. Defaults to
	// 1048576; 26214400 for the kinds whose senders go that far.
	// +optional
	MaxPayloadSize *int64 `json:"maxPayloadSize,omitempty"`
	// RateLimit is how many requests are taken in a time; the rest is answered 429
	// with Retry-After. Signalbox.
	// +optional
	RateLimit *RequestRate `json:"rateLimit,omitempty"`
}

// OIDC says which bearer tokens are accepted.
type OIDC struct {
	// Issuer is the URL that tokens have as iss, and below which
	// /.well-known/openid-configuration is.
	Issuer string `json:"issuer"`
	// Audience that tokens have to be for.
	Audience string `json:"audience"`
	// Claims that tokens have to hold, by name; values are globs, * being any
	// characters.
	// +optional
	Claims map[string]string `json:"claims,omitempty"`
	// CASecret is the certificate authority of the issuer, PEM, where it is none
	// that the system knows.
	// +optional
	CASecret *corev1.SecretKeySelector `json:"caSecret,omitempty"`
}

// RequestRate is a number of requests in a time.
type RequestRate struct {
	// Requests in that time, on the average.
	Requests int32 `json:"requests"`
	// Per is the time, such as 1s or 1m. Defaults to 1s.
	// +optional
	Per string `json:"per,omitempty"`
	// Burst is how many may come at once. Defaults to requests.
	// +optional
	Burst int32 `json:"burst,omitempty"`
}
