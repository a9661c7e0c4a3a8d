package server

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/edgebus-io/edgebus/broker"
)

// A SubSnapshot is one subscription.
type SubSnapshot struct {
	Account, Subject, Queue, SID string
	Msgs, Max                    uint64 // Max 0: any number
	CID                          uint64
}

// A SubsQuery says which subscriptions of open connections Subs lists.
type SubsQuery struct {
	Account string // empty: any

	// Fits is asked about their subjects. It runs where input is handled, several times at once, and must
	// not wait. Nil: all.
	Fits func(subject string) bool

	Offset, Limit int   // of all of these, the connections in the order of their numbers
	Room          *Room // nil: no bound
}

// A Room is what the subscriptions of one list may take, in bytes. There may be a million of them.
type Room struct{ left atomic.Int64 }

// shownBytes is what one of a list takes until it is on its way as JSON, but for its text, and
// shownTimes how often its text is there meanwhile. Measured and rounded up.
const (
	shownBytes = 640
	shownTimes = 6
)

// NewRoom is a Room of so many bytes.
func NewRoom(bytes int64) *Room {
	r := new(Room)
	r.left.Store(bytes)
	return r
}

// Take reports whether there is room for a subscription with so many bytes of text. Anybody may call it.
func (r *Room) Take(text int) bool {
	return r == nil || r.left.Add(-(shownBytes+shownTimes*int64(text))) >= 0
}

// atMost is how many subscriptions of n may have room.
func (r *Room) atMost(n int) int {
	if r == nil {
		return n
	}
	return int(min(int64(n), max(0, r.left.Load()/shownBytes)))
}

// Err is ErrTooMany if there was no room for something.
func (r *Room) Err() error {
	if r != nil && r.left.Load() < 0 {
		return ErrTooMany
	}
	return nil
}

// A subsRange is which subscriptions of one session are listed: of those that fit, most behind skip.
type subsRange struct {
	of         *session
	fits       func(subject string) bool // nil: all
	skip, most int
	room       *Room
}

// listSubs appends subscriptions of the session to list. Owner only.
func (s *session) listSubs(of *subsRange, list []SubSnapshot) []SubSnapshot {
	skip, last := of.skip, len(list)+of.most
	s.eachSub(func(sub *broker.Sub) {
		switch {
		case len(list) == last || of.fits != nil && !of.fits(sub.Subject()):
		case skip > 0:
			skip--
		case of.room.Take(len(sub.Subject()) + len(sub.Queue()) + len(sub.Tag())):
			list = append(list, SubSnapshot{
				Subject: sub.Subject(), Queue: sub.Queue(), SID: sub.Tag(), Msgs: sub.Delivered(), Max: sub.Max(), Account: s.peer.Account().Name(), CID: s.conn.ID(),
			})
		}
	})
	return list
}

// Subs lists subscriptions and says how many there are in all. It counts, and then asks only those whose
// subscriptions are in the list; what comes and goes in between may be missed. It returns ErrTooMany if
// there is no room for all of them.
func (s *Server) Subs(q SubsQuery) (total int, list []SubSnapshot, err error) {
	var all []subsRange // most is how many fit
	ask(s.all(), func(c *session) (r subsRange, some bool) {
		if c.peer == nil || q.Account != "" && c.peer.Account().Name() != q.Account {
			return r, false
		}
		n := c.countSubs(q.Fits)
		return subsRange{of: c, fits: q.Fits, most: n, room: q.Room}, n > 0
	}, func(r subsRange) { all = append(all, r) })
	slices.SortFunc(all, func(a, b subsRange) int { return cmp.Compare(a.of.conn.ID(), b.of.conn.ID()) })
	shown := all[:0]
	skip, left := q.Offset, q.Limit
	for _, r := range all {
		total += r.most
		r.skip = min(skip, r.most)
		skip -= r.skip
		if r.most = min(r.most-r.skip, left); r.most > 0 {
			left -= r.most
			shown = append(shown, r)
		}
	}
	return total, slices.Concat(listRanges(shown)...), q.Room.Err()
}

// SubsOf lists the subscriptions of open connections by their numbers, of each as many as counts says. It
// returns ErrTooMany if there is no room for all of them.
func (s *Server) SubsOf(counts map[uint64]int, room *Room) (map[uint64][]SubSnapshot, error) {
	var shown []subsRange
	for _, c := range s.all() {
		if n := counts[c.conn.ID()]; n > 0 {
			shown = append(shown, subsRange{of: c, most: n, room: room})
		}
	}
	lists := make(map[uint64][]SubSnapshot, len(shown))
	for i, subs := range listRanges(shown) {
		lists[shown[i].of.conn.ID()] = subs
	}
	return lists, room.Err()
}

// listRanges returns a list for each range, which is empty if its session does not answer in time.
func listRanges(shown []subsRange) [][]SubSnapshot {
	sessions, places := make([]*session, len(shown)), make(map[*session]int, len(shown))
	for i := range shown {
		sessions[i], places[shown[i].of] = shown[i].of, i
	}
	type one struct {
		place int
		subs  []SubSnapshot
	}
	lists := make([][]SubSnapshot, len(shown))
	ask(sessions, func(c *session) (one, bool) {
		r := &shown[places[c]]
		return one{places[c], c.listSubs(r, make([]SubSnapshot, 0, r.room.atMost(r.most)))}, true
	}, func(o one) { lists[o.place] = o.subs })
	return lists
}
