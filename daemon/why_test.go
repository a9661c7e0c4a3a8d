package daemon

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// pong reads up to a PONG.
func (c *client) pong(t *testing.T) {
	t.Helper()
	for line := ""; line != "PONG"; {
		var err error
		if line, err = c.in.ReadString('\n'); err != nil {
			t.Errorf("waiting for PONG: %v", err)
			return
		}
		line = strings.TrimSpace(line)
	}
}

// Questions are asked while clients come, publish, subscribe and go, and while the configuration is
// read again: with -race this says that nobody's state is touched by the wrong goroutine.
func TestWhyDisturbsNobody(t *testing.T) {
	text := `port: -1
accounts {
  A { users [ {user: ann, password: a, permissions: {publish: "s.>"}} ], exports [ {stream: "s.>"} ], mappings { "s.old": "s.new" } }
  B { users [ {user: bob, password: b} ], imports [ {stream: {account: A, subject: "s.>"}} ] }
}
`
	r, change := reloading(t, text)
	var all sync.WaitGroup
	for i := range 4 {
		user, password := "ann", "a"
		if i%2 == 1 {
			user, password = "bob", "b"
		}
		c := mustConnect(t, r, fmt.Sprintf(`,"user":%q,"pass":%q`, user, password))
		all.Go(func() {
			for range 10 {
				io.WriteString(c, "SUB s.* 1\r\nSUB s.* workers 2\r\n"+strings.Repeat("PUB s.old 1\r\nx\r\n", 50)+"UNSUB 1\r\nUNSUB 2\r\nPING\r\n")
				c.pong(t)
			}
			c.Close()
		})
	}
	all.Go(func() {
		for i := range 5 {
			if err := change(text + fmt.Sprintf("max_payload: %d\n", 5000+i)); err != nil {
				t.Error(err)
			}
		}
	})
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	asked := 0
	for done := false; !done; asked++ {
		w, err := r.Why(WhyRequest{Subject: "s.old", User: "ann"})
		if err != nil || !w.Accepted || len(w.Ways) != 1 || w.Ways[0].Subject != "s.new" {
			t.Fatalf("%+v: %v", w, err)
		}
		select {
		case <-over:
			done = true
		default:
		}
	}
	if w, err := r.Why(WhyRequest{Subject: "other", User: "ann"}); err != nil || w.Accepted || !strings.Contains(w.Verdict, "permission") {
		t.Errorf("%+v: %v", w, err)
	}
	for subject, want := range map[string]error{"a b": errWhySubject, "": errWhySubject, "a.>": errWhySubject} {
		if _, err := r.Why(WhyRequest{Subject: subject}); !errors.Is(err, want) {
			t.Errorf("%q: %v", subject, err)
		}
	}
	r.Stop()
	r.mustEnd(t)
}

func TestWhyNamesAFewOfMany(t *testing.T) {
	r := mustRun(t, Options{})
	c := mustConnect(t, r, "")
	var subs strings.Builder
	for i := range 3 * maxWhyRecipients {
		fmt.Fprintf(&subs, "SUB a %d\r\n", i)
	}
	c.pong(t) // of CONNECT
	io.WriteString(c, subs.String()+"PING\r\n")
	c.pong(t)
	w, err := r.Why(WhyRequest{Subject: "a"})
	if err != nil || !w.Delivered || len(w.Ways) != 1 || len(w.Ways[0].To) != maxWhyRecipients || w.Ways[0].More != 2*maxWhyRecipients || !strings.Contains(w.Verdict, "300 subscribers") {
		t.Errorf("%+v: %v", w, err)
	}
	r.Stop()
	r.mustEnd(t)
}
