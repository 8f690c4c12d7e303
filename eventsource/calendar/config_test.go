package calendar

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		problems []string // part of each, in order; warnings begin with "?"
	}{
		"schedule":      {`schedule: "30 * * * *"`, nil},
		"interval":      {`interval: 10s`, nil},
		"prefix":        {`schedule: CRON_TZ=Europe/Berlin 30 2 * * *`, nil},
		"everything":    {"schedule: 0 12 * * MON-FRI\ntimezone: America/New_York\nmetadata: {hello: world}\nexclusionDates: ['EXDATE:20190102T150405Z,20190602T160210Z', 'EXDATE;TZID=Europe/Berlin:20190102T150405', '20190102', 'exdate;VALUE=DATE:20190102']\npersistence:\n  catchup: {enabled: true, maxDuration: 5m}\n  configMap: {createIfNotExist: true, name: test}\n", nil},
		"nothing":       {`metadata: {a: b}`, []string{"does not say when"}},
		"blank":         {`schedule: " "`, []string{"does not say when"}},
		"both":          {"schedule: 0 0 * * *\ninterval: 10s", []string{"?interval: is ignored because there is a schedule"}},
		"two zones":     {"schedule: TZ=UTC 0 0 * * *\ntimezone: Europe/Berlin", []string{"?timezone: is ignored"}},
		"same zone":     {"schedule: TZ=UTC 0 0 * * *\ntimezone: UTC", nil},
		"unknown zone":  {"schedule: 0 0 * * *\ntimezone: Mars", []string{`timezone: unknown time zone "Mars"`}},
		"zone of path":  {"schedule: 0 0 * * *\ntimezone: ../../etc/passwd", []string{`timezone: unknown time zone`}},
		"bad prefix":    {"schedule: TZ=Mars 0 0 * * *", []string{`schedule: unknown time zone "Mars"`}},
		"prefix only":   {"schedule: TZ=UTC", []string{`schedule: has 0 fields`}},
		"seconds":       {`schedule: "0 0 12 * * *"`, []string{"schedule: has 6 fields, want five: minute hour day-of-month month day-of-week (there is no field for seconds"}},
		"descriptor":    {`schedule: "@hourly"`, []string{`schedule: "@hourly" is not a cron expression of five fields (write "0 * * * *")`}},
		"every":         {`schedule: "@every 5s"`, []string{"for equal distances use interval"}},
		"Sunday 7":      {`schedule: 0 0 * * 7`, []string{"days of the week are 0 (Sunday) to 6"}},
		"letters":       {`schedule: a b c d e`, []string{"schedule: "}},
		"out of range":  {`schedule: 60 0 * * *`, []string{"schedule: end of range (60)"}},
		"empty list":    {`schedule: 0 , * * *`, []string{`schedule: the field "," names nothing`}},
		"30 February":   {`schedule: 0 0 30 2 *`, []string{`schedule: "0 0 30 2 *" never occurs`}},
		"31 April":      {`schedule: 0 0 31 4,6,9,11 ?`, []string{`never occurs`}},
		"leap day":      {`schedule: 0 0 29 2 *`, nil},
		"30 Feb or Mon": {`schedule: 0 0 30 2 MON`, nil},
		"no unit":       {`interval: "10"`, []string{`interval: "10" is no duration (write a number with a unit`}},
		"number":        {`interval: 10`, []string{`interval: want a string, got the number 10 (put it in quotes`}},
		"zero":          {`interval: 0s`, []string{"interval: 0s is too short"}},
		"negative":      {`interval: -5s`, []string{"interval: -5s is too short"}},
		"nanoseconds":   {`interval: 10ns`, []string{"interval: 10ns is too short"}},
		"no date":       {"interval: 1h\nexclusionDates: ['20260102', 'EXDATE:tomorrow', '20260230', 'RDATE:20260102', '', '20260102T150405.5Z', '20260102,']", []string{`exclusionDates[1]: "tomorrow" is no date`, `exclusionDates[2]: "20260230"`, `exclusionDates[3]: "RDATE:20260102"`, `exclusionDates[4]: ""`, `exclusionDates[5]: "20260102T150405.5Z"`, `exclusionDates[6]: ""`}},
		"bad limit":     {"interval: 1h\npersistence: {catchup: {maxDuration: long}}", []string{`persistence.catchup.maxDuration: "long" is no duration`}},
		"no limit":      {"interval: 1h\npersistence: {catchup: {enabled: true, maxDuration: 0s}}", []string{`persistence.catchup.maxDuration: 0s is not above zero`}},
		"unknown key":   {"interval: 1h\nexlusionDates: []", []string{`?exlusionDates: unknown key "exlusionDates" is ignored (did you mean "exclusionDates"?)`}},
		"filter":        {"interval: 1h\nfilter: {expression: metadata.a == 'b'}", nil},
		"bad filter":    {"interval: 1h\nfilter: {expression: eventTime ==}", []string{"filter.expression: "}},
		"several":       {"schedule: 0 0 30 2 *\ntimezone: Mars\nexclusionDates: [x]", []string{"timezone: ", "schedule: ", "exclusionDates[0]: "}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(c.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			found := v1alpha1.Problems(err)
			if len(found) != len(c.problems) {
				t.Fatalf("found %d problems, want %d:\n%v", len(found), len(c.problems), err)
			}
			for i, want := range c.problems {
				want, warning := strings.CutPrefix(want, "?")
				if !strings.Contains(found[i].Error(), want) {
					t.Errorf("problem %d is %q, want %q", i, found[i], want)
				}
				if (found[i].Severity == v1alpha1.Warning) != warning {
					t.Errorf("problem %d, %q, is a %s", i, found[i], found[i].Severity)
				}
			}
		})
	}
}
