package system

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/edgebus-io/edgebus/broker"
)

// subscribers answers how many clients have subscribed to a subject, or to all that a wildcard
// covers. The request is the subject, and a queue behind it if only its members count.
func (s *System) subscribers(r *request) {
	account := s.account
	if text := headerValue(r.header, requestInfo); text != "" {
		var who Requester
		if json.Unmarshal([]byte(text), &who) != nil {
			return
		}
		for _, name := range []string{who.Service, who.Account} {
			if name != "" {
				account = s.known(name)
				break
			}
		}
	}
	asked, queue, queued := strings.Cut(strings.TrimSpace(string(r.body)), " ")
	queue, _, _ = strings.Cut(queue, " ")
	s.raw(r, strconv.AppendInt(nil, int64(s.count(account, asked, queue, queued)), 10))
}

// others answers the same to another server, which names an account.
func (s *System) others(r *request) {
	var asked struct {
		Account string  `json:"acc"`
		Subject string  `json:"subject"`
		Queue   *[]byte `json:"queue"`
	}
	if json.Unmarshal(r.body, &asked) != nil || asked.Account == "" {
		return
	}
	account := s.known(asked.Account)
	if account == nil {
		return
	}
	var queue string
	if asked.Queue != nil {
		queue = string(*asked.Queue)
	}
	n := s.count(account, asked.Subject, queue, asked.Queue != nil)
	s.raw(r, strconv.AppendInt(nil, int64(n), 10))
}

// known is an account with connections, or nil: asking for one makes none.
func (s *System) known(name string) *broker.Account {
	if s.options.AccountStat == nil {
		return nil
	}
	if _, n := s.options.AccountStat(name); n == 0 {
		return nil
	}
	return s.broker.Account(name)
}

// count counts the subscriptions of clients that match a subject, or that a wildcard covers; with
// queued only members of that queue.
func (s *System) count(account *broker.Account, asked, queue string, queued bool) (n int) {
	if account == nil {
		return 0
	}
	stop := account.Watch(func(i broker.Interest) {
		if i.Delta <= 0 || queued && i.Queue != queue || i.Sub.Peer().Sink() == broker.Sink(s) {
			return
		}
		wide, narrow := i.Subject, asked
		if !literal(asked) {
			wide, narrow = asked, i.Subject
		}
		if covers(wide, narrow) {
			n += int(i.Delta)
		}
	})
	stop()
	return n
}
