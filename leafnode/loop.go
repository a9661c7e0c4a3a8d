package leafnode

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/broker"
)

// Loops. Each account that has links has a subject of its own, which is announced on all of them and
// passed on by everybody, to hubs too. Whoever hears of his own stands in a ring, and cuts it by
// closing the link that told him. The subject is the process's as long as it lives, so that two links
// that come up at different times find each other out.

const (
	loopPrefix = "$LDS."
	loopDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	loopToken  = 22
)

// isLDS reports whether interest in subject is there to find loops, whosever it is.
func isLDS(subject string) bool { return strings.HasPrefix(subject, loopPrefix) }

// newLoopSubject is a subject that nobody else has.
func newLoopSubject() string {
	var b [loopToken]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	for i := range b {
		// 256 is no multiple of 62, so some digits come a little more often. 128 bits are enough all
		// the same.
		b[i] = loopDigits[int(b[i])%len(loopDigits)]
	}
	return loopPrefix + string(b[:])
}

// own reports whether subject is the one by which we find that a link leads back to us.
func (j *joint) own(subject string) bool { return subject == j.loop }

// announceLoop makes the account interested in its own loop subject, once and for all.
func (j *joint) announceLoop() error {
	if j.announcer != nil {
		return nil
	}
	p := j.account.Attach(nil, nobody{}, broker.Traits{Own: true})
	if _, err := p.Subscribe(j.loop, "", ""); err != nil {
		p.Detach()
		return err
	}
	j.announcer = p
	return nil
}

// nobody takes what somebody publishes to a loop subject.
type nobody struct{}

func (nobody) Deliver(*broker.Msg, *broker.Sub) bool { return true }
func (nobody) Wake(bool) time.Duration               { return 0 }
