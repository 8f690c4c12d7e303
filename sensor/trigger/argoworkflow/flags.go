package argoworkflow

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/signalbox-events/signalbox/internal/kind"
)

// flag is one of the argo command's.
type flag struct {
	// short is the letter of the flag, if it has one.
	short string
	// bool flags need no value.
	bool bool
	// of are the operations that have it; none for all.
	of []string
	// set takes the value: for a bool flag, "true" or "false". Nil for flags
	// that change nothing but what is printed.
	set func(o *options, value string) error
}

func (f flag) has(operation string) bool { return len(f.of) == 0 || slices.Contains(f.of, operation) }

func into(to func(*options) *string) func(*options, string) error {
	return func(o *options, v string) error { *to(o) = v; return nil }
}

func yes(to func(*options) *bool) func(*options, string) error {
	return func(o *options, v string) error { *to(o) = v == "true"; return nil }
}

// flags by their long names.
func flags() map[string]flag {
	submits := []string{opSubmit, opSubmitFrom}
	begins := []string{opSubmit, opSubmitFrom, opResubmit, opRetry}
	selects := []string{opRetry, opResubmit, opStop, opTerminate}
	return map[string]flag{
		"parameter":      {short: "p", of: begins, set: (*options).addParameter},
		"parameter-file": {short: "f", of: submits, set: func(o *options, v string) error { o.files = append(o.files, v); return nil }},
		"labels":         {short: "l", of: submits, set: (*options).addLabels},
		"selector":       {short: "l", of: selects, set: (*options).setSelector},
		"field-selector": {of: selects, set: (*options).setFields},

		"name":           {of: submits, set: into(func(o *options) *string { return &o.name })},
		"generate-name":  {of: submits, set: into(func(o *options) *string { return &o.generateName })},
		"entrypoint":     {of: submits, set: into(func(o *options) *string { return &o.entrypoint })},
		"serviceaccount": {of: submits, set: into(func(o *options) *string { return &o.serviceAccount })},
		"from":           {of: submits, set: (*options).setFrom},
		"priority":       {of: []string{opSubmit, opSubmitFrom, opResubmit}, set: (*options).setPriority},
		"scheduled-time": {of: submits, set: (*options).setScheduled},
		"strict":         {of: submits, bool: true, set: func(o *options, v string) error { o.lax = v == "false"; return nil }},

		"dry-run":        {of: []string{opSubmit, opSubmitFrom, opStop, opTerminate}, bool: true, set: yes(func(o *options) *bool { return &o.dryRun })},
		"server-dry-run": {of: submits, bool: true, set: yes(func(o *options) *bool { return &o.serverDryRun })},

		"memoized":            {of: []string{opResubmit}, bool: true, set: yes(func(o *options) *bool { return &o.memoized })},
		"restart-successful":  {of: []string{opRetry}, bool: true, set: yes(func(o *options) *bool { return &o.restart })},
		"node-field-selector": {of: []string{opSubmit, opSubmitFrom, opRetry, opResume, opStop}, set: (*options).setNodes},
		"message":             {of: []string{opStop}, set: into(func(o *options) *string { return &o.message })},

		"wait":  {short: "w", of: begins, bool: true, set: yes(func(o *options) *bool { return &o.wait })},
		"watch": {of: begins, bool: true, set: yes(func(o *options) *bool { return &o.watch })},
		"log":   {of: begins, bool: true, set: yes(func(o *options) *bool { return &o.watch })},

		"output":     {short: "o"},
		"status":     {of: begins},
		"verbose":    {short: "v", bool: true},
		"loglevel":   {},
		"log-format": {},
		"gloglevel":  {},

		"namespace":            {short: "n", set: into(func(o *options) *string { return &o.namespace })},
		"instanceid":           {set: into(func(o *options) *string { return &o.instance })},
		"argo-server":          {short: "s", set: (*options).setServer},
		"argo-http1":           {bool: true},
		"argo-base-href":       {set: into(func(o *options) *string { return &o.base })},
		"secure":               {short: "e", bool: true, set: func(o *options, v string) error { o.plain = v == "false"; return nil }},
		"insecure-skip-verify": {short: "k", bool: true, set: yes(func(o *options) *bool { return &o.insecure })},
		"header":               {short: "H", set: (*options).addHeader},
		"token":                {set: into(func(o *options) *string { return &o.token })},
		"kubeconfig":           {set: into(func(o *options) *string { return &o.kubeconfig })},
		"context":              {set: into(func(o *options) *string { return &o.context })},
		"as":                   {set: into(func(o *options) *string { return &o.as })},
		"as-uid":               {set: into(func(o *options) *string { return &o.asUID })},
		"as-group":             {set: func(o *options, v string) error { o.asGroups = append(o.asGroups, v); return nil }},
	}
}

func (o *options) addParameter(v string) error {
	name, value, ok := strings.Cut(v, "=")
	if !ok {
		return errors.New("want name=value")
	}
	o.parameters = append(o.parameters, parameter{name, value})
	return nil
}

func (o *options) addLabels(v string) error {
	for item := range strings.SplitSeq(v, ",") {
		parts := strings.Split(item, "=")
		if len(parts) != 2 {
			return errors.New("want name=value, separated by commas")
		}
		if o.labels == nil {
			o.labels = map[string]string{}
		}
		o.labels[parts[0]] = parts[1]
	}
	return nil
}

func (o *options) setSelector(v string) error {
	if _, err := labels.Parse(v); err != nil {
		return fmt.Errorf("is no label selector: %w", err)
	}
	o.selector = v
	return nil
}

func (o *options) setFields(v string) error {
	if _, err := fields.ParseSelector(v); err != nil {
		return fmt.Errorf("is no field selector: %w", err)
	}
	o.fields = v
	return nil
}

func (o *options) setNodes(v string) error {
	s, err := parseNodeSelector(v)
	o.nodes, o.nodesText, o.hasNodes = s, v, v != ""
	return err
}

func (o *options) setPriority(v string) error {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return errors.New("is no number")
	}
	o.priority, o.hasPriority = &n, true
	return nil
}

func (o *options) setScheduled(v string) error {
	if _, err := time.Parse(time.RFC3339, v); err != nil {
		return errors.New("is no time as in 2006-01-02T15:04:05Z")
	}
	o.scheduled = v
	return nil
}

func (o *options) addHeader(v string) error {
	name, value, ok := strings.Cut(v, ":")
	if !ok || name == "" {
		return errors.New("want Name: value")
	}
	o.headers = append(o.headers, header{name, strings.TrimSpace(value)})
	return nil
}

func (o *options) setServer(v string) error {
	if strings.Contains(v, "/") {
		return errors.New("want host:port (--secure=false for http, --argo-base-href for a path)")
	}
	o.server = v
	return nil
}

// fromKinds are the words for the kinds of templates.
func fromKinds() map[string]string {
	return map[string]string{
		"wftmpl": kindTemplate, "workflowtemplate": kindTemplate, "workflowtemplates": kindTemplate, kindTemplate: kindTemplate,
		"cwftmpl": kindClusterTemplate, "cwft": kindClusterTemplate, "clusterworkflowtemplate": kindClusterTemplate, "clusterworkflowtemplates": kindClusterTemplate, kindClusterTemplate: kindClusterTemplate,
		"cronwf": kindCron, "cwf": kindCron, "cronworkflow": kindCron, "cronworkflows": kindCron, kindCron: kindCron,
	}
}

func (o *options) setFrom(v string) error {
	word, name, ok := strings.Cut(v, "/")
	if !ok || name == "" {
		return errors.New("want kind/name")
	}
	words := fromKinds()
	k, known := words[word]
	if !known {
		err := fmt.Errorf("%q is no kind of template", word)
		if near := kind.Nearest(word, slices.Sorted(maps.Keys(words))); near != "" {
			err = fmt.Errorf("%w, did you mean %s?", err, near)
		}
		return err
	}
	o.fromKind, o.fromName = k, name
	return nil
}
