package manifest_test

import (
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

const source = `apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: hooks}
spec:
  webhook:
    push: {endpoint: /push}
---
`

// sensorWith is a Sensor, from line 8, with the given text for its triggers.
func sensorWith(triggers string) string {
	return source + `apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: s}
spec:
  dependencies:
    - {name: a, eventSourceName: hooks, eventName: push}
    - {name: b-c, eventSourceName: hooks, eventName: push}
  triggers:
` + triggers
}

func eventSource(spec string) string {
	return "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: es}\nspec:\n" + spec
}

func bus(spec string) string {
	return "apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata: {name: default}\nspec:\n" + spec
}

func TestLint(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"a good pair", sensorWith("  - template: {name: t, log: {}}\n"), nil},
		{"trigger without a kind", sensorWith("  - template: {name: t}\n"), []string{
			"m.yaml:16: error: Sensor/s: spec.triggers[0].template: has no kind of trigger (give one, such as http)",
		}},
		{"empty kind", sensorWith("  - template:\n      name: t\n      log:\n"), []string{
			"m.yaml:18: error: Sensor/s: spec.triggers[0].template.log: is empty (write log: {})",
		}},
		{"two kinds", sensorWith("  - template: {name: t, log: {}, http: {url: http://a}}\n"), []string{
			"m.yaml:16: error: Sensor/s: spec.triggers[0].template: has more than one kind of trigger: http and log (keep one)",
		}},
		{"misspelt kind beside a good one", sensorWith("  - template: {name: t, log: {}, HTTP: {url: http://a}}\n"), []string{
			`m.yaml:16: warning: Sensor/s: spec.triggers[0].template.HTTP: unknown key "HTTP" is ignored (did you mean "http"?)`,
		}},
		{"misplaced in the kind", sensorWith("  - template:\n      name: t\n      http:\n        url: http://a\n        retryStrategy: {steps: 3}\n"), []string{
			`m.yaml:20: warning: Sensor/s: spec.triggers[0].template.http.retryStrategy: unknown key "retryStrategy" is ignored (retryStrategy belongs beside template, two levels up)`,
		}},
		{"misplaced in the template", sensorWith("  - template:\n      name: t\n      log: {}\n      rateLimit: {requestsPerUnit: 3}\n"), []string{
			`m.yaml:19: warning: Sensor/s: spec.triggers[0].template.rateLimit: unknown key "rateLimit" is ignored (rateLimit belongs beside template, one level up)`,
		}},
		{"unknown key in a block", sensorWith("  - template: {name: t, log: {}}\n    retryStrategy: {step: 3, Duration: 1s}\n"), []string{
			`m.yaml:17: warning: Sensor/s: spec.triggers[0].retryStrategy.Duration: unknown key "Duration" is ignored (did you mean "duration"?)`,
			`m.yaml:17: warning: Sensor/s: spec.triggers[0].retryStrategy.step: unknown key "step" is ignored (did you mean "steps"?)`,
		}},
		{"wrong type beside other mistakes", sensorWith("  - template: {name: 5, http: {timeout: -1, url: [x]}}\n    rateLimit: {}\n"), []string{
			`m.yaml:16: error: Sensor/s: spec.triggers[0].template.http.timeout: is negative`,
			`m.yaml:16: error: Sensor/s: spec.triggers[0].template.http.url: want a string, got a list`,
			`m.yaml:16: error: Sensor/s: spec.triggers[0].template.name: want a string, got the number 5 (put it in quotes: "5")`,
			`m.yaml:17: error: Sensor/s: spec.triggers[0].rateLimit.requestsPerUnit: has to be 1 or more`,
		}},
		{"misplaced conditions", sensorWith("  - template: {name: t, log: {}}\n    conditions: a\n"), []string{
			`m.yaml:17: warning: Sensor/s: spec.triggers[0].conditions: unknown key "conditions" is ignored (it belongs inside template)`,
		}},
		{"wrong types, all at once", sensorWith("  - template: {name: 5, log: {}}\n    atLeastOnce: \"yes\"\n    retryStrategy: {duration: ten}\n"), []string{
			`m.yaml:16: error: Sensor/s: spec.triggers[0].template.name: want a string, got the number 5 (put it in quotes: "5")`,
			`m.yaml:17: error: Sensor/s: spec.triggers[0].atLeastOnce: want true or false, got the string "yes" (write it without quotes)`,
			`m.yaml:18: error: Sensor/s: spec.triggers[0].retryStrategy.duration: "ten" is no duration: write a number with a unit, such as 10s or 1m30s`,
		}},
		{"on is a boolean", sensorWith("  - template: {name: on, log: {}}\n"), []string{
			`m.yaml:16: error: Sensor/s: spec.triggers[0].template.name: want a string, got true (put it in quotes: "true"; yes, no, on, off, y and n are booleans in YAML too)`,
		}},
		{"names of triggers and of dead-letter triggers", sensorWith("  - template: {name: t, log: {}}\n    dlqTrigger: {template: {name: t, log: {}}}\n  - template: {name: t, log: {}}\n  - template: {log: {}}\n"), []string{
			`m.yaml:18: error: Sensor/s: spec.triggers[1].template.name: "t" is the name of triggers[0] too (trigger names are unique in a sensor)`,
			`m.yaml:19: error: Sensor/s: spec.triggers[2].template.name: is required`,
		}},
		{"dead-letter trigger", sensorWith("  - template: {name: t, log: {}}\n    dlqTrigger:\n      rateLimit: {}\n      template:\n        name: dead\n        http: {}\n"), []string{
			`m.yaml:18: error: Sensor/s: spec.triggers[0].dlqTrigger.rateLimit.requestsPerUnit: has to be 1 or more`,
			`m.yaml:21: error: Sensor/s: spec.triggers[0].dlqTrigger.template.http.url: is required`,
		}},
		{"policies and limits", sensorWith("  - template: {name: t, log: {}}\n    policy: {status: {}, k8s: {labels: {}}}\n    rateLimit: {unit: Day, requestsPerUnit: 0}\n    retryStrategy: {steps: -1}\n    maxInFlight: 0\n    dlqTrigger: {template: {name: dead, log: {}}, maxInFlight: 5000}\n"), []string{
			`m.yaml:17: error: Sensor/s: spec.triggers[0].policy.k8s.labels: is required (give the labels to wait for)`,
			`m.yaml:17: error: Sensor/s: spec.triggers[0].policy.status.allow: is required (list the statuses that mean success, such as [200, 201])`,
			`m.yaml:18: error: Sensor/s: spec.triggers[0].rateLimit.requestsPerUnit: has to be 1 or more`,
			`m.yaml:18: warning: Sensor/s: spec.triggers[0].rateLimit.unit: "Day" means Second (there are Second, Minute, Hour)`,
			`m.yaml:19: error: Sensor/s: spec.triggers[0].retryStrategy.steps: is negative`,
			`m.yaml:20: error: Sensor/s: spec.triggers[0].maxInFlight: has to be from 1 to 4096 (leave it out for 64)`,
			`m.yaml:21: error: Sensor/s: spec.triggers[0].dlqTrigger.maxInFlight: has to be from 1 to 4096 (leave it out for 64)`,
			`m.yaml:21: warning: Sensor/s: spec.triggers[0].dlqTrigger.maxInFlight: has no effect (a dead-letter trigger runs in the place of its trigger)`,
		}},
		{"resets", sensorWith("  - template:\n      name: t\n      log: {}\n      conditionsReset:\n        - byTime: {cron: 0 0 30 2 *, timezone: Mars}\n        - {}\n        - byTime: {cron: '@daily'}\n"), []string{
			`m.yaml:20: error: Sensor/s: spec.triggers[0].template.conditionsReset[0].byTime.cron: "0 0 30 2 *" never occurs`,
			`m.yaml:20: error: Sensor/s: spec.triggers[0].template.conditionsReset[0].byTime.timezone: unknown time zone "Mars" (use an IANA name such as Europe/Berlin)`,
			`m.yaml:21: error: Sensor/s: spec.triggers[0].template.conditionsReset[1].byTime: is required`,
			`m.yaml:22: error: Sensor/s: spec.triggers[0].template.conditionsReset[2].byTime.cron: "@daily" is no schedule: parser does not accept descriptors: @daily (five fields: minute hour day month weekday)`,
		}},
		{"parameters", sensorWith("  - template: {name: t, http: {url: http://a}}\n    parameters:\n      - {dest: http.url}\n      - {src: {dependencyName: x, dataKey: body.u}, dest: http.url, operation: overwrote}\n"), []string{
			`m.yaml:18: error: Sensor/s: spec.triggers[0].parameters[0].src: is required`,
			`m.yaml:19: error: Sensor/s: spec.triggers[0].parameters[1].operation: unknown operation "overwrote" (did you mean "overwrite"?)`,
			`m.yaml:19: warning: Sensor/s: spec.triggers[0].parameters[1].src.dependencyName: there is no dependency "x", so the parameter is left out each time (there are a and b-c)`,
		}},
		{"what parameters write may be missing or wrong", sensorWith(`  - template: {name: t, http: {timeout: soon}}
    parameters:
      - {src: {dependencyName: a, dataKey: body.u}, dest: http.url}
      - {src: {dependencyName: a, dataKey: body.t, useRawData: true}, dest: http.timeout}
`), nil},
		{"what parameters do not write may not", sensorWith(`  - template: {name: t, http: {timeout: soon}}
    parameters:
      - {src: {dependencyName: a, dataKey: body.u}, dest: http.url}
`), []string{
			`m.yaml:16: error: Sensor/s: spec.triggers[0].template.http.timeout: want a whole number, got the string "soon" (write it without quotes)`,
		}},
		{"placeholders of parameters", sensorWith(`  - template:
      name: t
      http:
        url: http://a
        payload:
          - {src: {dependencyName: LATER, dataKey: LATER}, dest: x}
          - {src: {dependencyName: WRONG, dataKey: LATER}, dest: x}
    parameters:
      - {src: {dependencyName: a, dataKey: body.d}, dest: http.payload.0.src.dependencyName}
      - {src: {dependencyName: a, dataKey: body.k}, dest: http.payload.0.src.dataKey}
`), []string{
			`m.yaml:22: warning: Sensor/s: spec.triggers[0].template.http.payload[1].src.dependencyName: there is no dependency "WRONG", so the parameter is left out each time (there are a and b-c)`,
		}},
		{"payload path that no event has", sensorWith("  - template:\n      name: t\n      http: {url: http://a, payload: [{src: {dependencyName: a, dataKey: name}, dest: x}]}\n"), []string{
			`m.yaml:18: warning: Sensor/s: spec.triggers[0].template.http.payload[0].src.dataKey: "name" never exists: the data of webhook events has only header and body (did you mean "body.name"?)`,
		}},
		{"later kind with a misspelt key", sensorWith("  - template:\n      name: t\n      kafka: {url: a, tpoic: b, partition: x}\n"), []string{
			`m.yaml:18: warning: Sensor/s: spec.triggers[0].template.kafka: triggers of kind kafka are not supported yet by this version (the other triggers of the sensor are not held up)`,
			`m.yaml:18: warning: Sensor/s: spec.triggers[0].template.kafka.partition: want a whole number, got the string "x" (write it without quotes)`,
			`m.yaml:18: warning: Sensor/s: spec.triggers[0].template.kafka.tpoic: unknown key "tpoic" is ignored (did you mean "topic"?)`,
		}},
		{"empty sensor", "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: s}\nspec: {dependencies: []}\n", []string{
			`m.yaml:4: error: Sensor/s: spec.dependencies: at least one is required`,
			`m.yaml:4: error: Sensor/s: spec.triggers: at least one is required`,
		}},
		{"dependencies", "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: s}\nspec:\n  triggers: [{template: {name: t, log: {}}}]\n  dependencies:\n" +
			"  - {name: a, eventSourceName: x, eventName: e, filtersLogicalOperator: AND}\n  - {name: a}\n", []string{
			`m.yaml:7: error: Sensor/s: spec.dependencies[0].filtersLogicalOperator: unknown operator "AND" (write and or or, in small letters)`,
			`m.yaml:8: error: Sensor/s: spec.dependencies[1].eventName: is required`,
			`m.yaml:8: error: Sensor/s: spec.dependencies[1].eventSourceName: is required`,
			`m.yaml:8: error: Sensor/s: spec.dependencies[1].name: "a" is the name of dependencies[0] too (dependency names are unique in a sensor)`,
		}},

		{"source without events", eventSource("  eventBusName: x\n"), []string{
			`m.yaml:4: error: EventSource/es: spec: has no events (give a kind of source with at least one event)`,
		}},
		{"misspelt kind of source", eventSource("  webhok: {a: {endpoint: /a}}\n"), []string{
			`m.yaml:4: error: EventSource/es: spec: has no events (give a kind of source with at least one event)`,
			`m.yaml:5: warning: EventSource/es: spec.webhok: unknown key "webhok" is ignored (did you mean "webhook"?)`,
		}},
		{"kind that maps to no entries", eventSource("  webhook: [a]\n  calendar: {t: {interval: 10s}}\n"), []string{
			`m.yaml:5: error: EventSource/es: spec.webhook: want event names, each with its configuration`,
		}},
		{"entries with mistakes", eventSource("  webhook:\n    a: {prot: \"1\"}\n    a.b: {endpoint: /, port: 12000}\n"), []string{
			`m.yaml:6: error: EventSource/es: spec.webhook.a.endpoint: is required`,
			`m.yaml:6: warning: EventSource/es: spec.webhook.a.prot: unknown key "prot" is ignored (did you mean "port"?)`,
			`m.yaml:7: error: EventSource/es: spec.webhook["a.b"].port: want a string, got the number 12000 (put it in quotes: "12000")`,
		}},
		{"the same event name in two kinds", eventSource("  webhook: {a: {endpoint: /a}}\n  calendar: {a: {interval: 10s}}\n"), []string{
			`m.yaml:5: error: EventSource/es: spec.webhook.a: the event name "a" is taken by spec.calendar.a (event names are unique in an EventSource)`,
		}},
		{"later kind of source", eventSource("  mns:\n    a: {queue: q, namespace: x}\n"), []string{
			`m.yaml:5: warning: EventSource/es: spec.mns: sources of kind mns are not supported yet by this version (the other events of the EventSource are not held up)`,
			`m.yaml:6: warning: EventSource/es: spec.mns.a.namespace: unknown key "namespace" is ignored`,
		}},

		{"bus without a kind", bus("  nats: null\n"), []string{
			`m.yaml:4: error: EventBus/default: spec: has no kind of bus (give jetstream or jetstreamExotic)`,
		}},
		{"two kinds of bus", bus("  nats: {native: {}}\n  jetstream: {}\n"), []string{
			`m.yaml:4: error: EventBus/default: spec: has more than one kind of bus: nats and jetstream (keep one)`,
		}},
		{"bus that is not supported", bus("  kafka: {url: a}\n"), []string{
			`m.yaml:5: error: EventBus/default: spec.kafka: Kafka is not supported as an event bus (use jetstream)`,
		}},
		{"exotic bus", bus("  jetstreamExotic:\n    tls: {}\n    streamConfig: |\n      maxAge: 3 days\n      replica: 1\n"), []string{
			`m.yaml:5: error: EventBus/default: spec.jetstreamExotic.url: is required`,
			`m.yaml:6: error: EventBus/default: spec.jetstreamExotic.tls: says nothing (give caCertSecret, clientCertSecret with clientKeySecret, or enabled: true)`,
			`m.yaml:7: error: EventBus/default: spec.jetstreamExotic.streamConfig.maxAge: "3 days" is no duration (a number with a unit, such as 72h)`,
			`m.yaml:7: warning: EventBus/default: spec.jetstreamExotic.streamConfig.replica: unknown key "replica" is ignored (did you mean "replicas"?)`,
		}},
		{"settings of a bus that are not honoured", bus("  jetstream:\n    streamConfig: |\n      discard: 0\n      retention: 2\n      maxAge: 72h\n"), []string{
			`m.yaml:6: warning: EventBus/default: spec.jetstream.streamConfig.discard: 0 (discard old) is ignored: unprocessed events are never dropped; a full bus refuses new ones`,
			`m.yaml:6: warning: EventBus/default: spec.jetstream.streamConfig.retention: is ignored: Signalbox keeps processed events for replay and purges them when space runs short`,
		}},
		{"old bus with mistakes", bus("  nats:\n    native: {maxAge: 3 days, maxBytes: lots, maxPayload: big}\n"), []string{
			`m.yaml:6: error: EventBus/default: spec.nats.native.maxAge: "3 days" is no duration (a number with a unit, such as 72h)`,
			`m.yaml:6: error: EventBus/default: spec.nats.native.maxBytes: "lots" is no size (a number with a unit, such as 4MB)`,
			`m.yaml:6: error: EventBus/default: spec.nats.native.maxPayload: "big" is no size (a number with a unit, such as 4MB)`,
		}},
		{"sizes of a bus", bus("  jetstream: {replicas: 2, maxPayload: big, version: latest}\n"), []string{
			`m.yaml:5: error: EventBus/default: spec.jetstream.maxPayload: "big" is no size (a number with a unit, such as 4MB)`,
			`m.yaml:5: error: EventBus/default: spec.jetstream.replicas: has to be 1, 3 or 5, got 2`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) { expect(t, lint(t, tc.text), tc.want...) })
	}
}

func TestConditionsAreChecked(t *testing.T) {
	for _, tc := range []struct{ conditions, want string }{
		{"a && b-c", ""},
		{"a && d", `"d"`},
		{"a &&", "conditions"},
		{"a and b-c", "conditions"},
	} {
		got := strings.Join(lint(t, sensorWith("  - template: {name: t, log: {}, conditions: \""+tc.conditions+"\"}\n")), "\n")
		if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) || got != "" && !strings.HasPrefix(got, "m.yaml:16: error: Sensor/s: spec.triggers[0].template.conditions: ") {
			t.Errorf("%s: %s", tc.conditions, got)
		}
	}
}

func TestRoutesThatMeet(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		meet bool
	}{
		{"endpoint: /push", "endpoint: /push", true},
		{"endpoint: /push", "endpoint: push", true},
		{"endpoint: /push", "endpoint: /push/", false}, // the server tells them apart
		{"endpoint: /push", "endpoint: //push", false},
		{"endpoint: /push, method: GET", "endpoint: /push, method: POST", false},
		{"endpoint: /push, method: GET", "endpoint: /push", true},
		{"endpoint: '/x/{a}', method: GET", "endpoint: '/x/{a}', method: POST", false},
		{"endpoint: '/x/{a}', method: GET", "endpoint: '/x/{b}', method: POST", true}, // the server asks the first one only
		{"endpoint: '/x/{a}'", "endpoint: '/x/{b:[^/]+}'", true},
		{"endpoint: '/x/{a:[0-9]{2}}'", "endpoint: '/x/{b:[0-9]{2}}'", true},
		{"endpoint: '/x/{a:[0-9]{2}}'", "endpoint: '/x/{b:[0-9]{3}}'", false},
		{"endpoint: '/x/{a}'", "endpoint: '/x/{b}/'", false},
	} {
		got := lint(t, eventSource("  webhook:\n    a: {"+tc.a+"}\n    b: {"+tc.b+"}\n"))
		if len(got) > 1 || (len(got) == 1) != tc.meet || tc.meet && !strings.Contains(got[0], "as spec.webhook.a does (give it another endpoint or port)") {
			t.Errorf("%s and %s: %v", tc.a, tc.b, got)
		}
	}
	expect(t, lint(t, eventSource("  webhook:\n    a: {endpoint: '/x/{a}', method: GET}\n    b: {endpoint: '/x/{b}'}\n    c: {endpoint: '/x/{a}', method: POST, port: \"1\"}\n    d: {endpoint: /y, serverCertSecret: {name: s, key: c}, port: \"1\"}\n")),
		`m.yaml:7: error: EventSource/es: spec.webhook.b: receives requests at port 12000 /x/{b}, as spec.webhook.a does (give it another endpoint or port)`,
		`m.yaml:9: error: EventSource/es: spec.webhook.d: has other certificates for port 1 than spec.webhook.c (a port has one certificate)`)
	two := []byte(source + strings.Replace(source, "name: hooks", "name: other", 1))
	if got := manifest.Read("m.yaml", two, options()).Problems[0].Severity; got != v1alpha1.Warning {
		t.Errorf("in a cluster: %s", got)
	}
	one := options()
	one.OneProcess = true
	set := manifest.Read("m.yaml", two, one)
	if first, second := set.Objects[0], set.Objects[1]; first.Broken || !second.Broken {
		t.Errorf("the first that was read keeps its place: %v %v", first.Broken, second.Broken)
	}
	expect(t, []string{set.Problems[0].String()},
		`m.yaml:13: error: EventSource/other: spec.webhook.push: receives requests at port 12000 /push, as spec.webhook.push of EventSource/hooks does (give it another endpoint or port)`)
}

func TestReferences(t *testing.T) {
	sensor := func(dependency string) string {
		return "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: s}\nspec:\n  triggers: [{template: {name: t, log: {}}}]\n  dependencies:\n  - {name: a, " + dependency + "}\n"
	}
	filter := func(path string) string {
		return "filters: {data: [{path: '" + path + "', type: string, value: [x]}]}"
	}
	emitter := "---\napiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: up}\nspec:\n  dependencies: [{name: a, eventSourceName: hooks, eventName: push}]\n" +
		"  triggers: [{template: {name: t, emit: {eventSourceName: chain, eventName: next}}}]\n"
	syncer := func(config string) string {
		return strings.Replace(emitter, "emit: {eventSourceName: chain, eventName: next}", "sync: {"+config+"}", 1)
	}
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"source is there", source + sensor("eventSourceName: hooks, eventName: push"), nil},
		{"no sources at all", sensor("eventSourceName: hooks, eventName: push"), nil},
		{"no such source", source + sensor("eventSourceName: hoks, eventName: push"), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].eventSourceName: there is no EventSource "hoks" among the manifests (did you mean "hooks"?)`,
		}},
		{"no such event", source + sensor("eventSourceName: hooks, eventName: pull"), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].eventName: EventSource "hooks" has no event "pull" (it has push)`,
		}},
		{"source in another namespace", strings.Replace(source, "{name: hooks}", "{name: hooks, namespace: x}", 1) + sensor("eventSourceName: hooks, eventName: push"), nil},
		{"emitted by another sensor", source + sensor("eventSourceName: chain, eventName: next") + emitter, nil},
		{"outcome of another sensor", source + sensor("eventSourceName: up, eventName: t.failed, "+filter("details.x")) + syncer("follow: {emit: true}"), nil},
		{"path that outcomes do not have", source + sensor("eventSourceName: up, eventName: t.failed, "+filter("detail.x")) + syncer("follow: {emit: true}"), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].filters.data[0].path: "detail.x" never exists: the data of outcome events has only outcome, summary, details, payload, events, firing, kind, namespace and 4 more (did you mean "details"?)`,
		}},
		{"no such outcome", source + sensor("eventSourceName: up, eventName: t.suceeded") + syncer("follow: {emit: true}"), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].eventName: Sensor "up" puts no event "t.suceeded" on the bus (did you mean "t.succeeded"?)`,
		}},
		{"outcome of no such sensor", source + sensor("eventSourceName: upp, eventName: t.failed") + syncer("follow: {emit: true}"), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].eventSourceName: there is no EventSource "upp" among the manifests (did you mean "up"?)`,
		}},
		{"texts over all events", source + sensor("eventSourceName: hooks, eventName: push") + "---\n" + strings.Replace(strings.Replace(strings.TrimPrefix(emitter, "---\n"),
			"emit: {eventSourceName: chain, eventName: next}",
			`sync: {revision: "{{ .Input.a.data.body.x }}{{ .Input.b.data.x }}{{ .Input.a.body }}{{ .Input.a.context.id }}{{ .Input.a.data.commit }}", parameters: [{src: {dependencyName: a, dataTemplate: "{{ .Input.c }}"}, dest: revision}]}`, 1),
			"name: up", "name: up2", 1), []string{
			`m.yaml:21: warning: Sensor/up2: spec.triggers[0].template.sync.revision: "commit" never exists: the data of webhook events has only header and body (did you mean "body.commit"?)`,
			`m.yaml:21: warning: Sensor/up2: spec.triggers[0].template.sync.revision: .Input.a has data and context, and no body (did you mean .Input.a.data.body?)`,
			`m.yaml:21: warning: Sensor/up2: spec.triggers[0].template.sync.revision: there is no dependency "b" for .Input.b (there are a)`,
		}},
		{"dependency that nothing waits for", source + strings.Replace(sensor("eventSourceName: hooks, eventName: push")+"  - {name: b, eventSourceName: hooks, eventName: push}\n", "log: {}", "conditions: b, log: {}", 1), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].name: no trigger's condition has "a", so its events do nothing`,
		}},
		{"outcome that is not told", source + sensor("eventSourceName: up, eventName: t.succeeded") + syncer("follow: {timeout: 1m}"), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].eventName: the trigger of Sensor "up" does not tell its outcome (give it follow: {emit: true})`,
		}},
		{"kind without an outcome", source + sensor("eventSourceName: up, eventName: t.succeeded") + strings.Replace(syncer("follow: {}"), "sync: {follow: {}}", "log: {}", 1), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].eventName: triggers of the kind that Sensor "up" has there do not tell an outcome`,
		}},
		{"names under other keys", source + sensor("eventSource: hooks, event: push"), []string{
			`m.yaml:14: error: Sensor/s: spec.dependencies[0].eventName: is required`,
			`m.yaml:14: error: Sensor/s: spec.dependencies[0].eventSourceName: is required`,
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].event: unknown key "event" is ignored (did you mean "eventName"?)`,
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].eventSource: unknown key "eventSource" is ignored (did you mean "eventSourceName"?)`,
		}},
		{"no event name", source + sensor("eventSourceName: hooks"), []string{
			`m.yaml:14: error: Sensor/s: spec.dependencies[0].eventName: is required`,
		}},
		{"path without body", source + sensor("eventSourceName: hooks, eventName: push, "+filter("a.b")), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].filters.data[0].path: "a.b" never exists: the data of webhook events has only header and body (did you mean "body.a.b"?)`,
		}},
		{"path with body", source + sensor("eventSourceName: hooks, eventName: push, "+filter("body.b")), nil},
		{"path that says nothing about keys", source + sensor("eventSourceName: hooks, eventName: push, "+filter("@this|a")), nil},
		{"metadata is always possible", source + sensor("eventSourceName: hooks, eventName: push, "+filter("metadata.x")), nil},
		{"a transform makes other data", source + sensor("eventSourceName: hooks, eventName: push, transform: {jq: .body}, "+filter("a.b")), nil},
		{"kind taken from the name", sensor("eventSourceName: web-hook, eventName: push, " + filter("a")), []string{
			`m.yaml:7: warning: Sensor/s: spec.dependencies[0].filters.data[0].path: "a" never exists: the data of webhook events has only header and body (did you mean "body.a"? taking EventSource "web-hook" to be of kind webhook by its name)`,
		}},
		{"context that never matches", source + sensor("eventSourceName: hooks, eventName: push, filters: {context: {type: calendar, source: x, subject: push}}"), []string{
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].filters.context.source: no event can match: "x" is not the source of these events, "hooks" is`,
			`m.yaml:14: warning: Sensor/s: spec.dependencies[0].filters.context.type: no event can match: "calendar" is not the type of these events, "webhook" is`,
		}},
		{"context of events from elsewhere", eventSource("  cloudevents: {ce: {endpoint: /}}\n") + "---\n" +
			sensor("eventSourceName: es, eventName: ce, filters: {context: {type: calendar, source: x}}"), nil},
	} {
		t.Run(tc.name, func(t *testing.T) { expect(t, lint(t, tc.text), tc.want...) })
	}
}
