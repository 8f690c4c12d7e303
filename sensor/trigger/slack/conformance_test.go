package slack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger/slack"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestConformance(t *testing.T) {
	const least = `slackToken: {name: s, key: k}, channel: c`
	triggertest.Run(t, triggertest.Case{
		Kind: slack.Kind,
		Setup: func(t *testing.T, e *triggertest.Env) string {
			p := newPlayer(t)
			e.State = p
			return p.config(e, `
channel: "#general"
message: "fixed <&> {{ text }}"
attachments: '[{"color": "#fff", "text": "<b>", "new_field": [1, 2.50]}]'
blocks: '[{"type": "section", "text": {"type": "mrkdwn", "text": "a & b"}}, {"type": "of_tomorrow", "x": 1.50}]'
sender: {username: Signal Box, icon: ":robot_face:"}
thread: {messageAggregationKey: orders, broadcastMessageToChannel: true}
parameters:
  - {src: {dependencyName: dep, dataKey: text}, dest: message, operation: append}
  - {src: {dependencyName: other, dataKey: number}, dest: sender.username}
follow: {emit: true}
`)
		},
		Effects: func(t *testing.T, e *triggertest.Env) []json.RawMessage { return e.State.(*player).effects(t) },
		Break: func(_ *testing.T, e *triggertest.Env) {
			e.State.(*player).respond(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"ok":false,"error":"internal\n%s","response_metadata":{"messages":[%q]}}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header)
			})
		},
		Hang: func(t *testing.T, e *triggertest.Env) <-chan struct{} {
			arrived, release := make(chan struct{}), make(chan struct{})
			t.Cleanup(func() { close(release) })
			e.State.(*player).respond(func(http.ResponseWriter, *http.Request) {
				close(arrived)
				<-release
			})
			return arrived
		},
		NoID: true, // it is in the metadata; a repetition sends nothing, see TestRepetition
		Valid: []string{
			`{` + least + `, message: hello}`,
			`{` + least + `, blocks: '[{"type": "divider"}]'}`,
			`{` + least + `, message: hi, attachments: "[]", blocks: " "}`,
			`{` + least + `, message: hi, sender: {icon: "https://a.example/b.png"}, apiURL: "https://slack-gov.com/api/"}`,
			`{slackToken: {name: s, key: k}, parameters: [{src: {dependencyName: d}, dest: channel}, {src: {dependencyName: d}, dest: blocks}]}`,
			`{` + least + `, message: hi, follow: {timeout: 1m, emit: true}}`,
		},
		Invalid: map[string][]string{
			`{}`: {`message: is required (give message, attachments or blocks)`, `slackToken: is required`, `channel: is required`},
			`{slackToken: {}, channel: "#", message: x}`:                                                       {`slackToken.name: is required`, `slackToken.key: is required`, `channel: is required`},
			`{` + least + `, blocks: '{"blocks": [{"type": "divider"}]}'}`:                                     {`blocks: is an object, not a list (write only the list, without the key blocks around it)`},
			`{` + least + `, blocks: '{"type": "divider"}'}`:                                                   {`blocks: is an object, not a list`},
			`{` + least + `, blocks: '3'}`:                                                                     {`blocks: is no list in JSON`},
			`{` + least + `, blocks: "[{\"type\": \"divider\"},\n {\"type\" \"divider\"}]"}`:                   {`blocks: is no JSON, line 2, column 10: invalid character`},
			`{` + least + `, blocks: '[{"type": "divider"}'}`:                                                  {`blocks: is no JSON, line 1, column 20: unexpected end`},
			`{` + least + `, blocks: '[{"type": "divider"}, {"text": 1}, {"type": 7}]'}`:                       {`blocks[1].type: is required`, `blocks[2].type: is required`},
			`{` + least + `, blocks: '[{"type": "divider"}, null, "x"]'}`:                                      {`blocks[1]: is no object`, `blocks[2]: is no object`},
			`{` + least + `, blocks: '[` + strings.Repeat(`{"type":"divider"},`, 50) + `{"type":"divider"}]'}`: {`blocks: has 51 blocks`},
			`{` + least + `, message: x, attachments: '[1]'}`:                                                  {`attachments[0]: is no object`},
			`{` + least + `, message: x, attachments: 'text'}`:                                                 {`attachments: is no JSON, line 1, column 2`},
			`{` + least + `, message: x, sender: {icon: robot}}`:                                               {`sender.icon: "robot" is not sent`},
			`{` + least + `, message: x, thread: {broadcastMessageToChannel: true}}`:                           {`thread.broadcastMessageToChannel: has no effect`},
			`{` + least + `, message: x, apiURL: slack.com}`:                                                   {`apiURL: does not begin with https:// and a host`},
			`{` + least + `, message: x, apiURL: "https://u:p@slack.com"}`:                                     {`apiURL: has more than a host and a path`},
			`{` + least + `, message: x, apiURL: "http://slack.example/api"}`:                                  {`apiURL: sends the token without encryption`},
			`{` + least + `, message: x, apiURL: "https://a b"}`:                                               {`apiURL: is no URL`},
			`{` + least + `, message: x, follow: {timeout: -1s}, parameters: [{src: {}}]}`: {
				`follow.timeout: has to be longer than 0`, `parameters[0].src.dependencyName: is required`, `parameters[0].dest: is required`,
			},
		},
	})
}
