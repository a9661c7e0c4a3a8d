package broker

import (
	"strconv"
	"testing"
)

// TestPublishAllocatesNothing covers what happens all day: fan-out, queue groups, requests with a
// reply subject that is new each time, and the answers on it.
func TestPublishAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		subs    int
		queue   string
		oneTime bool // the subject is new each time as well
		want    int
	}{
		{"one plain", 1, "", false, 1},
		{"hundred plain", 100, "", false, 100},
		{"one queue", 1, "q", false, 1},
		{"hundred queue", 100, "q", false, 1},
		{"nobody", 0, "", false, 0},
		{"one plain, one-time subject", 1, "", true, 1},
		{"hundred plain, one-time subject", 100, "", true, 100},
		{"hundred queue, one-time subject", 100, "q", true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			br := New(Options{})
			l := br.NewLane()
			p := br.Account("").Attach(nil, new(countSink), Traits{})
			subscribers(t, br, c.subs, "svc.*", c.queue)
			m := &Msg{Subject: []byte("svc.add"), Payload: make([]byte, 16)}
			var subject, reply []byte
			n, got := 0, 0
			publish := func() {
				n++
				reply = strconv.AppendInt(append(reply[:0], "_INBOX.abc."...), int64(n), 10)
				m.Reply = reply
				if c.oneTime {
					subject = strconv.AppendInt(append(subject[:0], "svc."...), int64(n), 10)
					m.Subject = subject
				}
				got, _ = p.Publish(l, m)
				l.Flush()
			}
			for range 10 {
				publish()
			}
			if allocs := testing.AllocsPerRun(2000, publish); allocs != 0 {
				t.Errorf("%v allocations", allocs)
			}
			if got != c.want {
				t.Errorf("delivered %d, want %d", got, c.want)
			}
		})
	}
}
