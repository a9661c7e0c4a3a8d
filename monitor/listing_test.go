package monitor

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// eventually waits for something that comes of itself.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// busy counts visitors whose requests have come.
func (s *Server) busy() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.visitors {
		if v.busy {
			n++
		}
	}
	return n
}

// A list of subscriptions may be large: one is made at a time, and who waits for that keeps nobody from
// other pages.
func TestPagesThatListSubscriptionsAreMadeOneAtATime(t *testing.T) {
	var asked any
	pages := fakePages(&asked)
	var making, most atomic.Int32
	made, finish := make(chan struct{}, 2*maxWorking), make(chan struct{})
	list := func() {
		if n := making.Add(1); n > most.Load() {
			most.Store(n)
		}
		made <- struct{}{}
		<-finish
		making.Add(-1)
	}
	pages.Subsz = func(SubszOptions) (*Subsz, error) { list(); return &Subsz{}, nil }
	pages.Connz = func(ConnzOptions) (*Connz, error) { list(); return &Connz{}, nil }
	s := New(Options{}, pages)
	address := serve(t, s)
	for i := range maxWorking {
		path := []string{"/subsz?subs=1", "/connz?subs=detail"}[i%2]
		say(t, dial(t, address), "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	<-made
	eventually(t, "all have asked", func() bool { return s.busy() == maxWorking })
	if code, _, _ := get(t, s, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz says %d while others wait for lists", code)
	}
	close(finish)
	eventually(t, "all are answered", func() bool { return s.busy() == 0 && len(s.listing) == 0 })
	if n := most.Load(); n != 1 {
		t.Errorf("%d were made at a time", n)
	}
}

func TestALongListIsInTheWayUntilItIsSent(t *testing.T) {
	var asked any
	pages := fakePages(&asked)
	pages.Subsz = func(o SubszOptions) (*Subsz, error) {
		return &Subsz{List: []SubDetail{{Subject: strings.Repeat("x", o.Limit)}}}, nil
	}
	s := New(Options{}, pages)
	c := dial(t, serve(t, s))
	c.SetReadBuffer(4 << 10)
	c.SetDeadline(time.Now().Add(time.Minute))
	say(t, c, "GET /subsz?subs=1&limit=12000000 HTTP/1.1\r\nHost: a\r\n\r\n") // the sockets have no room for it
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if len(s.listing) != 1 {
		t.Error("another list may be made while this one waits for its visitor")
	}
	c.Close()
	eventually(t, "the visitor is gone", func() bool { return len(s.listing) == 0 })
	if code, _, _ := get(t, s, "/subsz?subs=1&limit=1"); code != http.StatusOK {
		t.Errorf("then: %d", code)
	}
}

func TestWhichRequestsList(t *testing.T) {
	for target, want := range map[string]bool{
		"/connz": false, "/connz?subs=0": false, "/connz?subs=": false, "/subsz?subs=false&limit=1": false, "/subsz?limit=1": false,
		"/connz?subs=1": true, "/subsz?subs=true": true, "/connz?limit=1&subs=Detail": true, "/leafz?subs=1": true,
	} {
		r, err := parseRequest([]byte("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if r.lists() != want {
			t.Errorf("%s: %v", target, !want)
		}
	}
}
