package daemon

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A board without a battery starts in 1970, is told the time later, and may be told a wrong one in between.
func TestAServerThatStartsIn1970(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	set(time.Unix(5, 0))
	certFile, keyFile := writePair(t, 1) // for an hour from now
	r := mustRunWith(t, Options{TLS: &TLSOptions{CertFile: certFile, KeyFile: keyFile}}, func(d *Daemon) {
		d.clock, d.certsEvery = func() time.Time { return *now.Load() }, 5*time.Millisecond
	})
	says := func(times int, line string) {
		t.Helper()
		for end := time.Now().Add(patience); strings.Count(r.out.String(), line) != times; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%q is there %d times, want %d:\n%s", line, strings.Count(r.out.String(), line), times, r.out)
			}
		}
	}
	says(1, "clock not set: this machine's clock says 1970-01-01 00:00 UTC: until it is set, certificates and credentials")
	const ends, ended = "the certificate expires at", "the certificate expired at"
	before := strings.Count(r.out.String(), ends)
	set(time.Now()) // it ends in an hour, which was not so in 1970
	says(before+1, ends)
	set(time.Now().AddDate(30, 0, 0))
	says(1, ended)
	set(time.Now())
	says(before+2, ends)
	says(1, ended)
	r.Stop()
	r.mustEnd(t)
}
