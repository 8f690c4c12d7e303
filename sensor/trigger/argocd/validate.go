package argocd

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// The operations.
const (
	opSync        = "sync"
	opRefresh     = "refresh"
	opHardRefresh = "hardRefresh"
	opRollback    = "rollback"
	opTerminate   = "terminate"
	opSet         = "set"
)

// What to do while an operation is running.
const (
	busyWait     = "wait"
	busyCoalesce = "coalesce"
	busyReplace  = "replace"
	busyFail     = "fail"
)

const (
	strategyHook       = "hook"
	strategyApply      = "apply"
	filesAffected      = "affected"
	filesUnaffected    = "unaffected"
	toPrevious         = "previous"
	everywhere         = "*"
	defaultNamespace   = "argocd"
	defaultBusyTimeout = 15 * time.Minute
	infoPrefix         = "signalbox"
)

var (
	operations = []string{opSync, opRefresh, opHardRefresh, opRollback, opTerminate, opSet}
	busyWays   = []string{busyWait, busyCoalesce, busyReplace, busyFail}
)

// Default implements kind.Config.
func (c *Config) Default() {
	fill := func(s *string, otherwise string) {
		if *s == "" {
			*s = otherwise
		}
	}
	fill(&c.Operation, opSync)
	fill(&c.OnBusy, busyWait)
	if c.Server == nil {
		fill(&c.Namespace, defaultNamespace)
	}
	if c.BusyTimeout == nil {
		c.BusyTimeout = v1alpha1.DurationOf(defaultBusyTimeout)
	}
	if c.AffectedBy != nil {
		fill(&c.AffectedBy.UnknownFiles, filesAffected)
	}
}

func (c *Config) followsHealth() bool { return c.FollowHealth == nil || *c.FollowHealth }

// begins tells whether the operation is one that Argo CD runs.
func (c *Config) begins() bool { return c.Operation == opSync || c.Operation == opRollback }

// eachText calls visit for each text that may be a template.
func (c *Config) eachText(visit func(path string, text *string)) {
	visit("name", &c.Name)
	visit("namespace", &c.Namespace)
	visit("selector", &c.Selector)
	visit("project", &c.Project)
	if s := c.Sync; s != nil {
		visit("sync.revision", &s.Revision)
		for i := range s.Revisions {
			visit("sync.revisions"+v1alpha1.Index(i), &s.Revisions[i])
		}
		for i := range s.SyncOptions {
			visit("sync.syncOptions"+v1alpha1.Index(i), &s.SyncOptions[i])
		}
		for i := range s.Resources {
			path := "sync.resources" + v1alpha1.Index(i)
			visit(path+".name", &s.Resources[i].Name)
			visit(path+".namespace", &s.Resources[i].Namespace)
		}
		for i := range s.Info {
			visit("sync.info"+v1alpha1.Index(i)+".value", &s.Info[i].Value)
		}
	}
	if c.Rollback != nil {
		visit("rollback.to", &c.Rollback.To)
	}
	if s := c.Set; s != nil {
		visit("set.sourceName", &s.SourceName)
		visit("set.targetRevision", &s.TargetRevision)
		for i := range s.Images {
			visit("set.images"+v1alpha1.Index(i), &s.Images[i])
		}
		for i := range s.Replicas {
			path := "set.replicas" + v1alpha1.Index(i)
			visit(path+".name", &s.Replicas[i].Name)
			visit(path+".count", &s.Replicas[i].Count)
		}
		if h := s.Helm; h != nil {
			visit("set.helm.values", &h.Values)
			for i := range h.Parameters {
				path := "set.helm.parameters" + v1alpha1.Index(i)
				visit(path+".name", &h.Parameters[i].Name)
				visit(path+".value", &h.Parameters[i].Value)
			}
		}
	}
}

// filled tells whether a parameter writes to path, something above it or below it.
func (c *Config) filled(path string) bool {
	return slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool {
		return p.Dest == path || strings.HasPrefix(p.Dest, path+".") || strings.HasPrefix(path, p.Dest+".")
	})
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	if !slices.Contains(operations, c.Operation) {
		add(oneOf("operation", c.Operation, operations))
		other := *c
		c, other.Operation = &other, opSync // what has an effect is not known
	}
	if !slices.Contains(busyWays, c.OnBusy) {
		add(oneOf("onBusy", c.OnBusy, busyWays))
	} else if c.OnBusy != busyWait && !c.begins() {
		add(v1alpha1.Warn("onBusy", "has no effect on %s", c.Operation))
	}
	if c.BusyTimeout != nil && c.BusyTimeout.Duration <= 0 {
		add(v1alpha1.Invalid("busyTimeout", "has to be longer than 0"))
	}
	if c.DisableAutoSync && !c.begins() {
		add(v1alpha1.Warn("disableAutoSync", "has no effect on %s", c.Operation))
	}
	if c.FollowHealth != nil && c.Follow == nil {
		add(v1alpha1.Warn("followHealth", "has no effect without follow"))
	}
	c.eachText(func(path string, text *string) {
		if _, err := param.CompileText(*text); err != nil {
			add(v1alpha1.Invalid(path, "%v", err))
		}
	})
	_, err := param.Compile(c.Parameters)
	add(v1alpha1.At("parameters", err))
	add(trigger.CheckFollow(c.Follow))
	add(c.validateSelection())
	add(c.validateSync())
	add(c.validateRollback())
	add(c.validateSet())
	add(c.validateServer())
	return errors.Join(errs...)
}

func oneOf(path, word string, known []string) error {
	bad := v1alpha1.Invalid(path, "%q is not known", word)
	if near := kind.Nearest(word, known); near != "" {
		return bad.Hinted("did you mean %s?", near)
	}
	return bad.Hinted("use one of %s", strings.Join(known, ", "))
}

func (c *Config) validateSelection() error {
	var errs []error
	some := c.Name != "" || c.Selector != "" || c.Project != "" || c.AffectedBy != nil
	if !some && !slices.ContainsFunc([]string{"name", "selector", "project", "affectedBy"}, c.filled) {
		errs = append(errs, v1alpha1.Invalid("name", "is required").Hinted("or say which applications by selector, project or affectedBy"))
	}
	if c.Selector != "" && fixed(c.Selector) && !c.filled("selector") {
		if _, err := labels.Parse(c.Selector); err != nil {
			errs = append(errs, v1alpha1.Invalid("selector", "%v", err))
		}
	}
	if a := c.AffectedBy; a != nil {
		if a.Dependency == "" && !c.filled("affectedBy.dependency") {
			errs = append(errs, v1alpha1.Invalid("affectedBy.dependency", "is required"))
		}
		if a.UnknownFiles != filesAffected && a.UnknownFiles != filesUnaffected {
			errs = append(errs, oneOf("affectedBy.unknownFiles", a.UnknownFiles, []string{filesAffected, filesUnaffected}))
		}
	}
	return errors.Join(errs...)
}

// fixed tells whether a text is no template.
func fixed(text string) bool {
	t, err := param.CompileText(text)
	return err == nil && t.Fixed()
}

func (c *Config) validateSync() error {
	s := c.Sync
	if s == nil {
		return nil
	}
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, v1alpha1.Invalid("sync."+path, format, args...))
	}
	if !c.begins() {
		errs = append(errs, v1alpha1.Warn("sync", "has no effect on %s", c.Operation))
	} else if c.Operation == opRollback {
		if s.Revision != "" || len(s.Revisions) > 0 || s.Strategy != "" || s.Force || len(s.Resources) > 0 || len(s.SyncOptions) > 0 {
			errs = append(errs, v1alpha1.Warn("sync", "has no effect on rollback but for prune, dryRun, retry and info"))
		}
	}
	if s.Revision != "" && len(s.Revisions) > 0 {
		bad("revisions", "and revision exclude each other")
	}
	if s.Strategy != "" && s.Strategy != strategyHook && s.Strategy != strategyApply {
		errs = append(errs, oneOf("sync.strategy", s.Strategy, []string{strategyHook, strategyApply}))
	}
	for i, r := range s.Resources {
		path := "resources" + v1alpha1.Index(i)
		if r.Kind == "" && !c.filled("sync."+path+".kind") {
			bad(path+".kind", "is required")
		}
		if r.Name == "" && !c.filled("sync."+path+".name") {
			bad(path+".name", "is required")
		}
	}
	for i, n := range s.Info {
		path := "info" + v1alpha1.Index(i) + ".name"
		if n.Name == "" {
			bad(path, "is required")
		} else if strings.HasPrefix(n.Name, infoPrefix) {
			bad(path, "begins with %s, which is taken", infoPrefix)
		}
	}
	if r := s.Retry; r != nil && r.Backoff != nil {
		for _, d := range []struct{ name, value string }{{"duration", r.Backoff.Duration}, {"maxDuration", r.Backoff.MaxDuration}} {
			if _, err := time.ParseDuration(d.value); d.value != "" && err != nil {
				if _, err := strconv.Atoi(d.value); err != nil {
					bad("retry.backoff."+d.name, "%q is no duration", d.value)
				}
			}
		}
		if r.Backoff.Factor != nil && *r.Backoff.Factor < 1 {
			bad("retry.backoff.factor", "is below 1")
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateRollback() error {
	if c.Rollback == nil {
		return nil
	}
	if c.Operation != opRollback {
		return v1alpha1.Warn("rollback", "has no effect on %s", c.Operation)
	}
	if to := c.Rollback.To; to != "" && fixed(to) && !c.filled("rollback.to") {
		if _, err := entryID(to); err != nil {
			return v1alpha1.Invalid("rollback.to", "%v", err)
		}
	}
	return nil
}

// entryID reads Rollback.To; below 0 is the previous entry.
func entryID(to string) (int64, error) {
	if to == "" || to == toPrevious {
		return -1, nil
	}
	id, err := strconv.ParseInt(to, 10, 64)
	if err != nil || id < 0 {
		return 0, fmt.Errorf("%q is neither the id of an entry of the history nor %s", to, toPrevious)
	}
	return id, nil
}

func (c *Config) validateSet() error {
	s := c.Set
	switch {
	case s == nil && c.Operation == opSet && !c.filled("set"):
		return v1alpha1.Invalid("set", "is required")
	case s == nil:
		return nil
	case c.Operation != opSet && c.Operation != opSync:
		return v1alpha1.Warn("set", "has no effect on %s", c.Operation)
	}
	var errs []error
	bad := func(path, format string, args ...any) {
		if !c.filled("set." + path) {
			errs = append(errs, v1alpha1.Invalid(v1alpha1.Join("set", path), format, args...))
		}
	}
	if s.SourcePosition < 0 {
		bad("sourcePosition", "counts from 1")
	}
	if s.SourcePosition > 0 && s.SourceName != "" {
		bad("sourcePosition", "and sourceName exclude each other")
	}
	if s.empty() && !slices.ContainsFunc([]string{"set.targetRevision", "set.images", "set.replicas", "set.helm"}, c.filled) {
		bad("", "says nothing")
	}
	kustomize := len(s.Images) > 0 || len(s.Replicas) > 0
	if kustomize && s.Helm != nil {
		bad("helm", "and images or replicas exclude each other: a source is either a chart or for kustomize")
	}
	for i, image := range s.Images {
		path := "images" + v1alpha1.Index(i)
		if image == "" {
			bad(path, "is empty")
		} else if fixed(image) && !strings.Contains(image, "=") && strings.Contains(imageRest(image), "/") {
			errs = append(errs, v1alpha1.Warn("set."+path, "Argo CD takes %q for the name of the image", imageName(image)).Hinted("write NAME=%s", image))
		}
	}
	for i, r := range s.Replicas {
		if r.Name == "" {
			bad("replicas"+v1alpha1.Index(i)+".name", "is required")
		}
		if _, err := strconv.ParseInt(r.Count, 10, 32); err != nil && fixed(r.Count) {
			bad("replicas"+v1alpha1.Index(i)+".count", "%q is no whole number", r.Count)
		}
	}
	if s.Helm != nil {
		for i, p := range s.Helm.Parameters {
			if p.Name == "" {
				bad("helm.parameters"+v1alpha1.Index(i)+".name", "is required")
			}
		}
		errs = append(errs, v1alpha1.At("set.helm.valuesObject", checkValues(s.Helm.ValuesObject)))
	}
	return errors.Join(errs...)
}

func (s *Set) empty() bool {
	return s.TargetRevision == "" && len(s.Images) == 0 && len(s.Replicas) == 0 &&
		(s.Helm == nil || len(s.Helm.Parameters) == 0 && s.Helm.Values == "" && s.Helm.ValuesObject == nil)
}

func (c *Config) validateServer() error {
	s := c.Server
	if s == nil {
		return nil
	}
	var errs []error
	if s.URL == "" {
		if !c.filled("server.url") {
			errs = append(errs, v1alpha1.Invalid("server.url", "is required"))
		}
	} else if u, err := url.Parse(s.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" {
		errs = append(errs, v1alpha1.Invalid("server.url", "has to be https://HOST or http://HOST"))
	} else if u.Scheme == "http" && s.TLS != nil {
		errs = append(errs, v1alpha1.Warn("server.tls", "has no effect on an http URL").Hinted("write https"))
	}
	switch {
	case s.Token == nil && !c.filled("server.token"):
		errs = append(errs, v1alpha1.Invalid("server.token", "is required"))
	case s.Token != nil:
		if s.Token.Name == "" {
			errs = append(errs, v1alpha1.Invalid("server.token.name", "is required"))
		}
		if s.Token.Key == "" {
			errs = append(errs, v1alpha1.Invalid("server.token.key", "is required"))
		}
	}
	return errors.Join(append(errs, v1alpha1.At("server.tls", s.TLS.Validate()))...)
}
