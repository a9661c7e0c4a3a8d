package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inbox reads the first request of a connection and returns where its answer goes.
func (p *peer) inbox(subject string) (reply string) {
	p.t.Helper()
	sub := p.line()
	if !strings.HasPrefix(sub, "SUB _INBOX.") || !strings.HasSuffix(sub, ".* 1") {
		p.t.Errorf("inbox: %q", sub)
	}
	return p.request(subject)
}

func (p *peer) request(subject string) (reply string) {
	p.t.Helper()
	words := strings.Fields(p.line())
	if len(words) != 4 || words[0] != "PUB" || words[1] != subject {
		p.t.Fatalf("request: %q", words)
	}
	p.line()
	return words[2]
}

func TestRequestTakesTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		go func() {
			reply := p.inbox("add")
			p.send(fmt.Sprintf("MSG %s 1 1\r\n3\r\nMSG %s 1 1\r\n4\r\n", reply, reply))
			second := p.request("add") // the same inbox, another token
			p.send(fmt.Sprintf("MSG %s 1 1\r\n5\r\nMSG %s 1 1\r\n6\r\n", reply, second))
		}()
		for _, want := range []string{"3", "6"} {
			m, err := conn.Request(t.Context(), "add", []byte("1 2"))
			if err != nil || string(m.Data) != want {
				t.Errorf("got %v %v, want %s", m, err, want)
			}
		}
	})
}

func TestRequestToNobody(t *testing.T) {
	for _, block := range []string{"NATS/1.0 503\r\n\r\n", "NATS/1.0 503\r\nNats-Subject: none\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			conn, p := connect(t, n)
			defer conn.Close()
			go func() {
				p.send(fmt.Sprintf("HMSG %s 1 %d %d\r\n%s\r\n", p.inbox("none"), len(block), len(block), block))
			}()
			if _, err := conn.Request(t.Context(), "none", nil); !errors.Is(err, ErrNoResponders) {
				t.Error(err)
			}
		})
	}
}

func TestRequestEndsWithItsContextAndTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		go p.lines.WriteTo(discard{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := conn.Request(ctx, "a", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if len(conn.requests.waiting) != 0 {
			t.Error("a request that is over is still waited for")
		}
		time.AfterFunc(time.Second, conn.Close)
		if _, err := conn.Request(t.Context(), "a", nil); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestManyRequestsAtOnceGetTheirOwnAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		go func() {
			p.line() // SUB
			for range 50 {
				words := strings.Fields(p.line())
				body := p.line()
				p.send(fmt.Sprintf("MSG %s 1 %d\r\n%s\r\n", words[2], len(body), body))
			}
		}()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				want := fmt.Sprint("question ", i)
				m, err := conn.Request(t.Context(), "echo", []byte(want))
				if err != nil || string(m.Data) != want {
					t.Errorf("%s: %v %v", want, m, err)
				}
			})
		}
		all.Wait()
	})
}

func TestRespondGoesToTheReplySubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		failed := make(chan error, 3)
		must(conn.Subscribe("svc", func(m *Msg) { failed <- m.Respond([]byte("yes")) }))
		p.expect("SUB svc 1")
		p.send("MSG svc 1 back.1 0\r\n\r\nMSG svc 1 0\r\n\r\n")
		p.expect("PUB back.1 3", "yes")
		if err := <-failed; err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, ErrNoReply) {
			t.Error(err)
		}
	})
}
