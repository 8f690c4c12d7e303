// Package all is the list of the kinds of triggers. To add one, write its
// folder and name it here.
package all

import (
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/emit"
	"github.com/signalbox-events/signalbox/sensor/trigger/http"
	"github.com/signalbox-events/signalbox/sensor/trigger/k8s"
	"github.com/signalbox-events/signalbox/sensor/trigger/log"
)

// Kinds is every kind of trigger there is.
var Kinds = trigger.Kinds{
	emit.Kind,
	http.Kind,
	k8s.Kind,
	log.Kind,
}
