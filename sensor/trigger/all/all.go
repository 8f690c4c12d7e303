// Package all is the list of the kinds of triggers. To add one, write its
// folder and name it here.
package all

import (
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argocd"
	"github.com/signalbox-events/signalbox/sensor/trigger/argorollout"
	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/email"
	"github.com/signalbox-events/signalbox/sensor/trigger/emit"
	"github.com/signalbox-events/signalbox/sensor/trigger/exec"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit"
	"github.com/signalbox-events/signalbox/sensor/trigger/http"
	"github.com/signalbox-events/signalbox/sensor/trigger/k8s"
	"github.com/signalbox-events/signalbox/sensor/trigger/log"
	"github.com/signalbox-events/signalbox/sensor/trigger/notify"
	"github.com/signalbox-events/signalbox/sensor/trigger/slack"
)

// Kinds is every kind of trigger there is.
var Kinds = trigger.Kinds{
	argocd.Kind,
	argorollout.Kind,
	argoworkflow.Kind,
	email.Kind,
	emit.Kind,
	exec.Kind,
	gitcommit.Kind,
	http.Kind,
	k8s.Kind,
	log.Kind,
	notify.Kind,
	slack.Kind,
}
