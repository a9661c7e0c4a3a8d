package micro

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/internal/testnet"
	"github.com/edgebus-io/edgebus/parser"
	"github.com/edgebus-io/edgebus/subject"
)

const patience = 20 * time.Second

// TestMain fails when a test leaves a goroutine of ours behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(patience); code == 0 && leftOver() != ""; runtime.Gosched() {
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "goroutines left over:\n%s\n", leftOver())
			code = 1
		}
	}
	os.Exit(code)
}

func leftOver() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var ours []string
	for i, one := range bytes.Split(stacks, []byte("\n\n")) {
		if i > 0 && bytes.Contains(one, []byte("edgebus/client")) { // the first is the one that asks
			ours = append(ours, string(one))
		}
	}
	return strings.Join(ours, "\n\n")
}

// A bus is as much of a server as services need: it delivers, shares in groups, and says when
// nobody listens.
type bus struct {
	t *testing.T

	mu   sync.Mutex
	subs []interest
	turn int // of the groups' members
}

type interest struct {
	filter, queue, sid string
	conn               net.Conn
}

// join makes a client of the bus.
func (b *bus) join(options ...client.Option) *client.Conn {
	b.t.Helper()
	dial := func(context.Context, string, string) (net.Conn, error) {
		near, far := testnet.Pipe()
		go b.serve(far)
		return near, nil
	}
	conn, err := client.Connect(within(b.t), "bus", append(options, client.Dialer(dial))...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		conn.Close()
		<-conn.Done()
	})
	return conn
}

func (b *bus) serve(conn net.Conn) {
	defer b.leave(conn)
	conn.Write(parser.AppendInfo(nil, `{"server_id":"bus","version":"2.10.0","headers":true,"max_payload":65536}`))
	p := parser.Parser{Dialect: parser.FromClient}
	var in []byte
	var op parser.Op
	piece := make([]byte, 4096)
	for {
		used, err := p.Next(in, &op)
		if err != nil {
			b.t.Errorf("the bus was sent %q: %v", in, err)
			return
		}
		if used > 0 {
			b.obey(conn, &op)
			in = in[used:]
			continue
		}
		n, err := conn.Read(piece)
		if err != nil {
			return
		}
		in = append(in, piece[:n]...)
	}
}

func (b *bus) leave(conn net.Conn) {
	conn.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs = slices.DeleteFunc(b.subs, func(each interest) bool { return each.conn == conn })
}

func (b *bus) obey(conn net.Conn, op *parser.Op) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch op.Verb {
	case parser.Ping:
		conn.Write(parser.AppendPong(nil))
	case parser.Sub:
		b.subs = append(b.subs, interest{string(op.Subject), string(op.Queue), string(op.Sid), conn})
	case parser.Unsub:
		b.subs = slices.DeleteFunc(b.subs, func(each interest) bool {
			return each.conn == conn && each.sid == string(op.Sid) && op.Max == 0
		})
	case parser.Pub, parser.HPub:
		b.deliver(conn, op)
	}
}

func (b *bus) deliver(from net.Conn, op *parser.Op) {
	groups := map[string][]interest{}
	for i, each := range b.subs {
		if subject.Matches(each.filter, string(op.Subject)) {
			group := each.queue
			if group == "" {
				group = strconv.Itoa(i) + " alone"
			}
			groups[group] = append(groups[group], each)
		}
	}
	for _, members := range groups {
		b.turn++
		to := members[b.turn%len(members)]
		to.conn.Write(message(string(op.Subject), to.sid, op.Reply, op.Header, op.Payload))
	}
	if len(groups) == 0 && len(op.Reply) > 0 {
		nobody := parser.AppendHeaderEnd(parser.AppendHeaderStatus(nil, 503, ""))
		for _, each := range b.subs {
			if each.conn == from && subject.Matches(each.filter, string(op.Reply)) {
				from.Write(message(string(op.Reply), each.sid, nil, nobody, nil))
			}
		}
	}
}

func message(to, sid string, reply, header, payload []byte) []byte {
	var out []byte
	if size := len(header) + len(payload); len(header) > 0 {
		out = parser.AppendHMsg(nil, to, sid, reply, len(header), size)
	} else {
		out = parser.AppendMsg(nil, to, sid, reply, size)
	}
	out = append(append(out, header...), payload...)
	return append(out, parser.CRLF...)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func ask(t *testing.T, conn *client.Conn, subject, body string) *client.Msg {
	t.Helper()
	answer, err := conn.Request(within(t), subject, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
