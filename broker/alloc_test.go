package broker

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
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

// TestImportsAllocateNothing covers stream imports and mappings that are in use all day.
func TestImportsAllocateNothing(t *testing.T) {
	for _, oneTime := range []bool{false, true} {
		w := newWorld(t, mapsFor("A", auth.Mapping{Source: "raw.*", Destinations: []auth.Destination{to("ev.$1", 60), to("ev.x.$1", 40)}}),
			account("B", stream("A", "ev.>", "fromA.ev.>")))
		for i := range 10 {
			p := w.b.Account("B").Attach(nil, new(countSink), Traits{})
			mustSubscribe(t, p, "fromA.>", "", fmt.Sprint(i))
			mustSubscribe(t, p, "fromA.ev.*", "q", fmt.Sprint("q", i))
		}
		w.at("A", nil, Traits{})
		m := &Msg{Payload: make([]byte, 16)}
		var text []byte
		n := 0
		publish := func() {
			if n++; oneTime {
				text = strconv.AppendInt(append(text[:0], "raw."...), int64(n), 10)
			} else {
				text = append(text[:0], "raw.7"...)
			}
			m.Subject = text
			w.peer["A"].Publish(w.l, m)
			w.l.Flush()
		}
		for range 100 {
			publish()
		}
		if allocs := testing.AllocsPerRun(2000, publish); allocs != 0 {
			t.Errorf("one-time subjects %v: %v allocations", oneTime, allocs)
		}
	}
}

// TestServiceRequestsAllocateLittle: the entry in the books and its texts, and now and then the table.
func TestServiceRequestsAllocateLittle(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "svc"}), account("B", service("A", "svc", "svc")))
	echo := &echoSink{}
	mustSubscribe(t, w.b.Account("A").Attach(nil, echo, Traits{}), "svc", "q", "1")
	asker := w.b.Account("B").Attach(nil, new(countSink), Traits{})
	mustSubscribe(t, asker, "in.*", "", "1")
	m := &Msg{Payload: make([]byte, 16), Reply: []byte("in.1")}
	responder := w.at("A", nil, Traits{})
	answered := 0
	request := func() {
		m.Subject = append(m.Subject[:0], "svc"...)
		asker.Publish(w.l, m)
		m.Subject = append(m.Subject[:0], echo.reply...)
		reply := m.Reply
		m.Reply = nil
		n, _ := responder.Publish(w.l, m)
		m.Reply = reply
		answered += n
		w.l.Flush()
	}
	for range 100 {
		request()
	}
	if allocs := testing.AllocsPerRun(2000, request); allocs > 2 {
		t.Errorf("%v allocations for a request and its answer", allocs)
	}
	if answered != 100+2001 {
		t.Errorf("%d answers", answered)
	}
}

// echoSink keeps the reply subject.
type echoSink struct {
	quiet
	reply []byte
}

func (e *echoSink) Deliver(m *Msg, sub *Sub) bool {
	e.reply = append(e.reply[:0], m.Reply...)
	return true
}
