package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// What one client sends in one piece, and all that comes back.
var conversations = []struct {
	name, send, want string
	closed           bool
}{
	{name: "before CONNECT a client is verbose", send: "SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n", want: "+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\nPONG\r\n"},
	{name: "an empty CONNECT is verbose, pedantic and echoes", send: "CONNECT {}\r\nSUB a.> 1\r\nPUB a.* 1\r\nx\r\n",
		want: "+OK\r\n+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\nMSG a.* 1 1\r\nx\r\n"},
	{name: "pedantic looks at the subject only", send: "CONNECT {}\r\nPUB a b..c 0\r\n\r\nPUB a..b 0\r\n\r\n", want: "+OK\r\n+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n"},
	{name: "verbose does not answer PING and PONG with OK", send: "CONNECT {\"pedantic\":false}\r\nPONG\r\nPING\r\n", want: "+OK\r\nPONG\r\n"},
	{name: "UNSUB of an unknown sid is OK", send: "UNSUB 9\r\nUNSUB 1 x\r\n", want: "+OK\r\n+OK\r\n"},
	{name: "a sid in use keeps its subscription", send: quiet + "SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n", want: "MSG a 1 0\r\n\r\nPONG\r\n"},
	{name: "a spent sid is free", send: quiet + "SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\nx\r\nSUB b 1\r\nPUB a 0\r\n\r\nPUB b 1\r\ny\r\nPING\r\n",
		want: "MSG a 1 1\r\nx\r\nMSG b 1 1\r\ny\r\nPONG\r\n"},
	{name: "UNSUB counts from the beginning", send: quiet + "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 3\r\nPUB a 1\r\n3\r\nPUB a 1\r\n4\r\nPING\r\n",
		want: "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\nPONG\r\n"},
	{name: "UNSUB of what has been delivered is at once", send: quiet + "SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 1\r\nPUB a 1\r\n2\r\nPING\r\n", want: "MSG a 1 1\r\n1\r\nPONG\r\n"},
	{name: "echo false keeps own messages away", send: "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\nPING\r\n", want: "PONG\r\n"},
	{name: "reply and headers arrive", send: quiet + "SUB a 1\r\nHPUB a r.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n",
		want: "HMSG a 1 r.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n"},
	{name: "a header of no bytes is none", send: quiet + "SUB a 1\r\nHPUB a 0 2\r\nhi\r\nPING\r\n", want: "MSG a 1 2\r\nhi\r\nPONG\r\n"},

	{name: "a request that nobody has got is answered", send: quiet + "SUB r.* 7\r\nPUB none r.1 1\r\nx\r\nPING\r\n",
		want: "HMSG r.1 7 36 36\r\nNATS/1.0 503\r\nNats-Subject: none\r\n\r\n\r\nPONG\r\n"},
	{name: "such answers do not count as deliveries", send: quiet + "SUB r.* 7\r\nUNSUB 7 1\r\nPUB n r.1 0\r\n\r\nPUB r.1 1\r\nx\r\nPUB r.1 1\r\ny\r\nPING\r\n",
		want: "HMSG r.1 7 33 33\r\nNATS/1.0 503\r\nNats-Subject: n\r\n\r\n\r\nMSG r.1 7 1\r\nx\r\nPONG\r\n"},
	{name: "not to a member of a queue", send: quiet + "SUB r.* q 7\r\nPUB none r.1 1\r\nx\r\nPING\r\n", want: "PONG\r\n"},
	{name: "not without asking for it", send: "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB r 1\r\nPUB none r 0\r\n\r\nPING\r\n", want: "PONG\r\n"},
	{name: "own interest without echo is none", send: "CONNECT {\"verbose\":false,\"echo\":false,\"headers\":true,\"no_responders\":true}\r\nSUB r 1\r\nSUB s 2\r\nPUB s r 0\r\n\r\nPING\r\n",
		want: "HMSG r 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: s\r\n\r\n\r\nPONG\r\n"},
	{name: "OK comes before it", send: "CONNECT {\"headers\":true,\"no_responders\":true}\r\nSUB r 1\r\nPUB n r 0\r\n\r\n",
		want: "+OK\r\n+OK\r\n+OK\r\nHMSG r 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: n\r\n\r\n\r\n"},

	{name: "invalid SUB subjects", send: quiet + "SUB a..b 1\r\nSUB a.>.b 2\r\nSUB .a 3\r\nSUB a. 4\r\nSUB foo* 5\r\nPUB foo* 0\r\n\r\nPING\r\n",
		want: strings.Repeat("-ERR 'Invalid Subject'\r\n", 4) + "MSG foo* 5 0\r\n\r\nPONG\r\n"},
	{name: "reserved reply subjects", send: quiet + "SUB a 1\r\nPUB a _R_.x 0\r\n\r\nPUB a $JS.ACK.x 0\r\n\r\nPUB a _GR_.x 0\r\n\r\nPUB a $GR.x 0\r\n\r\nPUB a $NRG.x 0\r\n\r\n",
		want: `-ERR 'Permissions Violation for Publish with Reply of "_R_.x"'` + "\r\n" +
			`-ERR 'Permissions Violation for Publish with Reply of "$JS.ACK.x"'` + "\r\n" +
			`-ERR 'Permissions Violation for Publish with Reply of "_GR_.x"'` + "\r\n" +
			`-ERR 'Permissions Violation for Publish with Reply of "$GR.x"'` + "\r\nMSG a 1 $NRG.x 0\r\n\r\n"},
	{name: "reserved subjects", send: quiet + "SUB > 1\r\nPUB _GR_.x 0\r\n\r\nPUB $GR.x _R_.x 0\r\n\r\nPUB $NRG.x 0\r\n\r\nPUB _R_.x 0\r\n\r\n",
		want: `-ERR 'Permissions Violation for Publish to "_GR_.x"'` + "\r\n" +
			`-ERR 'Permissions Violation for Publish to "$GR.x"'` + "\r\n" +
			`-ERR 'Permissions Violation for Publish to "$NRG.x"'` + "\r\nMSG _R_.x 1 0\r\n\r\n"},
	{name: "reserved subjects get no OK", send: "PUB _GR_.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\nPING\r\n",
		want: `-ERR 'Permissions Violation for Publish to "_GR_.x"'` + "\r\n" +
			`-ERR 'Permissions Violation for Publish with Reply of "_R_.x"'` + "\r\nPONG\r\n"},
	{name: "subjects in errors are quoted", send: quiet + "PUB _GR_.\"x\x01\xff\xc3\xa9 0\r\n\r\n",
		want: "-ERR 'Permissions Violation for Publish to \"_GR_.\\\"x\\x01\\xff\xc3\xa9\"'\r\n"},

	{name: "OK and INFO from a client are ignored", send: quiet + "+OK\r\nINFO {}\r\nPING\r\n", want: "PONG\r\n"},
	{name: "INFO that is not JSON", send: quiet + "INFO x\r\nPING\r\n", closed: true},
	{name: "an error from a client", send: quiet + "-ERR 'x'\r\nPING\r\n", closed: true},
	{name: "unknown operation", send: quiet + "PING\r\nFOO\r\n", want: "PONG\r\n-ERR 'Unknown Protocol Operation'\r\n", closed: true},
	{name: "an operation of servers", send: quiet + "MSG a 1 1\r\n", want: "-ERR 'Unknown Protocol Operation'\r\n", closed: true},
	{name: "payload without its end", send: quiet + "PUB a 2\r\nhixx", want: "-ERR 'Unknown Protocol Operation'\r\n", closed: true},
	{name: "surplus arguments", send: "CONNECT {}\r\nSUB a b c d\r\nPING\r\n", want: "+OK\r\n", closed: true},
	{name: "sizes are digits", send: quiet + "PUB a -1\r\n", closed: true},
	{name: "payload too large", send: quiet + "PUB a 1048577\r\n", want: "-ERR 'Maximum Payload Violation'\r\n", closed: true},
	{name: "control line too long", send: quiet + "PUB " + strings.Repeat("a", 4097), want: "-ERR 'maximum control line exceeded'\r\n", closed: true},
	{name: "control line just short enough", send: quiet + "SUB " + strings.Repeat("a", 4094) + " 1\r\nPING\r\n", want: "PONG\r\n"},
	{name: "HPUB without headers, at its line", send: "CONNECT {\"verbose\":false}\r\nHPUB a 12 12\r\n", closed: true},
	{name: "HPUB without headers, whole", send: "CONNECT {\"verbose\":false}\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", closed: true},

	{name: "CONNECT that is not JSON", send: "CONNECT {\r\nPING\r\n", closed: true},
	{name: "CONNECT with a wrong type", send: "CONNECT {\"verbose\":\"x\"}\r\nPING\r\n", closed: true},
	{name: "CONNECT null", send: "CONNECT null\r\nPING\r\n", want: "+OK\r\nPONG\r\n"},
	{name: "CONNECT without anything", send: "CONNECT \r\nPING\r\n", closed: true},
	{name: "unknown protocol", send: "CONNECT {\"protocol\":2}\r\n", want: "-ERR 'invalid client protocol'\r\n", closed: true},
	{name: "no_responders without headers", send: "CONNECT {\"no_responders\":true}\r\n", want: "-ERR 'no responders requires headers support'\r\n", closed: true},
	{name: "account", send: "CONNECT {\"account\":\"x\"}\r\n", want: "-ERR 'Authorization Violation'\r\n", closed: true},
	{name: "new account", send: "CONNECT {\"new_account\":true}\r\n", want: "-ERR 'Authorization Violation'\r\n", closed: true},
	{name: "a second CONNECT drops subscriptions", send: quiet + "SUB a 1\r\n" + quiet + "PUB a 0\r\n\r\nSUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n",
		want: "MSG a 1 1\r\nx\r\nPONG\r\n"},
	{name: "a second CONNECT amends the first", send: "CONNECT {\"verbose\":false,\"echo\":false,\"headers\":true,\"no_responders\":true}\r\nCONNECT {}\r\nSUB a 1\r\nPUB a 0\r\n\r\nPING\r\nCONNECT {\"headers\":false}\r\n",
		want: "PONG\r\n-ERR 'no responders requires headers support'\r\n", closed: true},
}

func TestConversations(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			s := r.dial()
			s.t = t
			s.send(c.send)
			if c.closed {
				s.expectClosed(c.want)
				return
			}
			s.expect(c.want)
			s.send("PING\r\n") // proves that nothing else came
			s.expect("PONG\r\n")
		})
	}
}

// Any cut of the input means the same; here it is cut at every byte.
func TestConversationsByteByByte(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	for _, c := range conversations {
		if len(c.send) > 512 {
			continue
		}
		s := r.dial()
		var sent int
		for sent < len(c.send) {
			n, err := s.conn.Write([]byte(c.send[sent : sent+1]))
			if err != nil {
				break // closed early, as it may be
			}
			sent += n
		}
		if c.closed {
			s.expectClosed(c.want)
		} else {
			s.expect(c.want)
		}
		s.conn.Close()
	}
}

func TestSubscriberWithoutHeadersGetsThePayloadOnly(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	plain := r.connect("CONNECT {\"verbose\":false}\r\n")
	plain.send("SUB a 1\r\nPING\r\n")
	plain.expect("PONG\r\n")
	with := r.connect(quiet)
	with.send("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
	plain.expect("MSG a 1 2\r\nhi\r\n")
}

func TestMessagesOfEverySizeArriveWhole(t *testing.T) {
	r := start(t, Options{MaxPayload: 2 << 20}, auth.Options{}, broker.Options{})
	sub := r.connect(quiet)
	sub.send("SUB a.> 12\r\nPING\r\n")
	sub.expect("PONG\r\n")
	pub := r.connect(quiet)
	long := "a." + strings.Repeat("s", 4000)
	for _, size := range []int{0, 1, 480, 512, 4000, 4060, 4096, 5000, 32 << 10, 32<<10 + 1, 64 << 10, 300 << 10, 2 << 20} {
		for _, subject := range []string{"a.b", long} {
			payload := strings.Repeat("p", size)
			pub.send(fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, size, payload))
			sub.expect(fmt.Sprintf("MSG %s 12 %d\r\n%s\r\n", subject, size, payload))
			if size < 12 {
				continue
			}
			pub.send(fmt.Sprintf("HPUB %s r 12 %d\r\nNATS/1.0\r\n\r\n%s\r\n", subject, size, payload[12:]))
			sub.expect(fmt.Sprintf("HMSG %s 12 r 12 %d\r\nNATS/1.0\r\n\r\n%s\r\n", subject, size, payload[12:]))
		}
	}
}

func TestQueueGroupDeliversOnce(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	const messages = 300
	workers := []*client{r.connect(quiet), r.connect(quiet)}
	for _, w := range workers {
		w.send("SUB jobs.* q 5\r\nSUB end 6\r\nPING\r\n")
		w.expect("PONG\r\n")
	}
	pub := r.connect(quiet)
	pub.send(strings.Repeat("PUB jobs.a 2\r\nhi\r\n", messages) + "PUB end 0\r\n\r\n")
	total := 0
	for i, w := range workers {
		got := 0
		for {
			line, err := w.in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "MSG end") {
				break
			}
			w.expect("hi\r\n")
			got++
		}
		if got == 0 {
			t.Errorf("worker %d got nothing", i)
		}
		total += got
	}
	if total != messages {
		t.Errorf("%d messages for the group, %d delivered", messages, total)
	}
}

// More than one call of Data may deliver, so that the rest must come by itself.
func TestManyDeliveriesOfOneReadAllArrive(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	sub := r.connect(quiet)
	sub.send("SUB a 1\r\nPING\r\n")
	sub.expect("PONG\r\n")
	pub := r.connect(quiet)
	n := 3 * maxEffort
	pub.send(strings.Repeat("PUB a 1\r\nx\r\n", n))
	sub.expect(strings.Repeat("MSG a 1 1\r\nx\r\n", n))
}
