package eventbus

import (
	"fmt"
	"slices"
)

// Role is what a user of a bus that Signalbox runs may do. The user is named
// after its role.
type Role string

// Roles of a bus. None but RoleController may create, change or delete a stream,
// or purge events.
const (
	// RoleController removes what deleted sensors leave behind. It has all rights
	// on the bus's streams.
	RoleController Role = "controller"
	// RoleEventSource publishes events and keeps the sources' state.
	RoleEventSource Role = "eventsource"
	// RoleSensor consumes events, keeps the sensors' state and dead letters, and
	// publishes events of its own.
	RoleSensor Role = "sensor"
	// RoleClient is for people's tools: publish, look, redrive and drop.
	RoleClient Role = "client"
)

// Roles are all roles.
func Roles() []Role { return []Role{RoleController, RoleEventSource, RoleSensor, RoleClient} }

// First levels of state keys, by which the roles' shares of the state are told
// apart.
const (
	stateOfSources = "source"
	stateOfSensors = "sensor"
)

// Rights are the subjects that a user may publish to and subscribe to, with
// NATS's wildcards.
type Rights struct{ Publish, Subscribe []string }

// InboxPrefix begins the subjects on which a user of the role gets answers. Each
// role has its own, so that none can listen to answers to another.
func (r Role) InboxPrefix() string { return "_INBOX_" + string(r) }

// Rights of the role on an EventBus. An unknown role is an error.
//
// Values of state and dead letters are removed by a purge of their subject, which
// the server can only allow for a whole stream: who keeps state may purge the
// stream of state. Reading is by stream too.
func (r Role) Rights(namespace, name string) (Rights, error) {
	n := namesOf(namespace, name)
	var publish []string
	add := func(format string, streams ...string) {
		for _, s := range streams {
			publish = append(publish, fmt.Sprintf(format, s))
		}
	}
	events := "events." + n.bus + ".>"
	all := []string{n.events, n.dead, n.state}
	add("$JS.API.STREAM.INFO.%s", all...)
	switch r {
	case RoleEventSource:
		publish = append(publish, events, n.key(stateOfSources)+".>")
		add("$JS.API.STREAM.MSG.GET.%s", n.state)
	case RoleSensor:
		publish = append(publish, events, n.key(stateOfSensors)+".>", "dead."+n.bus+".>")
		add("$JS.API.STREAM.MSG.GET.%s", all...)
		add("$JS.API.STREAM.PURGE.%s", n.dead, n.state)
		for _, verb := range []string{"INFO.%s.*", "LIST.%s", "CREATE.%s.>", "MSG.NEXT.%s.*"} {
			add("$JS.API.CONSUMER."+verb, n.events)
		}
		add("$JS.ACK.%s.>", n.events)
	case RoleClient:
		publish = append(publish, events, "dead."+n.bus+".>", "redrive."+n.bus+".>")
		add("$JS.API.STREAM.MSG.GET.%s", n.events, n.dead)
		add("$JS.API.STREAM.PURGE.%s", n.dead)
		for _, verb := range []string{"INFO.%s.*", "LIST.%s"} {
			add("$JS.API.CONSUMER."+verb, n.events)
		}
	case RoleController:
		publish = append(publish, events, "dead."+n.bus+".>", "redrive."+n.bus+".>", "$KV."+n.bucket+".>")
		for _, verb := range []string{
			"STREAM.*.%s", "STREAM.MSG.*.%s", "CONSUMER.*.%s", "CONSUMER.*.%s.>", "CONSUMER.MSG.NEXT.%s.*",
		} {
			add("$JS.API."+verb, all...)
		}
		add("$JS.ACK.%s.>", all...)
	default:
		return Rights{}, fmt.Errorf("no such role: %q", string(r))
	}
	publish = append(publish, n.room())
	slices.Sort(publish)
	return Rights{Publish: slices.Compact(publish), Subscribe: []string{r.InboxPrefix() + ".>"}}, nil
}

// room is where a client asks the keepers of the bus to purge processed events.
func (n names) room() string { return "room." + n.bus }
