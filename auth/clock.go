package auth

import "time"

// builtAfter is a time that no machine with a working clock still has.
var builtAfter = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// ClockFlaw says in words that this machine's clock is not set: small boards have no battery, and begin
// in 1970 until somebody tells them the time. Empty: now may be right.
func ClockFlaw(now time.Time) string {
	if !now.Before(builtAfter) {
		return ""
	}
	return "clock not set: this machine's clock says " + now.UTC().Format("2006-01-02 15:04") + " UTC"
}
