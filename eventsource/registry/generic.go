package registry

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Anything else that posts JSON, read by expressions of the configuration.
var generic = provider{name: "generic", title: "the configured mapping", decode: decodeGeneric}

// The limits of one expression.
const (
	celTime   = time.Second
	celCost   = 1_000_000
	celMemory = 4_000_000
	celSource = 16 << 10
	maxEach   = 1000
)

// mapping is a compiled Mapping; expressions that are not given are nil.
type mapping struct {
	each, repository, registry, tag, digest, mediaType, kind cel.Program
	action, url, sourceRepository, actor, time, id           cel.Program
}

// compileMapping reports all that is wrong with m, at paths below mapping.
func compileMapping(m *Mapping) (*mapping, error) {
	env, err := cel.NewEnv(
		cel.Variable("body", cel.DynType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.ListType(cel.StringType))),
		cel.Variable("item", cel.DynType),
		cel.OptionalTypes(), ext.Strings(), ext.Lists(ext.ListsMaxRangeSize(10_000)), ext.Math(), ext.Regex(), ext.Encoders(),
		cel.ParserExpressionSizeLimit(celSource),
	)
	if err != nil {
		return nil, v1alpha1.Invalid("mapping", "CEL is not available: %v", err)
	}
	c := &mapping{}
	var errs []error
	if m.Repository == "" {
		errs = append(errs, v1alpha1.Invalid("mapping.repository", "is missing").Hinted("for example body.image.name"))
	}
	for _, e := range []struct {
		key, text string
		into      *cel.Program
	}{
		{"each", m.Each, &c.each},
		{"repository", m.Repository, &c.repository},
		{"registry", m.Registry, &c.registry},
		{"tag", m.Tag, &c.tag},
		{"digest", m.Digest, &c.digest},
		{"mediaType", m.MediaType, &c.mediaType},
		{"kind", m.Kind, &c.kind},
		{"action", m.Action, &c.action},
		{"url", m.URL, &c.url},
		{"sourceRepository", m.SourceRepository, &c.sourceRepository},
		{"actor", m.Actor, &c.actor},
		{"time", m.Time, &c.time},
		{"id", m.ID, &c.id},
	} {
		if e.text == "" {
			continue
		}
		program, err := compileCEL(env, e.text)
		if err != nil {
			errs = append(errs, v1alpha1.Invalid("mapping."+e.key, "%v", err).Hinted("the delivery is in body, as in body.image.name; texts need quotes"))
			continue
		}
		*e.into = program
	}
	return c, errors.Join(errs...)
}

func compileCEL(env *cel.Env, text string) (cel.Program, error) {
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, errors.New(issues.Errors()[0].Message)
	}
	return env.Program(checked, cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(celCost), cel.MemoryLimit(celMemory), cel.InterruptCheckFrequency(100))
}

func decodeGeneric(ctx context.Context, s *source, in *input) ([]found, error) {
	ctx, stop := context.WithTimeoutCause(ctx, celTime, errors.New("took too long"))
	defer stop()
	body, err := plainJSON(in.body)
	if err != nil {
		return nil, &ingress.Error{Status: 400, Text: "the body is not JSON"}
	}
	m := s.mapping
	vars := map[string]any{"body": body, "headers": visible(in.header, s.hook.SecretHeaders), "item": nil}
	items := []any{nil}
	if m.each != nil {
		out, _, err := m.each.ContextEval(ctx, vars)
		if err != nil {
			return nil, unwanted("mapping.each: " + err.Error())
		}
		native, err := out.ConvertToNative(reflect.TypeFor[[]any]())
		if err != nil {
			return nil, unwanted("mapping.each yields no list")
		}
		if items = native.([]any); len(items) > maxEach {
			return nil, unwanted("mapping.each yields more than 1000 elements")
		}
	}
	var list []found
	for i, item := range items {
		vars["item"] = item
		f, err := m.event(ctx, vars)
		if err != nil {
			return nil, err
		}
		switch {
		case f.id != "" && m.each != nil:
			f.id = ingress.Numbered(f.id, i)
		case f.id == "" && f.Digest != "":
			f.id = ingress.Numbered(hashed("generic", string(in.body)), i)
		}
		list = append(list, f)
	}
	return list, nil
}

// event is that of one item.
func (m *mapping) event(ctx context.Context, vars map[string]any) (found, error) {
	get := func(p cel.Program) string {
		text, _ := evalText(ctx, p, vars)
		return text
	}
	name, err := evalText(ctx, m.repository, vars)
	if err != nil {
		return found{}, unwanted("mapping.repository: " + err.Error())
	}
	if name == "" {
		return found{}, unwanted("mapping.repository yields nothing")
	}
	f := found{id: get(m.id)}
	f.DeliveryID = f.id
	f.Registry, f.Repository, f.Tag, f.Digest = imageevent.Split(withoutScheme(name))
	for _, o := range []struct {
		into    *string
		program cel.Program
	}{
		{&f.Registry, m.registry},
		{&f.Tag, m.tag},
		{&f.Digest, m.digest},
		{&f.MediaType, m.mediaType},
		{&f.URL, m.url},
		{&f.SourceRepository, m.sourceRepository},
		{&f.Actor, m.actor},
	} {
		if v := get(o.program); v != "" {
			*o.into = v
		}
	}
	f.OccurredAt = parseTime(get(m.time))
	if k := get(m.kind); k != "" {
		if f.Kind = imageevent.KindOther; slices.Contains(allKinds, k) {
			f.Kind = k
		}
	}
	f.Action = imageevent.Push
	if m.action != nil {
		f.RawEvent = get(m.action)
		if f.Action = strings.ToLower(f.RawEvent); f.Action != "" && !slices.Contains(allActions, f.Action) {
			f.Action = imageevent.Other
		}
	}
	return f, nil
}

// evalText is what an expression yields, as text. It is empty for null and for nothing.
func evalText(ctx context.Context, p cel.Program, vars map[string]any) (string, error) {
	if p == nil {
		return "", nil
	}
	out, _, err := p.ContextEval(ctx, vars)
	if err != nil {
		return "", err
	}
	if o, ok := out.(*types.Optional); ok {
		if !o.HasValue() {
			return "", nil
		}
		out = o.GetValue()
	}
	if out == types.NullValue {
		return "", nil
	}
	if t, ok := out.ConvertToType(types.StringType).(types.String); ok {
		return string(t), nil
	}
	return "", errors.New("yields a value that is no text")
}
