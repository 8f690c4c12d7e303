package v1alpha1

import (
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Sensor waits for events and fires triggers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sn
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Pods",type=string,JSONPath=`.status.pods`
// +kubebuilder:printcolumn:name="Dependencies",type=string,JSONPath=`.status.dependencies`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Sensor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SensorSpec `json:"spec"`
	// +optional
	Status SensorStatus `json:"status,omitempty"`
}

// SensorStatus is what the controller observed.
type SensorStatus struct {
	Status `json:",inline"`
	// State is Ready, or the reason of the first condition that is not True. Signalbox.
	// +optional
	State string `json:"state,omitempty"`
	// Pods is how many pods are ready, and of how many: 1/1. Signalbox.
	// +optional
	Pods string `json:"pods,omitempty"`
	// Dependencies are the events that the sensor waits for, each as
	// EVENTSOURCE/EVENT, separated by commas. Signalbox.
	// +optional
	Dependencies string `json:"dependencies,omitempty"`
	// Triggers are what it does, and when. Signalbox.
	// +optional
	Triggers []TriggerState `json:"triggers,omitempty"`
}

// TriggerState tells what a trigger of a sensor waits for.
type TriggerState struct {
	// Name of the trigger.
	Name string `json:"name"`
	// Kind of the trigger, such as http.
	Kind string `json:"kind"`
	// When is the condition under which it fires, in names of dependencies.
	When string `json:"when"`
}

// SensorList is a list of Sensors.
//
// +kubebuilder:object:root=true
type SensorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Sensor `json:"items"`
}

// SensorSpec is what the user asks for.
type SensorSpec struct {
	// Dependencies are the events to wait for; at least one.
	Dependencies []EventDependency `json:"dependencies"`
	// Triggers are what to do; at least one.
	Triggers []Trigger `json:"triggers"`
	// Template adjusts the pods.
	// +optional
	Template *Template `json:"template,omitempty"`
	// ErrorOnFailedRound is accepted and has no effect.
	// +optional
	ErrorOnFailedRound bool `json:"errorOnFailedRound,omitempty"`
	// EventBusName names the EventBus to listen to. Defaults to "default".
	// +optional
	EventBusName string `json:"eventBusName,omitempty"`
	// Replicas is the number of pods; all of them work. Defaults to 1.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// RevisionHistoryLimit of the Deployment.
	// +optional
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
	// LoggingFields are put on every log line of the sensor.
	// +optional
	LoggingFields map[string]string `json:"loggingFields,omitempty"`
}

// Bus is the name of the EventBus that applies.
func (s *SensorSpec) Bus() string { return busName(s.EventBusName) }

// LogicalOperator combines several filters.
type LogicalOperator string

// The logical operators. Empty means and.
const (
	And LogicalOperator = "and"
	Or  LogicalOperator = "or"
)

// EventDependency is one event that triggers wait for.
type EventDependency struct {
	// Name by which conditions and parameters refer to it; unique in the sensor.
	Name string `json:"name"`
	// EventSourceName is the EventSource that the event comes from.
	EventSourceName string `json:"eventSourceName"`
	// EventName is the event's key in that EventSource.
	EventName string `json:"eventName"`
	// Filters drop events that do not match.
	// +optional
	Filters *EventDependencyFilter `json:"filters,omitempty"`
	// Transform changes the event's data before the filters look at it.
	// +optional
	Transform *EventDependencyTransformer `json:"transform,omitempty"`
	// FiltersLogicalOperator combines the groups of filters: and (default) or or.
	// +optional
	FiltersLogicalOperator LogicalOperator `json:"filtersLogicalOperator,omitempty"`
}

// EventDependencyTransformer changes the data of an event. jq wins over script.
type EventDependencyTransformer struct {
	// JQ is a jq program; its first output, an object, is the new data.
	// +optional
	JQ string `json:"jq,omitempty"`
	// Script is a Lua 5.1 program that returns the new data; the old is the
	// global event.
	// +optional
	Script string `json:"script,omitempty"`
}

// EventDependencyFilter are groups of filters, evaluated in the order exprs,
// data, context, time, script, cel.
type EventDependencyFilter struct {
	// Time lets pass by the time of day of the event.
	// +optional
	Time *TimeFilter `json:"time,omitempty"`
	// Context compares attributes of the event for equality.
	// +optional
	Context *EventContext `json:"context,omitempty"`
	// Data compares values in the event's data.
	// +optional
	Data []DataFilter `json:"data,omitempty"`
	// Exprs are expressions over values in the event's data.
	// +optional
	Exprs []ExprFilter `json:"exprs,omitempty"`
	// DataLogicalOperator combines the items of data: and (default) or or.
	// +optional
	DataLogicalOperator LogicalOperator `json:"dataLogicalOperator,omitempty"`
	// ExprLogicalOperator combines the items of exprs: and (default) or or.
	// +optional
	ExprLogicalOperator LogicalOperator `json:"exprLogicalOperator,omitempty"`
	// Script is a Lua 5.1 program that has to return true.
	// +optional
	Script string `json:"script,omitempty"`
	// CEL is an expression of the Common Expression Language that has to be
	// true. It sees the event's data as data and its attributes as event
	// (event.id, event.type, event.source, event.subject, event.time,
	// event.extensions). Signalbox.
	// +optional
	CEL string `json:"cel,omitempty"`
}

// TimeFilter lets pass events from start (inclusive) to stop (exclusive), by
// the CloudEvents time. A stop before start means the next day's.
type TimeFilter struct {
	// Start, hh:mm:ss.
	Start string `json:"start"`
	// Stop, hh:mm:ss.
	Stop string `json:"stop"`
	// Timezone is an IANA name such as Europe/Berlin. Defaults to UTC.
	// +optional
	Timezone string `json:"timezone,omitempty"`
}

// EventContext are CloudEvents attributes. type, subject, source and
// datacontenttype are compared where they are not empty; the others are
// accepted and ignored.
type EventContext struct {
	// +optional
	ID string `json:"id,omitempty"`
	// +optional
	Source string `json:"source,omitempty"`
	// +optional
	SpecVersion string `json:"specversion,omitempty"`
	// +optional
	Type string `json:"type,omitempty"`
	// +optional
	DataContentType string `json:"datacontenttype,omitempty"`
	// +optional
	Subject string `json:"subject,omitempty"`
	// +optional
	Time string `json:"time,omitempty"`
}

// DataFilter compares one value of the event's data.
type DataFilter struct {
	// Path of the value, in gjson syntax, from the root of the data.
	Path string `json:"path"`
	// Type of the value: string (value is a list of regular expressions), number or bool.
	Type string `json:"type"`
	// Value is a list of alternatives; one match is enough.
	Value []string `json:"value"`
	// Comparator is one of =, !=, >, >=, <, <=. Defaults to =.
	// +optional
	Comparator string `json:"comparator,omitempty"`
	// Template is a Go template with sprig functions that is applied first;
	// .Input is the text of the value.
	// +optional
	Template string `json:"template,omitempty"`
}

// ExprFilter is an expression over named values of the event's data.
type ExprFilter struct {
	// Expr has to be true.
	Expr string `json:"expr"`
	// Fields binds the names in expr.
	Fields []PayloadField `json:"fields"`
}

// PayloadField binds a name to a value of the event's data.
type PayloadField struct {
	// Path of the value, in gjson syntax.
	Path string `json:"path"`
	// Name in the expression.
	Name string `json:"name"`
}

// Trigger is one thing to do.
type Trigger struct {
	// Template says what to do, and when.
	Template *TriggerTemplate `json:"template"`
	// Parameters are put into the template before it is used.
	// +optional
	Parameters []TriggerParameter `json:"parameters,omitempty"`
	// Policy says when an action counts as done.
	// +optional
	Policy *TriggerPolicy `json:"policy,omitempty"`
	// RetryStrategy says how often a failed action is tried again. Without it
	// there is one attempt, and a failure goes to the dead letters.
	// +optional
	RetryStrategy *Backoff `json:"retryStrategy,omitempty"`
	// RateLimit spreads actions over time; none is dropped.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`
	// MaxInFlight is how many actions of this trigger run at once in each
	// replica. Defaults to 64; 1 makes one after the other. Signalbox.
	// +optional
	MaxInFlight *int32 `json:"maxInFlight,omitempty"`
	// AtLeastOnce is accepted; every trigger acts at least once.
	// +optional
	AtLeastOnce bool `json:"atLeastOnce,omitempty"`
	// DLQTrigger is fired with the same events when all attempts have failed. Its
	// fields are those of a trigger.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	DLQTrigger *Trigger `json:"dlqTrigger,omitempty"`
}

// TriggerTemplate says what to do. Beside the fields below it has exactly one
// key that names the kind of trigger (http, log, k8s, ...), with its configuration.
//
// +kubebuilder:pruning:PreserveUnknownFields
type TriggerTemplate struct {
	// Name of the trigger, unique in the sensor.
	Name string `json:"name"`
	// Conditions is an expression of dependency names, &&, || and parentheses.
	// Defaults to all dependencies joined by &&.
	// +optional
	Conditions string `json:"conditions,omitempty"`
	// ConditionsReset forgets half-met conditions at given times.
	// +optional
	ConditionsReset []ConditionsResetCriteria `json:"conditionsReset,omitempty"`

	// Kinds is kind -> configuration; a valid template has one.
	Kinds map[string]apiextv1.JSON `json:"-"`
}

// ConditionsResetCriteria says when half-met conditions are forgotten.
type ConditionsResetCriteria struct {
	// ByTime forgets them at the ticks of a schedule.
	// +optional
	ByTime *ConditionsResetByTime `json:"byTime,omitempty"`
}

// ConditionsResetByTime is a schedule.
type ConditionsResetByTime struct {
	// Cron has five fields.
	Cron string `json:"cron"`
	// Timezone is an IANA name. Defaults to the machine's zone.
	// +optional
	Timezone string `json:"timezone,omitempty"`
}

// ParameterOperation says what happens to a value that is already there.
type ParameterOperation string

// The operations. Empty means overwrite.
const (
	Overwrite ParameterOperation = "overwrite"
	Append    ParameterOperation = "append"
	Prepend   ParameterOperation = "prepend"
)

// TriggerParameter copies a value from an event to a place in an object.
type TriggerParameter struct {
	// Src says where the value comes from.
	Src *TriggerParameterSource `json:"src"`
	// Dest is the path to put it at, in sjson syntax. Empty means the whole
	// body, in the payload of kinds that allow it.
	// +optional
	Dest string `json:"dest,omitempty"`
	// Operation on a value that is already there: overwrite (default), append, prepend.
	// +optional
	Operation ParameterOperation `json:"operation,omitempty"`
}

// TriggerParameterSource says where a value comes from. Without any key or
// template it is the whole event.
type TriggerParameterSource struct {
	// DependencyName is the dependency whose event is looked at.
	DependencyName string `json:"dependencyName"`
	// ContextKey is a path in the event's attributes.
	// +optional
	ContextKey string `json:"contextKey,omitempty"`
	// ContextTemplate is a Go template over the event's attributes (.Input).
	// +optional
	ContextTemplate string `json:"contextTemplate,omitempty"`
	// DataKey is a path in the event's data, in gjson syntax.
	// +optional
	DataKey string `json:"dataKey,omitempty"`
	// DataTemplate is a Go template over the event's data (.Input).
	// +optional
	DataTemplate string `json:"dataTemplate,omitempty"`
	// Value is used where the event has none.
	// +optional
	Value *string `json:"value,omitempty"`
	// UseRawData keeps the JSON type of the value instead of making it a string.
	// +optional
	UseRawData bool `json:"useRawData,omitempty"`
}

// TriggerPolicy says when an action counts as done.
type TriggerPolicy struct {
	// K8s waits for labels on the object that was made.
	// +optional
	K8s *K8SResourcePolicy `json:"k8s,omitempty"`
	// Status checks the answer's status.
	// +optional
	Status *StatusPolicy `json:"status,omitempty"`
}

// K8SResourcePolicy waits for labels on an object.
type K8SResourcePolicy struct {
	// Labels that the object has to get.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Backoff between the looks.
	// +optional
	Backoff *Backoff `json:"backoff,omitempty"`
	// ErrorOnBackoffTimeout makes it a failure if the labels do not come.
	// +optional
	ErrorOnBackoffTimeout bool `json:"errorOnBackoffTimeout,omitempty"`
}

// StatusPolicy lists the statuses that mean success.
type StatusPolicy struct {
	// Allow is the list, for example [200, 201].
	// +optional
	Allow []int32 `json:"allow,omitempty"`
}

// RateLimit is a number of actions per unit of time. Up to ten unused slots
// are saved for a burst.
type RateLimit struct {
	// Unit is Second (default), Minute or Hour; any other word means Second.
	// +optional
	Unit string `json:"unit,omitempty"`
	// RequestsPerUnit is the number, at least 1.
	// +optional
	RequestsPerUnit int32 `json:"requestsPerUnit,omitempty"`
}
