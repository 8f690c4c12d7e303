package sns

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

func TestFixtures(t *testing.T) {
	for _, s := range hosttest.Samples(t, "aws-sns") {
		t.Run(s.File, func(t *testing.T) {
			a := newAmazon()
			a.cert = hosttestFile(t, "signing-cert-test.pem")
			url, r := start(t, signed, a)
			if s.Header.Get("X-Amz-Sns-Rawdelivery") != "" {
				if status, _ := hosttest.Send(t, url, s.Header, s.Body); status != 401 || len(r.Stored()) > 0 {
					t.Errorf("raw: %d, %d events", status, len(r.Stored()))
				}
				return
			}
			const field = `"Signature": "`
			at := strings.Index(string(s.Body), field) + len(field)
			wrong := slices.Clone(s.Body)
			wrong[at] ^= 1 // A becomes @, so base64 is broken, or it is another letter
			if status, _ := hosttest.Send(t, url, s.Header, wrong); at < len(field) || status != 401 || len(r.Stored()) > 0 || a.confirmed() > 0 {
				t.Fatalf("wrong signature: %d, %d events", status, len(r.Stored()))
			}
			if status, text := hosttest.Send(t, url, s.Header, s.Body); status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			if want := s.Header.Get("X-Amz-Sns-Message-Type") == verify.SNSSubscribe; (a.confirmed() == 1) != want {
				t.Errorf("confirmed %d times", a.confirmed())
			}
			if s.Header.Get("X-Amz-Sns-Message-Type") != verify.SNSNotification {
				if n := len(r.Stored()); n > 0 {
					t.Errorf("%d events", n)
				}
				return
			}
			e := r.Next(t)
			var d struct {
				Body    struct{ Message, TopicArn string }
				Message struct{ Source string }
			}
			if err := json.Unmarshal(e.Data, &d); err != nil || e.ID != s.Header.Get(idHeader) || !strings.HasPrefix(d.Message.Source, "aws.") || d.Body.Message == "" || d.Body.TopicArn != topic {
				t.Errorf("id %s, %+v, %v", e.ID, d, err)
			}
		})
	}
}

// hosttestFile reads a file of the samples.
func hosttestFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../shared/fixtures/webhooks/aws-sns/" + name)
	if err != nil {
		t.Skip(err)
	}
	return b
}
