package verify

import (
	"strconv"
	"time"
)

const defaultTolerance = 5 * time.Minute

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// checkTime wants a Unix time in seconds that is not further from now than
// tolerance (5 minutes if zero).
func checkTime(header, stamp string, tolerance time.Duration, now time.Time) error {
	if stamp == "" {
		return wrong("want the time in the header %s", header)
	}
	sec, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return wrong("the header %s holds no Unix time in seconds", header)
	}
	if tolerance == 0 {
		tolerance = defaultTolerance
	}
	if d := now.Sub(time.Unix(sec, 0)); d > tolerance || d < -tolerance {
		return wrong("the time in the header %s is more than %s from now", header, tolerance)
	}
	return nil
}
