package admission

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // else the library complains
	os.Exit(kube.Run(m))
}
