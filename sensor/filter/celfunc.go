package filter

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/Masterminds/semver/v3"
)

// globFunction is text.glob(pattern).
var globFunction = cel.Function("glob",
	cel.MemberOverload("string_glob_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(text, pattern ref.Val) ref.Val {
			return types.Bool(glob(string(pattern.(types.String)), string(text.(types.String))))
		})))

// semverFunction is version.semver(constraint).
var semverFunction = cel.Function("semver",
	cel.MemberOverload("string_semver_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(version, constraint ref.Val) ref.Val {
			c, err := semver.NewConstraint(string(constraint.(types.String)))
			if err != nil {
				return types.WrapErr(err)
			}
			v, err := semver.NewVersion(string(version.(types.String)))
			if err != nil { // a tag that is no version satisfies nothing
				return types.False
			}
			return types.Bool(c.Check(v))
		})))

// glob matches a whole text: * is any characters but /, ** any characters, ? one
// character but /. It looks at no character more often than pattern and text
// are long.
func glob(pattern, text string) bool {
	// reached[j] tells whether the pattern so far matches text[:j].
	reached := make([]bool, len(text)+1)
	reached[0] = true
	for i := 0; i < len(pattern); i++ {
		any, wild := false, pattern[i] == '*'
		if wild && i+1 < len(pattern) && pattern[i+1] == '*' {
			any = true
			i++
		}
		if wild {
			for j := range text {
				if reached[j] && (any || text[j] != '/') {
					reached[j+runeLen(text, j)] = true
				}
			}
			continue
		}
		next := make([]bool, len(text)+1)
		for j := range len(text) {
			switch {
			case !reached[j]:
			case pattern[i] == '?' && text[j] != '/':
				next[j+runeLen(text, j)] = true
			case pattern[i] == text[j]:
				next[j+1] = true
			}
		}
		reached = next
	}
	return reached[len(text)]
}

func runeLen(s string, at int) int {
	for n := 1; ; n++ {
		if at+n == len(s) || s[at+n]&0xc0 != 0x80 {
			return n
		}
	}
}
