package gitlab

import (
	"slices"
	"strings"
)

// hookEvent is an event that a hook can be set to.
type hookEvent struct {
	// api is its name in GitLab's API; goName the field's in GitLab's Go client,
	// by which Argo Events knows it.
	api, goName string
	// groups tells that only hooks of groups have it.
	groups bool
}

// hookEvents are all that the API takes.
var hookEvents = []hookEvent{
	{api: "confidential_issues_events", goName: "ConfidentialIssuesEvents"},
	{api: "confidential_note_events", goName: "ConfidentialNoteEvents"},
	{api: "deployment_events", goName: "DeploymentEvents"},
	{api: "emoji_events", goName: "EmojiEvents"},
	{api: "feature_flag_events", goName: "FeatureFlagEvents"},
	{api: "issues_events", goName: "IssuesEvents"},
	{api: "job_events", goName: "JobEvents"},
	{api: "member_events", goName: "MemberEvents", groups: true},
	{api: "merge_requests_events", goName: "MergeRequestsEvents"},
	{api: "milestone_events", goName: "MilestoneEvents"},
	{api: "note_events", goName: "NoteEvents"},
	{api: "pipeline_events", goName: "PipelineEvents"},
	{api: "project_events", goName: "ProjectEvents", groups: true},
	{api: "push_events", goName: "PushEvents"},
	{api: "releases_events", goName: "ReleasesEvents"},
	{api: "resource_access_token_events", goName: "ResourceAccessTokenEvents"},
	{api: "resource_deploy_token_events", goName: "ResourceDeployTokenEvents"},
	{api: "subgroup_events", goName: "SubGroupEvents", groups: true},
	{api: "tag_push_events", goName: "TagPushEvents"},
	{api: "vulnerability_events", goName: "VulnerabilityEvents"},
	{api: "wiki_page_events", goName: "WikiPageEvents"},
}

func hookEventNamed(name string) (hookEvent, bool) {
	i := slices.IndexFunc(hookEvents, func(e hookEvent) bool { return e.api == name || e.goName == name })
	if i < 0 {
		return hookEvent{}, false
	}
	return hookEvents[i], true
}

// apiNames are the names of events in the API, sorted.
func apiNames(events []string) []string {
	var names []string
	for _, name := range events {
		if e, ok := hookEventNamed(name); ok {
			names = append(names, e.api)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// eventHint says what was most likely meant by a name that does not exist.
func eventHint(name string) string {
	bare := bareEvent(name)
	for _, e := range hookEvents {
		if bareEvent(e.goName) == bare {
			return "write " + e.goName
		}
	}
	var names []string
	for _, e := range hookEvents {
		names = append(names, e.goName)
	}
	return "one of " + strings.Join(names, ", ")
}

// bareEvent is what is left of the ways to write one event.
func bareEvent(name string) string {
	bare := strings.NewReplacer("_", "", " ", "", "-", "").Replace(strings.ToLower(name))
	for _, end := range []string{"hook", "events", "event", "s"} {
		bare = strings.TrimSuffix(bare, end)
	}
	return bare
}
