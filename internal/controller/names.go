package controller

import (
	"fmt"

	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

// Roles are users of a bus: each has a Secret of its own.
const (
	RoleController  = "controller" // has no Secret
	RoleEventSource = "eventsource"
	RoleSensor      = "sensor"
	RoleClient      = "client"
)

// Keys of Secrets.
const (
	KeyCA          = "ca.crt"
	KeyCAKey       = "ca.key"
	KeyCert        = "tls.crt"
	KeyKey         = "tls.key"
	KeyUsername    = "username"
	KeyPassword    = "password"
	KeyAuth        = "auth" // YAML, what accessSecret refers to
	KeyClusterPass = "cluster-password"
)

// Ports of pods.
const (
	PortClients = 4222
	PortMembers = 6222
	PortAdmin   = 7777
)

// mostBusName leaves room for what StatefulSets put behind their name.
const mostBusName = 50

// BusName is the name of the StatefulSet, the Service and the ConfigMap of an
// EventBus.
func BusName(bus string) string { return apply.Name("eventbus-"+bus, mostBusName) }

// BusSecret is the name of the Secret of a role.
func BusSecret(bus, role string) string { return apply.Name("eventbus-"+bus+"-"+role, apply.MostName) }

// BusURL is where clients of an EventBus that the controller runs connect.
func BusURL(namespace, bus string) string {
	return fmt.Sprintf("nats://%s.%s.svc:%d", BusName(bus), namespace, PortClients)
}
