package filter

import (
	"context"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/lua"
)

// script compiles filters.script.
func (c *compiler) script(path, src string) clause {
	s, err := lua.Compile("script", src)
	if err != nil {
		c.add(v1alpha1.Invalid(path, "%v", err).Hinted("it has to be a Lua 5.1 program, such as: return event.body.n > 4"))
		return clause{path: path}
	}
	return clause{path: path, want: "the script returns true", eval: func(ctx context.Context, in *input) result {
		if err := in.valid(); err != nil {
			return failed("", err)
		}
		pass, err := s.Test(ctx, in.data)
		if err != nil {
			return failed("", err)
		}
		return passIf(pass, "")
	}}
}
