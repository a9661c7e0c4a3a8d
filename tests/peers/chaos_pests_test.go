//go:build linux

package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Pests are clients that nobody wants: they send what is no protocol, or read nothing. They get what they
// get; the test looks at what becomes of all the others.
type pests struct {
	ctx    context.Context
	random func(number uint64) *rand.Rand

	garbage, slow, slowClosed, flooded, asked atomic.Int64
}

// throwGarbage connects to one of the doors, sends something and goes, or stays for a while.
func (p *pests) throwGarbage(number uint64, doors ...string) {
	random := p.random(number)
	var kept []net.Conn
	defer func() {
		for _, each := range kept {
			each.Close()
		}
	}()
	const mostKept = 16
	for p.ctx.Err() == nil {
		pause(p.ctx, time.Duration(random.IntN(40))*time.Millisecond)
		conn, err := net.DialTimeout("tcp", doors[random.IntN(len(doors))], time.Second)
		if err != nil {
			continue
		}
		p.garbage.Add(1)
		conn.SetDeadline(time.Now().Add(time.Second))
		io.WriteString(conn, rubbish(random))
		switch random.IntN(4) {
		case 0: // half a message, perhaps, and nothing more
			kept = append(kept, conn)
			if len(kept) > mostKept {
				kept[0].Close()
				kept = kept[1:]
			}
		case 1: // what has not been read makes this a reset
			conn.Close()
		default:
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, io.LimitReader(conn, 64<<10))
			conn.Close()
		}
	}
}

// rubbish is something that does not belong there, half of it after a right CONNECT.
func rubbish(random *rand.Rand) string {
	text := &strings.Builder{}
	if random.IntN(2) == 0 {
		fmt.Fprintf(text, "CONNECT {\"user\":\"site\",\"pass\":\"s\",\"headers\":true,\"verbose\":%t,\"pedantic\":%t}\r\n", random.IntN(2) == 0, random.IntN(2) == 0)
	}
	bytes := make([]byte, random.IntN(3000))
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	words := []string{"PUB", "HPUB", "SUB", "UNSUB", "MSG", "LS+", "LMSG", "PING", "CONNECT", "junk", "junk.>", "a.*.b", "..", "1", "20", "-1", "99999999999999", "{}", "\r\n", "\r\n"}
	switch random.IntN(9) {
	case 0:
		text.Write(bytes)
	case 1:
		text.WriteString("GET /" + strings.Repeat("x", random.IntN(9000)) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	case 2:
		text.WriteString("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(bytes)) // a TLS hello, perhaps
	case 3:
		fmt.Fprintf(text, "PUB junk %d\r\n%s", 1+random.IntN(1<<20), bytes)
	case 4:
		fmt.Fprintf(text, "HPUB junk %d %d\r\n%s", random.IntN(5000), random.IntN(5000), bytes)
	case 5:
		text.WriteString("SUB " + strings.Repeat("x.", random.IntN(5000)) + "y 1\r\n")
	case 6:
		text.WriteString(`CONNECT {"user":"site","pass":"wrong"}` + "\r\nPING\r\n")
	case 7:
		for i := range random.IntN(400) {
			fmt.Fprintf(text, "SUB junk.%d.* %d\r\nPUB junk.%d.x 2\r\nhi\r\n", i, i, i)
		}
	default:
		for range random.IntN(60) {
			text.WriteString(words[random.IntN(len(words))] + " ")
		}
	}
	return text.String()
}

// drainTime is how long a slow reader looks for the end of its connection.
const drainTime = 5 * time.Second

// readSlowly subscribes to the flood and reads little of it for a while: the server may have had enough by then.
func (p *pests) readSlowly(number uint64, n *node) {
	random, all := p.random(number), make([]byte, 256<<10)
	for p.ctx.Err() == nil {
		conn, err := n.Dial()
		if err != nil {
			pause(p.ctx, 50*time.Millisecond)
			continue
		}
		p.slow.Add(1)
		conn.(*net.TCPConn).SetReadBuffer(32 << 10)
		io.WriteString(conn, "CONNECT {\"user\":\"site\",\"pass\":\"s\",\"name\":\"slow\"}\r\nSUB flood.> 1\r\n")
		little := make([]byte, 1+random.IntN(2000))
		enough := time.Now().Add(time.Duration(random.IntN(20_000)) * time.Millisecond)
		for p.ctx.Err() == nil && time.Now().Before(enough.Add(drainTime)) {
			if time.Now().Before(enough) {
				pause(p.ctx, time.Duration(random.IntN(100))*time.Millisecond)
			} else if len(little) < cap(all) {
				little = all // the end stands behind all that the system has kept for it
			}
			conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Read(little); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				p.slowClosed.Add(1)
				break
			}
		}
		conn.Close()
	}
}

// flood publishes what the slow ones do not read.
func (p *pests) flood(number uint64, nc *nats.Conn) {
	random := p.random(number)
	data := make([]byte, 32<<10)
	for p.ctx.Err() == nil {
		pause(p.ctx, 10*time.Millisecond)
		if nc.IsConnected() && nc.Publish("flood.all", data[:random.IntN(len(data))]) == nil {
			p.flooded.Add(1)
		}
	}
}

// comeAndGo makes clients that connect, ask each other something and leave.
func (p *pests) comeAndGo(number uint64, n *node, account ...nats.Option) {
	random := p.random(number)
	for p.ctx.Err() == nil {
		pause(p.ctx, time.Duration(random.IntN(30))*time.Millisecond)
		nc, err := nats.Connect(n.URL(), append([]nats.Option{nats.Timeout(2 * time.Second), nats.NoReconnect(), nats.ErrorHandler(quiet)}, account...)...)
		if err != nil {
			continue
		}
		subject := nats.NewInbox()
		nc.Subscribe(subject, func(m *nats.Msg) { m.Respond(m.Data) })
		for range random.IntN(5) {
			if _, err := nc.Request(subject, []byte("?"), 2*time.Second); err == nil {
				p.asked.Add(1)
			}
		}
		nc.Close()
	}
}
