package trigger

import (
	"errors"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
)

// CheckFollow reports what is wrong with a block follow, with paths that begin
// with follow. For the Validate of kinds that have one.
func CheckFollow(f *v1alpha1.Follow) error {
	if f == nil {
		return nil
	}
	_, err := param.CompilePayload(f.Payload)
	return v1alpha1.At("follow", errors.Join(f.Validate(), v1alpha1.At("payload", err)))
}
