//go:build linux

package reload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// hash is of "first", at the cost that nats-server's tool has by default. Every user has a hash of
// his own in the server's eyes: what it remembers of one is no help with another.
const hash = "$2a$11$kQd5A4qMLHPZpRtmQMAjQuJp87ForME.sFZaNe6GY3JcRpgNEcEJ."

// The time for authenticating does not run while a password waits to be hashed: a gateway that comes
// back after a power cut must let all its devices in.
func TestManyBcryptLoginsAtOnceAllGetIn(t *testing.T) {
	t.Run("half of them wrong", func(t *testing.T) { testBcryptLogins(t, 2) })
	if full() {
		t.Run("all right", func(t *testing.T) { testBcryptLogins(t, 1) })
	}
}

// testBcryptLogins has each of the logins right whose number can be divided by one in. The others come from the
// same address, as behind a router, and must not keep those out.
func testBcryptLogins(t *testing.T, in int) {
	logins, timeout := pick(500, 40), pick(2, 1)
	if process.Raced() {
		logins = 5 // the race detector makes each take seconds
	}
	var users strings.Builder
	for i := range logins {
		fmt.Fprintf(&users, "{user: u%d, password: %q}\n", i, hash)
	}
	s := start(t, fmt.Sprintf("authorization { timeout: %d, users: [{user: plain, password: p}\n%s] }", timeout, users.String()))
	idle := newAsker(s)
	idle.ask(pick(3*time.Second, time.Second), nil)
	busy := newAsker(s)
	done := make(chan bool)
	var asking sync.WaitGroup
	asking.Go(func() { busy.ask(time.Hour, done) })

	began := time.Now()
	errs := make([]error, logins)
	var wait sync.WaitGroup
	for i := range logins {
		wait.Go(func() {
			password := "first"
			if i%in != 0 {
				password = "wrong"
			}
			c, err := join(s, "u"+strconv.Itoa(i), password, func([]byte, []byte) {})
			if err == nil {
				c.conn.Close()
			}
			switch {
			case password == "first":
				errs[i] = err
			case err == nil:
				errs[i] = fmt.Errorf("u%d came in with a wrong password", i)
			}
		})
	}
	wait.Wait()
	took := time.Since(began)
	close(done)
	asking.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			if failed++; failed <= 3 {
				t.Error(err)
			}
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d logins failed", failed, logins)
	}
	if took < time.Duration(timeout)*time.Second {
		t.Logf("all were in after %v, before the time for authenticating was over: that shows little", took)
	}
	for _, each := range []*asker{idle, busy} {
		if each.err != nil {
			t.Error(each.err)
		}
	}
	was, is := idle.percentile(99), busy.percentile(99)
	t.Logf("%d logins in %v; requests of others: p99 %v before, %v meanwhile (%.1fx), p50 %v and %v, %d and %d of them", logins,
		took.Round(time.Millisecond), was, is, float64(is)/float64(was), idle.percentile(50), busy.percentile(50), len(idle.took), len(busy.took))
}

// An asker is a client with requests and one that answers them.
type asker struct {
	client, server *client
	subject        string
	answered       chan bool
	took           []time.Duration
	err            error
}

func newAsker(s *server) *asker {
	a := &asker{answered: make(chan bool, 1)}
	a.subject = fmt.Sprintf("ask.%p", a)
	a.server = gather(s, 1, func(int) (*client, error) {
		return join(s, "plain", "p", func(_, _ []byte) { a.server.send("PUB %s.answer 1\r\n!\r\n", a.subject) })
	})[0]
	a.client = gather(s, 1, func(int) (*client, error) {
		return join(s, "plain", "p", func(_, _ []byte) { a.answered <- true })
	})[0]
	for c, subject := range map[*client]string{a.server: a.subject, a.client: a.subject + ".answer"} {
		c.send("SUB %s 1\r\n", subject)
		if err := c.settle(); err != nil {
			s.t.Fatal(err)
		}
	}
	return a
}

// ask sends request after request, for a time or until done.
func (a *asker) ask(most time.Duration, done <-chan bool) {
	const pause = time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for end := time.Now().Add(most); time.Now().Before(end); {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		began := time.Now()
		if a.err = a.client.send("PUB %s 1\r\n?\r\n", a.subject); a.err != nil {
			return
		}
		select {
		case <-a.answered:
			a.took = append(a.took, time.Since(began))
		case <-a.client.ended:
			a.err = fmt.Errorf("a client with requests is cut off: %q, %v", a.client.last, a.client.err)
			return
		case <-time.After(patience):
			a.err = fmt.Errorf("no answer within %v", patience)
			return
		}
	}
}

func (a *asker) percentile(p int) time.Duration {
	if len(a.took) == 0 {
		return 0
	}
	slices.Sort(a.took)
	return a.took[len(a.took)*p/100].Round(time.Microsecond)
}
