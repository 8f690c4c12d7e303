package registry

import (
	"testing"

	"go.uber.org/goleak"
)

// The registry that tests run (distribution) has workers that end some time after it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"),
		goleak.IgnoreAnyFunction("github.com/distribution/distribution/v3/notifications.(*eventQueue).run"))
}
