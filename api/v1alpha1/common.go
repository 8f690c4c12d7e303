package v1alpha1

import (
	"errors"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Metadata is put on objects that are made for this one.
type Metadata struct {
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// Template adjusts the pods of an EventSource or a Sensor.
type Template struct {
	// Metadata of the pods.
	// +optional
	Metadata *Metadata `json:"metadata,omitempty"`
	// ServiceAccountName of the pods.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// Container adjusts the main container.
	// +optional
	Container *Container `json:"container,omitempty"`
	// Volumes that the container's volumeMounts refer to.
	// +optional
	Volumes []corev1.Volume `json:"volumes,omitempty"`
	// SecurityContext of the pods.
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// +optional
	Priority *int32 `json:"priority,omitempty"`
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
}

// Container adjusts the main container of a pod.
type Container struct {
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// +optional
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`
	// +optional
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`
	// +optional
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`
}

// Status is what the controller observed.
type Status struct {
	// +optional
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition is one aspect of an object's state.
type Condition struct {
	Type   string                 `json:"type"`
	Status corev1.ConditionStatus `json:"status"`
	// LastTransitionTime is when Status last changed, RFC 3339.
	// +optional
	LastTransitionTime string `json:"lastTransitionTime,omitempty"`
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// ObservedGeneration is the metadata.generation that the condition is about. Signalbox.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// TLSConfig says how to speak TLS to a server. Without insecureSkipVerify one
// of caCertSecret, the client pair, or enabled is needed.
type TLSConfig struct {
	// CACertSecret is the certificate authority to trust, PEM.
	// +optional
	CACertSecret *corev1.SecretKeySelector `json:"caCertSecret,omitempty"`
	// ClientCertSecret is the client's certificate, PEM.
	// +optional
	ClientCertSecret *corev1.SecretKeySelector `json:"clientCertSecret,omitempty"`
	// ClientKeySecret is the key of the client's certificate, PEM.
	// +optional
	ClientKeySecret *corev1.SecretKeySelector `json:"clientKeySecret,omitempty"`
	// InsecureSkipVerify turns off all checks of the server's certificate; the
	// other fields are ignored then.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
	// Enabled uses TLS with the system's certificate authorities.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
}

// Validate reports all that is wrong, with paths from the block.
func (t *TLSConfig) Validate() error {
	if t == nil || t.InsecureSkipVerify {
		return nil
	}
	var errs []error
	if (t.ClientCertSecret == nil) != (t.ClientKeySecret == nil) {
		errs = append(errs, Invalid("", "clientCertSecret and clientKeySecret belong together").Hinted("give both or none"))
	}
	if t.CACertSecret == nil && t.ClientCertSecret == nil && t.ClientKeySecret == nil && !t.Enabled {
		errs = append(errs, Invalid("", "says nothing").Hinted("give caCertSecret, clientCertSecret with clientKeySecret, or enabled: true"))
	}
	return errors.Join(errs...)
}

// BasicAuth is a user name and a password from secrets.
type BasicAuth struct {
	// +optional
	Username *corev1.SecretKeySelector `json:"username,omitempty"`
	// +optional
	Password *corev1.SecretKeySelector `json:"password,omitempty"`
}

// SecureHeader is an HTTP header whose value comes from a secret or a ConfigMap.
type SecureHeader struct {
	// Name of the header.
	// +optional
	Name string `json:"name,omitempty"`
	// ValueFrom says where the value is.
	// +optional
	ValueFrom *ValueFromSource `json:"valueFrom,omitempty"`
}

// ValueFromSource refers to a key of a secret or of a ConfigMap.
type ValueFromSource struct {
	// +optional
	SecretKeyRef *corev1.SecretKeySelector `json:"secretKeyRef,omitempty"`
	// +optional
	ConfigMapKeyRef *corev1.ConfigMapKeySelector `json:"configMapKeyRef,omitempty"`
}

// Backoff says how often something is tried and how long the waits are. The
// wait after failed attempt k is duration * factor^(k-1) * (1 + rand*jitter),
// with rand between 0 and 1.
type Backoff struct {
	// Duration is the first wait. Defaults to 1s. A number is nanoseconds.
	// +optional
	Duration *Duration `json:"duration,omitempty"`
	// Factor by which each wait is longer than the one before. Defaults to 1.
	// +optional
	Factor *Amount `json:"factor,omitempty"`
	// Jitter is the largest random addition, as a part of the wait. Defaults to 1.
	// +optional
	Jitter *Amount `json:"jitter,omitempty"`
	// Steps is the number of attempts in all. 0 or absent means 5.
	// +optional
	Steps int32 `json:"steps,omitempty"`
}

// MaxWait is the longest wait that a Backoff gives.
const MaxWait = 24 * time.Hour

// Attempts is the number of attempts: 1 for nil, 5 where steps is not set.
func (b *Backoff) Attempts() int {
	switch {
	case b == nil:
		return 1
	case b.Steps <= 0:
		return 5
	default:
		return int(b.Steps)
	}
}

// Wait is the time to wait after failed attempt k (from 1); random is between
// 0 and 1. It is at most MaxWait.
func (b *Backoff) Wait(k int, random float64) time.Duration {
	duration, factor, jitter := time.Second, 1.0, 1.0
	if b != nil {
		if b.Duration != nil {
			duration = b.Duration.Duration
		}
		if b.Factor != nil {
			factor = b.Factor.Value
		}
		if b.Jitter != nil {
			jitter = b.Jitter.Value
		}
	}
	d := float64(duration) * math.Pow(factor, float64(k-1)) * (1 + random*jitter)
	if math.IsNaN(d) || d < 0 {
		return 0
	}
	return time.Duration(min(d, float64(MaxWait)))
}

// Validate reports all that is wrong, with paths from the block.
func (b *Backoff) Validate() error {
	if b == nil {
		return nil
	}
	var errs []error
	if b.Duration != nil && b.Duration.Duration < 0 {
		errs = append(errs, Invalid("duration", "is negative"))
	}
	if b.Factor != nil && b.Factor.Value < 0 {
		errs = append(errs, Invalid("factor", "is negative"))
	}
	if b.Jitter != nil && b.Jitter.Value < 0 {
		errs = append(errs, Invalid("jitter", "is negative"))
	}
	if b.Steps < 0 {
		errs = append(errs, Invalid("steps", "is negative"))
	}
	return errors.Join(errs...)
}
