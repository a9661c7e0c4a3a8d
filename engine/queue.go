package engine

import (
	"container/list"
	"net/netip"
)

// What a job is in a queue: one that goes first, or one that lets those go first.
const (
	first = iota
	yielding
	ranks
)

// passedOver is how many jobs that go first are taken for one that yields, while both wait. It bounds what
// an address gets that guesses passwords, and keeps who shares that address from waiting for ever.
const passedOver = 7

// A job is what waits for a worker.
type job struct {
	// Set when made, never written again.
	conn   *Conn       // whose it is
	yields func() bool // asked once, when its turn has come: does it let others go first? nil: it does not
	do     func() bool // false: there was nothing to do

	// The queue's.
	from  *claimant
	rank  int
	place *list.Element // in from.jobs; nil: it is not in the queue
}

// A queue holds the jobs that wait. Sources take turns, as at the gate: who brings a thousand logins at once
// holds up everybody else by one of them, and not by a thousand. One source may take half of the room that
// is left. All of it is the workers', under their mu.
type queue struct {
	room    int
	length  int
	passed  int                      // that went first since one that yields was taken
	sources map[netip.Addr]*claimant // those that have a job here
	turns   [ranks]list.List         // of *claimant: those that have one of the rank, whose turn it is in front
	owners  map[*Conn]*job           // the last job of each
}

// A claimant is a source of jobs.
type claimant struct {
	address netip.Addr
	length  int
	jobs    [ranks]list.List     // of *job, what has waited longest in front
	turn    [ranks]*list.Element // in queue.turns; nil: it has no job of the rank
}

func newQueue(room int) *queue {
	return &queue{room: room, sources: make(map[netip.Addr]*claimant), owners: make(map[*Conn]*job)}
}

// put has j wait. False: there is no room, or none for this source.
func (q *queue) put(j *job) bool {
	from, mine := sourceOf(j.conn.remote.Addr()), 0
	if s := q.sources[from]; s != nil {
		mine = s.length
	}
	if mine >= q.room-q.length {
		return false
	}
	q.add(j, from)
	return true
}

// add is put whether there is room or not.
func (q *queue) add(j *job, from netip.Addr) {
	s := q.sources[from]
	if s == nil {
		s = &claimant{address: from}
		q.sources[from] = s
	}
	j.from = s
	j.place = s.jobs[j.rank].PushBack(j)
	if s.turn[j.rank] == nil {
		s.turn[j.rank] = q.turns[j.rank].PushBack(s)
	}
	q.owners[j.conn] = j
	s.length++
	q.length++
}

// yield puts j, which was taken, back among those that let others go first.
func (q *queue) yield(j *job) {
	j.rank = yielding
	q.add(j, j.from.address)
}

// take takes what is next. There is something. If s is not nil it is still its turn at a rank, as long as it has
// more there.
func (q *queue) take(s *claimant, rank int) *job {
	if s == nil || s.turn[rank] == nil {
		rank = q.next()
		s = q.turns[rank].Front().Value.(*claimant)
		q.turns[rank].MoveToBack(s.turn[rank])
	}
	j := s.jobs[rank].Front().Value.(*job)
	q.remove(j)
	return j
}

// done says that j, which was taken, has had its source's turn: who has come meanwhile goes before that.
func (q *queue) done(j *job) {
	if s := q.sources[j.from.address]; s != nil && s.turn[j.rank] != nil {
		q.turns[j.rank].MoveToBack(s.turn[j.rank])
	}
}

// next is the rank to take from.
func (q *queue) next() int {
	switch {
	case q.turns[yielding].Len() == 0:
		q.passed = 0
	case q.turns[first].Len() == 0 || q.passed == passedOver:
		q.passed = 0
		return yielding
	default:
		q.passed++
	}
	return first
}

// remove takes j out, wherever it stands.
func (q *queue) remove(j *job) {
	s, rank := j.from, j.rank
	s.jobs[rank].Remove(j.place)
	j.place = nil
	if s.jobs[rank].Len() == 0 {
		q.turns[rank].Remove(s.turn[rank])
		s.turn[rank] = nil
	}
	if s.length--; s.length == 0 {
		delete(q.sources, s.address)
	}
	if q.owners[j.conn] == j {
		delete(q.owners, j.conn)
	}
	q.length--
}
