package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EventBus stores events between sources and sensors. Signalbox's bus is NATS
// JetStream: embedded in the process, run as pods, or a server of the user's.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=eb,path=eventbus
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Pods",type=string,JSONPath=`.status.pods`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.status.config.jetstream.url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EventBus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec EventBusSpec `json:"spec"`
	// +optional
	Status EventBusStatus `json:"status,omitempty"`
}

// EventBusList is a list of EventBuses.
//
// +kubebuilder:object:root=true
type EventBusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventBus `json:"items"`
}

// EventBusSpec has exactly one of its fields.
type EventBusSpec struct {
	// NATS is the old NATS Streaming bus: native gives a JetStream bus instead,
	// exotic is not supported.
	// +optional
	NATS *NATSBus `json:"nats,omitempty"`
	// JetStream is a bus that is run for the user.
	// +optional
	JetStream *JetStreamBus `json:"jetstream,omitempty"`
	// Kafka is not supported as a bus.
	// +optional
	Kafka *KafkaBus `json:"kafka,omitempty"`
	// JetStreamExotic is a JetStream server of the user's.
	// +optional
	JetStreamExotic *JetStreamExotic `json:"jetstreamExotic,omitempty"`
}

// EventBusStatus is what the controller observed.
type EventBusStatus struct {
	Status `json:",inline"`
	// State is Ready, or the reason of the first condition that is not True. Signalbox.
	// +optional
	State string `json:"state,omitempty"`
	// Pods is how many pods are ready, and of how many: 3/3. Signalbox.
	// +optional
	Pods string `json:"pods,omitempty"`
	// Config is what clients need in order to connect.
	// +optional
	Config BusConfig `json:"config,omitempty"`
}

// BusConfig is what clients need in order to connect.
type BusConfig struct {
	// +optional
	NATS *NATSExotic `json:"nats,omitempty"`
	// +optional
	JetStream *JetStreamExotic `json:"jetstream,omitempty"`
	// +optional
	Kafka *KafkaBus `json:"kafka,omitempty"`
}

// NATSBus is the old NATS Streaming bus.
type NATSBus struct {
	// +optional
	Native *NATSNative `json:"native,omitempty"`
	// +optional
	Exotic *NATSExotic `json:"exotic,omitempty"`
}

// NATSExotic is a NATS Streaming server of the user's.
type NATSExotic struct {
	// +optional
	URL string `json:"url,omitempty"`
	// +optional
	ClusterID string `json:"clusterID,omitempty"`
	// Auth is none (default) or token.
	// +optional
	Auth string `json:"auth,omitempty"`
	// +optional
	AccessSecret *corev1.SecretKeySelector `json:"accessSecret,omitempty"`
}

// ContainerTemplate adjusts one container of the bus's pods.
type ContainerTemplate struct {
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// +optional
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`
}

// PersistenceStrategy asks for a volume.
type PersistenceStrategy struct {
	// +optional
	StorageClassName *string `json:"storageClassName,omitempty"`
	// AccessMode defaults to ReadWriteOnce.
	// +optional
	AccessMode *corev1.PersistentVolumeAccessMode `json:"accessMode,omitempty"`
	// VolumeSize defaults to 20Gi.
	// +optional
	VolumeSize *resource.Quantity `json:"volumeSize,omitempty"`
}

// BusPods are the fields on pods that both managed buses have.
type BusPods struct {
	// +optional
	ContainerTemplate *ContainerTemplate `json:"containerTemplate,omitempty"`
	// +optional
	MetricsContainerTemplate *ContainerTemplate `json:"metricsContainerTemplate,omitempty"`
	// +optional
	Persistence *PersistenceStrategy `json:"persistence,omitempty"`
	// +optional
	Metadata *Metadata `json:"metadata,omitempty"`
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// +optional
	Priority *int32 `json:"priority,omitempty"`
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
}

// NATSNative is a NATS Streaming bus in Argo Events; here it is a JetStream bus.
type NATSNative struct {
	BusPods `json:",inline"`

	// Replicas defaults to 3.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// Auth is none (default) or token.
	// +optional
	Auth string `json:"auth,omitempty"`
	// MaxAge of processed events, a Go duration. Defaults to 72h.
	// +optional
	MaxAge *string `json:"maxAge,omitempty"`
	// +optional
	MaxMsgs *uint64 `json:"maxMsgs,omitempty"`
	// +optional
	MaxBytes *string `json:"maxBytes,omitempty"`
	// +optional
	MaxSubs *uint64 `json:"maxSubs,omitempty"`
	// +optional
	MaxPayload *string `json:"maxPayload,omitempty"`
	// +optional
	RaftHeartbeatTimeout *string `json:"raftHeartbeatTimeout,omitempty"`
	// +optional
	RaftElectionTimeout *string `json:"raftElectionTimeout,omitempty"`
	// +optional
	RaftLeaseTimeout *string `json:"raftLeaseTimeout,omitempty"`
	// +optional
	RaftCommitTimeout *string `json:"raftCommitTimeout,omitempty"`
}

// JetStreamBus is a JetStream bus that is run for the user: embedded on one
// machine, as pods in a cluster.
type JetStreamBus struct {
	BusPods `json:",inline"`

	// Version is accepted; the bus is part of Signalbox and has its version.
	// +optional
	Version string `json:"version,omitempty"`
	// Replicas is 1, 3 or 5. Defaults to 3.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// +optional
	ReloaderContainerTemplate *ContainerTemplate `json:"reloaderContainerTemplate,omitempty"`
	// Settings is text for the jetstream block of the NATS server's configuration.
	// +optional
	Settings *string `json:"settings,omitempty"`
	// +optional
	StartArgs []string `json:"startArgs,omitempty"`
	// StreamConfig is YAML text: maxBytes, maxMsgs, maxAge, replicas, duplicates, retention, discard.
	// +optional
	StreamConfig *string `json:"streamConfig,omitempty"`
	// MaxPayload is the largest message, for example 4MB. Defaults to 1MB.
	// +optional
	MaxPayload *string `json:"maxPayload,omitempty"`
}

// JetStreamExotic is a JetStream server of the user's.
type JetStreamExotic struct {
	// URL such as nats://nats.example.com:4222; several are separated by commas.
	// +optional
	URL string `json:"url,omitempty"`
	// AccessSecret is YAML with token, or with username and password.
	// +optional
	AccessSecret *corev1.SecretKeySelector `json:"accessSecret,omitempty"`
	// StreamConfig is YAML text: maxBytes, maxMsgs, maxAge, replicas, duplicates, retention, discard.
	// +optional
	StreamConfig string `json:"streamConfig,omitempty"`
	// TLS to the server. Absent: as the server asks.
	// +optional
	TLS *TLSConfig `json:"tls,omitempty"`
}

// KafkaBus is a Kafka bus in Argo Events; Signalbox does not support it.
type KafkaBus struct {
	// URL is a comma-separated list of brokers.
	// +optional
	URL string `json:"url,omitempty"`
	// +optional
	Topic string `json:"topic,omitempty"`
	// +optional
	Version string `json:"version,omitempty"`
	// +optional
	TLS *TLSConfig `json:"tls,omitempty"`
	// +optional
	SASL *SASLConfig `json:"sasl,omitempty"`
	// +optional
	ConsumerGroup *KafkaConsumerGroup `json:"consumerGroup,omitempty"`
	// +optional
	Partitioner string `json:"partitioner,omitempty"`
}

// SASLConfig is a login to Kafka.
type SASLConfig struct {
	// Mechanism is PLAIN (default), OAUTHBEARER, SCRAM-SHA-256, SCRAM-SHA-512 or GSSAPI.
	// +optional
	Mechanism string `json:"mechanism,omitempty"`
	// +optional
	UserSecret *corev1.SecretKeySelector `json:"userSecret,omitempty"`
	// +optional
	PasswordSecret *corev1.SecretKeySelector `json:"passwordSecret,omitempty"`
}

// KafkaConsumerGroup is a Kafka consumer group.
type KafkaConsumerGroup struct {
	// +optional
	GroupName string `json:"groupName,omitempty"`
	// +optional
	Oldest bool `json:"oldest,omitempty"`
	// RebalanceStrategy is sticky, roundrobin or range (default).
	// +optional
	RebalanceStrategy string `json:"rebalanceStrategy,omitempty"`
}
