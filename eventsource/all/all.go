// Package all lists the kinds of sources that the program is built with.
package all

import (
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/alertmanager"
	"github.com/signalbox-events/signalbox/eventsource/azuredevops"
	"github.com/signalbox-events/signalbox/eventsource/bitbucket"
	"github.com/signalbox-events/signalbox/eventsource/bitbucketserver"
	"github.com/signalbox-events/signalbox/eventsource/calendar"
	"github.com/signalbox-events/signalbox/eventsource/cloudevents"
	"github.com/signalbox-events/signalbox/eventsource/codecommit"
	"github.com/signalbox-events/signalbox/eventsource/file"
	"github.com/signalbox-events/signalbox/eventsource/gerrit"
	"github.com/signalbox-events/signalbox/eventsource/gitea"
	"github.com/signalbox-events/signalbox/eventsource/github"
	"github.com/signalbox-events/signalbox/eventsource/gitlab"
	"github.com/signalbox-events/signalbox/eventsource/gitpoll"
	"github.com/signalbox-events/signalbox/eventsource/registry"
	"github.com/signalbox-events/signalbox/eventsource/registrypoll"
	"github.com/signalbox-events/signalbox/eventsource/resource"
	"github.com/signalbox-events/signalbox/eventsource/slack"
	"github.com/signalbox-events/signalbox/eventsource/sns"
	"github.com/signalbox-events/signalbox/eventsource/sourcehut"
	"github.com/signalbox-events/signalbox/eventsource/storagegrid"
	"github.com/signalbox-events/signalbox/eventsource/stripe"
	"github.com/signalbox-events/signalbox/eventsource/webhook"
)

// Kinds are all of them, in the order of their names.
var Kinds = eventsource.Kinds{
	alertmanager.Kind,
	azuredevops.Kind,
	bitbucket.Kind,
	bitbucketserver.Kind,
	calendar.Kind,
	cloudevents.Kind,
	codecommit.Kind,
	file.Kind,
	gerrit.Kind,
	gitea.Kind,
	github.Kind,
	gitlab.Kind,
	gitpoll.Kind,
	registry.Kind,
	registrypoll.Kind,
	resource.Kind,
	slack.Kind,
	sns.Kind,
	sourcehut.Kind,
	storagegrid.Kind,
	stripe.Kind,
	webhook.Kind,
}
