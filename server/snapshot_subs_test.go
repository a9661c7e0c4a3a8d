package server

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// subscribed is a server with three clients that have 5, 0 and 6 subscriptions.
func subscribed(t *testing.T) *rig {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	for i, n := range []int{5, 0, 6} {
		c := r.connect(quiet)
		for k := range n {
			c.send(fmt.Sprintf("SUB c%d.s%d %d\r\n", i, k, k))
		}
		c.send("PING\r\n")
		c.expect("PONG\r\n")
	}
	return r
}

func TestSubsCutsAListAsOneThatIsWhole(t *testing.T) {
	r := subscribed(t)
	odd := func(subject string) bool { return strings.ContainsAny(subject[len(subject)-1:], "135") }
	for _, fits := range []func(string) bool{nil, odd} {
		var whole []string
		for _, one := range []struct{ client, n int }{{0, 5}, {2, 6}} {
			for k := range one.n {
				if text := fmt.Sprintf("c%d.s%d", one.client, k); fits == nil || fits(text) {
					whole = append(whole, text)
				}
			}
		}
		for offset := range len(whole) + 2 {
			for _, limit := range []int{1, 2, 5, 6, 7, math.MaxInt} {
				from := min(offset, len(whole))
				want := whole[from : from+min(limit, len(whole)-from)]
				eventually(t, "all answer in time", func() bool {
					room := NewRoom(math.MaxInt64)
					total, list, err := r.server.Subs(SubsQuery{Fits: fits, Offset: offset, Limit: limit, Room: room})
					var got []string
					for _, s := range list {
						got = append(got, s.Subject)
					}
					taken := (math.MaxInt64 - room.left.Load()) / (shownBytes + shownTimes*int64(len("c0.s0")+len("0")))
					return total == len(whole) && err == nil && slices.Equal(got, want) && taken == int64(len(want))
				})
			}
		}
	}
	if total, list, _ := r.server.Subs(SubsQuery{Account: "other", Limit: 9}); total != 0 || list != nil {
		t.Errorf("an account that nobody is in: %d %v", total, list)
	}
}

func TestSubsOfAsksThoseThatAreNamed(t *testing.T) {
	r := subscribed(t)
	ids := make([]uint64, 0, 3)
	for _, c := range r.server.Clients(Query{}) {
		ids = append(ids, c.ID)
	}
	eventually(t, "it answers in time", func() bool {
		lists, err := r.server.SubsOf(map[uint64]int{ids[2]: 2, ids[1]: 0, 99: 5}, nil)
		return err == nil && len(lists) == 1 && len(lists[ids[2]]) == 2 && lists[ids[2]][1].Subject == "c2.s1" && lists[ids[2]][1].CID == ids[2]
	})
}

func TestListsHaveBounds(t *testing.T) {
	r := subscribed(t)
	eventually(t, "they answer in time", func() bool {
		_, list, err := r.server.Subs(SubsQuery{Limit: math.MaxInt, Room: NewRoom(4 * 700)})
		return errors.Is(err, ErrTooMany) && len(list) <= 4
	})
	counts := make(map[uint64]int)
	for _, c := range r.server.Clients(Query{}) {
		counts[c.ID] = c.Subscriptions
	}
	eventually(t, "they answer in time", func() bool {
		_, err := r.server.SubsOf(counts, NewRoom(4*700))
		return errors.Is(err, ErrTooMany)
	})
}

func TestWhoHearsIsAskedOnly(t *testing.T) {
	r := subscribed(t)
	eventually(t, "all answer in time", func() bool {
		rows := r.server.Clients(Query{Hears: func(subject string) bool { return subject == "c2.s5" }})
		return len(rows) == 3 && !rows[0].Hears && !rows[1].Hears && rows[2].Hears && rows[2].Subs == nil
	})
}
