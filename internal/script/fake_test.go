package script

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A fake is a server that knows INFO, CONNECT, PING, SUB and PUB with whole subjects, and
// closes at anything else. Queues go to the newest member.
type fake struct {
	net.Listener
	done sync.WaitGroup

	mu   sync.Mutex
	subs []fakeSub
}

type fakeSub struct {
	conn                net.Conn
	subject, queue, sid string
}

func newFake(t *testing.T) *fake {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{Listener: ln}
	f.done.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f.done.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		f.done.Wait()
	})
	return f
}

func (f *fake) player() Player {
	return Player{Server: "fake", Dial: func() (net.Conn, error) { return net.Dial("tcp", f.Addr().String()) }}
}

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	fmt.Fprintf(conn, "INFO {\"server_id\":\"F\",\"port\":4222,\"headers\":true} \r\n")
	for in := bufio.NewScanner(conn); in.Scan(); {
		words := strings.Fields(in.Text())
		if len(words) == 0 {
			words = []string{""}
		}
		switch words[0] {
		case "CONNECT":
		case "PING":
			fmt.Fprint(conn, "PONG\r\n")
		case "ASK":
			fmt.Fprint(conn, "PING\r\n")
		case "PONG":
			if len(words) > 1 {
				fmt.Fprint(conn, "+OK\r\n")
			}
		case "RAW": // says back what follows, escapes and all
			text, _, err := unescape(strings.Join(words[1:], " "), nil)
			if err != nil {
				return
			}
			conn.Write(append(text, "\r\n"...))
		case "SUB":
			s := fakeSub{conn: conn, subject: words[1], sid: words[len(words)-1]}
			if len(words) == 4 {
				s.queue = words[2]
			}
			f.mu.Lock()
			f.subs = append(f.subs, s)
			f.mu.Unlock()
		case "PUB":
			in.Scan()
			f.publish(words[1], in.Text())
		default:
			fmt.Fprint(conn, "-ERR 'what?'\r\n")
			return
		}
	}
}

func (f *fake) publish(subject, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	served := map[string]bool{}
	for i := len(f.subs) - 1; i >= 0; i-- {
		s := f.subs[i]
		if s.subject != subject || s.queue != "" && served[s.queue] {
			continue
		}
		served[s.queue] = true
		fmt.Fprint(s.conn, "MSG "+subject+" "+s.sid+" "+strconv.Itoa(len(text))+"\r\n"+text+"\r\n")
	}
}
