package filter

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/Masterminds/semver/v3"

	"github.com/signalbox-events/signalbox/internal/glob"
)

// functions of our own.
//
//	text.glob(pattern), text.glob([pattern, ...])
//	version.semver(constraint)
//	data.git.changed([pattern, ...]), data.git.changed([pattern, ...], ifUnknown)
//	data.git.pushedTo([pattern, ...]), data.git.pushedTo(pattern)
//	data.git.onBranch([pattern, ...]), data.git.onBranch(pattern)
//	data.git.tagged(constraint), data.image.tagged(constraint)
func functions() []cel.EnvOption {
	patterns := cel.ListType(cel.StringType)
	return []cel.EnvOption{
		cel.Function("glob",
			cel.MemberOverload("string_glob_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(globOf)),
			cel.MemberOverload("string_glob_list", []*cel.Type{cel.StringType, patterns}, cel.BoolType, cel.BinaryBinding(globOf))),
		cel.Function("semver",
			cel.MemberOverload("string_semver_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(semverOf))),
		cel.Function("changed",
			cel.MemberOverload("git_changed_list", []*cel.Type{cel.DynType, patterns}, cel.BoolType,
				cel.BinaryBinding(func(git, patterns ref.Val) ref.Val { return changedOf(git, patterns, types.True) })),
			cel.MemberOverload("git_changed_list_bool", []*cel.Type{cel.DynType, patterns, cel.BoolType}, cel.BoolType,
				cel.FunctionBinding(func(args ...ref.Val) ref.Val { return changedOf(args[0], args[1], args[2]) }))),
		cel.Function("pushedTo",
			cel.MemberOverload("git_pushedto_string", []*cel.Type{cel.DynType, cel.StringType}, cel.BoolType, cel.BinaryBinding(pushedTo)),
			cel.MemberOverload("git_pushedto_list", []*cel.Type{cel.DynType, patterns}, cel.BoolType, cel.BinaryBinding(pushedTo))),
		cel.Function("onBranch",
			cel.MemberOverload("git_onbranch_string", []*cel.Type{cel.DynType, cel.StringType}, cel.BoolType, cel.BinaryBinding(onBranch)),
			cel.MemberOverload("git_onbranch_list", []*cel.Type{cel.DynType, patterns}, cel.BoolType, cel.BinaryBinding(onBranch))),
		cel.Function("tagged",
			cel.MemberOverload("block_tagged_string", []*cel.Type{cel.DynType, cel.StringType}, cel.BoolType, cel.BinaryBinding(tagged))),
	}
}

// mostPatterns is how many patterns one call takes. Matching them with thousands
// of files is work that CEL's own limits do not see.
const mostPatterns = 200

// globOf is text.glob(one pattern or several).
func globOf(text, patterns ref.Val) ref.Val {
	g, err := patternsOf(patterns)
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(g.Match(string(text.(types.String))))
}

func patternsOf(v ref.Val) (glob.Set, error) {
	if s, ok := v.(types.String); ok {
		return glob.NewSet([]string{string(s)}), nil
	}
	list, err := textsOf(v)
	switch {
	case err != nil:
		return glob.Set{}, err
	case len(list) == 0:
		return glob.Set{}, errors.New("the list of patterns is empty")
	case len(list) > mostPatterns:
		return glob.Set{}, fmt.Errorf("%d patterns; at most %d are matched at once", len(list), mostPatterns)
	}
	return glob.NewSet(list), nil
}

func textsOf(v ref.Val) ([]string, error) {
	list, ok := v.(traits.Lister)
	if !ok {
		return nil, fmt.Errorf("want a list of texts, not a value of type %s", v.Type().TypeName())
	}
	var texts []string
	for it := list.Iterator(); it.HasNext() == types.True; {
		s, ok := it.Next().(types.String)
		if !ok {
			return nil, errors.New("the list holds something that is no text")
		}
		texts = append(texts, string(s))
	}
	return texts, nil
}

func semverOf(version, constraint ref.Val) ref.Val {
	return satisfies(string(version.(types.String)), string(constraint.(types.String)))
}

func satisfies(version, constraint string) ref.Val {
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return types.WrapErr(err)
	}
	v, err := semver.NewVersion(version)
	if err != nil { // a tag that is no version satisfies nothing
		return types.False
	}
	return types.Bool(c.Check(v))
}

// member of a block of the event's data; nil if it has none, or null.
func member(block ref.Val, key string) (ref.Val, error) {
	m, ok := block.(traits.Mapper)
	if !ok {
		return nil, fmt.Errorf("want the block data.git or data.image, not a value of type %s", block.Type().TypeName())
	}
	v, found := m.Find(types.String(key))
	if !found || v == types.NullValue {
		return nil, nil
	}
	return v, nil
}

// changedOf tells whether a changed file matches; ifUnknown if the files are not known.
func changedOf(git, patterns, ifUnknown ref.Val) ref.Val {
	g, err := patternsOf(patterns)
	if err != nil {
		return types.WrapErr(err)
	}
	v, err := member(git, "changedFiles")
	if err != nil {
		return types.WrapErr(err)
	}
	if v == nil {
		return ifUnknown
	}
	files, err := textsOf(v)
	if err != nil {
		return types.WrapErr(fmt.Errorf("changedFiles: %w", err))
	}
	for _, f := range files {
		if g.Match(f) {
			return types.True
		}
	}
	return types.False
}

// pushedTo tells whether commits were pushed to such a branch: not whether it was
// removed, nor whether somebody wants to merge into it.
func pushedTo(git, patterns ref.Val) ref.Val {
	event, err := member(git, "event")
	if err != nil {
		return types.WrapErr(err)
	}
	deleted, err := member(git, "deleted")
	if err != nil {
		return types.WrapErr(err)
	}
	if event != types.String("push") || deleted == types.True {
		return types.False
	}
	return onBranch(git, patterns)
}

// onBranch is false where there is no branch, as in an event of a tag.
func onBranch(git, patterns ref.Val) ref.Val {
	g, err := patternsOf(patterns)
	if err != nil {
		return types.WrapErr(err)
	}
	v, err := member(git, "branch")
	if err != nil {
		return types.WrapErr(err)
	}
	name, ok := v.(types.String)
	return types.Bool(ok && g.Match(string(name)))
}

// tagged is false where there is no tag.
func tagged(block, constraint ref.Val) ref.Val {
	v, err := member(block, "tag")
	if err != nil {
		return types.WrapErr(err)
	}
	name, ok := v.(types.String)
	if !ok {
		name = ""
	}
	return satisfies(string(name), string(constraint.(types.String)))
}
