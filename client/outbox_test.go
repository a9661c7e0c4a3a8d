package client

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// put publishes into a queue what a full outbox lets in.
func (q *queue) put(t *testing.T, subject string, now time.Time) verdict {
	t.Helper()
	v := q.admit(subject, 10, now)
	if v == take {
		if err := q.add(subject, make([]byte, 10), 0, now, nil); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func subjects(batch []*entry) string {
	var names []string
	for _, e := range batch {
		names = append(names, e.subject)
	}
	return strings.Join(names, " ")
}

func TestOutboxPoliciesAtTheBound(t *testing.T) {
	now := time.Now()
	cases := []struct {
		policy  Policy
		publish string
		want    string // what is left, in order
		last    verdict
		dropped Dropped
	}{
		{DropOldest, "a b c d e", "c d e", take, Dropped{Full: 2}},
		{DropNewest, "a b c d e", "a b c", refuse, Dropped{}}, // refusals are counted by who is refused
		{KeepLast, "a b a c a", "b c a", take, Dropped{Replaced: 2}},
		{KeepLast, "a b c d", "b c d", take, Dropped{Full: 1}},
		{Block, "a b c d", "a b c", hold, Dropped{}},
	}
	for _, c := range cases {
		q := newQueue(&OutboxOptions{Messages: 3, Bytes: 1000, Policy: c.policy})
		var last verdict
		for name := range strings.FieldsSeq(c.publish) {
			last = q.put(t, name, now)
		}
		q.line(true)
		batch, _ := q.pick(now)
		if got := subjects(batch); got != c.want || last != c.last || q.dropped != c.dropped {
			t.Errorf("policy %d: kept %q, last %d, dropped %+v", c.policy, got, last, q.dropped)
		}
		q.confirm(nil)
		a := q.accounts()
		if a.Sent != a.Confirmed+a.Dropped.Total() || a.Queued != 0 || a.QueuedBytes != 0 || len(q.store.(memory)) != 0 {
			t.Errorf("policy %d: accounts %+v", c.policy, a)
		}
	}
}

func TestOutboxBoundsBytesAndAge(t *testing.T) {
	now := time.Now()
	q := newQueue(&OutboxOptions{Messages: 100, Bytes: 35, Age: time.Minute})
	for i := range 5 {
		q.put(t, fmt.Sprint(i), now)
	}
	if a := q.accounts(); a.QueuedBytes != 30 || a.Dropped.Full != 2 {
		t.Errorf("bytes: %+v", a)
	}
	if v := q.admit("large", 36, now); v != refuse {
		t.Errorf("one larger than everything: %d", v)
	}
	q.put(t, "late", now.Add(time.Minute))
	q.line(true)
	batch, _ := q.pick(now.Add(61 * time.Second))
	if got := subjects(batch); got != "late" || q.dropped.Expired != 2 {
		t.Errorf("sent %q, dropped %+v", got, q.dropped)
	}
}

// While there is a line nothing is lost for being many: the publisher waits.
func TestOutboxHoldsThePublisherWhileThereIsALine(t *testing.T) {
	now := time.Now()
	for _, policy := range []Policy{DropOldest, DropNewest, KeepLast, Block} {
		q := newQueue(&OutboxOptions{Messages: 2, Bytes: 1000, Policy: policy})
		q.line(true)
		q.put(t, "a", now)
		q.put(t, "a", now)
		if v := q.put(t, "a", now); v != hold {
			t.Errorf("policy %d: %d", policy, v)
		}
		q.pick(now)
		if v := q.put(t, "a", now); v != hold {
			t.Errorf("policy %d, all on their way: %d", policy, v)
		}
		q.confirm(nil)
		if v := q.put(t, "a", now); v != take {
			t.Errorf("policy %d, with receipts: %d", policy, v)
		}
	}
}

func TestOutboxRateHoldsBackTheOutageOnly(t *testing.T) {
	now := time.Now()
	for _, first := range []bool{false, true} {
		q := newQueue(&OutboxOptions{Messages: 1000, Bytes: 1 << 20, Rate: 100, LiveFirst: first})
		for i := range 50 {
			q.put(t, fmt.Sprint("old", i), now)
		}
		q.line(true)
		q.put(t, "new", now)
		var order []string
		began := now
		for range 1000 {
			batch, later := q.pick(now)
			if len(batch) > 0 {
				order = append(order, strings.Fields(subjects(batch))...)
				q.confirm(nil)
			}
			if q.kept == 0 {
				break
			}
			now = now.Add(later)
		}
		if at := slices.Index(order, "new"); first && at != 0 || !first && at != 50 {
			t.Errorf("live first %t: the new one is number %d", first, at)
		}
		// 50 at 100 a second, a tenth of a second's worth in one go.
		if took := now.Sub(began); took < 350*time.Millisecond || took > 500*time.Millisecond {
			t.Errorf("live first %t: took %v", first, took)
		}
	}
}

// A line with a long way there and back has room for so many flights: each must carry what is due by then.
func TestOutboxRateFillsItsFlights(t *testing.T) {
	now := time.Now()
	q := newQueue(&OutboxOptions{Messages: 2000, Bytes: 1 << 20, Rate: 1000})
	for range 2000 {
		q.put(t, "a", now)
	}
	q.line(true)
	flights := 0
	for end := now.Add(time.Second); now.Before(end) && flights < 1000; {
		batch, later := q.pick(now)
		if len(batch) > 0 {
			flights++
			q.confirm(nil)
		}
		now = now.Add(later)
	}
	if flights > 60 || q.done < 900 || q.done > 1200 {
		t.Errorf("%d messages in %d flights", q.done, flights)
	}
}

func TestOutboxGivesBackInOrder(t *testing.T) {
	now := time.Now()
	q := newQueue(&OutboxOptions{Messages: 4, Bytes: 1000, LiveFirst: true})
	q.put(t, "a", now)
	q.line(true)
	q.pick(now) // a, on its way
	q.put(t, "b", now)
	q.line(false)
	q.put(t, "c", now)
	q.line(true)
	q.giveBack()
	batch, _ := q.pick(now)
	if got := subjects(batch); got != "a b c" {
		t.Errorf("order %q", got)
	}
	q.line(false)
	q.giveBack()
	for range 5 {
		q.put(t, "d", now)
	}
	if want := (Dropped{Unconfirmed: 3, Full: 1}); q.dropped != want {
		t.Errorf("dropped %+v", q.dropped)
	}
}

// What was live and not sent yet when the line broke is older than what comes in the outage.
func TestOutboxKeepsTheOrderOverAnOutage(t *testing.T) {
	now := time.Now()
	q := newQueue(&OutboxOptions{Messages: 9, Bytes: 1000, LiveFirst: true})
	q.put(t, "a", now)
	q.line(true)
	q.put(t, "b", now)
	q.line(false)
	q.put(t, "c", now)
	q.line(true)
	if batch, _ := q.pick(now); subjects(batch) != "a b c" {
		t.Errorf("order %q", subjects(batch))
	}
}

// A broken is a store that keeps nothing.
type broken struct{ memory }

func (broken) Keep(Kept) error { return errors.New("disk full") }

func TestOutboxTellsOfAStoreThatFails(t *testing.T) {
	q := newQueue(&OutboxOptions{Messages: 9, Bytes: 1000, Store: broken{make(memory)}})
	if err := q.add("a", nil, 0, time.Now(), nil); err == nil {
		t.Error("taken")
	}
	if a := q.accounts(); a.Sent != 1 || a.Dropped.Failed != 1 || a.Queued != 0 {
		t.Errorf("accounts %+v", a)
	}
}

// Over a line: kept through an outage, confirmed by the PONG and not before, refused ones told.
func TestOutboxKeepsWhatHasNoReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, WithOutbox(OutboxOptions{}))
		defer conn.Close()
		conn.Publish("a", []byte("1"))
		p.expect("PUB a 1", "1", "PING")
		if a := conn.OutboxStats(); a.Queued != 1 || a.Confirmed != 0 {
			t.Errorf("before the receipt %+v", a)
		}
		p.conn.Close()
		synctest.Wait()
		conn.Publish("b", []byte("2"))
		sync := make(chan error, 1)
		go func() { sync <- conn.PublishSync(t.Context(), "c", nil) }()
		synctest.Wait()
		p = n.next(plainInfo)
		p.expect("PUB a 1", "1", "PUB b 1", "2", "PUB c 0", "", "PING")
		p.send("-ERR 'Permissions Violation for Publish to \"c\"'\r\nPONG\r\n")
		if err := <-sync; !errors.Is(err, ErrPermission) {
			t.Errorf("refused: %v", err)
		}
		flushed := make(chan error, 1)
		go func() { flushed <- conn.Flush(t.Context()) }()
		p.expect("PING")
		p.send("PONG\r\n")
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		want := OutboxStats{Sent: 3, Confirmed: 2, Dropped: Dropped{Refused: 1}}
		if got := conn.OutboxStats(); got != want {
			t.Errorf("accounts %+v", got)
		}
	})
}

func TestOutboxReleasesWaitingPublishersAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, WithOutbox(OutboxOptions{Messages: 1, Policy: Block}))
		ended := make(chan error, 2)
		go func() { ended <- conn.PublishSync(t.Context(), "a", nil) }()
		p.expect("PUB a 0", "", "PING")
		go func() { ended <- conn.Publish("b", nil) }()
		synctest.Wait()
		conn.Close()
		for range 2 {
			if err := <-ended; !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
		<-conn.Done()
	})
}

// Nothing else happens in an outage: those who wait for an end of age are told when it comes.
func TestOutboxThatAgesMakesRoomInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, WithOutbox(OutboxOptions{Messages: 2, Age: time.Minute, Policy: Block}))
		defer conn.Close()
		n.set("one:4222", true)
		p.conn.Close()
		synctest.Wait()
		began := time.Now()
		told := make(chan error, 1)
		go func() { told <- conn.PublishSync(t.Context(), "a", nil) }()
		synctest.Wait()
		for i := range 3 {
			if err := conn.Publish("a", nil); err != nil {
				t.Error(i, err)
			}
		}
		if err := <-told; !errors.Is(err, ErrDropped) {
			t.Errorf("the oldest: %v", err)
		}
		if took := time.Since(began); took < time.Minute || took > 70*time.Second {
			t.Errorf("room after %v", took)
		}
	})
}

// A hole is a store that gives nothing back.
type hole struct{ memory }

func (hole) Frame(uint64) ([]byte, error) { return nil, nil }

func TestOutboxCountsWhatItsStoreHasLost(t *testing.T) {
	q := newQueue(&OutboxOptions{Messages: 9, Bytes: 1000, Store: hole{make(memory)}})
	q.put(t, "a", time.Now())
	q.line(true)
	batch, _ := q.pick(time.Now())
	if frames := q.frames(batch, &serverInfo{}); len(frames) > 0 || q.dropped.Failed != 1 {
		t.Errorf("sends %q, dropped %+v", frames, q.dropped)
	}
}

func TestRefusalsNameTheSubjectAsItWasWritten(t *testing.T) {
	for text, want := range map[string]string{`"a.b"`: "a.b", `"a\"b\\" using queue "q"`: `a"b\`, `"é"`: "é", `a`: "", `"a`: ""} {
		if got, _ := cutQuoted(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// A shelf is a store that an earlier program has used.
type shelf struct {
	memory
	left []Kept
}

func (s *shelf) All() iter.Seq[Kept] { return slices.Values(s.left) }

func TestOutboxSendsWhatAnEarlierProgramLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		frame := []byte("PUB old 1\r\nx\r\n")
		s := &shelf{memory: memory{7: frame}, left: []Kept{{Number: 7, At: time.Now(), Subject: "old", Payload: 1, Size: len(frame)}}}
		conn, p := connect(t, n, WithOutbox(OutboxOptions{Store: s}))
		defer conn.Close()
		p.expect("PUB old 1", "x", "PING")
		p.send("PONG\r\n")
		synctest.Wait()
		conn.Publish("new", nil)
		p.expect("PUB new 0", "", "PING")
		if _, ok := s.memory[8]; !ok || len(s.memory) != 1 {
			t.Errorf("the store has %v", s.memory)
		}
	})
}
