package client

import (
	"io"
	"slices"
	"time"
)

// An entry is one message of an outbox, without its bytes: those are the store's.
type entry struct {
	number        uint64
	at            time.Time
	subject       string
	payload, size int
	tried         bool // was sent once, and nobody knows what became of it
	gone          bool
	answer        chan error // capacity 1; nil: nobody waits
}

// A queue is the order and the accounts of an outbox. It knows no line and no clock, and is not
// safe for use by several goroutines.
type queue struct {
	options *OutboxOptions
	store   Outbox

	backlog []*entry          // by number; gone ones are passed over
	live    []*entry          // the same, of those published since the line is up, with LiveFirst
	last    map[string]*entry // with KeepLast: the newest that waits, by subject
	number  uint64            // of the newest
	up      bool              // there is a line
	mark    uint64            // the newest when the line came up
	next    time.Time         // when Rate allows another one of the outage
	flying  [][]*entry        // picked, and nothing known yet; in the order of picking
	waiting int               // entries in backlog and live that are not gone
	limited int               // of these, those with a number up to mark
	kept    int               // waiting, and those on their way
	bytes   int               // of all kept
	sent    uint64
	done    uint64 // confirmed
	dropped Dropped
}

func newQueue(o *OutboxOptions) *queue {
	q := &queue{options: o, store: o.Store}
	if q.store == nil {
		q.store = make(memory)
	}
	if o.Policy == KeepLast {
		q.last = make(map[string]*entry)
	}
	for k := range q.store.All() {
		e := &entry{number: k.Number, at: k.At, subject: k.Subject, payload: k.Payload, size: k.Size, tried: true}
		q.number = max(q.number, k.Number)
		q.sent++
		q.kept++
		q.bytes += e.size
		q.wait(e)
	}
	return q
}

// line takes note that there is a line, or that there is none. What waits then waited out an outage.
func (q *queue) line(up bool) {
	q.up = up
	q.backlog, q.live = append(q.backlog, q.live...), nil // older ones, and newer ones
	if up {
		q.mark = q.number
		q.limited = q.waiting
	}
}

// holdsBack reports whether messages of an outage wait for Rate to let them go.
func (q *queue) holdsBack() bool { return q.options.Rate > 0 && q.limited > 0 }

// verdict is what becomes of a message that comes.
type verdict int

const (
	take verdict = iota
	refuse
	hold // ask again when something has changed
)

// admit makes room for a message, or says that there is none.
func (q *queue) admit(subject string, size int, now time.Time) verdict {
	o := q.options
	if size > o.Bytes {
		return refuse
	}
	outage := !q.up || q.holdsBack()
	if outage && o.Policy == KeepLast {
		if old := q.last[subject]; old != nil {
			q.drop(old, &q.dropped.Replaced)
		}
	}
	q.expire(now)
	for q.kept >= o.Messages || q.bytes+size > o.Bytes {
		switch oldest := q.oldest(); {
		case !outage || o.Policy == Block:
			return hold
		case o.Policy == DropNewest:
			return refuse
		case oldest == nil:
			return hold // all are on their way, on a line that has just broken
		default:
			q.drop(oldest, &q.dropped.Full)
		}
	}
	return take
}

// add takes in what admit has let in.
func (q *queue) add(subject string, frame []byte, payload int, now time.Time, answer chan error) error {
	q.number++
	q.sent++
	k := Kept{Number: q.number, At: now, Subject: subject, Payload: payload, Size: len(frame), Frame: frame}
	if err := q.store.Keep(k); err != nil {
		q.dropped.Failed++
		return err
	}
	q.kept++
	q.bytes += len(frame)
	q.wait(&entry{number: q.number, at: now, subject: subject, payload: payload, size: len(frame), answer: answer})
	return nil
}

// wait puts an entry that is newer than all others into line.
func (q *queue) wait(e *entry) {
	if q.up && q.options.LiveFirst {
		q.live = append(q.live, e)
	} else {
		q.backlog = append(q.backlog, e)
	}
	q.waiting++
	q.remember(e)
	q.tidy()
}

func (q *queue) remember(e *entry) {
	if q.last != nil {
		q.last[e.subject] = e
	}
}

// tidy gives the room of the gone ones back, when they are most of what is there.
func (q *queue) tidy() {
	if n := len(q.backlog) + len(q.live); n > 64 && n > 2*q.waiting {
		isGone := func(e *entry) bool { return e.gone }
		q.backlog = slices.DeleteFunc(q.backlog, isGone)
		q.live = slices.DeleteFunc(q.live, isGone)
	}
}

// head returns the first of a list that is not gone, or nil.
func head(list *[]*entry) *entry {
	for len(*list) > 0 && (*list)[0].gone {
		*list = (*list)[1:]
	}
	if len(*list) == 0 {
		return nil
	}
	return (*list)[0]
}

func (q *queue) oldest() *entry {
	if e := head(&q.backlog); e != nil {
		return e
	}
	return head(&q.live)
}

// leave counts an entry out of those that wait.
func (q *queue) leave(e *entry) {
	q.waiting--
	if e.number <= q.mark {
		q.limited--
	}
	if q.last != nil && q.last[e.subject] == e {
		delete(q.last, e.subject)
	}
}

// drop gives up one that waits.
func (q *queue) drop(e *entry, reason *uint64) {
	q.leave(e)
	if e.tried {
		reason = &q.dropped.Unconfirmed
	}
	q.lose(e, reason, ErrDropped)
}

// lose gives up one that does not wait.
func (q *queue) lose(e *entry, reason *uint64, err error) {
	*reason++
	q.settle(e, wrap("publish to", e.subject, err))
}

// settle is the end of every entry.
func (q *queue) settle(e *entry, err error) {
	e.gone = true
	q.kept--
	q.bytes -= e.size
	q.store.Forget(e.number) // one that stays behind is sent again by the next program
	if e.answer != nil {
		e.answer <- err
	}
}

// expire gives up what is too old. The oldest stand first.
func (q *queue) expire(now time.Time) {
	for _, list := range []*[]*entry{&q.backlog, &q.live} {
		for q.options.Age > 0 {
			e := head(list)
			if e == nil || now.Sub(e.at) <= q.options.Age {
				break
			}
			q.drop(e, &q.dropped.Expired)
		}
	}
}

// expires is how long until it is worth while to look for messages that are too old; zero: none wait.
// Looking at each one's own moment would wake a device for every message of an outage.
func (q *queue) expires(now time.Time) time.Duration {
	const looks = 8 // in the time that a message may wait
	oldest := q.oldest()
	if q.options.Age == 0 || oldest == nil {
		return 0
	}
	return max(q.options.Age-now.Sub(oldest.at), q.options.Age/looks, 1)
}

// pick takes the next ones to be sent. With none, later is when to ask again; zero: when something
// has changed.
func (q *queue) pick(now time.Time) (batch []*entry, later time.Duration) {
	q.expire(now)
	bytes := 0
	for len(batch) < flightMessages && bytes < flightBytes {
		list := &q.live
		e := head(list)
		if e == nil {
			list = &q.backlog
			if e = head(list); e == nil {
				break
			}
			if later = q.due(e, now); later > 0 {
				break
			}
		}
		*list = (*list)[1:]
		q.leave(e)
		batch = append(batch, e)
		bytes += e.size
	}
	if len(batch) > 0 {
		q.flying = append(q.flying, batch)
	}
	return batch, later
}

// frames returns the operations of a batch, one behind the other. What this server would not take
// is given up.
func (q *queue) frames(batch []*entry, info *serverInfo) []byte {
	var all []byte
	for _, e := range batch {
		frame, err := q.store.Frame(e.number)
		if err == nil && len(frame) == 0 {
			err = io.ErrUnexpectedEOF
		}
		switch {
		case err != nil:
			q.lose(e, &q.dropped.Failed, err)
		case info.MaxPayload > 0 && e.payload > info.MaxPayload:
			q.lose(e, &q.dropped.Refused, ErrMaxPayload)
		case frame[0] == 'H' && !info.Headers:
			q.lose(e, &q.dropped.Refused, ErrNoHeaders)
		default:
			all = append(all, frame...)
		}
	}
	return all
}

// settledUpTo reports whether all messages up to a number are confirmed or dropped.
func (q *queue) settledUpTo(number uint64) bool {
	for _, list := range []*[]*entry{&q.backlog, &q.live} {
		if e := head(list); e != nil && e.number <= number {
			return false
		}
	}
	for _, batch := range q.flying {
		for _, e := range batch {
			if !e.gone && e.number <= number {
				return false
			}
		}
	}
	return true
}

// due is how long Rate makes e wait; with 0 it is charged for.
func (q *queue) due(e *entry, now time.Time) time.Duration {
	if q.options.Rate == 0 || e.number > q.mark {
		return 0
	}
	if wait := q.next.Sub(now); wait > 0 {
		return max(wait, rateStep)
	}
	if earliest := now.Add(-rateBurst); q.next.Before(earliest) {
		q.next = earliest
	}
	q.next = q.next.Add(time.Second / time.Duration(q.options.Rate))
	return 0
}

// confirm is the receipt of the oldest batch on its way, without those whose subjects the server
// refused.
func (q *queue) confirm(refused []string) {
	for _, e := range q.landed() {
		switch {
		case e.gone:
		case slices.Contains(refused, e.subject):
			q.lose(e, &q.dropped.Refused, ErrPermission)
		default:
			q.done++
			q.settle(e, nil)
		}
	}
}

func (q *queue) landed() []*entry {
	batch := q.flying[0]
	q.flying = q.flying[1:]
	return batch
}

// giveBack returns the oldest batch on its way to its place: nobody knows what became of it.
func (q *queue) giveBack() {
	for _, e := range q.landed() {
		if e.gone {
			continue
		}
		e.tried = true
		q.backlog = append(q.backlog, e)
		q.waiting++
		if e.number <= q.mark {
			q.limited++
		}
		if q.last == nil {
			continue
		}
		if newer := q.last[e.subject]; newer != nil && newer.number > e.number {
			q.drop(e, &q.dropped.Replaced)
		} else {
			q.remember(e)
		}
	}
	slices.SortFunc(q.backlog, func(a, b *entry) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
}

func (q *queue) accounts() OutboxStats {
	return OutboxStats{Sent: q.sent, Confirmed: q.done, Queued: q.kept, QueuedBytes: q.bytes, Dropped: q.dropped}
}
