package sns

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/webhook/verify"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"good", signed, ""},
		{"meant to be open", open, ""},
		{"open", "webhook: {endpoint: /sns}\ntopicArn: " + topic, "set validateSignature: true"},
		{"raw beside signatures", signed + "allowRawDelivery: true", "what nobody has signed"},
		{"no topic", "webhook: {endpoint: /sns, insecure: true}\nregion: x", "topicArn: is missing"},
		{"a pattern", "webhook: {endpoint: /sns, insecure: true}\ntopicArn: 'arn:aws:sns:x:1:*'", "not a pattern"},
		{"no region", "webhook: {endpoint: /sns, insecure: true}\ntopicArn: x", "region: is missing"},
		{"half of the keys", signed + "accessKey: {name: a, key: b}", "accessKey and secretKey belong together"},
		{"no address", signed + "endpoint: localstack", "endpoint"},
		{"nothing to remove", signed + "subscribe: false\ndeleteSubscriptionOnFinish: true", "deleteSubscriptionOnFinish: has no effect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.config))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzMessage: a message that passes for one has an id, and blocks that are JSON.
func FuzzMessage(f *testing.F) {
	f.Add(message(f, nil))
	f.Add(message(f, subscription))
	f.Add([]byte(`{"Type":"Notification","Message":"{\"a\":","Subject":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := verify.ParseSNS(body)
		if err != nil {
			return
		}
		made := notification(body, m)
		if made.ID == "" {
			t.Error("no id")
		}
		for _, b := range made.Blocks {
			if _, err := json.Marshal(b.Value); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	body := message(b, nil)
	v := verify.SNS{Topics: []string{topic}, Client: newAmazon().client()}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := verify.ParseSNS(body)
		if err != nil {
			b.Fatal(err)
		}
		if err := v.Check(context.Background(), m); err != nil {
			b.Fatal(err)
		}
		if made := notification(body, m); made.ID == "" {
			b.Fatal("no id")
		}
	}
}
